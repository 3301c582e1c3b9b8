// The binary as a pod has it: the kubelet's probes, and the hooks that run beside it.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/http/client/http_call.h"
#include "base/http/server/web_server.h"
#include "base/loop/loop.h"
#include "proxy/app/proxy_process.h"

namespace meltemi::proxy {
namespace {

class PodLifeTest : public testing::Test {
 protected:
  PodLifeTest() : loop_(NewEventLoop(clock_)) {
    app_ = *http::ListenWeb(*loop_, net::Address::Loopback4(0),
                            [this](const http::WebRequest& request, const http::WebReply& reply) {
                              reply({.status = app_status_});
                            });
  }
  ~PodLifeTest() override {
    app_.reset();
    loop_->RunOnce(Duration::zero());
  }

  template <typename Condition>
  bool Until(const Condition& condition) {
    const MonotonicTime end = clock_.Now() + seconds(20);
    while (!condition()) {
      if (clock_.Now() > end) return false;
      loop_->RunOnce(milliseconds(10));
    }
    return true;
  }
  void Start(const std::string& probes) {
    proxy_ = std::make_unique<ProxyProcess>(
        std::vector<std::string>{"run", "--config-yaml", "static_resources: {}", "--concurrency=1",
                                 "--probes-port=0", "--probes", probes, "--drain-grace=0ms"});
    const std::string before = "probes on 0.0.0.0:";
    ASSERT_TRUE(Until([&] {
      const std::string log = proxy_->Log();
      const size_t at = log.find(before);
      const size_t end = at == std::string::npos ? at : log.find(' ', at + before.size());
      if (end == std::string::npos) return false;
      const size_t from = at + before.size();
      return absl::SimpleAtoi(log.substr(from, end - from), &port_);
    })) << proxy_->Log();
  }
  int Ask(const std::string& path, const std::string& method = "GET") {
    http::CallRequest request;
    request.method = method;
    request.path = path;
    std::optional<absl::StatusOr<http::CallResponse>> result;
    auto call =
        http::StartCall(*loop_, net::Address::Loopback4(static_cast<uint16_t>(port_)), request,
                        [&](absl::StatusOr<http::CallResponse> r) { result = std::move(r); });
    Until([&] { return result.has_value(); });
    return result.has_value() && result->ok() ? (*result)->status : 0;
  }
  int Command(const std::string& name) {
    ProxyProcess command({name, absl::StrCat("--port=", port_)});
    return Until([&] { return command.Ended(); }) ? command.exit_code() : -1;
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<http::WebServer> app_;
  std::unique_ptr<ProxyProcess> proxy_;
  int app_status_ = 200;
  uint32_t port_ = 0;
};

TEST_F(PodLifeTest, FromTheFirstProbeToTheEnd) {
  Start(
      absl::StrCat(R"({"/app-health/a/livez":{"httpGet":{"port":)", app_->address().port(), "}}}"));
  EXPECT_EQ(Command("wait"), 0);
  EXPECT_EQ(Ask("/app-health/a/livez"), 200);
  app_status_ = 500;
  EXPECT_EQ(Ask("/app-health/a/livez"), 500);
  EXPECT_EQ(Ask("/stats/prometheus"), 200);
  EXPECT_EQ(Command("drain"), 0);
  EXPECT_EQ(Ask("/healthz/ready"), 200);  // it goes on serving: the application has not ended
  EXPECT_EQ(Ask("/quitquitquit", "POST"), 200);
  ASSERT_TRUE(Until([this] { return proxy_->Ended(); }));
  EXPECT_EQ(proxy_->exit_code(), 0);
  EXPECT_EQ(Command("drain"), 1);
}

TEST_F(PodLifeTest, WrongProbesAreSaidAndNothingStarts) {
  ProxyProcess proxy(
      {"run", "--config-yaml", "static_resources: {}", "--probes-port=0", "--probes", "garbage"});
  ASSERT_TRUE(Until([&] { return proxy.Ended(); }));
  EXPECT_EQ(proxy.exit_code(), 1);
  EXPECT_NE(proxy.Log().find("--probes: line 1"), std::string::npos) << proxy.Log();
}

}  // namespace
}  // namespace meltemi::proxy
