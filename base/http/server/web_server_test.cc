// The server for late answers over real sockets, plain and over TLS.
#include "base/http/server/web_server.h"

#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/client/client_connection.h"
#include "base/http/client/http_call.h"
#include "base/http/server/https_server.h"
#include "base/net/connection.h"
#include "base/tls/certificate.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

tls::KeyPair NewPair(const std::string& name) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.dns_names = {name};
  request.server_auth = true;
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  auto pair = tls::NewCertificate(request, {});
  EXPECT_TRUE(pair.ok()) << pair.status();
  return *std::move(pair);
}

// What a client that knows nothing of HTTP sees.
class RawClient final : public net::ConnectionHandler {
 public:
  RawClient(Loop& loop, const net::Address& to)
      : loop_(loop), connection_(net::NewClientConnection(loop, to, net::Address(), {})) {
    connection_->SetHandler(this);
  }
  ~RawClient() override {
    connection_->SetHandler(nullptr);
    loop_.DeferDelete(std::move(connection_));
  }
  void Send(absl::string_view text) {
    connection_->output().Append(text);
    connection_->FlushSoon();
  }
  void OnRead(Buffer& in, bool end_of_stream) override {
    received += in.ToString();
    in.Clear();
    closed |= end_of_stream;
  }
  void OnClosed(net::CloseCause, absl::string_view) override { closed = true; }

  std::string received;
  bool closed = false;

 private:
  Loop& loop_;
  std::unique_ptr<net::Connection> connection_;
};

class WebServerTest : public testing::Test, public ClientConnectionEvents, public StreamReceiver {
 protected:
  WebServerTest() : loop_(NewEventLoop(clock_)) {}
  ~WebServerTest() override {
    server_.reset();
    https_.reset();
    loop_->RunOnce(Duration::zero());
  }

  WebHandler Handler() {
    return [this](WebRequest request, WebReply reply) {
      if (request.path == "/later") {
        late_ = std::move(reply);
        return;
      }
      reply({.status = 200,
             .body = absl::StrCat(request.method, " ", request.path, "?", request.query, " ",
                                  request.body.size())});
    };
  }
  void Listen(const WebServerOptions& options = {}) {
    auto server = ListenWeb(*loop_, net::Address::Loopback4(0), Handler(), options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  absl::StatusOr<CallResponse> Ask(const CallRequest& request) {
    std::optional<absl::StatusOr<CallResponse>> result;
    auto call = StartCall(*loop_, server_->address(), request,
                          [&](absl::StatusOr<CallResponse> r) { result = std::move(r); });
    while (!result.has_value()) {
      if (late_ && answer_late_) std::exchange(late_, nullptr)({.status = 201, .body = "late"});
      loop_->RunOnce(milliseconds(20));
    }
    return *std::move(result);
  }
  template <typename Done>
  void RunUntil(const Done& done) {
    for (int i = 0; i < 500 && !done(); ++i) loop_->RunOnce(milliseconds(20));
    EXPECT_TRUE(done());
  }

  // Over TLS: the answer's body, and the issuer's word for the certificate that was shown.
  std::string AskTls(const std::string& server_name, const std::string& ca, Protocol protocol) {
    tls::ClientOptions options;
    options.ca_pem = ca;
    options.server_name = server_name;
    options.alpn = {protocol == Protocol::kHttp2 ? "h2" : "http/1.1"};
    auto context = tls::NewClientContext(options);
    EXPECT_TRUE(context.ok()) << context.status();
    body_.clear();
    done_ = false;
    auto client = std::make_unique<ClientConnection>(
        *loop_,
        tls::NewClientConnection(*loop_, https_->server().address(), net::Address(), {}, *context),
        protocol, *this);
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method("POST");
    headers->set_scheme("https");
    headers->set_authority(server_name);
    headers->set_path("/inject?timeout=10s");
    Stream& stream = client->NewStream(this);
    stream.SendHeaders(*headers, false);
    Buffer body(std::string(100'000, 'b'));
    stream.SendData(body, true);
    RunUntil([this] { return done_; });
    client->Abandon();
    loop_->DeferDelete(std::move(client));
    return body_;
  }
  void OnDisconnected(absl::string_view detail) override {
    if (!done_) body_ = absl::StrCat("disconnected: ", detail);
    done_ = true;
  }
  void OnHeaders(HeaderMapPtr, bool end) override { done_ |= end; }
  void OnData(Buffer& data, bool end) override {
    body_ += data.ToString();
    done_ |= end;
  }
  void OnTrailers(HeaderMapPtr) override { done_ = true; }
  void OnReset(ResetCause, absl::string_view detail) override {
    body_ = absl::StrCat("reset: ", detail);
    done_ = true;
  }
  void OnWriteBlocked(bool) override {}

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<WebServer> server_;
  std::unique_ptr<HttpsServer> https_;
  WebReply late_;
  bool answer_late_ = true;
  std::string body_;
  bool done_ = false;
};

TEST_F(WebServerTest, AnswersAtOnceOrLater) {
  Listen();
  auto at_once = Ask({.method = "POST", .path = "/a?b=c", .body = std::string(300'000, 'x')});
  ASSERT_TRUE(at_once.ok()) << at_once.status();
  EXPECT_EQ(at_once->body, "POST /a?b=c 300000");
  auto later = Ask({.path = "/later"});
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(later->status, 201);
  EXPECT_EQ(later->body, "late");
  EXPECT_EQ(server_->counters().requests, 2u);
}

TEST_F(WebServerTest, AReplyToWhoHasGoneDoesNothing) {
  Listen();
  {
    RawClient client(*loop_, server_->address());
    client.Send("GET /later HTTP/1.1\r\nhost: a\r\n\r\n");
    RunUntil([this] { return late_ != nullptr; });
  }
  RunUntil([this] { return server_->open_connections() == 0; });
  late_({.status = 200, .body = "nobody hears this"});
  late_ = nullptr;
  EXPECT_TRUE(Ask({.path = "/"}).ok());
}

TEST_F(WebServerTest, LargeBodiesAreRefusedAndCounted) {
  Listen({.body_bytes_max = 1000, .bodies_bytes_max = 100});
  auto too_large = Ask({.method = "POST", .body = std::string(2000, 'x')});
  ASSERT_TRUE(too_large.ok()) << too_large.status();
  EXPECT_EQ(too_large->status, 413);
  auto together_too_large = Ask({.method = "POST", .body = std::string(500, 'x')});
  ASSERT_TRUE(together_too_large.ok());
  EXPECT_EQ(together_too_large->status, 503);
  EXPECT_EQ(Ask({.method = "POST", .body = std::string(100, 'x')})->status, 200);
  EXPECT_EQ(Ask({.method = "POST", .body = std::string(100, 'x')})->status, 200);
  EXPECT_EQ(server_->counters().refused_requests, 2u);
}

TEST_F(WebServerTest, WhoIsSlowLosesItsPlace) {
  Listen({.idle_timeout = milliseconds(50),
          .request_timeout = milliseconds(60),
          .reply_timeout = milliseconds(60)});
  answer_late_ = false;
  EXPECT_EQ(Ask({.path = "/later"})->status, 504);
  RawClient idle(*loop_, server_->address());
  RawClient half_a_head(*loop_, server_->address());
  half_a_head.Send("GET / HTTP/1.1\r\nhos");
  RawClient half_a_body(*loop_, server_->address());
  half_a_body.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345");
  RunUntil([&] { return idle.closed && half_a_head.closed && half_a_body.closed; });
  EXPECT_TRUE(absl::StrContains(half_a_body.received, "408")) << half_a_body.received;
}

TEST_F(WebServerTest, MoreConnectionsThanAllowedAreClosed) {
  Listen({.connections_max = 1});
  RawClient first(*loop_, server_->address());
  RunUntil([this] { return server_->open_connections() == 1; });
  RawClient second(*loop_, server_->address());
  RunUntil([&] { return second.closed; });
  EXPECT_FALSE(first.closed);
  EXPECT_EQ(server_->counters().refused_connections, 1u);
}

TEST_F(WebServerTest, OverTlsBothProtocolsAndANewCertificate) {
  const tls::KeyPair first = NewPair("hooks.svc");
  const tls::KeyPair second = NewPair("hooks.svc");
  auto https = ListenHttps(*loop_, net::Address::Loopback4(0), first, Handler());
  ASSERT_TRUE(https.ok()) << https.status();
  https_ = *std::move(https);
  const std::string all_well = "POST /inject?timeout=10s 100000";
  EXPECT_EQ(AskTls("hooks.svc", first.certificate_chain_pem, Protocol::kHttp11), all_well);
  EXPECT_EQ(AskTls("hooks.svc", first.certificate_chain_pem, Protocol::kHttp2), all_well);
  ASSERT_TRUE(https_->SetIdentity(second).ok());
  EXPECT_EQ(AskTls("hooks.svc", second.certificate_chain_pem, Protocol::kHttp2), all_well);
  EXPECT_FALSE(https_->SetIdentity({"garbage", "garbage"}).ok());
  EXPECT_EQ(AskTls("hooks.svc", second.certificate_chain_pem, Protocol::kHttp11), all_well);
  EXPECT_NE(AskTls("hooks.svc", first.certificate_chain_pem, Protocol::kHttp11), all_well);
}

TEST_F(WebServerTest, PlaintextAtTheTlsPortIsCountedAndForgotten) {
  auto https = ListenHttps(*loop_, net::Address::Loopback4(0), NewPair("a"), Handler());
  ASSERT_TRUE(https.ok()) << https.status();
  https_ = *std::move(https);
  RawClient client(*loop_, https_->server().address());
  client.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  RunUntil([&] { return client.closed && https_->server().open_connections() == 0; });
  EXPECT_EQ(https_->server().counters().failed_handshakes, 1u);
}

}  // namespace
}  // namespace meltemi::http
