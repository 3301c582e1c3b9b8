// The port of hollow nodes, over real TLS connections.
#include "orchestrator/kubelet/hollow/hollow_server.h"

#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/tls/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/https_client/https_client.h"

namespace meltemi::kubelet {
namespace {

using testing::HasSubstr;

tls::KeyPair NewPair(const std::string& name, const std::string& organization,
                     const tls::KeyPair& issuer) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.organizations = {organization};
  request.is_ca = issuer.private_key_pem.empty();
  request.server_auth = request.client_auth = !request.is_ca;
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  return *tls::NewCertificate(request, issuer);
}

// Says what it was asked.
class NodesFake final : public HollowNodes {
 public:
  void SetFrozen(int, bool) override {}
  void SetCpuMilli(absl::string_view, absl::string_view, int64_t) override {}
  size_t running_pods() const override { return 0; }
  size_t registered_nodes() const override { return 0; }
  Page Get(absl::string_view node, absl::string_view path) override {
    return {.code = 200, .content_type = "text/plain", .bytes = absl::StrCat(node, " ", path)};
  }
};

class HollowServerTest : public testing::Test {
 protected:
  HollowServerTest() : ca_(NewPair("ca", "test", tls::KeyPair())) {
    HollowServerOptions options;
    options.address = net::Address::Loopback4(0);
    options.identity = NewPair("node", "test", ca_);
    options.client_ca_pem = ca_.certificate_chain_pem;
    auto server = StartHollowServer(options, clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // "200 the body"
  std::string Ask(absl::string_view method, absl::string_view path,
                  std::optional<tls::KeyPair> identity) {
    apiserver::HttpsClientOptions options;
    options.identity = std::move(identity);
    options.verify = false;
    const auto client = apiserver::NewHttpsClient(clock_, options);
    apiserver::HttpsRequest request;
    request.method = std::string(method);
    request.host = "127.0.0.1";
    request.port = server_->port();
    request.authority = "127.1.0.7:10250";
    request.path = std::string(path);
    const absl::StatusOr<apiserver::HttpsResponse> answer = client->Start(request)->Wait();
    if (!answer.ok()) return std::string(answer.status().message());
    return absl::StrCat(answer->code, " ", answer->body);
  }
  tls::KeyPair ApiServer() { return NewPair("kubelet-client", "system:masters", ca_); }

  SystemClock clock_;
  const tls::KeyPair ca_;
  NodesFake nodes_;
  std::unique_ptr<HollowServer> server_;
};

TEST_F(HollowServerTest, AsksTheNodeWhoseAddressWasCalled) {
  EXPECT_THAT(Ask("GET", "/stats/summary", ApiServer()), HasSubstr("503"));
  server_->SetNodes(&nodes_);
  EXPECT_EQ(Ask("GET", "/stats/summary", ApiServer()), "200 127.1.0.7 /stats/summary");
  server_->SetNodes(nullptr);
  EXPECT_THAT(Ask("GET", "/stats/summary", ApiServer()), HasSubstr("503"));
}

TEST_F(HollowServerTest, LetsInWhomTheApiServerSends) {
  server_->SetNodes(&nodes_);
  EXPECT_THAT(Ask("GET", "/pods", std::nullopt), HasSubstr("401"));
  EXPECT_THAT(Ask("GET", "/pods", NewPair("eve", "users", ca_)), HasSubstr("403"));
}

TEST_F(HollowServerTest, SaysWhyNothingCanBeRun) {
  server_->SetNodes(&nodes_);
  EXPECT_THAT(Ask("POST", "/exec/default/web/web?command=sh", ApiServer()),
              HasSubstr("501 this is a hollow node"));
}

}  // namespace
}  // namespace meltemi::kubelet
