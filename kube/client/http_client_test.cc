#include "kube/client/http_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/client/http_server_fake.h"

namespace meltemi::kube {
namespace {

using Answer = HttpServerFake::Answer;
using Request = HttpServerFake::Request;

// Keeps what a watch tells.
class SinkFake final : public WatchSink {
 public:
  void OnEvent(absl::string_view type, absl::string_view object) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(absl::StrCat(type, " ", object));
    if (on_event) on_event();
    changed_.notify_all();
  }
  void OnEnd(const Status& why) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    end_ = why;
    changed_.notify_all();
  }
  std::vector<std::string> WaitForEvents(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, seconds(20), [&] { return events_.size() >= count; });
    return events_;
  }
  Status WaitForEnd() {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(20), [&] { return end_.has_value(); }));
    return end_.value_or(Status());
  }
  bool ended() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return end_.has_value();
  }
  std::function<void()> on_event;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  std::optional<Status> end_;
};

class HttpClientTest : public testing::TestWithParam<bool> {
 protected:
  HttpClientTest() { Restart(); }

  void Restart(uint32_t streams_max = 1000) {
    client_.reset();
    server_ = std::make_unique<HttpServerFake>(
        GetParam(), [this](const Request& request) { return handler_(request); }, streams_max);
  }
  ClusterAccess Access() {
    return {.server = server_->url(), .ca_pem = GetParam() ? server_->ca_pem() : ""};
  }
  Client& Make(HttpClientOptions options = {}) { return Make(Access(), options); }
  Client& Make(const ClusterAccess& access, HttpClientOptions options = {}) {
    options.user_agent = "test/1";
    auto made = NewHttpClient(access, clock_, options);
    EXPECT_TRUE(made.ok()) << made.status();
    client_ = *std::move(made);
    return *client_;
  }

  const SystemClock clock_;
  std::function<Answer(const Request&)> handler_ = [](const Request&) {
    return Answer{.body = "{}"};
  };
  std::unique_ptr<HttpServerFake> server_;
  std::unique_ptr<Client> client_;
};
INSTANTIATE_TEST_SUITE_P(PlainAndTls, HttpClientTest, testing::Bool());

TEST_P(HttpClientTest, CallsAndAnswers) {
  Request seen;
  handler_ = [&](const Request& request) {
    seen = request;
    return Answer{.code = 201, .body = std::string(300'000, 'x')};
  };
  ApiCall call{.method = "POST",
               .path = "/api/v1/namespaces/a b/pods",
               .query = {{"labelSelector", "a in (b,c)"}, {"dryRun", "All"}},
               .body = std::string(200'000, 'y')};
  const Result<ApiAnswer> answer = Make().Call(call);
  ASSERT_TRUE(answer.ok()) << answer.status().message;
  EXPECT_EQ(answer->code, 201);
  EXPECT_EQ(answer->body.size(), 300'000);
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target,
            "/api/v1/namespaces/a%20b/pods?labelSelector=a%20in%20%28b%2Cc%29&dryRun=All");
  EXPECT_EQ(seen.body, call.body);
  EXPECT_EQ(seen.fields["user-agent"], "test/1");
  EXPECT_EQ(seen.fields["content-type"], "application/json");
  EXPECT_EQ(seen.fields.count("authorization"), 0);
}

TEST_P(HttpClientTest, RefusalsAreStatuses) {
  handler_ = [&](const Request& request) -> Answer {
    if (request.target == "/busy") return {.code = 429, .body = "slow down", .retry_after = "7"};
    return {.code = 409,
            .body = R"({"kind":"Status","reason":"AlreadyExists","message":"pods \"a\" …"})"};
  };
  Client& client = Make();
  const Result<ApiAnswer> exists = client.Call({.path = "/x"});
  ASSERT_FALSE(exists.ok());
  EXPECT_TRUE(IsAlreadyExists(exists.status()));
  EXPECT_EQ(exists.status().code, 409);
  const Result<ApiAnswer> busy = client.Call({.path = "/busy"});
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.status().code, 429);
  EXPECT_EQ(busy.status().retry_after_seconds, 7);
  EXPECT_TRUE(IsTransient(busy.status()));
}

TEST_P(HttpClientTest, CallsShareAConnection) {
  std::atomic<int> answered = 0;
  handler_ = [&](const Request&) {
    ++answered;
    return Answer{.body = "{}"};
  };
  Client& client = Make({.calls_in_flight_max = 3});
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) EXPECT_TRUE(client.Call({.path = "/x"}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 200);
  EXPECT_EQ(server_->accepted(), 1);
}

TEST_P(HttpClientTest, AServerWithFewStreamsGetsMoreConnections) {
  Restart(2);
  handler_ = [&](const Request&) { return Answer{.body = "", .stays_open = true}; };
  Client& client = Make();
  std::vector<std::unique_ptr<SinkFake>> sinks;
  std::vector<std::unique_ptr<ApiWatch>> watches;
  for (int i = 0; i < 6; ++i) {
    sinks.push_back(std::make_unique<SinkFake>());
    watches.push_back(client.Watch({.path = "/x"}, *sinks.back()));
    ASSERT_TRUE(server_->WaitForRequests(watches.size()));
  }
  EXPECT_EQ(server_->accepted(), 3);
}

TEST_P(HttpClientTest, NoAnswerInTime) {
  handler_ = [](const Request&) { return Answer{.never = true}; };
  Client& client = Make();
  const Result<ApiAnswer> answer = client.Call({.path = "/slow", .timeout = milliseconds(50)});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code, 0);
  EXPECT_EQ(answer.status().message,
            absl::StrCat("GET ", server_->url(), "/slow: no answer in time"));
  EXPECT_TRUE(server_->WaitForEnded(1));
  handler_ = [](const Request&) { return Answer{.body = "{}"}; };
  EXPECT_TRUE(client.Call({.path = "/x"}).ok());
  EXPECT_EQ(server_->accepted(), 1);
}

TEST_P(HttpClientTest, AServerThatIsNotThere) {
  ClusterAccess access = Access();
  server_.reset();
  const Result<ApiAnswer> answer = Make(access).Call({.path = "/x"});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code, 0);
  EXPECT_TRUE(absl::StrContains(answer.status().message, "refused")) << answer.status().message;
  SinkFake sink;
  const auto watch = client_->Watch({.path = "/x"}, sink);
  EXPECT_EQ(sink.WaitForEnd().code, 0);
}

TEST_P(HttpClientTest, LostConnectionsAreMadeAgain) {
  Client& client = Make();
  EXPECT_TRUE(client.Call({.path = "/x"}).ok());
  std::atomic<int> seen = 0;
  handler_ = [&](const Request&) {
    if (++seen == 1) {
      server_->CloseConnections();
      return Answer{.never = true};
    }
    return Answer{.body = "{}"};
  };
  // Reading does no harm twice.
  EXPECT_TRUE(client.Call({.path = "/x"}).ok());
  EXPECT_EQ(seen, 2);
  seen = 0;
  const Result<ApiAnswer> post = client.Call({.method = "POST", .path = "/x", .body = "{}"});
  ASSERT_FALSE(post.ok());
  EXPECT_EQ(post.status().code, 0);
  EXPECT_EQ(seen, 1);
  EXPECT_TRUE(client.Call({.method = "POST", .path = "/x", .body = "{}"}).ok());
}

TEST_P(HttpClientTest, WhatTheServerHasNotLookedAtIsSentAgain) {
  std::atomic<int> seen = 0;
  handler_ = [&](const Request&) {
    return ++seen == 1 ? Answer{.refused = true} : Answer{.body = "{}"};
  };
  EXPECT_TRUE(Make().Call({.method = "POST", .path = "/x", .body = "{}"}).ok());
  EXPECT_EQ(seen, 2);
}

TEST_P(HttpClientTest, WatchesTellEvents) {
  handler_ = [](const Request& request) {
    EXPECT_EQ(request.target, "/x?resourceVersion=1&watch=true");
    return Answer{.body = R"({"type":"ADDED","object":{"a":1}})"
                          "\n"
                          R"({"type":"MODI)",
                  .stays_open = true};
  };
  Client& client = Make();
  SinkFake sink;
  const auto watch = client.Watch({.path = "/x", .query = {{"resourceVersion", "1"}}}, sink);
  EXPECT_EQ(sink.WaitForEvents(1), (std::vector<std::string>{R"(ADDED {"a":1})"}));
  const std::string big(100'000, 'x');
  server_->Send(R"(FIED","object":{"b":")" + big + "\"}}\n\n" +
                R"({"type":"BOOKMARK","object":{}})"
                "\n");
  const std::vector<std::string> events = sink.WaitForEvents(3);
  ASSERT_EQ(events.size(), 3);
  EXPECT_EQ(events[1], absl::StrCat(R"(MODIFIED {"b":")", big, "\"}"));
  EXPECT_EQ(events[2], "BOOKMARK {}");
  EXPECT_FALSE(sink.ended());
  server_->Send("", true);
  EXPECT_EQ(sink.WaitForEnd().code, 200);
}

TEST_P(HttpClientTest, WatchesTellHowTheyEnd) {
  handler_ = [](const Request& request) -> Answer {
    if (request.target == "/gone?watch=true") {
      return {.body = R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})"
                      "\n",
              .stays_open = true};
    }
    if (request.target == "/forbidden?watch=true") {
      return {.code = 403, .body = R"({"kind":"Status","code":403,"reason":"Forbidden"})"};
    }
    if (request.target == "/garbage?watch=true") return {.body = "<html>\n", .stays_open = true};
    return {.stays_open = true};
  };
  Client& client = Make();
  const auto end_of = [&](const std::string& path) {
    SinkFake sink;
    const auto watch = client.Watch({.path = path}, sink);
    return sink.WaitForEnd();
  };
  EXPECT_TRUE(IsExpired(end_of("/gone")));
  EXPECT_EQ(end_of("/forbidden").reason, "Forbidden");
  EXPECT_EQ(end_of("/garbage").code, 0);
  EXPECT_TRUE(server_->WaitForEnded(2));
  SinkFake sink;
  const auto watch = client.Watch({.path = "/x"}, sink);
  EXPECT_TRUE(server_->WaitForRequests(4));
  server_->CloseConnections();
  EXPECT_EQ(sink.WaitForEnd().code, 0);
}

TEST_P(HttpClientTest, NothingIsToldAfterAWatchIsDestroyed) {
  handler_ = [](const Request&) { return Answer{.stays_open = true}; };
  Client& client = Make();
  for (int round = 1; round <= 20; ++round) {
    auto sink = std::make_unique<SinkFake>();
    auto watch = client.Watch({.path = "/x"}, *sink);
    ASSERT_TRUE(server_->WaitForRequests(static_cast<size_t>(round)));
    for (int i = 0; i < 10; ++i)
      server_->Send(R"({"type":"ADDED","object":{}})"
                    "\n");
    if (round % 2 == 0) sink->WaitForEvents(1);
    watch.reset();
    sink.reset();
  }
  EXPECT_TRUE(server_->WaitForEnded(20));
}

TEST_P(HttpClientTest, AWatchMayBeDestroyedByItsSink) {
  handler_ = [](const Request&) {
    return Answer{.body = "{\"type\":\"A\",\"object\":{}}\n{\"type\":\"B\",\"object\":{}}\n",
                  .stays_open = true};
  };
  SinkFake sink;
  std::unique_ptr<ApiWatch> watch;
  std::mutex made;
  sink.on_event = [&] {
    const std::lock_guard<std::mutex> lock(made);
    watch.reset();
  };
  {
    const std::lock_guard<std::mutex> lock(made);
    watch = Make().Watch({.path = "/x"}, sink);
  }
  EXPECT_TRUE(server_->WaitForEnded(1));
  EXPECT_EQ(sink.WaitForEvents(1), (std::vector<std::string>{"A {}"}));
  EXPECT_FALSE(sink.ended());
}

TEST_P(HttpClientTest, ASilentServerIsGivenUp) {
  handler_ = [](const Request&) { return Answer{.stays_open = true}; };
  Client& client = Make({.ping_interval = milliseconds(20)});
  SinkFake sink;
  const auto watch = client.Watch({.path = "/x"}, sink);
  ASSERT_TRUE(server_->WaitForRequests(1));
  server_->GoSilent();
  const Status end = sink.WaitForEnd();
  EXPECT_EQ(end.code, 0);
  EXPECT_TRUE(absl::StrContains(end.message, "does not answer any more")) << end.message;
}

TEST_P(HttpClientTest, AnswersAreBounded) {
  handler_ = [](const Request&) { return Answer{.body = std::string(100'000, 'x')}; };
  const Result<ApiAnswer> answer = Make({.answer_bytes_max = 50'000}).Call({.path = "/x"});
  ASSERT_FALSE(answer.ok());
  EXPECT_TRUE(absl::StrContains(answer.status().message, "larger than 50000 bytes"));
}

TEST_P(HttpClientTest, WhoWaitsIsToldWhenTheClientEnds) {
  handler_ = [](const Request&) { return Answer{.stays_open = true}; };
  Make();
  SinkFake sink;
  auto watch = client_->Watch({.path = "/x"}, sink);
  ASSERT_TRUE(server_->WaitForRequests(1));
  watch.reset();
  client_.reset();
  EXPECT_FALSE(sink.ended());
}

TEST_P(HttpClientTest, TokensComeFromWhereTheyAre) {
  std::mutex mutex;
  std::vector<std::string> seen;
  handler_ = [&](const Request& request) {
    const auto at = request.fields.find("authorization");
    const std::lock_guard<std::mutex> lock(mutex);
    seen.push_back(absl::StrCat(at == request.fields.end() ? "-" : at->second,
                                request.has_certificate ? " certified" : ""));
    return Answer{.body = "{}"};
  };
  ClusterAccess access = Access();
  access.token_file = testing::TempDir() + "/token";
  std::ofstream(access.token_file) << "from-file\n";
  ASSERT_TRUE(Make(access).Call({.path = "/x"}).ok());
  access.token_file.clear();
  access.token = "fixed";
  if (GetParam()) {
    access.certificate_pem = server_->client_identity().certificate_chain_pem;
    access.key_pem = server_->client_identity().private_key_pem;
  }
  ASSERT_TRUE(Make(access).Call({.path = "/x"}).ok());
  // A call as somebody else goes over a connection without the certificate.
  ASSERT_TRUE(client_->Call({.path = "/x", .bearer_token = "other"}).ok());
  const std::string certified = GetParam() ? " certified" : "";
  const std::lock_guard<std::mutex> lock(mutex);
  EXPECT_EQ(seen, (std::vector<std::string>{"Bearer from-file", "Bearer fixed" + certified,
                                            "Bearer other"}));
}

TEST(HttpClientTlsTest, TheServerHasToBeWhomItSays) {
  const SystemClock clock;
  HttpServerFake server(true, [](const Request&) { return Answer{.body = "{}"}; });
  HttpServerFake other(true, [](const Request&) { return Answer{.body = "{}"}; });
  ClusterAccess access{.server = server.url(), .ca_pem = other.ca_pem()};
  const Result<ApiAnswer> refused = (*NewHttpClient(access, clock, {}))->Call({.path = "/x"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code, 0);
  EXPECT_TRUE(absl::StrContains(refused.status().message, "certificate"))
      << refused.status().message;
  access.insecure = true;
  EXPECT_TRUE((*NewHttpClient(access, clock, {}))->Call({.path = "/x"}).ok());
}

TEST(HttpClientTlsTest, WhatIsWrongWithTheConfigurationIsTold) {
  const SystemClock clock;
  for (const auto& [server, why] : std::vector<std::pair<std::string, std::string>>{
           {"ftp://x", "ftp://x: https:// or http:// was expected"},
           {"https://x:0", "https://x:0: the port is no number up to 65535"},
           {"https://", "https://: the host is missing"}}) {
    EXPECT_EQ(NewHttpClient({.server = server}, clock, {}).status().message(), why);
  }
  EXPECT_FALSE(
      NewHttpClient({.server = "https://x", .ca_pem = "nonsense"}, clock, {}).status().ok());
}

}  // namespace
}  // namespace meltemi::kube
