// The server over real sockets, plain and over TLS, asked by our own client; what a client should
// not do is done by an HTTP/2 client that plays gRPC by hand. gRPC's own client is used in
// pilot/serve's tests.

#include "base/grpc/server.h"

#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/grpc/bidi_stream.h"
#include "base/grpc/framing.h"
#include "base/grpc/unary_call.h"
#include "base/http/client/client_connection.h"
#include "base/net/connection.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::http::grpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kStream[] = "/test.Service/Stream";
constexpr char kOnce[] = "/test.Service/Once";

Piece PieceOf(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

// What the server's side of calls has heard.
struct Heard {
  std::vector<std::string> messages;
  int ends = 0, sent = 0, gone = 0;
  ServerCall* call = nullptr;  // the newest, while its handler lives
  std::function<void(ServerCall&)> on_message;
};

class Handler final : public CallHandler {
 public:
  Handler(ServerCall& call, Heard& heard) : heard_(heard) { heard_.call = &call; }
  ~Handler() override { heard_.call = nullptr; }
  void OnMessage(absl::string_view message) override {
    heard_.messages.emplace_back(message);
    if (heard_.on_message) heard_.on_message(*heard_.call);
  }
  void OnMessagesEnd() override {
    ++heard_.ends;
    heard_.call->End(absl::OkStatus());
  }
  void OnSent() override { ++heard_.sent; }
  void OnGone() override { ++heard_.gone; }

 private:
  Heard& heard_;
};

class Client final : public BidiEvents {
 public:
  void OnMessage(absl::string_view message) override { messages.emplace_back(message); }
  void OnEnded(absl::Status status) override { ended = std::move(status); }
  std::vector<std::string> messages;
  std::optional<absl::Status> ended;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() : loop_(NewEventLoop(clock_)) { options_.path = kStream; }
  ~ServerTest() override {
    stream_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }
  void Serve(const ServerOptions& options = {}) {
    auto server = Listen(*loop_, net::Address::Loopback4(0), options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->Add(kStream,
                 [this](ServerCall& call) { return std::make_unique<Handler>(call, heard_); });
  }
  void Open() { stream_ = OpenBidiStream(*loop_, server_->address(), options_, client_); }
  template <typename Condition>
  void Until(Condition&& condition) {
    for (int i = 0; i < 10000 && !condition(); ++i) loop_->RunOnce(milliseconds(10));
    ASSERT_TRUE(condition());
  }
  void UntilEnded() {
    Until([this] { return client_.ended.has_value(); });
  }
  // Answers of a call with one request.
  absl::StatusOr<std::string> Ask(const std::string& question, Duration deadline = seconds(20)) {
    BidiOptions options = options_;
    options.path = kOnce;
    std::optional<absl::StatusOr<std::string>> result;
    const auto call =
        CallUnary(*loop_, server_->address(), options, deadline, question,
                  [&](absl::StatusOr<std::string> answer) { result = std::move(answer); });
    Until([&] { return result.has_value(); });
    return *std::move(result);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  Heard heard_;
  std::unique_ptr<Server> server_;
  BidiOptions options_;
  Client client_;
  std::unique_ptr<BidiStream> stream_;
};

TEST_F(ServerTest, MessagesGoBothWaysUntilTheClientEnds) {
  Serve();
  heard_.on_message = [this](ServerCall& call) {
    const Piece common = PieceOf("to all, ");
    call.Send({common, PieceOf(absl::StrCat("and to ", heard_.messages.back()))});
  };
  Open();
  stream_->Send("one");
  Until([this] { return client_.messages.size() == 1; });
  stream_->Send("two");
  Until([this] { return client_.messages.size() == 2; });
  EXPECT_THAT(client_.messages, ElementsAre("to all, and to one", "to all, and to two"));
  EXPECT_EQ(heard_.sent, 2);
  stream_->EndSending();
  UntilEnded();
  EXPECT_TRUE(client_.ended->ok()) << *client_.ended;
  EXPECT_EQ(heard_.ends, 1);
  EXPECT_EQ(heard_.gone, 0);
  Until([this] { return heard_.call == nullptr; });
}

TEST_F(ServerTest, ALargeMessageIsSentAsTheClientTakesIt) {
  Serve();
  Open();
  stream_->Send("?");
  Until([this] { return heard_.call != nullptr; });
  const Piece large = PieceOf(std::string(20'000'000, 'l'));
  heard_.call->Send({large, large});
  heard_.call->Send({PieceOf("small")});
  // The pieces are held, not copied: here, and once per mention in the call.
  EXPECT_GE(large.use_count(), 2);
  EXPECT_EQ(heard_.sent, 0);
  Until([this] { return client_.messages.size() == 2; });
  EXPECT_EQ(client_.messages[0].size(), 40'000'000u);
  EXPECT_EQ(client_.messages[1], "small");
  Until([this] { return heard_.sent == 1; });
  EXPECT_EQ(large.use_count(), 1);
}

TEST_F(ServerTest, AStatusComesBehindWhatWasSent) {
  Serve();
  heard_.on_message = [](ServerCall& call) {
    call.Send({PieceOf(std::string(1'000'000, 'l'))});
    call.End(absl::ResourceExhaustedError("100 % full"));
    call.Send({PieceOf("never")});
  };
  Open();
  stream_->Send("?");
  UntilEnded();
  EXPECT_EQ(client_.messages.size(), 1u);
  EXPECT_EQ(*client_.ended, absl::ResourceExhaustedError("100 % full"));
  EXPECT_EQ(heard_.gone, 0);
  Until([this] { return heard_.call == nullptr; });
}

TEST_F(ServerTest, WhatIsPausedIsReadLater) {
  Serve();
  heard_.on_message = [](ServerCall& call) { call.PauseReading(true); };
  Open();
  for (const char* message : {"a", "b", "c"}) stream_->Send(message);
  Until([this] { return heard_.messages.size() == 1; });
  for (int i = 0; i < 20; ++i) loop_->RunOnce(Duration::zero());
  EXPECT_EQ(heard_.messages.size(), 1u);
  heard_.on_message = nullptr;
  heard_.call->PauseReading(false);
  Until([this] { return heard_.messages.size() == 3; });
  EXPECT_THAT(heard_.messages, ElementsAre("a", "b", "c"));
}

TEST_F(ServerTest, AClientThatGoesIsTold) {
  Serve();
  Open();
  stream_->Send("?");
  Until([this] { return heard_.messages.size() == 1; });
  stream_.reset();
  Until([this] { return heard_.gone == 1; });
  Until([this] { return server_->open_connections() == 0; });
}

TEST_F(ServerTest, TheServerGoesWithItsCalls) {
  Serve();
  Open();
  stream_->Send("?");
  Until([this] { return heard_.messages.size() == 1; });
  server_.reset();
  EXPECT_EQ(heard_.gone, 1);
  UntilEnded();
  EXPECT_EQ(client_.ended->code(), absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, UnknownMethodsAndOversizedMessagesAreRefused) {
  Serve({.message_bytes_max = 1000});
  options_.path = "/test.Service/Other";
  Open();
  UntilEnded();
  EXPECT_EQ(*client_.ended, absl::UnimplementedError("unknown method /test.Service/Other"));
  client_ = Client();
  options_.path = kStream;
  Open();
  stream_->Send(std::string(1001, 'x'));
  UntilEnded();
  EXPECT_EQ(client_.ended->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(heard_.gone, 1);
  EXPECT_TRUE(heard_.messages.empty());
}

TEST_F(ServerTest, OneRequestOneAnswerMaybeLater) {
  Serve();
  Server::Reply waiting;
  server_->AddUnary(kOnce, [&](Server::UnaryRequest request, Server::Reply reply) {
    if (request.message == "later") {
      waiting = std::move(reply);
    } else if (request.message == "bad") {
      reply(absl::PermissionDeniedError("not you"));
    } else {
      reply(absl::StrCat(request.message, " from ", request.metadata->Get("x-who")));
    }
  });
  options_.metadata = {{"x-who", "me"}};
  EXPECT_EQ(*Ask("question"), "question from me");
  EXPECT_EQ(Ask("bad").status(), absl::PermissionDeniedError("not you"));
  // Whose time is over is told so; the answer that comes after that goes nowhere.
  EXPECT_EQ(Ask("later", milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_NE(waiting, nullptr);
  waiting(std::string("too late"));
  EXPECT_EQ(*Ask("again"), "again from me");
}

tls::KeyPair Signed(const tls::KeyPair& issuer, const std::string& name) {
  const int64_t now_s = std::time(nullptr);
  return *tls::NewCertificate({.common_name = name,
                               .dns_names = {name},
                               .is_ca = issuer.private_key_pem.empty(),
                               .server_auth = true,
                               .not_before_s = now_s - 60,
                               .not_after_s = now_s + 3600},
                              issuer);
}

TEST_F(ServerTest, OverTlsWithACertificateThatIsReplaced) {
  const tls::KeyPair root = Signed({}, "root"), other_root = Signed({}, "other");
  const auto context = [](const tls::KeyPair& issuer) {
    return *tls::NewServerContext({.identity = Signed(issuer, "ca.test"), .alpn = {"h2"}});
  };
  Serve({.tls = context(root)});
  server_->AddUnary(kOnce, [](Server::UnaryRequest request, const Server::Reply& reply) {
    reply(request.message);
  });
  options_.server_name = "ca.test";
  options_.tls = *tls::NewClientContext({.alpn = {"h2"}, .ca_pem = root.certificate_chain_pem});
  EXPECT_EQ(*Ask("over TLS"), "over TLS");
  server_->SetTls(context(other_root));
  EXPECT_EQ(Ask("?").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->counters().failed_handshakes, 1u);
  // Who does not speak HTTP/2 is not kept.
  options_.tls =
      *tls::NewClientContext({.alpn = {"http/1.1"}, .ca_pem = other_root.certificate_chain_pem});
  EXPECT_EQ(Ask("?").status().code(), absl::StatusCode::kUnavailable);
}

// An HTTP/2 client that says what it likes.
class RawClient final : public StreamReceiver, public ClientConnectionEvents {
 public:
  RawClient(Loop& loop, const net::Address& to)
      : loop_(loop),
        connection_(std::make_unique<ClientConnection>(
            loop, net::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits()),
            Protocol::kHttp2, static_cast<ClientConnectionEvents&>(*this), Http1Limits(),
            Limits())) {}
  ~RawClient() override {
    connection_->Abandon();
    loop_.DeferDelete(std::move(connection_));
  }
  Stream& Begin(const std::string& method, const std::string& content_type) {
    Stream& stream = connection_->NewStream(this);
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_method(method);
    headers->set_scheme("http");
    headers->set_authority("test");
    headers->set_path(kStream);
    headers->Add(HeaderId::kContentType, content_type);
    stream.SendHeaders(*headers, false);
    return stream;
  }

  int status = 0;
  std::string grpc_status;
  bool reset = false;
  bool take = true;

 private:
  static Http2Limits Limits() {
    Http2Limits limits;
    limits.stream_window_bytes = 1000;
    return limits;
  }
  void OnHeaders(HeaderMapPtr headers, bool) override {
    status = headers->status();
    grpc_status = std::string(headers->Get(HeaderId::kGrpcStatus));
  }
  void OnData(Buffer&, bool) override {}
  void OnTrailers(HeaderMapPtr trailers) override {
    grpc_status = std::string(trailers->Get(HeaderId::kGrpcStatus));
  }
  void OnReset(ResetCause, absl::string_view) override { reset = true; }
  void OnWriteBlocked(bool) override {}
  void OnDisconnected(absl::string_view) override {}

  Loop& loop_;
  std::unique_ptr<ClientConnection> connection_;
};

TEST_F(ServerTest, WhatIsNoGrpcIsToldSo) {
  Serve();
  RawClient client(*loop_, server_->address());
  client.Begin("POST", "text/plain");
  Until([&] { return client.status != 0; });
  EXPECT_EQ(client.status, 415);
  client.Begin("GET", "application/grpc");
  Until([&] { return !client.grpc_status.empty(); });
  EXPECT_EQ(client.grpc_status, "12");
}

TEST_F(ServerTest, AMessageThatIsNoneEndsTheCall) {
  Serve();
  for (const std::string& bytes :
       {std::string("\x01\0\0\0\0", 5), std::string("\x02\0\0\0\0", 5)}) {
    RawClient client(*loop_, server_->address());
    Buffer data(bytes);
    client.Begin("POST", "application/grpc").SendData(data, false);
    Until([&] { return !client.grpc_status.empty(); });
    EXPECT_EQ(client.grpc_status, bytes[0] == 1 ? "12" : "13");
  }
  // One that is cut short.
  RawClient client(*loop_, server_->address());
  Buffer data(
      absl::string_view("\0\0\0\0\x05"
                        "abc",
                        8));
  client.Begin("POST", "application/grpc").SendData(data, true);
  Until([&] { return !client.grpc_status.empty(); });
  EXPECT_EQ(client.grpc_status, "13");
  EXPECT_EQ(heard_.gone, 3);
}

TEST_F(ServerTest, AClientThatDoesNotReadHoldsNothingUpAndCanBeCutOff) {
  Serve();
  RawClient slow(*loop_, server_->address());
  Stream& stream = slow.Begin("POST", "application/grpc");
  stream.PauseReading(true);
  Until([this] { return heard_.call != nullptr; });
  ServerCall* const stuck = heard_.call;
  const Piece large = PieceOf(std::string(5'000'000, 'l'));
  stuck->Send({large});
  for (int i = 0; i < 50; ++i) loop_->RunOnce(Duration::zero());
  EXPECT_EQ(heard_.sent, 0);
  EXPECT_EQ(large.use_count(), 2);  // it waits in one place
  Open();
  heard_.on_message = [](ServerCall& call) { call.Send({PieceOf("at once")}); };
  stream_->Send("?");
  Until([this] { return client_.messages.size() == 1; });
  EXPECT_EQ(heard_.sent, 1);
  stuck->Cut(absl::DeadlineExceededError("does not read"));
  EXPECT_EQ(large.use_count(), 1);
  Until([&] { return slow.reset; });
  EXPECT_EQ(heard_.gone, 0);
}

TEST_F(ServerTest, ConnectionsAboveTheLimitAreClosed) {
  Serve({.connections_max = 1});
  Open();
  stream_->Send("?");
  Until([this] { return heard_.messages.size() == 1; });
  Client second;
  const auto stream = OpenBidiStream(*loop_, server_->address(), options_, second);
  Until([&] { return second.ended.has_value(); });
  EXPECT_EQ(second.ended->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->counters().refused_connections, 1u);
  EXPECT_FALSE(client_.ended.has_value());
}

TEST_F(ServerTest, AnAddressThatIsTakenIsNamed) {
  Serve();
  const auto second = Listen(*loop_, server_->address());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address().ToString()));
}

}  // namespace
}  // namespace meltemi::http::grpc
