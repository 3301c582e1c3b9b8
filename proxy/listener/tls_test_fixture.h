// Two proxies in one: clients in plaintext to "outbound", from there over TLS to "inbound", from
// there in plaintext to an origin. The fixture is the certificate authority.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"
#include "gtest/gtest.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/listener/proxy_test_harness.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/format.h"
#include "proxy/observe/tls_info.h"
#include "proxy/transport/host_transport.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {

inline std::string Spiffe(const std::string& account) {
  return absl::StrCat("spiffe://cluster.local/ns/shop/sa/", account);
}

struct CertificateNames {
  std::vector<std::string> uris, dns_names;
  int64_t valid_from_s = -3600, valid_to_s = 3600;  // from now
};

inline tls::KeyPair NewAuthority(const std::string& name) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.is_ca = true;
  request.not_before_s = std::time(nullptr) - 7200;
  request.not_after_s = std::time(nullptr) + 7200;
  return *tls::NewCertificate(request, {});
}

inline tls::KeyPair NewIdentity(const tls::KeyPair& authority, const CertificateNames& names) {
  tls::CertificateRequest request;
  request.organizations = {"shop"};
  request.uris = names.uris;
  request.dns_names = names.dns_names;
  request.server_auth = request.client_auth = true;
  request.not_before_s = std::time(nullptr) + names.valid_from_s;
  request.not_after_s = std::time(nullptr) + names.valid_to_s;
  return *tls::NewCertificate(request, authority);
}

// Lines as the product writes them.
class TextLog final : public AccessLog {
 public:
  explicit TextLog(absl::string_view format) : format_(*Format::Compile(format, false, {})) {}
  void Write(const http::HeaderMap* request, const http::HeaderMap* response,
             const http::HeaderMap* trailers, const StreamInfo& info) const override {
    FormatInput input;
    input.request = request;
    input.response = response;
    input.trailers = trailers;
    input.info = &info;
    std::string line;
    format_->Append(input, &line);
    lines.push_back(std::move(line));
  }
  mutable std::vector<std::string> lines;

 private:
  const std::shared_ptr<const Format> format_;
};

// A TLS client that sends and keeps what it hears.
class SecureClient final : public net::ConnectionHandler {
 public:
  SecureClient(Loop& loop, const net::Address& to, std::shared_ptr<const tls::Context> context,
               const std::string& server_name = "")
      : loop_(loop),
        connection_(tls::NewClientConnection(loop, to, {}, {}, std::move(context), server_name)) {
    connection_->SetHandler(this);
  }
  ~SecureClient() override {
    connection_->SetHandler(nullptr);
    loop_.DeferDelete(std::move(connection_));
  }
  void Send(absl::string_view bytes) {
    connection_->output().Append(bytes);
    connection_->FlushSoon();
  }
  void OnConnected() override { connected = true; }
  void OnRead(Buffer& in, bool end_of_stream) override {
    received += in.ToString();
    in.Clear();
    ended = end_of_stream;
  }
  void OnClosed(net::CloseCause, absl::string_view why) override {
    closed = true;
    detail = std::string(why);
  }
  tls::Connection& connection() { return *connection_; }

  bool connected = false, closed = false, ended = false;
  std::string received, detail;

 private:
  Loop& loop_;
  std::unique_ptr<tls::Connection> connection_;
};

class TlsProxyTest : public ::testing::Test {
 protected:
  TlsProxyTest() : origin_(*t_.loop, http::Protocol::kHttp11) {
    secrets_.SetCertificate("server", Identity("cart"));
    secrets_.SetCertificate("client", Identity("front"));
    secrets_.SetRoots("ROOTCA", root_.certificate_chain_pem);
    t_.AddCluster("origin", {origin_.port()});
  }

  tls::KeyPair Identity(const std::string& account) {
    return NewIdentity(root_, {.uris = {Spiffe(account)}, .dns_names = {account + ".example"}});
  }
  static std::shared_ptr<const std::vector<NameMatcher>> ExactUri(const std::string& uri) {
    auto names = std::make_shared<std::vector<NameMatcher>>(1);
    names->front().kind = tls::SubjectName::Kind::kUri;
    names->front().text.text = uri;
    return names;
  }

  TlsConfig ServerConfig(std::vector<std::string> alpn = {"h2", "http/1.1"}) {
    TlsConfig config;
    config.material.key = absl::StrCat("server ", absl::StrJoin(alpn, " "));
    config.material.server = true;
    config.material.certificate.emplace().sds_name = "server";
    config.material.roots.emplace().sds_name = "ROOTCA";
    config.material.peer = tls::PeerCertificate::kRequired;
    config.material.alpn = std::move(alpn);
    return config;
  }
  TlsConfig ClientConfig(const std::string& peer = Spiffe("cart")) {
    TlsConfig config;
    config.material.key = "client";
    config.material.certificate.emplace().sds_name = "client";
    config.material.roots.emplace().sds_name = "ROOTCA";
    config.material.peer = tls::PeerCertificate::kRequired;
    config.server_name = "outbound_.80_._.cart.example";
    config.alpn = {"istio"};
    config.names = ExactUri(peer);
    config.names_key = peer;
    return config;
  }
  std::shared_ptr<const TlsSocket> Socket(TlsConfig config) {
    auto socket = sockets_.Get(std::move(config));
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }

  std::shared_ptr<HttpConfig> InboundHttp() {
    auto http = t_.HttpTo("origin");
    http->inbound = true;
    http->access_logs = {inbound_log_};
    return http;
  }
  // The inbound listener, and a cluster to it for the outbound one.
  std::shared_ptr<ListenerConfig> Inbound(FilterChain chain, TlsConfig config) {
    chain.tls = Socket(std::move(config));
    auto listener = ProxyHarness::ListenerOf("inbound", {std::move(chain)});
    listener->access_logs = {listener_log_};
    listener->inbound = true;
    return listener;
  }
  std::shared_ptr<ListenerConfig> Inbound() {
    return Inbound(ProxyHarness::Chain(InboundHttp()), ServerConfig());
  }
  std::shared_ptr<ListenerConfig> Outbound() {
    auto http = t_.HttpTo("inbound");
    http->access_logs = {outbound_log_};
    http->upstream_alpn = alpn_;
    return OutboundOf(ProxyHarness::Chain(http));
  }
  // On an address of its own: listeners are told apart by what they are configured with, and both
  // let the kernel choose the port.
  static std::shared_ptr<ListenerConfig> OutboundOf(FilterChain chain) {
    auto listener = ProxyHarness::ListenerOf("outbound", {std::move(chain)});
    listener->address = *net::Address::Parse("127.0.0.2:0");
    return listener;
  }
  net::Address OutboundAddress() { return t_.listeners->BoundAddress("outbound"); }
  void ClusterToInbound(TlsConfig config, UpstreamProtocol protocol = UpstreamProtocol::kHttp1,
                        const std::function<void(ClusterTransport&)>& change = {}) {
    auto transport = std::make_shared<ClusterTransport>();
    transport->tls = Socket(std::move(config));
    if (change) change(*transport);
    t_.AddCluster("inbound", {t_.At("inbound").port()}, protocol,
                  [&](ClusterConfig& cluster) { cluster.transport = transport; });
  }
  // Both listeners with mutual TLS between them.
  void StartMesh(UpstreamProtocol protocol = UpstreamProtocol::kHttp1) {
    t_.Apply({Inbound(), Outbound()});
    ClusterToInbound(ClientConfig(), protocol);
  }
  // One request on a connection of its own.
  std::unique_ptr<Reply> Ask(const std::string& path,
                             http::Protocol protocol = http::Protocol::kHttp11) {
    HttpClient client(*t_.loop, OutboundAddress(), protocol);
    client.Get(path);
    return std::move(client.replies.back());
  }
  int64_t Count(absl::string_view metric) { return t_.registry.Sum(metric); }
  std::shared_ptr<const tls::Context> ClientContext(std::vector<std::string> alpn = {},
                                                    const std::string& account = "front") {
    tls::ClientOptions options;
    if (!account.empty()) options.identity = Identity(account);
    options.ca_pem = root_.certificate_chain_pem;
    options.alpn = std::move(alpn);
    options.rules.emplace();
    return *tls::NewClientContext(options);
  }

  const tls::KeyPair root_ = NewAuthority("root");
  SecretStoreFake secrets_;
  TlsSockets sockets_{secrets_};
  std::shared_ptr<const AlpnOverride> alpn_;
  std::shared_ptr<TextLog> inbound_log_ = std::make_shared<TextLog>(
      "%RESPONSE_CODE% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% "
      "%DOWNSTREAM_LOCAL_URI_SAN% %REQUESTED_SERVER_NAME%");
  std::shared_ptr<TextLog> outbound_log_ = std::make_shared<TextLog>(
      "%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN% "
      "%UPSTREAM_PROTOCOL% %UPSTREAM_TRANSPORT_FAILURE_REASON%");
  std::shared_ptr<TextLog> listener_log_ =
      std::make_shared<TextLog>("%DOWNSTREAM_TRANSPORT_FAILURE_REASON%");
  ProxyHarness t_;
  Origin origin_;
};

}  // namespace meltemi::proxy
