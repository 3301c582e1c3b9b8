// Requests that are passed on to a kubelet, over real connections.

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/net/listener.h"
#include "gmock/gmock.h"
#include "orchestrator/apiserver/http/server_fixture.h"
#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::apiserver {
namespace {

using testing::HasSubstr;
using testing::Not;

// Speaks what the test tells it to, byte for byte, on the test's own loop.
class FakeKubelet {
 public:
  // `context` null: without TLS.
  FakeKubelet(Loop& loop, std::shared_ptr<const tls::Context> context)
      : loop_(loop), context_(std::move(context)) {
    auto listener = net::Listen(loop, net::Address::Loopback4(0), {},
                                [this](int fd, const net::Address& remote) {
                                  peers_.push_back(std::make_unique<Peer>(*this, fd, remote));
                                });
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  ~FakeKubelet() {
    peers_.clear();
    loop_.DeferDelete(std::move(listener_));
    loop_.RunOnce(Duration(0));
  }

  struct Peer final : net::ConnectionHandler {
    Peer(FakeKubelet& owner, int fd, const net::Address& remote) : owner(owner) {
      if (owner.context_ == nullptr) {
        connection = net::NewServerConnection(owner.loop_, fd, remote, {});
      } else {
        auto over_tls = tls::NewServerConnection(owner.loop_, fd, remote, {}, owner.context_);
        as_tls = over_tls.get();
        connection = std::move(over_tls);
      }
      connection->SetHandler(this);
    }
    ~Peer() override {
      connection->SetHandler(nullptr);
      owner.loop_.DeferDelete(std::move(connection));
    }
    void OnRead(Buffer& in, bool end) override {
      received += in.ToString();
      in.Clear();
      ended = end;
    }
    void OnWriteBlocked(bool value) override { blocked = value; }
    void OnClosed(net::CloseCause, absl::string_view) override { closed = true; }
    void Say(absl::string_view text) {
      connection->output().Append(text);
      connection->FlushSoon();
    }
    FakeKubelet& owner;
    std::unique_ptr<net::Connection> connection;
    tls::Connection* as_tls = nullptr;
    std::string received;
    bool ended = false, closed = false, blocked = false;
  };
  bool Got(absl::string_view text) const {
    return !peers_.empty() && absl::StrContains(peers_.back()->received, text);
  }
  Peer& peer() { return *peers_.back(); }
  size_t connections() const { return peers_.size(); }
  std::string host() const { return listener_->address().ToString(); }

 private:
  Loop& loop_;
  const std::shared_ptr<const tls::Context> context_;
  std::unique_ptr<net::Listener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

class ProxyTest : public ServerTest {
 protected:
  ~ProxyTest() override { kubelet_.reset(); }

  void StartWithKubelet(bool over_tls = true) {
    tls::ClientOptions to_kubelets;
    to_kubelets.identity = NewPair("kube-apiserver-kubelet-client", ca_, false);
    to_kubelets.ca_pem = ca_.certificate_chain_pem;
    options_.proxy_client = *tls::NewClientContext(to_kubelets);
    Start();
    tls::ServerOptions serving;
    serving.identity = NewPair("kubelet.test", ca_, false);
    serving.peer = tls::PeerCertificate::kRequired;
    serving.client_ca_pem = ca_.certificate_chain_pem;
    kubelet_ = std::make_unique<FakeKubelet>(client_->loop(),
                                             over_tls ? *tls::NewServerContext(serving) : nullptr);
    answer_ = {.scheme = over_tls ? "https" : "http",
               .host = kubelet_->host(),
               .target = "/containerLogs/ns/pod/main?follow=true",
               .server_name = "kubelet.test"};
    handler_.on_request = [this](Request&) { return answer_; };
  }
  bool Until(const std::function<bool()>& condition) { return client_->Until(condition); }

  ProxyAnswer answer_;
  std::unique_ptr<FakeKubelet> kubelet_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, ProxyTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Http2" : "Http1";
                         });

using TunnelTest = ProxyTest;
INSTANTIATE_TEST_SUITE_P(Http1, TunnelTest, testing::Values(false));

TEST_P(ProxyTest, WhatTheKubeletSaysIsPassedOnAsItComes) {
  StartWithKubelet();
  auto call = client_->Start("GET", "/api/v1/namespaces/ns/pods/pod/log?follow=true",
                             {{"authorization", "Bearer secret"}, {"x-other", "kept"}});
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  EXPECT_THAT(kubelet_->peer().received,
              HasSubstr("GET /containerLogs/ns/pod/main?follow=true HTTP/1.1\r\n"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("x-other: kept\r\n"));
  EXPECT_THAT(kubelet_->peer().received, Not(HasSubstr("secret")));
  EXPECT_EQ(kubelet_->peer().as_tls->session().server_name, "kubelet.test");
  EXPECT_EQ(kubelet_->peer().as_tls->session().peer_chain_der.size(), 1u);
  kubelet_->peer().Say(
      "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->status == 200; }));
  EXPECT_EQ(call->Field("content-type"), "text/plain");
  kubelet_->peer().Say("6\r\nline 1\r\n");
  ASSERT_TRUE(Until([&] { return call->body == "line 1"; }));
  EXPECT_FALSE(call->over());
  kubelet_->peer().Say("6\r\nline 2\r\n0\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(call->body, "line 1line 2");
}

TEST_P(ProxyTest, BodiesGoAlong) {
  StartWithKubelet(/*over_tls=*/false);
  auto call = client_->Start("POST", "/x", {}, "the body");
  ASSERT_TRUE(Until([&] { return kubelet_->Got("the body"); }));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("content-length: 8\r\n"));
  kubelet_->peer().Say("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 404);
  EXPECT_EQ(call->body, "none");
  // The connection is not kept.
  EXPECT_TRUE(Until([&] { return kubelet_->peer().ended || kubelet_->peer().closed; }));
}

TEST_P(ProxyTest, ALongLogIsHeldBackByItsReader) {
  StartWithKubelet(/*over_tls=*/false);
  auto call = client_->Start("GET", "/x");
  call->keep_body = false;
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  const size_t size = 30 * 1000 * 1000;
  kubelet_->peer().Say(absl::StrCat("HTTP/1.1 200 OK\r\ncontent-length: ", size, "\r\n\r\n"));
  ASSERT_TRUE(Until([&] { return call->status == 200; }));
  call->stream->PauseReading(true);
  kubelet_->peer().Say(std::string(size, 'l'));
  ASSERT_TRUE(Until([&] { return kubelet_->peer().blocked; }));
  for (int i = 0; i < 30; ++i) client_->loop().RunOnce(milliseconds(2));
  EXPECT_TRUE(kubelet_->peer().blocked);
  call->stream->PauseReading(false);
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->body_bytes, size);
}

TEST_P(ProxyTest, WhatAKubeletSaysAgainstALogBecomesAStatus) {
  StartWithKubelet(/*over_tls=*/false);
  answer_.status_of = "pods/log web";
  const auto ask = [&](absl::string_view code, absl::string_view text) {
    const size_t before = kubelet_->connections();
    auto call = client_->Start("GET", "/x");
    EXPECT_TRUE(
        Until([&] { return kubelet_->connections() > before && kubelet_->Got("\r\n\r\n"); }));
    kubelet_->peer().Say(absl::StrCat("HTTP/1.1 ", code, " Nope\r\ncontent-type: text/plain\r\n",
                                      "content-length: ", text.size(), "\r\n\r\n", text));
    EXPECT_TRUE(Until([&] { return call->over(); }));
    EXPECT_EQ(call->Field("content-type"), "application/json");
    return absl::StrCat(call->status, " ", call->body);
  };
  const std::string waits =
      ask("400", "container \"c\" in pod \"web\" is waiting to start: ContainerCreating");
  EXPECT_THAT(waits, HasSubstr("400 {\"kind\":\"Status\""));
  EXPECT_THAT(waits, HasSubstr("\"message\":\"container \\\"c\\\" in pod \\\"web\\\" is waiting to "
                               "start: ContainerCreating\",\"reason\":\"BadRequest\""));
  EXPECT_THAT(ask("404", "pod \"web\" does not exist"),
              HasSubstr("the server could not find the requested resource ( pods/log web)"));
  EXPECT_THAT(ask("500", "it broke"), HasSubstr("Internal error occurred: it broke"));
  EXPECT_THAT(ask("503", ""), HasSubstr("503 {"));
}

TEST_P(ProxyTest, AKubeletThatIsNotThereIsAnError) {
  StartWithKubelet();
  const std::string host = kubelet_->host();
  kubelet_.reset();
  auto call = client_->Do("GET", "/x");
  EXPECT_EQ(call->status, 503);
  EXPECT_THAT(call->body, HasSubstr(absl::StrCat("error trying to reach service: dial tcp ", host,
                                                 ": connect: connection refused")));
}

TEST_P(ProxyTest, AKubeletThatGoesAwayIsAnError) {
  StartWithKubelet();
  auto call = client_->Start("GET", "/x");
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().connection->Close(seconds(1));
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 503);
  // Within the answer it can only be broken off.
  auto second = client_->Start("GET", "/x");
  ASSERT_TRUE(Until([&] { return kubelet_->connections() == 2 && kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
  ASSERT_TRUE(Until([&] { return second->body == "half"; }));
  kubelet_->peer().connection->Abort();
  ASSERT_TRUE(Until([&] { return second->reset.has_value(); }));
}

TEST_P(ProxyTest, AKubeletWithAnotherNameIsNotTrusted) {
  StartWithKubelet();
  answer_.server_name = "elsewhere.test";
  auto call = client_->Do("GET", "/x");
  EXPECT_EQ(call->status, 503);
  EXPECT_THAT(call->body, HasSubstr("certificate verify failed"));
}

TEST_P(ProxyTest, AnAddressThatIsNoneIsAnError) {
  StartWithKubelet();
  answer_.host = "nowhere";
  auto call = client_->Do("GET", "/x");
  EXPECT_EQ(call->status, 503);
  EXPECT_THAT(call->body, HasSubstr("nowhere"));
}

TEST_P(ProxyTest, AKubeletMayHaveAName) {
  StartWithKubelet();
  answer_.host = absl::StrCat("localhost", kubelet_->host().substr(kubelet_->host().rfind(':')));
  auto call = client_->Start("GET", "/x");
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); })) << call->body;
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("host: localhost:"));
  kubelet_->peer().Say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->body, "ok");
}

TEST_P(ProxyTest, TheKubeletHearsThatTheClientHasGone) {
  StartWithKubelet();
  auto call = client_->Start("GET", "/x");
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->status == 200; }));
  call->stream->Reset(http::ResetCause::kLocal);
  EXPECT_TRUE(Until([&] { return kubelet_->peer().closed; }));
}

// ---- Tunnels ------------------------------------------------------------------------------------

TEST_P(TunnelTest, AnUpgradeBecomesATunnel) {
  StartWithKubelet();
  auto call =
      client_->Start("POST", "/api/v1/namespaces/ns/pods/pod/exec?command=sh",
                     {{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("POST /containerLogs/"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("connection: upgrade\r\nupgrade: SPDY/3.1\r\n"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("x-stream-protocol-version: v4\r\n"));
  kubelet_->peer().received.clear();
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n"
      "x-stream-protocol-version: v4\r\n\r\nwelcome");
  ASSERT_TRUE(Until([&] { return call->body == "welcome"; }));
  EXPECT_EQ(call->status, 101);
  EXPECT_EQ(call->Field("upgrade"), "SPDY/3.1");
  EXPECT_EQ(call->Field("x-stream-protocol-version"), "v4");
  // Bytes both ways, many of them.
  const std::string up(3 * 1000 * 1000, 'u'), down(4 * 1000 * 1000, 'd');
  Buffer data(up);
  call->stream->SendData(data, false);
  kubelet_->peer().Say(down);
  ASSERT_TRUE(Until([&] {
    return kubelet_->peer().received.size() == up.size() &&
           call->body.size() == down.size() + std::string("welcome").size();
  }));
  // The end goes through as well, first from one side, then from the other.
  Buffer nothing;
  call->stream->SendData(nothing, true);
  ASSERT_TRUE(Until([&] { return kubelet_->peer().ended; }));
  kubelet_->peer().Say("bye");
  kubelet_->peer().connection->CloseWrite();
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(call->body.substr(call->body.size() - 3), "bye");
}

TEST_P(TunnelTest, ATunnelMaySayNothingForLong) {
  options_.idle_timeout = options_.headers_timeout = options_.answer_stall_timeout =
      options_.request_timeout = options_.proxy_connect_timeout = milliseconds(100);
  StartWithKubelet();
  auto call = client_->Start("POST", "/x", {{"upgrade", "SPDY/3.1"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->status == 101; }));
  const MonotonicTime end = clock_.Now() + milliseconds(400);
  ASSERT_TRUE(Until([&] { return clock_.Now() > end || call->over() || client_->closed; }));
  kubelet_->peer().Say("still here");
  EXPECT_TRUE(Until([&] { return call->body == "still here"; }));
}

class HalfOpenTest : public ProxyTest {
 protected:
  TestClient::Call* Open() {
    options_.half_closed_tunnel_max = milliseconds(30);
    StartWithKubelet();
    auto call = client_->Start("POST", "/x", {{"upgrade", "SPDY/3.1"}}, "", false);
    EXPECT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
    kubelet_->peer().Say(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
    EXPECT_TRUE(Until([&] { return call->status == 101; }));
    return call;
  }
};
INSTANTIATE_TEST_SUITE_P(Http1, HalfOpenTest, testing::Values(false));

// `kubectl exec … sleep 1000` that was killed.
TEST_P(HalfOpenTest, APeerThatDoesNotMindIsLeft) {
  TestClient::Call* const call = Open();
  Buffer nothing;
  call->stream->SendData(nothing, true);
  EXPECT_TRUE(Until([&] { return call->over(); }));
  // What it says now goes nowhere.
  EXPECT_TRUE(Until([&] {
    if (!kubelet_->peer().closed) kubelet_->peer().Say("x");
    return kubelet_->peer().closed;
  }));
}

TEST_P(HalfOpenTest, AClientThatStaysIsSentAway) {
  Open();
  kubelet_->peer().connection->CloseWrite();
  EXPECT_TRUE(Until([&] { return kubelet_->peer().ended || kubelet_->peer().closed; }));
}

// Capitals to the peer, doubled to the client; each side hears when the other has gone.
class FakeTranslator final : public Translator {
 public:
  std::string PeerMethod() const override { return "POST"; }
  Fields PeerFields() const override {
    return {{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4"}};
  }
  kube::Result<Fields> OnUpgraded(const Fields& peer, Out& out) override {
    if (refuses) return kube::InternalError("no protocol in common");
    out.to_peer.Append("HELLO");
    return Fields{{"upgrade", "websocket"}, {"sec-websocket-accept", "x"}};
  }
  void FromClient(Buffer& data, bool end, Out& out) override {
    out.to_peer.Append(absl::AsciiStrToUpper(data.ToString()));
    out.end_peer = end;
  }
  void FromPeer(Buffer& data, bool end, Out& out) override {
    out.to_client.Append(absl::StrCat(data.ToString(), data.ToString()));
    if (end) out.to_client.Append("[over]");
    out.end_client = end;
  }
  bool refuses = false;
};

TEST_P(TunnelTest, BothSidesMaySpeakProtocolsOfTheirOwn) {
  StartWithKubelet();
  answer_.translator = std::make_shared<FakeTranslator>();
  auto call = client_->Start(
      "GET", "/x", {{"upgrade", "websocket"}, {"sec-websocket-key", "k"}, {"a", "b"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("POST /containerLogs/"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("upgrade: SPDY/3.1\r\n"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("x-stream-protocol-version: v4\r\n"));
  EXPECT_THAT(kubelet_->peer().received, HasSubstr("a: b\r\n"));
  EXPECT_THAT(kubelet_->peer().received, Not(HasSubstr("websocket")));
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\nab");
  ASSERT_TRUE(Until([&] { return call->body == "abab" && kubelet_->Got("HELLO"); }));
  EXPECT_EQ(call->Field("upgrade"), "websocket");
  EXPECT_EQ(call->Field("sec-websocket-accept"), "x");
  Buffer data("up");
  call->stream->SendData(data, false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("HELLOUP"); }));
  // A peer that is lost is the end of what it says.
  kubelet_->peer().connection->Abort();
  ASSERT_TRUE(Until([&] { return call->body == "abab[over]" && call->ended; }));
}

// Answers each byte of the client's itself.
class Parrot final : public Translator {
 public:
  std::string PeerMethod() const override { return "GET"; }
  Fields PeerFields() const override { return {{"upgrade", "x"}}; }
  kube::Result<Fields> OnUpgraded(const Fields&, Out&) override { return Fields{{"upgrade", "y"}}; }
  void FromClient(Buffer& data, bool, Out& out) override {
    bytes += data.size();
    out.to_client.MoveFrom(data);
  }
  void FromPeer(Buffer& data, bool, Out&) override { data.Clear(); }
  std::atomic<size_t> bytes{0};
};

TEST_P(TunnelTest, AClientThatDoesNotListenIsNotHeard) {
  StartWithKubelet();
  auto parrot = std::make_shared<Parrot>();
  answer_.translator = parrot;
  auto call = client_->Start("GET", "/x", {{"upgrade", "y"}}, "", false);
  call->keep_body = false;
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->status == 101; }));
  call->stream->PauseReading(true);
  const size_t size = 64 * 1024 * 1024;
  Buffer much(std::string(size, 'p'));
  call->stream->SendData(much, false);
  size_t before = 1;
  ASSERT_TRUE(Until([&] {
    for (int i = 0; i < 10; ++i) client_->loop().RunOnce(milliseconds(5));
    return std::exchange(before, parrot->bytes) == parrot->bytes && before > 0;
  }));
  // What sockets and buffers hold, and no more.
  EXPECT_LT(before, size / 2);
  call->stream->PauseReading(false);
  EXPECT_TRUE(Until([&] { return call->body_bytes == size; }));
}

TEST_P(TunnelTest, ATranslatorMayRefuseWhatThePeerAgreedTo) {
  StartWithKubelet();
  auto translator = std::make_shared<FakeTranslator>();
  translator->refuses = true;
  answer_.translator = translator;
  auto call = client_->Start("GET", "/x", {{"upgrade", "websocket"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\nab");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 500);
  EXPECT_THAT(call->body, HasSubstr("no protocol in common"));
}

TEST_P(TunnelTest, VersionsAreFieldsOfTheirOwn) {
  StartWithKubelet();
  client_->Start("POST", "/x",
                 {{"upgrade", "SPDY/3.1"},
                  {"x-stream-protocol-version", "v4.channel.k8s.io"},
                  {"x-stream-protocol-version", "v3.channel.k8s.io"}},
                 "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  EXPECT_THAT(kubelet_->peer().received,
              HasSubstr("x-stream-protocol-version: v4.channel.k8s.io\r\n"
                        "x-stream-protocol-version: v3.channel.k8s.io\r\n"));
  client_->Abort();
}

TEST_P(TunnelTest, ARefusedUpgradeIsAnOrdinaryAnswer) {
  StartWithKubelet();
  auto call = client_->Start("GET", "/x", {{"upgrade", "websocket"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 403);
  EXPECT_EQ(call->body, "no");
}

TEST_P(TunnelTest, AKubeletThatIsNotThereIsAnErrorInKubernetesWords) {
  StartWithKubelet();
  const std::string host = kubelet_->host();
  kubelet_.reset();
  auto call = client_->Start("POST", "/x", {{"upgrade", "SPDY/3.1"}}, "", false);
  ASSERT_TRUE(Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 500);
  EXPECT_THAT(call->body, HasSubstr(absl::StrCat("error dialing backend: dial tcp ", host,
                                                 ": connect: connection refused")));
}

TEST_P(TunnelTest, ATunnelEndsWithItsClient) {
  StartWithKubelet();
  auto call = client_->Start("POST", "/x", {{"upgrade", "SPDY/3.1"}}, "", false);
  ASSERT_TRUE(Until([&] { return kubelet_->Got("\r\n\r\n"); }));
  kubelet_->peer().Say(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
  ASSERT_TRUE(Until([&] { return call->status == 101; }));
  client_->Abort();
  EXPECT_TRUE(Until([&] { return kubelet_->peer().closed || kubelet_->peer().ended; }));
}

}  // namespace
}  // namespace meltemi::apiserver
