// The kubelet's HTTPS port over real connections; the runtime's streaming server is the test's.
#include "orchestrator/kubelet/server/kubelet_server.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "orchestrator/apiserver/http/server_fixture.h"
#include "orchestrator/kubelet/server/server_fixture.h"
#include "orchestrator/kubelet/server/streams/spdy.h"

namespace meltemi::kubelet {
namespace {

using apiserver::TestClient;
using testing::HasSubstr;
using testing::Not;

class KubeletServerTest : public testing::Test {
 protected:
  KubeletServerTest() : ca_(apiserver::NewPair("test-ca", tls::KeyPair(), true)) {
    KubeletServerOptions options;
    options.address = net::Address::Loopback4(0);
    options.identity = apiserver::NewPair("server.test", ca_, false);
    options.client_ca_pem = ca_.certificate_chain_pem;
    options.node_name = "node";
    options.authorize = [this](const apiserver::Request& request, absl::string_view verb,
                               absl::string_view subresource) -> kube::Outcome {
      const std::lock_guard<std::mutex> lock(mutex_);
      asked_ = absl::StrCat(verb, " nodes/", subresource);
      if (refuses_) return kube::GenericStatus(403, "Forbidden");
      return request.certificate.has_value() ? kube::Outcome(kube::Done{}) : kube::Unauthorized();
    };
    auto server = StartKubeletServer(options, clock_, pods_, runtime_, stats_, metrics_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = NewClient(true);
    peer_ = std::make_unique<StreamingServer>(client_->loop());
    pods_.Set(RunningPod());
  }
  ~KubeletServerTest() override {
    peer_.reset();
    client_.reset();
  }

  std::unique_ptr<TestClient> NewClient(bool with_certificate) {
    tls::ClientOptions options;
    options.alpn = {"http/1.1"};
    options.ca_pem = ca_.certificate_chain_pem;
    options.server_name = "server.test";
    if (with_certificate) options.identity = apiserver::NewPair("apiserver", ca_, false);
    return std::make_unique<TestClient>(clock_, net::Address::Loopback4(server_->port()), false,
                                        *tls::NewClientContext(options));
  }
  bool Until(const std::function<bool()>& condition) { return client_->Until(condition); }
  // "CODE body"
  std::string Get(absl::string_view path) {
    auto call = client_->Do("GET", path);
    return absl::StrCat(call->status, " ", call->body);
  }
  std::string asked() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return asked_;
  }

  SystemClock clock_;
  const tls::KeyPair ca_;
  FakePods pods_;
  FakeStats stats_;
  StreamsRuntime runtime_;
  metrics::Registry metrics_;
  std::mutex mutex_;
  std::string asked_;
  bool refuses_ = false;
  std::unique_ptr<KubeletServer> server_;
  std::unique_ptr<TestClient> client_;
  std::unique_ptr<StreamingServer> peer_;
};

TEST_F(KubeletServerTest, NobodyGetsAnythingUnasked) {
  auto stranger = NewClient(false);
  EXPECT_EQ(stranger->Do("GET", "/pods")->status, 401);
  const std::pair<const char*, const char*> kPaths[] = {
      {"/pods", "get nodes/proxy"},          {"/statsfoo", "get nodes/proxy"},
      {"/stats/summary", "get nodes/stats"}, {"/metrics/cadvisor", "get nodes/metrics"},
      {"/healthz", "get nodes/proxy"},       {"/logs/", "get nodes/log"}};
  for (const auto& [path, asks] : kPaths) {
    (void)Get(path);
    EXPECT_EQ(asked(), asks);
  }
  (void)client_->Do("POST", "/run/default/web/main?cmd=ls");
  EXPECT_EQ(asked(), "create nodes/proxy");
  refuses_ = true;
  EXPECT_EQ(Get("/stats/summary"), "403 Forbidden");
}

TEST_F(KubeletServerTest, Pages) {
  EXPECT_EQ(Get("/healthz"), "200 ok");
  EXPECT_EQ(Get("/healthz/syncloop"), "200 ok");
  pods_.is_healthy = false;
  EXPECT_THAT(Get("/healthz"), HasSubstr("500 [+]ping ok\n[+]log ok\n[-]syncloop failed"));
  EXPECT_THAT(Get("/pods"), HasSubstr(R"("kind":"PodList")"));
  EXPECT_THAT(Get("/pods"), HasSubstr(R"("name":"web")"));
  EXPECT_EQ(Get("/stats/summary"), R"(200 {"all":1})");
  EXPECT_EQ(Get("/stats/summary?only_cpu_and_memory=true"), R"(200 {"brief":1})");
  EXPECT_EQ(Get("/metrics/resource"), "200 resource 1\n");
  EXPECT_EQ(Get("/metrics/cadvisor"), "200 container 1\n");
  EXPECT_EQ(Get("/metrics/probes"), "200 ");
  EXPECT_EQ(Get("/metrics").substr(0, 3), "200");
  EXPECT_THAT(Get("/configz"), HasSubstr("KubeletConfiguration"));
  EXPECT_EQ(Get("/elsewhere"), "404 404: Page Not Found");
  EXPECT_EQ(Get("/exec/a"), "404 404: Page Not Found");
  EXPECT_EQ(client_->Do("DELETE", "/pods")->status, 405);
}

// ---- Logs ---------------------------------------------------------------------------------------

TEST_F(KubeletServerTest, WhyThereIsNoLog) {
  EXPECT_EQ(Get("/containerLogs/default/none/main"), R"(404 pod "none" does not exist)");
  EXPECT_EQ(Get("/containerLogs/default/web/other"),
            R"(404 container "other" not found in pod "web")");
  EXPECT_EQ(Get("/containerLogs/default/web/main?previous=true"),
            R"(400 previous terminated container "main" in pod "web" not found)");
  EXPECT_EQ(Get("/containerLogs/default/web/main?tailLines=x"),
            R"(400 {"message": "Unable to decode query."})");
  EXPECT_EQ(Get("/containerLogs/default/web/main?tailLines=-1"),
            R"(422 {"message": "Invalid request."})");
  const auto with = [&](const std::function<void(kube::core::v1::ContainerState*)>& change) {
    auto pod = RunningPod();
    auto changed = std::make_shared<kube::core::v1::Pod>(*pod->pod);
    auto* const status = changed->mutable_status()->mutable_container_statuses(0);
    status->clear_state();
    change(status->mutable_state());
    pod->pod = changed;
    pods_.Set(pod);
    return Get("/containerLogs/default/web/main");
  };
  EXPECT_EQ(with([](auto* state) { state->mutable_waiting()->set_reason("ContainerCreating"); }),
            R"(400 container "main" in pod "web" is waiting to start: ContainerCreating)");
  EXPECT_EQ(with([](auto* state) { state->mutable_waiting()->set_reason("ErrImagePull"); }),
            R"(400 container "main" in pod "web" is waiting to start: image can't be pulled)");
  EXPECT_EQ(with([](auto* state) { state->mutable_waiting()->set_reason("ImagePullBackOff"); }),
            "400 container \"main\" in pod \"web\" is waiting to start: trying and failing to pull "
            "image");
  EXPECT_EQ(with([](auto*) {}),
            R"(400 container "main" in pod "web" is waiting to start - no logs yet)");
  EXPECT_EQ(with([](auto* state) { state->mutable_terminated(); }),
            R"(400 container "main" in pod "web" is terminated)");
  EXPECT_EQ(with([](auto* state) { state->mutable_terminated()->set_container_id("x://gone"); }),
            "200 unable to retrieve container logs for x://gone");
}

TEST_F(KubeletServerTest, ALogIsFollowedUntilItsContainerEnds) {
  const std::string path = absl::StrCat(testing::TempDir(), "/followed.log");
  std::ofstream log(path);
  log << "2026-01-01T00:00:00.000000001Z stdout F one\n" << std::flush;
  auto pod = RunningPod();
  pod->state.containers[0].log_path = path;
  pods_.Set(pod);
  EXPECT_EQ(Get("/containerLogs/default/web/main"), "200 one\n");
  EXPECT_EQ(Get("/containerLogs/default/web/main?timestamps=true"),
            "200 2026-01-01T00:00:00.000000001Z one\n");
  auto call = client_->Start("GET", "/containerLogs/default/web/main?follow=true");
  ASSERT_TRUE(Until([&] { return call->body == "one\n"; }));
  log << "2026-01-01T00:00:01.000000001Z stderr F two\n" << std::flush;
  ASSERT_TRUE(Until([&] { return call->body == "one\ntwo\n"; }));
  EXPECT_FALSE(call->over());
  log << "2026-01-01T00:00:01.000000001Z stderr F last\n" << std::flush;
  auto ended = std::make_shared<PodOnNode>(*pod);
  ended->state.containers[0].phase = ContainerState::Phase::kExited;
  pods_.Set(ended);
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(call->body, "one\ntwo\nlast\n");
  std::remove(path.c_str());
}

// ---- Streams ------------------------------------------------------------------------------------

const TestClient::Fields kSpdy = {{"upgrade", "SPDY/3.1"},
                                  {"x-stream-protocol-version", "v4.channel.k8s.io"}};
const char kAgreedToSpdy[] =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

TestClient::Fields WebSocket(const std::string& protocol) {
  return {{"upgrade", "websocket"},
          {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
          {"sec-websocket-version", "13"},
          {"sec-websocket-protocol", protocol}};
}

TEST_F(KubeletServerTest, SpdyPassesAsItIs) {
  runtime_.url = peer_->Url("/exec/token");
  auto call = client_->Start(
      "POST", "/exec/default/web/main?command=sh&command=-c&input=1&output=1&error=1&tty=1", kSpdy,
      "", false);
  ASSERT_TRUE(Until([&] { return peer_->Got("\r\n\r\n"); })) << call->body;
  EXPECT_EQ(runtime_.TakeAsked(), "exec c1 sh -c +in +out +tty");
  EXPECT_THAT(peer_->received, HasSubstr("POST /exec/token HTTP/1.1\r\n"));
  EXPECT_THAT(peer_->received, HasSubstr("upgrade: SPDY/3.1\r\n"));
  peer_->Say(absl::StrCat(kAgreedToSpdy, "\x80\x03 bytes"));
  ASSERT_TRUE(Until([&] { return call->body == "\x80\x03 bytes"; }));
  Buffer up("up");
  call->stream->SendData(up, false);
  ASSERT_TRUE(Until([&] { return peer_->Got("\r\n\r\nup"); }));
  peer_->End();
  ASSERT_TRUE(Until([&] { return call->ended; }));
}

// What a runtime hears.
struct Heard final : SpdyEvents {
  void OnControl(const SpdyControl& frame) override {
    for (const auto& [name, value] : frame.headers) lines += value + ";";
  }
  void OnData(uint32_t id, Buffer& data, bool fin) override {
    absl::StrAppend(&lines, id, ":", data.ToString(), fin ? " fin;" : ";");
  }
  std::string lines;
};

TEST_F(KubeletServerTest, WebSocketsAreTranslated) {
  runtime_.url = peer_->Url("/exec/token");
  auto call = client_->Start("GET", "/exec/default/web/u1/main?command=cat&input=1&output=1",
                             WebSocket("v5.channel.k8s.io"), "", false);
  ASSERT_TRUE(Until([&] { return peer_->Got("\r\n\r\n"); })) << call->body;
  EXPECT_EQ(runtime_.TakeAsked(), "exec c1 cat +in +out");
  EXPECT_THAT(peer_->received, HasSubstr("POST /exec/token HTTP/1.1\r\n"));
  EXPECT_THAT(peer_->received, Not(HasSubstr("websocket")));
  peer_->received.clear();
  peer_->Say(kAgreedToSpdy);
  ASSERT_TRUE(Until([&] { return call->status == 101; }));
  EXPECT_EQ(call->Field("upgrade"), "websocket");
  EXPECT_EQ(call->Field("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(call->Field("sec-websocket-protocol"), "v5.channel.k8s.io");
  Heard heard;
  SpdyReader reader(heard);
  const std::string kMask(4, '\0');
  Buffer up(absl::StrCat("\x82\x82", kMask, std::string(1, '\0'), "x", "\x82\x82", kMask, "\xff",
                         std::string(1, '\0')));
  call->stream->SendData(up, false);
  ASSERT_TRUE(Until([&] {
    Buffer bytes(std::exchange(peer_->received, ""));
    EXPECT_TRUE(reader.Receive(bytes).ok());
    return heard.lines == "error;stdin;stdout;3:x;3: fin;";
  })) << heard.lines;
  SpdyWriter writer;
  Buffer answer, out("x"), status("{}");
  writer.SynReply(1, {}, false, answer);
  writer.Data(5, out, false, answer);
  writer.Data(1, status, false, answer);
  peer_->Say(answer);
  peer_->End();
  ASSERT_TRUE(Until([&] { return call->ended; }));
  EXPECT_EQ(call->body, "\x82\x02\x01x\x82\x03\x03{}\x88\x02\x03\xe8");
}

TEST_F(KubeletServerTest, LogsComeThroughWebSocketsToo) {
  peer_.reset();  // it lives on the client's loop
  const std::string path = absl::StrCat(testing::TempDir(), "/websocket.log");
  std::ofstream(path) << "2026-01-01T00:00:00.000000001Z stdout F one\n";
  auto pod = RunningPod();
  pod->state.containers[0].log_path = path;
  pods_.Set(pod);
  const auto ask = [&](const std::string& protocol) {
    client_ = NewClient(true);
    auto call = client_->Start("GET", "/containerLogs/default/web/main", WebSocket(protocol), "",
                               /*ends=*/false);
    EXPECT_TRUE(Until([&] { return call->ended; }));
    return absl::StrCat(call->status, " ", call->Field("sec-websocket-protocol"), " ", call->body);
  };
  EXPECT_EQ(ask("binary.k8s.io"), "101 binary.k8s.io \x82\x04one\n\x88\x02\x03\xe8");
  EXPECT_EQ(ask("base64.binary.k8s.io"),
            "101 base64.binary.k8s.io \x81\x08"
            "b25lCg==\x88\x02\x03\xe8");
  EXPECT_EQ(ask("v9"), "403  requested protocol(s) are not supported");
  client_ = NewClient(true);
  auto call = client_->Start("GET", "/containerLogs/default/web/main?follow=true",
                             WebSocket("binary.k8s.io"), "", false);
  ASSERT_TRUE(Until([&] { return call->body == "\x82\x04one\n"; }));
  Buffer closes(absl::StrCat("\x89\x80", std::string(4, '\0'), "\x88\x80", std::string(4, '\0')));
  call->stream->SendData(closes, false);
  EXPECT_TRUE(Until([&] { return call->ended; }));
  EXPECT_EQ(call->body,
            absl::StrCat("\x82\x04one\n\x8a", std::string(1, '\0'), "\x88\x02\x03\xe8"));
  std::remove(path.c_str());
}

TEST_F(KubeletServerTest, PortsAreForwardedThroughWebSockets) {
  runtime_.url = peer_->Url("/portforward/token");
  auto call = client_->Start("GET", "/portForward/default/web",
                             WebSocket("SPDY/3.1+portforward.k8s.io"), "", false);
  ASSERT_TRUE(Until([&] { return peer_->Got("\r\n\r\n"); })) << call->body;
  EXPECT_EQ(runtime_.TakeAsked(), "forward s1");
  EXPECT_THAT(peer_->received, HasSubstr("x-stream-protocol-version: portforward.k8s.io\r\n"));
  peer_->Say(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
      "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\nbytes");
  ASSERT_TRUE(Until([&] {
    return call->body ==
           "\x82\x05"
           "bytes";
  }));
  EXPECT_EQ(call->Field("sec-websocket-protocol"), "SPDY/3.1+portforward.k8s.io");
}

TEST_F(KubeletServerTest, OldWebSocketsPassAsTheyAre) {
  runtime_.url = peer_->Url("/portforward/token");
  auto forward = client_->Start("GET", "/portForward/default/web?port=80,81",
                                WebSocket("v4.channel.k8s.io"), "", false);
  ASSERT_TRUE(Until([&] { return peer_->Got("\r\n\r\n"); })) << forward->body;
  EXPECT_EQ(runtime_.TakeAsked(), "forward s1 80 81");
  EXPECT_THAT(peer_->received, HasSubstr("sec-websocket-protocol: v4.channel.k8s.io\r\n"));
}

TEST_F(KubeletServerTest, WhyThereIsNoStream) {
  const auto ask = [&](absl::string_view path, const TestClient::Fields& fields) {
    auto client = NewClient(true);
    auto call = client->Start("GET", path, fields, "", fields.empty());
    EXPECT_TRUE(client->Until([&] { return call->over(); }));
    return absl::StrCat(call->status, " ", call->body);
  };
  EXPECT_EQ(ask("/exec/default/web/main?command=ls", kSpdy),
            "400 you must specify at least 1 of stdin, stdout, stderr");
  EXPECT_EQ(ask("/exec/default/none/main?output=1", kSpdy), "404 pod does not exist");
  EXPECT_EQ(ask("/exec/default/web/x?output=1", kSpdy), R"(500 container not found ("x"))");
  EXPECT_EQ(ask("/exec/default/web/another-uid/main?output=1", kSpdy),
            R"(500 container not found ("main"))");
  EXPECT_EQ(ask("/exec/default/web/main?output=1", {}), "400 Upgrade request required");
  EXPECT_EQ(ask("/attach/default/web/x?output=1", kSpdy),
            "500 container x not found in pod web_default");
  EXPECT_EQ(ask("/portForward/default/web", WebSocket("v4.channel.k8s.io")),
            "400 query parameter \"port\" is required");
  EXPECT_EQ(ask("/portForward/default/web?port=0", WebSocket("v4.channel.k8s.io")),
            "400 port \"0\" must be > 0");
  EXPECT_THAT(ask("/exec/default/web/main?output=1",
                  {{"upgrade", "websocket"}, {"sec-websocket-protocol", "v5.channel.k8s.io"}}),
              HasSubstr("400 websocket: "));
  runtime_.url = absl::UnknownError("it broke");
  EXPECT_EQ(ask("/exec/default/web/main?output=1", kSpdy),
            "500 rpc error: code = Unknown desc = it broke");
  runtime_.url = std::string("http://127.0.0.1:1/exec/x");
  EXPECT_THAT(
      ask("/exec/default/web/main?output=1", kSpdy),
      HasSubstr("error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused"));
  auto pod = RunningPod();
  pod->state.sandboxes[0].ready = false;
  pods_.Set(pod);
  EXPECT_EQ(ask("/portForward/default/web", kSpdy), R"(500 pod not found ("web_default"))");
}

TEST_F(KubeletServerTest, CommandsWithoutStreams) {
  auto call = client_->Do("POST", "/run/default/web/main?cmd=ls%20-l");
  EXPECT_EQ(call->body, "outerr");
  EXPECT_EQ(runtime_.TakeAsked(), "run c1 ls -l");
  runtime_.exec_result = absl::NotFoundError("gone");
  EXPECT_EQ(client_->Do("POST", "/run/default/web/main?cmd=ls")->status, 404);
}

}  // namespace
}  // namespace meltemi::kubelet
