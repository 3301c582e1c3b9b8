#include "orchestrator/apiserver/https_client/https_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "orchestrator/apiserver/https_client/https_server_fake.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

using Answer = HttpsServerFake::Answer;

class HttpsClientTest : public ::testing::Test {
 protected:
  HttpsRequest To(const HttpsServerFake& server, const std::string& body) {
    HttpsRequest request;
    request.addresses = {server.address()};
    request.server_name = "hook.test";
    request.authority = "hook.test";
    request.path = "/";
    request.ca_pem = server.ca_pem();
    request.body = body;
    return request;
  }

  SystemClock clock_;
  std::unique_ptr<HttpsClient> client_ = NewHttpsClient(clock_);
};

TEST_F(HttpsClientTest, ManyCallsAtOnceEachGetTheirOwnAnswer) {
  HttpsServerFake server({"hook.test"}, [](const std::string&, const std::string& body) {
    return Answer{200, body};
  });
  std::vector<std::shared_ptr<HttpsCall>> calls;
  for (int i = 0; i < 60; ++i) calls.push_back(client_->Start(To(server, std::to_string(i))));
  for (int i = 0; i < 60; ++i) {
    const absl::StatusOr<HttpsResponse> response = calls[i]->Wait();
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->body, std::to_string(i));
  }
}

TEST_F(HttpsClientTest, ACertificateForAnotherName) {
  HttpsServerFake server({"other.test"},
                         [](const std::string&, const std::string&) { return Answer{}; });
  EXPECT_EQ(client_->Start(To(server, "{}"))->Wait().status().message(),
            "tls: failed to verify certificate: x509: certificate is not valid for hook.test");
}

TEST_F(HttpsClientTest, AnAddressThatRefusesIsFollowedByTheNext) {
  HttpsServerFake server({"hook.test"}, [](const std::string&, const std::string&) {
    return Answer{200, "here"};
  });
  HttpsRequest request = To(server, "{}");
  request.addresses.insert(request.addresses.begin(), net::Address::Loopback4(1));
  const absl::StatusOr<HttpsResponse> response = client_->Start(std::move(request))->Wait();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "here");
}

TEST_F(HttpsClientTest, AServerThatHangsUpEveryTimeIsNotAskedForEver) {
  std::atomic<int> asked{0};
  HttpsServerFake server({"hook.test"}, [&](const std::string&, const std::string&) {
    ++asked;
    return Answer{.close_connection = true};
  });
  EXPECT_FALSE(client_->Start(To(server, "{}"))->Wait().ok());
  EXPECT_LE(asked, 2);
}

TEST_F(HttpsClientTest, WhoWaitsWhenTheClientGoesIsTold) {
  HttpsServerFake server(
      {"hook.test"}, [](const std::string&, const std::string&) { return Answer{.never = true}; });
  const std::shared_ptr<HttpsCall> call = client_->Start(To(server, "{}"));
  client_.reset();
  EXPECT_EQ(call->Wait().status().message(), "the server is stopping");
}

TEST_F(HttpsClientTest, ACaThatIsNone) {
  HttpsServerFake server({"hook.test"},
                         [](const std::string&, const std::string&) { return Answer{}; });
  HttpsRequest request = To(server, "{}");
  request.ca_pem = "nonsense";
  EXPECT_FALSE(client_->Start(std::move(request))->Wait().ok());
}

}  // namespace
}  // namespace meltemi::apiserver
