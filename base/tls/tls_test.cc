// TLS over real sockets, both ends on one loop; runs for both libraries.

#include "base/tls/tls.h"

#include <sys/socket.h>

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/net/listener.h"
#include "base/tls/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::tls {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The two libraries write the same words with other capitals.
bool ContainsIgnoringCase(absl::string_view text, absl::string_view part) {
  return absl::StrContains(absl::AsciiStrToLower(text), absl::AsciiStrToLower(part));
}

KeyPair NewPair(const std::string& name, const KeyPair& issuer, bool is_ca = false,
                int64_t valid_seconds = 3600) {
  CertificateRequest request;
  request.common_name = name;
  request.is_ca = is_ca;
  if (!is_ca) {
    request.dns_names = {name};
    request.ip_addresses = {"127.0.0.1"};
    request.server_auth = request.client_auth = true;
  }
  request.not_before_s = std::time(nullptr) - 7200;
  request.not_after_s = std::time(nullptr) + valid_seconds;
  auto pair = NewCertificate(request, issuer);
  EXPECT_TRUE(pair.ok()) << pair.status();
  return *std::move(pair);
}

// One end: keeps what it hears, and sends a long text while the other end keeps up.
class Peer final : public net::ConnectionHandler {
 public:
  explicit Peer(Loop& loop) : loop_(loop) {}
  ~Peer() override {
    if (connection != nullptr) {
      connection->SetHandler(nullptr);
      loop_.DeferDelete(std::move(connection));
    }
  }
  void Take(std::unique_ptr<net::Connection> taken, Connection* as_tls) {
    connection = std::move(taken);
    tls = as_tls;
    connection->SetHandler(this);
  }
  void Send(absl::string_view text) {
    connection->output().Append(text);
    connection->FlushSoon();
  }
  void OnConnected() override {
    ASSERT_FALSE(in_call);
    connected = true;
    if (on_connected) on_connected();
  }
  void OnRead(Buffer& in, bool end_of_stream) override {
    ASSERT_FALSE(in_call);
    ++reads;
    largest_read = std::max(largest_read, in.size());
    if (!leave_input) {
      received += in.ToString();
      in.Clear();
    }
    ended = end_of_stream;
    if (on_read) on_read();
  }
  void OnWriteBlocked(bool value) override { blocked = value, blocked_once |= value; }
  void OnDrained() override { ++drained; }
  void OnClosed(net::CloseCause cause, absl::string_view text) override {
    ASSERT_FALSE(closed.has_value());
    closed = cause;
    detail = std::string(text);
  }

  std::unique_ptr<net::Connection> connection;
  Connection* tls = nullptr;
  bool connected = false, ended = false, blocked = false, blocked_once = false;
  bool leave_input = false, in_call = false;
  int reads = 0, drained = 0;
  size_t largest_read = 0;
  std::string received, detail;
  std::optional<net::CloseCause> closed;
  std::function<void()> on_connected, on_read;

 private:
  Loop& loop_;
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() : loop_(NewEventLoop(clock_)), ca_(NewPair("test-ca", KeyPair(), true)) {
    server_options_.identity = NewPair("server.test", ca_);
    client_options_.ca_pem = ca_.certificate_chain_pem;
    client_options_.server_name = "server.test";
  }
  ~TlsTest() override {
    client_.reset();
    servers_.clear();
    if (listener_ != nullptr) loop_->DeferDelete(std::move(listener_));
    loop_->RunOnce(Duration::zero());
  }

  void Listen() {
    auto context = NewServerContext(server_options_);
    ASSERT_TRUE(context.ok()) << context.status();
    auto listener = net::Listen(*loop_, net::Address::Loopback4(0), {},
                                [this, context = *context](int fd, const net::Address& remote) {
                                  servers_.push_back(std::make_unique<Peer>(*loop_));
                                  auto connection =
                                      NewServerConnection(*loop_, fd, remote, limits_, context);
                                  Connection* const raw = connection.get();
                                  servers_.back()->Take(std::move(connection), raw);
                                  if (on_accept_) on_accept_(server());
                                });
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }

  void Connect() {
    if (client_context_ == nullptr) {
      auto context = NewClientContext(client_options_);
      ASSERT_TRUE(context.ok()) << context.status();
      client_context_ = *context;
    }
    client_ = std::make_unique<Peer>(*loop_);
    auto connection = NewClientConnection(*loop_, listener_->address(), net::Address(), limits_,
                                          client_context_, server_name_);
    Connection* const raw = connection.get();
    client_->Take(std::move(connection), raw);
  }
  // A client that speaks no TLS.
  void ConnectPlainly() {
    client_ = std::make_unique<Peer>(*loop_);
    client_->Take(net::NewClientConnection(*loop_, listener_->address(), net::Address(), limits_),
                  nullptr);
  }
  void ConnectBoth() {
    Listen();
    Connect();
    ASSERT_TRUE(Until([&] {
      return client_->connected && !servers_.empty() && server().connected;
    })) << client_->detail;
  }

  void CloseAfterEnd() {
    if (client_->ended) client_->connection->Close(seconds(1));
  }

  Peer& server() { return *servers_.back(); }
  bool Until(const std::function<bool()>& condition) {
    const MonotonicTime end = clock_.Now() + seconds(20);
    while (!condition()) {
      if (clock_.Now() > end) return false;
      loop_->RunOnce(milliseconds(100));
    }
    return true;
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  const KeyPair ca_;
  ServerOptions server_options_;
  ClientOptions client_options_;
  net::ConnectionLimits limits_;
  std::string server_name_;  // of the client's next connection; "": the context's
  std::shared_ptr<const Context> client_context_;
  std::unique_ptr<net::Listener> listener_;
  std::vector<std::unique_ptr<Peer>> servers_;
  std::unique_ptr<Peer> client_;
  std::function<void(Peer&)> on_accept_;
};

// ---- The handshake ------------------------------------------------------------------------------

TEST_F(TlsTest, BothEndsAgreeAndTalk) {
  server_options_.alpn = {"h2", "http/1.1"};
  client_options_.alpn = {"http/1.1", "h2"};
  ConnectBoth();
  EXPECT_EQ(server().tls->session().alpn, "h2");  // the server's order
  EXPECT_EQ(client_->tls->session().alpn, "h2");
  EXPECT_EQ(server().tls->session().server_name, "server.test");
  EXPECT_EQ(client_->tls->session().version, "TLSv1.3");
  EXPECT_FALSE(client_->tls->session().cipher.empty());
  ASSERT_THAT(client_->tls->session().peer_chain_der, SizeIs(1));
  EXPECT_EQ(ReadCertificateDer(client_->tls->session().peer_chain_der[0])->common_name,
            "server.test");
  EXPECT_THAT(server().tls->session().peer_chain_der, IsEmpty());
  client_->Send("ping");
  ASSERT_TRUE(Until([&] { return server().received == "ping"; }));
  server().Send("pong");
  ASSERT_TRUE(Until([&] { return client_->received == "pong"; }));
  EXPECT_TRUE(Until([&] { return client_->drained == 1; }));
}

TEST_F(TlsTest, WhatIsWrittenBeforeTheHandshakeIsSentAfterIt) {
  on_accept_ = [](Peer& peer) { peer.Send("welcome"); };
  Listen();
  Connect();
  client_->Send("hello");
  ASSERT_TRUE(Until([&] {
    return client_->received == "welcome" && !servers_.empty() && server().received == "hello";
  }));
}

TEST_F(TlsTest, AnotherProtocolOfTheClientIsNoError) {
  server_options_.alpn = {"h2"};
  client_options_.alpn = {"other"};
  ConnectBoth();
  EXPECT_EQ(server().tls->session().alpn, "");
}

TEST_F(TlsTest, AnotherCaIsRefused) {
  client_options_.ca_pem = NewPair("other-ca", KeyPair(), true).certificate_chain_pem;
  Listen();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed && !servers_.empty() && server().closed; }));
  EXPECT_EQ(*client_->closed, net::CloseCause::kConnectFailed);
  EXPECT_THAT(client_->detail, HasSubstr("TLS handshake: "));
  EXPECT_THAT(client_->detail, HasSubstr("certificate"));
  EXPECT_FALSE(client_->connected);
  // The server is told why.
  EXPECT_TRUE(ContainsIgnoringCase(server().detail, "unknown")) << server().detail;
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  server_options_.identity = NewPair("server.test", ca_, false, -3600);
  Listen();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed.has_value(); }));
  EXPECT_THAT(client_->detail, HasSubstr("certificate has expired"));
}

TEST_F(TlsTest, AnotherNameIsRefused) {
  client_options_.server_name = "elsewhere.test";
  Listen();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed.has_value(); }));
  EXPECT_TRUE(ContainsIgnoringCase(client_->detail, "hostname mismatch")) << client_->detail;
}

TEST_F(TlsTest, AnAddressIsANameToo) {
  client_options_.server_name = "127.0.0.1";
  ConnectBoth();
  EXPECT_EQ(server().tls->session().server_name, "");  // RFC 6066 3: no addresses
  client_context_ = nullptr;
  client_options_.server_name = "127.0.0.2";
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed.has_value(); }));
  EXPECT_TRUE(ContainsIgnoringCase(client_->detail, "IP address mismatch")) << client_->detail;
}

TEST_F(TlsTest, AConnectionMayHaveANameOfItsOwn) {
  client_options_.server_name = "elsewhere.test";
  server_name_ = "server.test";
  ConnectBoth();
  EXPECT_EQ(server().tls->session().server_name, "server.test");
  EXPECT_EQ(client_->tls->session().server_name, "server.test");
}

TEST_F(TlsTest, NothingIsVerifiedWhereNothingWasAskedFor) {
  client_options_.peer = PeerCertificate::kNone;
  client_options_.ca_pem.clear();
  client_options_.server_name = "elsewhere.test";
  ConnectBoth();
  EXPECT_THAT(client_->tls->session().peer_chain_der, IsEmpty());
}

TEST_F(TlsTest, AClientCertificateIsSeenByTheServer) {
  server_options_.peer = PeerCertificate::kOptional;
  server_options_.client_ca_pem = ca_.certificate_chain_pem;
  client_options_.identity = NewPair("client.test", ca_);
  ConnectBoth();
  ASSERT_THAT(server().tls->session().peer_chain_der, SizeIs(1));
  EXPECT_EQ(ReadCertificateDer(server().tls->session().peer_chain_der[0])->common_name,
            "client.test");
}

TEST_F(TlsTest, AnOptionalClientCertificateMayBeLeftOut) {
  server_options_.peer = PeerCertificate::kOptional;
  server_options_.client_ca_pem = ca_.certificate_chain_pem;
  ConnectBoth();
  EXPECT_THAT(server().tls->session().peer_chain_der, IsEmpty());
}

TEST_F(TlsTest, ARequiredClientCertificateMayNot) {
  server_options_.peer = PeerCertificate::kRequired;
  server_options_.client_ca_pem = ca_.certificate_chain_pem;
  Listen();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed && server().closed; }));
  EXPECT_FALSE(server().connected);
  EXPECT_TRUE(ContainsIgnoringCase(server().detail, "certificate")) << server().detail;
}

TEST_F(TlsTest, AClientCertificateOfAnotherCaIsRefused) {
  server_options_.peer = PeerCertificate::kOptional;
  server_options_.client_ca_pem = ca_.certificate_chain_pem;
  client_options_.identity = NewPair("client.test", NewPair("other-ca", KeyPair(), true));
  Listen();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->closed && server().closed; }));
  EXPECT_FALSE(server().connected);
}

TEST_F(TlsTest, AnIntermediateIsSentAlong) {
  const KeyPair intermediate = NewPair("intermediate", ca_, true);
  server_options_.identity = NewPair("server.test", intermediate);
  server_options_.identity.certificate_chain_pem += intermediate.certificate_chain_pem;
  ConnectBoth();
  EXPECT_THAT(client_->tls->session().peer_chain_der, SizeIs(2));
}

TEST_F(TlsTest, TheSecondHandshakeResumesTheFirst) {
  server_options_.peer = PeerCertificate::kRequired;
  server_options_.client_ca_pem = ca_.certificate_chain_pem;
  client_options_.identity = NewPair("client.test", ca_);
  ConnectBoth();
  EXPECT_FALSE(client_->tls->session().resumed);
  // The ticket comes with the first bytes.
  server().Send("x");
  ASSERT_TRUE(Until([&] { return client_->received == "x"; }));
  servers_.clear();
  Connect();
  ASSERT_TRUE(Until([&] { return client_->connected && !servers_.empty() && server().connected; }));
  EXPECT_TRUE(client_->tls->session().resumed);
  EXPECT_TRUE(server().tls->session().resumed);
  // The client is known as before.
  ASSERT_THAT(server().tls->session().peer_chain_der, SizeIs(1));
  EXPECT_EQ(ReadCertificateDer(server().tls->session().peer_chain_der[0])->common_name,
            "client.test");
}

TEST_F(TlsTest, BadOptionsSayWhatIsWrong) {
  ServerOptions options = server_options_;
  options.identity.private_key_pem = ca_.private_key_pem;
  EXPECT_THAT(NewServerContext(options).status().message(), HasSubstr("not that of"));
  options = server_options_;
  options.identity.certificate_chain_pem = "nothing";
  EXPECT_THAT(NewServerContext(options).status().message(), HasSubstr("certificate chain"));
  options = server_options_;
  options.peer = PeerCertificate::kRequired;
  EXPECT_THAT(NewServerContext(options).status().message(), HasSubstr("CA certificates"));
  options = server_options_;
  options.identity.certificate_chain_pem +=
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_FALSE(NewServerContext(options).ok());
}

// ---- Peers that break it off --------------------------------------------------------------------

TEST_F(TlsTest, GarbageInsteadOfAHelloEndsTheConnection) {
  Listen();
  ConnectPlainly();
  client_->on_read = [&] { CloseAfterEnd(); };
  client_->Send(std::string(100 * 1000, 'G'));
  ASSERT_TRUE(Until([&] { return !servers_.empty() && server().closed; }));
  EXPECT_EQ(*server().closed, net::CloseCause::kConnectFailed);
  EXPECT_FALSE(server().connected);
  // An alert at most comes back.
  EXPECT_LE(client_->received.size(), 64u);
}

TEST_F(TlsTest, AHelloThatNeverEndsIsBounded) {
  Listen();
  ConnectPlainly();
  client_->on_read = [&] { CloseAfterEnd(); };
  // A handshake record that announces a message of 16 MB.
  std::string record("\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9);
  record.resize(5 + 0x4000, 'a');
  client_->Send(record);
  client_->Send(record);
  ASSERT_TRUE(Until([&] { return !servers_.empty() && server().closed; }));
  EXPECT_FALSE(server().connected);
}

TEST_F(TlsTest, AResetWithinTheHandshakeIsTold) {
  Listen();
  ConnectPlainly();
  client_->Send(std::string("\x16\x03\x01", 3));
  ASSERT_TRUE(Until([&] { return !servers_.empty() && server().tls->bytes_read() == 3; }));
  client_->connection->Abort();
  ASSERT_TRUE(Until([&] { return server().closed.has_value(); }));
  EXPECT_EQ(*server().closed, net::CloseCause::kRemoteReset);
  EXPECT_THAT(server().detail, HasSubstr("TLS handshake"));
}

TEST_F(TlsTest, AnEndWithinTheHandshakeIsTold) {
  Listen();
  ConnectPlainly();
  client_->Send(std::string("\x16\x03\x01", 3));
  client_->connection->CloseWrite();
  ASSERT_TRUE(Until([&] { return !servers_.empty() && server().closed; }));
  EXPECT_EQ(*server().closed, net::CloseCause::kRemoteReset);
  EXPECT_THAT(server().detail, HasSubstr("TLS handshake"));
}

TEST_F(TlsTest, AnEndWithoutCloseNotifyIsAReset) {
  ConnectBoth();
  client_->Send("half a mess");
  ASSERT_TRUE(Until([&] { return client_->drained == 1; }));
  shutdown(client_->connection->fd(), SHUT_WR);
  ASSERT_TRUE(Until([&] { return server().closed.has_value(); }));
  EXPECT_EQ(server().received, "half a mess");
  EXPECT_EQ(*server().closed, net::CloseCause::kRemoteReset);
  EXPECT_THAT(server().detail, HasSubstr("close_notify"));
  EXPECT_FALSE(server().ended);
}

TEST_F(TlsTest, AServerThatIsNotThereIsAFailedConnect) {
  Listen();
  Connect();
  client_.reset();
  const net::Address address = listener_->address();
  loop_->DeferDelete(std::move(listener_));
  loop_->RunOnce(Duration::zero());
  client_ = std::make_unique<Peer>(*loop_);
  auto connection = NewClientConnection(*loop_, address, net::Address(), limits_, client_context_);
  client_->Take(std::move(connection), nullptr);
  ASSERT_TRUE(Until([&] { return client_->closed.has_value(); }));
  EXPECT_EQ(*client_->closed, net::CloseCause::kConnectFailed);
}

// ---- Bytes --------------------------------------------------------------------------------------

std::string LongText(size_t bytes) {
  std::string text(bytes, 0);
  uint32_t state = 7;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

TEST_F(TlsTest, LargeTransfersArriveAsTheyAre) {
  ConnectBoth();
  const std::string up = LongText(9 * 1000 * 1000), down = LongText(7 * 1000 * 1000);
  client_->Send(up);
  server().Send(down);
  ASSERT_TRUE(Until([&] {
    return client_->received.size() == down.size() && server().received.size() == up.size();
  }));
  EXPECT_TRUE(client_->received == down);
  EXPECT_TRUE(server().received == up);
  EXPECT_TRUE(client_->blocked_once);
  EXPECT_FALSE(client_->blocked);
  EXPECT_LE(server().largest_read, limits_.read_buffer_bytes_max + 32 * 1024);
}

TEST_F(TlsTest, AReaderThatPausesHoldsTheWriterBack) {
  ConnectBoth();
  server().connection->PauseReading(true);
  const std::string text = LongText(20 * 1000 * 1000);
  client_->Send(text);
  ASSERT_TRUE(Until([&] { return client_->blocked; }));
  // Whatever the kernel takes, the rest stays here.
  for (int i = 0; i < 20; ++i) loop_->RunOnce(milliseconds(5));
  EXPECT_TRUE(client_->blocked);
  EXPECT_EQ(server().received.size(), 0u);
  server().in_call = true;
  server().connection->PauseReading(false);
  server().in_call = false;
  ASSERT_TRUE(Until([&] { return server().received.size() == text.size(); }));
  EXPECT_TRUE(server().received == text);
  EXPECT_FALSE(client_->blocked);
}

TEST_F(TlsTest, InputThatIsLeftIsBoundedAndOfferedAgain) {
  limits_.read_buffer_bytes_max = 64 * 1024;
  ConnectBoth();
  server().leave_input = true;
  client_->Send(LongText(1000 * 1000));
  ASSERT_TRUE(Until([&] { return server().connection->input().size() >= 64 * 1024; }));
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(2));
  EXPECT_LE(server().connection->input().size(), 64u * 1024 + 16 * 1024);
  server().leave_input = false;
  server().connection->PauseReading(true);
  server().connection->PauseReading(false);
  ASSERT_TRUE(Until([&] { return server().received.size() == 1000 * 1000; }));
}

TEST_F(TlsTest, ManySmallPiecesBecomeFewRecords) {
  ConnectBoth();
  const uint64_t before = client_->connection->bytes_written();
  for (int i = 0; i < 1000; ++i) client_->Send("0123456789");
  ASSERT_TRUE(Until([&] { return server().received.size() == 10 * 1000; }));
  EXPECT_LT(client_->connection->bytes_written() - before, 10 * 1000 + 100u);
}

TEST_F(TlsTest, HalfClosedTheOtherDirectionGoesOn) {
  ConnectBoth();
  client_->Send("request");
  client_->connection->CloseWrite();
  ASSERT_TRUE(Until([&] { return server().ended; }));
  EXPECT_EQ(server().received, "request");
  EXPECT_FALSE(server().closed);
  const std::string answer = LongText(3 * 1000 * 1000);
  server().Send(answer);
  server().connection->CloseWrite();
  ASSERT_TRUE(Until([&] { return client_->ended; }));
  EXPECT_TRUE(client_->received == answer);
  ASSERT_TRUE(Until([&] { return client_->closed && server().closed; }));
  EXPECT_EQ(*client_->closed, net::CloseCause::kRemoteClosed);
  EXPECT_EQ(*server().closed, net::CloseCause::kRemoteClosed);
}

TEST_F(TlsTest, CloseSendsWhatWasWritten) {
  ConnectBoth();
  const std::string text = LongText(2 * 1000 * 1000);
  server().Send(text);
  server().in_call = true;
  server().connection->Close(seconds(10));
  server().in_call = false;
  ASSERT_TRUE(Until([&] { return client_->ended; }));
  EXPECT_TRUE(client_->received == text);
  client_->connection->Close(seconds(10));
  ASSERT_TRUE(Until([&] { return client_->closed && server().closed; }));
  EXPECT_EQ(*server().closed, net::CloseCause::kLocalClosed);
}

TEST_F(TlsTest, CloseWithinTheHandshakeEnds) {
  Listen();
  Connect();
  client_->connection->Close(seconds(1));
  ASSERT_TRUE(Until([&] { return client_->closed.has_value(); }));
  EXPECT_EQ(*client_->closed, net::CloseCause::kLocalClosed);
}

TEST_F(TlsTest, AConnectionMayGoWithinAnyCallback) {
  Listen();
  Connect();
  client_->on_connected = [&] {
    client_->connection->SetHandler(nullptr);
    loop_->DeferDelete(std::move(client_->connection));
  };
  ASSERT_TRUE(Until([&] { return client_->connected && !servers_.empty() && server().closed; }));
  Connect();
  ASSERT_TRUE(Until([&] { return client_->connected && server().connected; }));
  client_->on_read = [&] { client_->connection->Abort(); };
  server().Send("x");
  ASSERT_TRUE(Until([&] { return server().closed.has_value(); }));
  EXPECT_FALSE(client_->closed);
}

}  // namespace
}  // namespace meltemi::tls
