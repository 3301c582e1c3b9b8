// What a peer's certificate must be, versions, and TLS over connections that were accepted and
// looked at before. Runs for both libraries.
#include <sys/socket.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/net/listener.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::tls {
namespace {

using testing::HasSubstr;

KeyPair NewPair(const std::string& name, const KeyPair& issuer, int64_t valid_seconds = 3600,
                bool is_ca = false) {
  CertificateRequest request;
  request.common_name = name;
  request.is_ca = is_ca;
  request.uris = {"spiffe://cluster.local/ns/a/sa/" + name};
  request.dns_names = {name + ".example"};
  request.ip_addresses = {"127.0.0.1"};
  request.not_before_s = std::time(nullptr) - 7200;
  request.not_after_s = std::time(nullptr) + valid_seconds;
  return *NewCertificate(request, issuer);
}

struct End final : net::ConnectionHandler {
  void OnConnected() override { connected = true; }
  void OnRead(Buffer& in, bool end_of_stream) override {
    received += in.ToString();
    in.Clear();
    ended = end_of_stream;
  }
  void OnClosed(net::CloseCause, absl::string_view why) override {
    closed = true;
    detail = std::string(why);
    failure = connection->handshake_failure();
  }
  std::unique_ptr<Connection> connection;
  bool connected = false, closed = false, ended = false;
  std::string received, detail;
  HandshakeFailure failure = HandshakeFailure::kNone;
};

// Waits for the first bytes without taking them.
struct Peeker final : net::ConnectionHandler {
  void OnRead(Buffer& in, bool) override { seen = in.size(); }
  void OnClosed(net::CloseCause, absl::string_view) override {}
  std::unique_ptr<net::Connection> connection;
  size_t seen = 0;
};

class RulesTest : public ::testing::Test {
 protected:
  ~RulesTest() override {
    for (End* end : {&server_, &client_}) {
      if (end->connection == nullptr) continue;
      end->connection->SetHandler(nullptr);
      loop_->DeferDelete(std::move(end->connection));
    }
    loop_->DeferDelete(std::move(listener_));
    loop_->RunOnce(milliseconds(1));
  }
  template <typename Done>
  bool Until(Done done) {
    for (int i = 0; i < 2000 && !done(); ++i) loop_->RunOnce(milliseconds(5));
    return done();
  }
  // Until both ends are connected, or one of them has failed.
  void Meet(std::shared_ptr<const Context> server, std::shared_ptr<const Context> client,
            ClientChoice choice = {}) {
    Peeker peeker;
    listener_ =
        *net::Listen(*loop_, net::Address::Loopback4(0), {}, [&](int fd, const net::Address& from) {
          peeker.connection = net::NewServerConnection(*loop_, fd, from, {});
          peeker.connection->SetHandler(&peeker);
        });
    client_.connection =
        NewClientConnection(*loop_, net::NewClientConnection(*loop_, listener_->address(), {}, {}),
                            {}, std::move(client), std::move(choice));
    client_.connection->SetHandler(&client_);
    ASSERT_TRUE(Until([&] { return peeker.seen > 0; }));
    peeker.connection->SetHandler(nullptr);
    server_.connection =
        NewServerConnection(*loop_, std::move(peeker.connection), {}, std::move(server));
    server_.connection->SetHandler(&server_);
    ASSERT_TRUE(Until([&] {
      return (server_.connected && client_.connected) || server_.closed || client_.closed;
    }));
  }
  std::shared_ptr<const Context> Server(ServerOptions options = {}) {
    options.identity = server_pair_;
    options.for_proxy = true;
    auto context = NewServerContext(options);
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  std::shared_ptr<const Context> Client(PeerRules rules = {}, ClientOptions options = {}) {
    options.ca_pem = root_.certificate_chain_pem;
    options.rules = std::move(rules);
    options.for_proxy = true;
    auto context = NewClientContext(options);
    EXPECT_TRUE(context.ok()) << context.status();
    return *std::move(context);
  }
  std::string LeafDigest() {
    return absl::HexStringToBytes(
        ReadCertificatePem(server_pair_.certificate_chain_pem)->sha256_hex);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  const KeyPair root_ = NewPair("root", {}, 3600, true);
  KeyPair server_pair_ = NewPair("server", root_);
  std::unique_ptr<net::Listener> listener_;
  End server_, client_;
};

TEST_F(RulesTest, BytesThatWereLookedAtBeginTheHandshake) {
  Meet(Server(), Client());
  ASSERT_TRUE(server_.connected && client_.connected) << client_.detail;
  client_.connection->output().Append("hello");
  client_.connection->FlushSoon();
  ASSERT_TRUE(Until([&] { return server_.received == "hello"; }));
  EXPECT_TRUE(client_.connection->session().peer_verified);
  EXPECT_EQ(client_.connection->ReadPeer()->common_name, "server");
  EXPECT_THAT(client_.connection->PeerPem(false), HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_FALSE(server_.connection->ReadPeer().ok());
}

TEST_F(RulesTest, ForAProxyAnEndWithoutAWordIsAnEnd) {
  Meet(Server(), Client());
  ASSERT_TRUE(server_.connected && client_.connected) << client_.detail;
  ASSERT_EQ(shutdown(server_.connection->fd(), SHUT_WR), 0);
  ASSERT_TRUE(Until([&] { return client_.ended; }));
  EXPECT_FALSE(client_.closed);
  client_.connection->output().Append("what is left to say");
  client_.connection->FlushSoon();
  ASSERT_TRUE(Until([&] { return server_.received == "what is left to say"; }));
}

TEST_F(RulesTest, ANameOfTheCertificateHasToFit) {
  PeerRules rules;
  rules.name_fits = [](const SubjectName& name) {
    return name.kind == SubjectName::Kind::kIp && name.text == "127.0.0.1";
  };
  Meet(Server(), Client(rules));
  EXPECT_TRUE(client_.connected) << client_.detail;
}

TEST_F(RulesTest, OneConnectionsWishStandsOverTheContexts) {
  ClientChoice choice;
  choice.name_fits = [](const SubjectName& name) { return name.text == "other.example"; };
  Meet(Server(), Client(), std::move(choice));
  ASSERT_TRUE(Until([&] { return client_.closed; }));
  EXPECT_EQ(client_.failure, HandshakeFailure::kName);
  EXPECT_THAT(client_.detail, HasSubstr("verify cert failed: SAN matcher, certificate SANs are ["
                                        "spiffe://cluster.local/ns/a/sa/server, server.example"));
}

TEST_F(RulesTest, DigestsOfCertificateOrKey) {
  PeerRules rules;
  rules.certificate_sha256 = {std::string(32, 'x'), LeafDigest()};
  Meet(Server(), Client(rules));
  EXPECT_TRUE(client_.connected) << client_.detail;
}

TEST_F(RulesTest, AWrongDigestIsRefused) {
  PeerRules rules;
  rules.key_sha256 = {std::string(32, 'x')};
  Meet(Server(), Client(rules));
  ASSERT_TRUE(Until([&] { return client_.closed; }));
  EXPECT_EQ(client_.failure, HandshakeFailure::kDigest);
  EXPECT_THAT(client_.detail, HasSubstr("cert hash and spki"));
}

TEST_F(RulesTest, ExpiredIsRefusedUnlessAllowed) {
  server_pair_ = NewPair("server", root_, -60);
  Meet(Server(), Client());
  ASSERT_TRUE(Until([&] { return client_.closed; }));
  EXPECT_EQ(client_.failure, HandshakeFailure::kUntrusted);
  EXPECT_THAT(client_.detail, HasSubstr("error at depth 0: certificate has expired"));
}

TEST_F(RulesTest, ExpiredMayBeAllowed) {
  server_pair_ = NewPair("server", root_, -60);
  PeerRules rules;
  rules.allow_expired = true;
  Meet(Server(), Client(rules));
  EXPECT_TRUE(client_.connected) << client_.detail;
}

TEST_F(RulesTest, TheUntrustedMayBeLetInButIsNotBelieved) {
  server_pair_ = NewPair("server", NewPair("other root", {}, 3600, true));
  PeerRules rules;
  rules.accept_untrusted = true;
  Meet(Server(), Client(rules));
  EXPECT_TRUE(client_.connected) << client_.detail;
  EXPECT_FALSE(client_.connection->session().peer_verified);
  EXPECT_EQ(client_.connection->ReadPeer()->common_name, "server");
}

TEST_F(RulesTest, AClientWithoutACertificateIsToldApart) {
  ServerOptions options;
  options.peer = PeerCertificate::kRequired;
  options.client_ca_pem = root_.certificate_chain_pem;
  options.rules.emplace();
  Meet(Server(options), Client());
  ASSERT_TRUE(Until([&] { return server_.closed; }));
  EXPECT_EQ(server_.failure, HandshakeFailure::kNoCertificate);
}

TEST_F(RulesTest, VersionsThatDoNotMeet) {
  ServerOptions server;
  server.parameters.version_max = Version::kTls12;
  ClientOptions client;
  client.parameters.version_min = Version::kTls13;
  Meet(Server(server), Client({}, client));
  ASSERT_TRUE(Until([&] { return server_.closed; }));
  EXPECT_EQ(server_.failure, HandshakeFailure::kProtocol);
  EXPECT_THAT(server_.detail, HasSubstr("TLS_error:|"));
}

TEST_F(RulesTest, ParametersHold) {
  ServerOptions server;
  server.alpn = {"h2", "http/1.1"};
  server.parameters.version_max = Version::kTls12;
  server.parameters.ciphers = {"ECDHE-ECDSA-AES256-GCM-SHA384"};
  server.parameters.curves = {"P-256"};
  ClientChoice choice;
  choice.alpn = {"istio-http/1.1", "istio", "http/1.1"};
  choice.server_name = "server.example";
  Meet(Server(server), Client(), std::move(choice));
  ASSERT_TRUE(client_.connected && server_.connected) << client_.detail;
  EXPECT_EQ(client_.connection->session().cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_EQ(client_.connection->session().version, "TLSv1.2");
  EXPECT_EQ(server_.connection->session().alpn, "http/1.1");
  EXPECT_EQ(server_.connection->session().server_name, "server.example");
}

TEST(ParametersTest, WhatTheLibraryDoesNotKnowIsNamed) {
  ClientOptions options;
  options.peer = PeerCertificate::kNone;
  options.parameters.curves = {"P-257"};
  EXPECT_THAT(std::string(NewClientContext(options).status().message()), HasSubstr("P-257"));
  options.parameters = {.version_min = Version::kTls13, .version_max = Version::kTls12};
  EXPECT_FALSE(NewClientContext(options).ok());
}

}  // namespace
}  // namespace meltemi::tls
