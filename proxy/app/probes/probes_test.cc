// The kubelet asks the proxy, the proxy asks the application: over real sockets.
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/http/client/http_call.h"
#include "base/http/codec_fake.h"
#include "base/http/server/https_server.h"
#include "base/http/server/test_server.h"
#include "base/http/server/web_server.h"
#include "base/tls/certificate.h"
#include "gtest/gtest.h"
#include "proxy/app/probes/app_probe.h"
#include "proxy/app/probes/probe_server.h"

namespace meltemi::proxy {
namespace {

using http::CallRequest;
using http::CallResponse;

TEST(AppProbeTest, ReadsWhatInjectionWrites) {
  const auto probes = ParseAppProbes(
      R"({"/app-health/a/livez":{"httpGet":{"path":"ready?x=1","port":80,"scheme":"HTTPS",)"
      R"("httpHeaders":[{"name":"X-Token","value":"t"}]},"timeoutSeconds":3},)"
      R"("/app-health/a/readyz":{"tcpSocket":{"port":5000}},)"
      R"("/app-health/b/startupz":{"grpc":{"port":9000,"service":"s"}},)"
      R"("/app-lifecycle/a/prestopz":{"httpGet":{"port":80}}})");
  ASSERT_TRUE(probes.ok()) << probes.status();
  const AppProbe& http = probes->at("/app-health/a/livez");
  EXPECT_TRUE(http.tls);
  EXPECT_EQ(http.path, "/ready?x=1");
  EXPECT_EQ(http.timeout, seconds(3));
  EXPECT_EQ(http.headers[0].first, "x-token");
  EXPECT_EQ(probes->at("/app-health/a/readyz").timeout, seconds(1));
  EXPECT_EQ(probes->at("/app-health/b/startupz").service, "s");
  EXPECT_GT(probes->at("/app-lifecycle/a/prestopz").timeout, seconds(60));
}

TEST(AppProbeTest, WhatIsWrongIsToldByItsPath) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[", "--probes: line 1"},
      {"[]", "must be an object"},
      {R"({"/x":{}})", "/x: must be below /app-health/"},
      {R"({"/app-health/a/livez":{}})", "none of httpGet"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":"http"}}})", "port must be a number"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":70000}}})", "port must be a number"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":1,"scheme":"FTP"}}})", "neither HTTP"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":1,"path":"a b"}}})", "its path is none"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":1},"timeoutSeconds":-1}})", "timeoutSeconds"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":1},"grpc":{"port":1}}})", "more than one"},
      {R"({"/app-health/a/livez":{"httpGet":{"port":1,"httpHeaders":[{"name":"a b"}]}}})",
       "no header"},
  };
  for (const auto& [text, message] : wrong) {
    const auto probes = ParseAppProbes(text);
    ASSERT_FALSE(probes.ok()) << text;
    EXPECT_TRUE(absl::StrContains(probes.status().message(), message)) << probes.status();
  }
}

class ProbesTest : public testing::Test {
 protected:
  ProbesTest() : loop_(NewEventLoop(clock_)) {
    app_ = *http::ListenWeb(*loop_, net::Address::Loopback4(0),
                            [this](http::WebRequest request, http::WebReply reply) {
                              OnApp(std::move(request), std::move(reply));
                            });
  }
  ~ProbesTest() override {
    server_.reset();
    app_.reset();
    https_.reset();
    grpc_.reset();
    loop_->RunOnce(Duration::zero());
  }

  // What the application does: by the path.
  void OnApp(http::WebRequest request, http::WebReply reply) {
    asked_.push_back(absl::StrCat(request.headers->authority(), " ", request.path, " ",
                                  request.headers->Get("user-agent"), " ",
                                  request.headers->Get("x-token"), " ", request.remote.ip()));
    if (request.path == "/slow") return;
    if (request.path == "/busy") return reply({.status = 503});
    reply({.status = 200, .body = "fine"});
  }

  void Serve(const std::string& probes) {
    const auto parsed = ParseAppProbes(probes);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ProbeServerOptions options;
    options.address = net::Address::Loopback4(0);
    options.pod_ip = "127.0.0.1";
    options.probes = *parsed;
    options.ready = [this] { return ready_; };
    options.stats = [] { return "a_metric 1\n"; };
    options.drain = [this] { drained_ = true; };
    options.quit = [this] { quit_ = true; };
    auto server = ProbeServer::Listen(*loop_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::string HttpProbe(const std::string& path, const std::string& more = "") {
    return absl::StrCat(R"({"/app-health/a/livez":{"httpGet":{"path":")", path, R"(","port":)",
                        app_->address().port(), more, "}}}");
  }

  CallResponse Ask(const std::string& path, const std::string& method = "GET") {
    CallRequest request;
    request.method = method;
    request.path = path;
    request.fields = {{"user-agent", "kube-probe/1.32"}};
    std::optional<absl::StatusOr<CallResponse>> result;
    auto call = http::StartCall(*loop_, server_->address(), request,
                                [&](absl::StatusOr<CallResponse> r) { result = std::move(r); });
    while (!result.has_value()) loop_->RunOnce(milliseconds(20));
    EXPECT_TRUE(result->ok()) << result->status();
    return result->ok() ? **std::move(result) : CallResponse();
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<http::WebServer> app_;
  std::unique_ptr<http::HttpsServer> https_;
  http::RecordingServerEvents grpc_events_;
  std::unique_ptr<http::TestServer> grpc_;
  std::unique_ptr<ProbeServer> server_;
  std::vector<std::string> asked_;
  bool ready_ = false, drained_ = false, quit_ = false;
};

TEST_F(ProbesTest, TheApplicationIsAskedAsTheKubeletWouldHave) {
  Serve(
      HttpProbe("/live?a=b",
                R"(,"httpHeaders":[{"name":"X-Token","value":"t"},{"name":"Host","value":"h"}])"));
  EXPECT_EQ(Ask("/app-health/a/livez").status, 200);
  // From the address that the redirect rules leave alone.
  EXPECT_EQ(asked_[0], "h /live kube-probe/1.32 t 127.0.0.6");
}

TEST_F(ProbesTest, ItsAnswerIsTheAnswer) {
  Serve(HttpProbe("/busy"));
  EXPECT_EQ(Ask("/app-health/a/livez").status, 503);
  EXPECT_EQ(Ask("/app-health/b/livez").status, 404);
  EXPECT_EQ(Ask("/app-health/a/livez/more").status, 404);
}

TEST_F(ProbesTest, WhoDoesNotAnswerInTimeIsNotWell) {
  Serve(HttpProbe("/slow"));
  const CallResponse response = Ask("/app-health/a/livez");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body, "no answer within 1000 ms\n");
}

TEST_F(ProbesTest, OverTlsWhateverTheCertificate) {
  tls::CertificateRequest request;
  request.common_name = "expired";
  request.server_auth = true;
  request.not_before_s = std::time(nullptr) - 7200;
  request.not_after_s = std::time(nullptr) - 3600;
  https_ = *http::ListenHttps(
      *loop_, net::Address::Loopback4(0), *tls::NewCertificate(request, {}),
      [](http::WebRequest request, http::WebReply reply) { reply({.status = 202}); });
  Serve(absl::StrCat(R"({"/app-health/a/livez":{"httpGet":{"scheme":"HTTPS","port":)",
                     https_->server().address().port(), "}}}"));
  EXPECT_EQ(Ask("/app-health/a/livez").status, 202);
}

TEST_F(ProbesTest, APortThatListensIsEnoughForTcp) {
  const uint16_t port = app_->address().port();
  Serve(absl::StrCat(R"({"/app-health/a/readyz":{"tcpSocket":{"port":)", port, "}}}"));
  EXPECT_EQ(Ask("/app-health/a/readyz").status, 200);
  app_.reset();
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ(Ask("/app-health/a/readyz").status, 500);
}

TEST_F(ProbesTest, GrpcMustSayServing) {
  std::string answer = std::string("\x08\x01", 2), code = "0";
  std::string question;
  grpc_events_.on_new = [&](http::RecordingServerEvents::Exchange& exchange) {
    exchange.receiver.on_data = [&, raw = &exchange] {
      if (!raw->receiver.ended) return;
      question = absl::StrCat(raw->receiver.headers->path(), " ", raw->receiver.body.substr(5));
      http::HeaderMapPtr headers = http::HeaderMap::New();
      headers->set_status(200);
      headers->Add("content-type", "application/grpc");
      raw->stream->SendHeaders(*headers, false);
      Buffer bytes;
      http::grpc::AppendMessage(answer, &bytes);
      raw->stream->SendData(bytes, false);
      http::HeaderMapPtr trailers = http::HeaderMap::New();
      trailers->Add("grpc-status", code);
      raw->stream->SendTrailers(*trailers);
    };
  };
  grpc_ = std::make_unique<http::TestServer>(*loop_, net::Address::Loopback4(0),
                                             http::Protocol::kHttp2, grpc_events_);
  Serve(absl::StrCat(R"({"/app-health/a/livez":{"grpc":{"service":"s","port":)",
                     grpc_->address().port(), "}}}"));
  EXPECT_EQ(Ask("/app-health/a/livez").status, 200);
  EXPECT_EQ(question, std::string("/grpc.health.v1.Health/Check \x0a\x01s"));
  answer = std::string("\x08\x02", 2);
  EXPECT_EQ(Ask("/app-health/a/livez").status, 500);
  code = "5";
  EXPECT_EQ(Ask("/app-health/a/livez").status, 500);
}

TEST_F(ProbesTest, ReadinessMetricsAndTheEnd) {
  Serve("{}");
  EXPECT_EQ(Ask("/healthz/ready").status, 503);
  ready_ = true;
  EXPECT_EQ(Ask("/healthz/ready").status, 200);
  EXPECT_EQ(Ask("/stats/prometheus").body, "a_metric 1\n");
  EXPECT_EQ(Ask("/drain").status, 405);
  EXPECT_FALSE(drained_);
  EXPECT_EQ(Ask("/drain", "POST").status, 200);
  EXPECT_TRUE(drained_);
  EXPECT_EQ(Ask("/quitquitquit", "POST").status, 200);
  EXPECT_TRUE(quit_);
}

}  // namespace
}  // namespace meltemi::proxy
