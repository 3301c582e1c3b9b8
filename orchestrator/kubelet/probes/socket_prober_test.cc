#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/https_client/https_server_fake.h"
#include "orchestrator/kubelet/probes/health.pb.h"
#include "orchestrator/kubelet/probes/network_prober.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using Kind = ProbeVerdict::Kind;
using testing::HasSubstr;
using testing::StartsWith;

// A server that answers each request by a function: HTTP/1.1 or gRPC; or says what it is told
// without being asked properly ("raw").
class Server {
 public:
  struct Answer {
    int code = 200;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
    bool never = false;
  };
  using Handler = std::function<Answer(const http::HeaderMap&)>;

  explicit Server(Handler handler, http::Protocol protocol = http::Protocol::kHttp11,
                  std::string raw = "")
      : handler_(std::move(handler)),
        protocol_(protocol),
        raw_(std::move(raw)),
        loop_(NewEventLoop(clock_)) {
    listener_ = *net::Listen(*loop_, net::Address::Loopback4(0), net::ListenOptions(),
                             [this](int fd, const net::Address& remote) {
                               peers_.push_back(std::make_unique<Peer>(*this, fd, remote));
                             });
    port_ = listener_->address().port();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~Server() {
    loop_->Post([this] {
      peers_.clear();
      loop_->DeferDelete(std::move(listener_));
      loop_->Exit();
    });
    thread_.join();
    loop_->RunOnce(Duration::zero());
  }
  uint16_t port() const { return port_; }

 private:
  class Peer final : private net::ConnectionHandler,
                     private http::ServerCodecEvents,
                     private http::StreamReceiver {
   public:
    Peer(Server& server, int fd, const net::Address& remote)
        : server_(server),
          connection_(net::NewServerConnection(*server.loop_, fd, remote, {})),
          transport_(*server.loop_, *connection_, [this] { OnRead(connection_->input(), false); }),
          codec_(server.protocol_ == http::Protocol::kHttp2
                     ? http::NewHttp2ServerCodec(transport_, *this, {})
                     : http::NewHttp1ServerCodec(transport_, *this, {})) {
      connection_->SetHandler(this);
    }
    ~Peer() override { connection_->SetHandler(nullptr); }

   private:
    void OnRead(Buffer& in, bool end) override {
      if (!server_.raw_.empty()) {
        in.Clear();
        if (end || said_) return;
        said_ = true;
        if (server_.raw_ == "reset") return connection_->Abort();
        if (server_.raw_ != "close") connection_->output().Append(server_.raw_);
        return connection_->Close(seconds(1));
      }
      if (!codec_->Receive(in, end).ok() || codec_->finished()) connection_->Close(seconds(1));
    }
    void OnClosed(net::CloseCause, absl::string_view detail) override {
      codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, detail);
    }
    http::StreamReceiver* OnNewStream(http::Stream& stream) override {
      stream_ = &stream;
      return this;
    }
    void OnStreamFinished(http::Stream&) override {}
    void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
      headers_ = std::move(headers);
      if (end_stream) Reply();
    }
    void OnData(Buffer& data, bool end_stream) override {
      body_ += data.ToString();
      data.Clear();
      if (end_stream) Reply();
    }
    void OnTrailers(http::HeaderMapPtr) override { Reply(); }
    void OnReset(http::ResetCause, absl::string_view) override {}
    void OnWriteBlocked(bool) override {}
    void Reply() {
      headers_->Add("x-body", body_);
      const Answer answer = server_.handler_(*headers_);
      if (answer.never) return;
      http::HeaderMapPtr headers = http::HeaderMap::New();
      headers->set_status(answer.code);
      for (const auto& [name, value] : answer.headers) headers->Add(name, value);
      const bool is_grpc = server_.protocol_ == http::Protocol::kHttp2;
      stream_->SendHeaders(*headers, answer.body.empty());
      if (answer.body.empty()) return;
      Buffer body(answer.body);
      stream_->SendData(body, !is_grpc);
      if (!is_grpc) return;
      http::HeaderMapPtr trailers = http::HeaderMap::New();
      trailers->Add("grpc-status", "0");
      stream_->SendTrailers(*trailers);
    }

    Server& server_;
    std::unique_ptr<net::Connection> connection_;
    http::ConnectionTransport transport_;
    std::unique_ptr<http::ServerCodec> codec_;
    http::Stream* stream_ = nullptr;
    http::HeaderMapPtr headers_;
    std::string body_;
    bool said_ = false;
  };

  const Handler handler_;
  const http::Protocol protocol_;
  const std::string raw_;
  SystemClock clock_;
  const std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::Listener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
  uint16_t port_ = 0;
  std::thread thread_;
};

class SocketProberTest : public testing::Test {
 protected:
  template <typename Start>
  static ProbeVerdict Wait(Start start) {
    struct Shared {
      std::mutex mutex;
      std::condition_variable told;
      std::optional<ProbeVerdict> verdict;
    };
    auto shared = std::make_shared<Shared>();
    start([shared](ProbeVerdict verdict) {
      const std::lock_guard<std::mutex> lock(shared->mutex);
      shared->verdict = std::move(verdict);
      shared->told.notify_all();
    });
    std::unique_lock<std::mutex> lock(shared->mutex);
    shared->told.wait_for(lock, seconds(30), [&] { return shared->verdict.has_value(); });
    return shared->verdict.value_or(ProbeVerdict{Kind::kError, "nothing was told"});
  }
  ProbeVerdict Http(const HttpProbe& probe) {
    return Wait([&](ProbeDone done) { prober_->Http(probe, std::move(done)); });
  }
  ProbeVerdict Get(uint16_t port, const std::string& path, const std::string& host = "127.0.0.1") {
    HttpProbe probe;
    probe.host = host;
    probe.port = port;
    probe.path = path;
    probe.headers = {{"User-Agent", "kube-probe/1.32"}, {"Accept", "*/*"}};
    probe.timeout = seconds(20);
    return Http(probe);
  }
  ProbeVerdict Grpc(uint16_t port, const std::string& service, Duration timeout = seconds(20)) {
    return Wait([&](ProbeDone done) {
      prober_->Grpc({"127.0.0.1", port, service, timeout}, std::move(done));
    });
  }
  // A port that nobody listens on.
  static uint16_t DeadPort() {
    return Server([](const http::HeaderMap&) { return Server::Answer(); }).port();
  }

  SystemClock clock_;
  std::unique_ptr<NetworkProber> prober_ = NewNetworkProber(clock_);
};

TEST_F(SocketProberTest, Http) {
  Server server([](const http::HeaderMap& request) -> Server::Answer {
    if (request.path() == "/ok") {
      return {.body = absl::StrCat(request.authority(), " ", request.Get("user-agent"), " ",
                                   request.Get("accept"))};
    }
    if (request.path() == "/large") return {.body = std::string(100'000, 'x')};
    return {.code = 503};
  });
  const ProbeVerdict ok = Get(server.port(), "/ok");
  EXPECT_EQ(ok.kind, Kind::kSuccess);
  EXPECT_EQ(ok.output, absl::StrCat("127.0.0.1:", server.port(), " kube-probe/1.32 */*"));
  EXPECT_EQ(Get(server.port(), "/large").output.size(), 10u * 1024);
  const ProbeVerdict bad = Get(server.port(), "/bad");
  EXPECT_EQ(bad.kind, Kind::kFailure);
  EXPECT_EQ(bad.output, "HTTP probe failed with statuscode: 503");
  EXPECT_EQ(bad.http_status, 503);
  EXPECT_EQ(Get(server.port(), "/ok", "localhost").kind, Kind::kSuccess);
}

TEST_F(SocketProberTest, Redirects) {
  uint16_t port = 0;
  Server server([&port](const http::HeaderMap& request) -> Server::Answer {
    const absl::string_view path = request.path();
    if (path == "/here") return {.code = 302, .headers = {{"location", "there?x=1"}}};
    if (path == "/there?x=1") return {.body = "arrived"};
    if (path == "/full") {
      return {.code = 307,
              .headers = {{"location", absl::StrCat("http://127.0.0.1:", port, "/there?x=1")}}};
    }
    if (path == "/away") {
      return {.code = 301, .body = "bye", .headers = {{"location", "http://example.com/"}}};
    }
    if (path == "/unchanged") return {.code = 304};
    return {.code = 302, .headers = {{"location", "/loop"}}};
  });
  port = server.port();
  EXPECT_EQ(Get(port, "/here").output, "arrived");
  EXPECT_EQ(Get(port, "/full").output, "arrived");
  const ProbeVerdict away = Get(port, "/away");
  EXPECT_EQ(away.kind, Kind::kWarning);
  EXPECT_EQ(away.output, "Probe terminated redirects, Response body: bye");
  EXPECT_EQ(Get(port, "/unchanged").kind, Kind::kWarning);
  const ProbeVerdict loop = Get(port, "/loop");
  EXPECT_EQ(loop.kind, Kind::kFailure);
  EXPECT_THAT(loop.output, HasSubstr("stopped after 10 redirects"));
}

TEST_F(SocketProberTest, ServersThatAreNone) {
  const uint16_t dead = DeadPort();
  EXPECT_EQ(Get(dead, "/x").output,
            absl::StrCat("Get \"http://127.0.0.1:", dead, "/x\": dial tcp 127.0.0.1:", dead,
                         ": connect: connection refused"));
  const auto raw = [this](const std::string& text) {
    Server server([](const http::HeaderMap&) { return Server::Answer(); }, http::Protocol::kHttp11,
                  text);
    const std::string output = Get(server.port(), "/").output;
    return output.substr(output.find("\": ") + 3);
  };
  EXPECT_EQ(raw("close"), "EOF");
  EXPECT_THAT(raw("reset"), HasSubstr("read: connection reset by peer"));
  EXPECT_THAT(raw("SSH-2.0-OpenSSH\r\n\r\n"), HasSubstr("malformed HTTP response"));
  EXPECT_THAT(raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), HasSubstr("EOF"));
}

// What Go's client takes, a probe takes: people write servers with a shell and nc.
TEST_F(SocketProberTest, SimpleServers) {
  const auto raw = [this](const std::string& text) {
    Server server([](const http::HeaderMap&) { return Server::Answer(); }, http::Protocol::kHttp11,
                  text);
    const ProbeVerdict verdict = Get(server.port(), "/");
    return absl::StrCat(verdict.http_status, " ", verdict.output);
  };
  EXPECT_EQ(raw("HTTP/1.0 200 OK\r\n\r\nold"), "200 old");
  EXPECT_EQ(raw("HTTP/1.1 200 OK\n\nbare"), "200 bare");
  EXPECT_EQ(raw("HTTP/1.1 200\r\n\r\nno reason"), "200 no reason");
  EXPECT_EQ(raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\nX: \xff\r\n\r\nmixed"), "200 mixed");
  EXPECT_EQ(raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nshort and more"), "200 sh");
  EXPECT_EQ(raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), "204 ");
  EXPECT_EQ(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                "chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n"),
            "200 abcd");
  EXPECT_EQ(raw("HTTP/1.1 200 OK\r\n" + std::string(1000, 'a') + ": b\r\n\r\n"), "200 ");
  EXPECT_THAT(raw("HTTP/1.1 OK\r\n\r\n"), HasSubstr("malformed HTTP"));
  EXPECT_THAT(raw("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), StartsWith("0 Get \"http://127.0.0.1"));
}

TEST_F(SocketProberTest, Https) {
  apiserver::HttpsServerFake server({"other.example"}, [](const std::string& path,
                                                          const std::string&) {
    return apiserver::HttpsServerFake::Answer{.code = path == "/ok" ? 200 : 500, .body = "secure"};
  });
  HttpProbe probe{
      .https = true, .host = "127.0.0.1", .port = server.address().port(), .path = "/ok"};
  probe.timeout = seconds(20);
  // Whoever signed the certificate, and whatever name it has.
  EXPECT_EQ(Http(probe).output, "secure");
  probe.path = "/bad";
  EXPECT_EQ(Http(probe).output, "HTTP probe failed with statuscode: 500");
  probe.host = "localhost";
  probe.path = "/ok";
  EXPECT_EQ(Http(probe).kind, Kind::kSuccess);
}

TEST_F(SocketProberTest, HttpsThatIsHttp) {
  Server server([](const http::HeaderMap&) { return Server::Answer(); });
  HttpProbe probe{.https = true, .host = "127.0.0.1", .port = server.port(), .path = "/"};
  probe.timeout = seconds(20);
  EXPECT_THAT(Http(probe).output, HasSubstr("http: server gave HTTP response to HTTPS client"));
}

TEST_F(SocketProberTest, TimeOuts) {
  Server server([](const http::HeaderMap&) { return Server::Answer{.never = true}; });
  HttpProbe probe{.host = "127.0.0.1", .port = server.port(), .path = "/slow"};
  probe.timeout = milliseconds(50);
  EXPECT_EQ(Http(probe).output,
            absl::StrCat("Get \"http://127.0.0.1:", server.port(),
                         "/slow\": context deadline exceeded (Client.Timeout exceeded while "
                         "awaiting headers)"));
}

TEST_F(SocketProberTest, Tcp) {
  const auto tcp = [this](const std::string& host, uint16_t port) {
    return Wait([&](ProbeDone done) { prober_->Tcp({host, port, seconds(20)}, std::move(done)); });
  };
  Server server([](const http::HeaderMap&) { return Server::Answer(); });
  EXPECT_EQ(tcp("127.0.0.1", server.port()).kind, Kind::kSuccess);
  const uint16_t dead = DeadPort();
  EXPECT_EQ(tcp("127.0.0.1", dead).output,
            absl::StrCat("dial tcp 127.0.0.1:", dead, ": connect: connection refused"));
  EXPECT_THAT(tcp("no-such-host.invalid", 80).output,
              HasSubstr("lookup no-such-host.invalid: no such host"));
}

TEST_F(SocketProberTest, GrpcHealth) {
  Server server(
      [](const http::HeaderMap& request) -> Server::Answer {
        EXPECT_EQ(request.path(), "/grpc.health.v1.Health/Check");
        EXPECT_EQ(request.Get("user-agent"), "kube-probe/1.32");
        HealthCheckRequest asked;
        EXPECT_TRUE(asked.ParseFromString(std::string(request.Get("x-body").substr(5))));
        if (asked.service() == "none") {
          return {.headers = {{"content-type", "application/grpc"},
                              {"grpc-status", "12"},
                              {"grpc-message", "unknown service"}}};
        }
        if (asked.service() == "lost") {
          return {.headers = {{"content-type", "application/grpc"},
                              {"grpc-status", "5"},
                              {"grpc-message", "unknown"}}};
        }
        if (asked.service() == "slow") return {.never = true};
        HealthCheckResponse response;
        response.set_status(asked.service() == "bad" ? HealthCheckResponse::NOT_SERVING
                                                     : HealthCheckResponse::SERVING);
        Buffer framed;
        http::grpc::AppendMessage(response.SerializeAsString(), &framed);
        return {.body = framed.ToString(), .headers = {{"content-type", "application/grpc"}}};
      },
      http::Protocol::kHttp2);
  EXPECT_EQ(Grpc(server.port(), "").kind, Kind::kSuccess);
  EXPECT_EQ(Grpc(server.port(), "bad").output,
            "service unhealthy (responded with \"NOT_SERVING\")");
  EXPECT_EQ(Grpc(server.port(), "none").output,
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): unknown service");
  EXPECT_EQ(Grpc(server.port(), "lost").output,
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown");
  EXPECT_EQ(Grpc(server.port(), "slow", seconds(1)).output,
            "timeout: health rpc did not complete within 1s");
  EXPECT_THAT(Grpc(DeadPort(), "", seconds(2)).output,
              StartsWith("timeout: failed to connect service \"127.0.0.1:"));
}

TEST_F(SocketProberTest, ManyAtOnceNeedOneThread) {
  Server server([](const http::HeaderMap&) { return Server::Answer{.body = "ok"}; });
  struct Shared {
    std::mutex mutex;
    std::condition_variable told;
    int passed = 0, ended = 0;
  } shared;
  constexpr int kProbes = 300;
  for (int i = 0; i < kProbes; ++i) {
    HttpProbe probe{.host = "127.0.0.1", .port = server.port(), .path = "/"};
    probe.timeout = seconds(20);
    prober_->Http(probe, [&shared](ProbeVerdict verdict) {
      const std::lock_guard<std::mutex> lock(shared.mutex);
      shared.passed += verdict.kind == Kind::kSuccess ? 1 : 0;
      ++shared.ended;
      shared.told.notify_all();
    });
  }
  std::unique_lock<std::mutex> lock(shared.mutex);
  shared.told.wait_for(lock, seconds(30), [&] { return shared.ended == kProbes; });
  EXPECT_EQ(shared.passed, kProbes);
}

TEST_F(SocketProberTest, WhatIsUnderWayAtTheEndIsNotTold) {
  Server server([](const http::HeaderMap&) { return Server::Answer{.never = true}; });
  HttpProbe probe{.host = "127.0.0.1", .port = server.port(), .path = "/"};
  prober_->Http(probe, [](ProbeVerdict) { ADD_FAILURE(); });
  prober_.reset();
}

TEST(ProbeUrlTest, Paths) {
  EXPECT_EQ(EncodePath(""), "/");
  EXPECT_EQ(EncodePath("healthz"), "/healthz");
  EXPECT_EQ(EncodePath("/a b/%20/%zz?x=\"1\"#frag"), "/a%20b/%20/%25zz?x=%221%22");
  EXPECT_EQ(EncodePath("/x\r\nHost: y"), "/x%0D%0AHost:%20y");
  EXPECT_EQ(HostPort("fd00::1", 80), "[fd00::1]:80");
  EXPECT_EQ(SecondsInGo(seconds(1)), "1s");
  EXPECT_EQ(SecondsInGo(seconds(90)), "1m30s");
}

TEST(ProbeUrlTest, RedirectTargets) {
  const HttpProbe from{.host = "10.0.0.1", .port = 8080, .path = "/a/b?c", .authority = "own"};
  const auto to = [&from](absl::string_view location) {
    const std::optional<HttpProbe> out = Redirected(from, location);
    return out.has_value() ? absl::StrCat(UrlOf(*out), " ", out->authority) : "none";
  };
  EXPECT_EQ(to("/x"), "http://10.0.0.1:8080/x own");
  EXPECT_EQ(to("x"), "http://10.0.0.1:8080/a/x own");
  EXPECT_EQ(to("?d"), "http://10.0.0.1:8080/a/b?d own");
  EXPECT_EQ(to("https://h/y"), "https://h:443/y ");
  EXPECT_EQ(to("HTTP://[::1]:90"), "http://[::1]:90/ ");
  EXPECT_EQ(to("//h:9/z"), "http://h:9/z own");
  EXPECT_EQ(to("ftp://h/"), "none");
  EXPECT_EQ(to("http://"), "none");
  EXPECT_EQ(to("http://h:99999/"), "none");
}

}  // namespace
}  // namespace meltemi::kubelet
