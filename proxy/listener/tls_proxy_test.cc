// TLS through whole proxies: identities, refusals, rotation, protocols by ALPN.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/listener/tls_test_fixture.h"

namespace meltemi::proxy {
namespace {

using http::Protocol;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(TlsProxyTest, BothEndsKnowEachOther) {
  StartMesh();
  const auto reply = Ask("/x");
  EXPECT_EQ(reply->status, 200);
  EXPECT_THAT(inbound_log_->lines,
              ElementsAre(absl::StrCat("200 TLSv1.3 ", Spiffe("front"), " ", Spiffe("cart"),
                                       " outbound_.80_._.cart.example")));
  EXPECT_THAT(outbound_log_->lines,
              ElementsAre(absl::StrCat("200 - TLSv1.3 ", Spiffe("cart"), " HTTP/1.1 -")));
  EXPECT_EQ(Count("envoy_listener_ssl_handshake"), 1);
  EXPECT_EQ(Count("envoy_cluster_ssl_handshake"), 1);
  EXPECT_EQ(Count("envoy_listener_ssl_connection_error"), 0);
}

TEST_F(TlsProxyTest, Http2FromEndToEnd) {
  alpn_ = std::make_shared<AlpnOverride>(
      AlpnOverride{{}, {"istio-http/1.1", "istio", "http/1.1"}, {"istio-h2", "istio", "h2"}});
  StartMesh(UpstreamProtocol::kHttp2);
  HttpClient client(*t_.loop, OutboundAddress(), Protocol::kHttp2);
  std::string body(300000, 'b');
  Reply& reply = client.Start("POST", "/echo", &body);
  ASSERT_TRUE(t_.Until([&] { return reply.done(); }));
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body == body) << reply.body.size();
  ASSERT_TRUE(t_.Until([&] { return !outbound_log_->lines.empty(); }));
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr(" HTTP/2 "));
}

TEST_F(TlsProxyTest, TheHandshakeDecidesTheProtocol) {
  t_.Apply({Inbound(), Outbound()});
  ClusterToInbound(ClientConfig(), UpstreamProtocol::kByAlpn);
  EXPECT_EQ(Ask("/x")->status, 200);
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr(" HTTP/2 "));
  // A server that speaks HTTP/1 alone.
  t_.Apply({Inbound(ProxyHarness::Chain(InboundHttp()), ServerConfig({"http/1.1"})), Outbound()});
  ClusterToInbound(ClientConfig(), UpstreamProtocol::kByAlpn);
  EXPECT_EQ(Ask("/x")->status, 200);
  EXPECT_THAT(outbound_log_->lines[1], HasSubstr(" HTTP/1.1 "));
}

// ---- Refusals -----------------------------------------------------------------------------------

TEST_F(TlsProxyTest, AServerOfAnotherNameIsRefused) {
  t_.Apply({Inbound(), Outbound()});
  ClusterToInbound(ClientConfig(Spiffe("catalog")));
  const auto reply = Ask("/x");
  EXPECT_EQ(reply->status, 503);
  EXPECT_THAT(reply->body, HasSubstr("transport failure reason: TLS_error:|"));
  EXPECT_THAT(outbound_log_->lines[0], StartsWith("503 UF - - - TLS_error:|268435581:SSL_routines:"
                                                  "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"));
  EXPECT_THAT(outbound_log_->lines[0],
              HasSubstr(absl::StrCat("SAN_matcher,_certificate_SANs_are_[", Spiffe("cart"))));
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_san"), 1);
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_error"), 0);
  EXPECT_EQ(Count("envoy_cluster_upstream_cx_connect_fail"), 1);
  EXPECT_EQ(origin_.requests, 0);
}

TEST_F(TlsProxyTest, AnExpiredServerIsRefused) {
  secrets_.SetCertificate("server",
                          NewIdentity(root_, {.uris = {Spiffe("cart")}, .valid_to_s = -60}));
  StartMesh();
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr("certificate_has_expired"));
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_error"), 1);
  // Unless that is what is wanted.
  TlsConfig config = ClientConfig();
  config.material.key = "client that is lenient";
  config.material.allow_expired = true;
  ClusterToInbound(config);
  EXPECT_EQ(Ask("/x")->status, 200);
}

TEST_F(TlsProxyTest, AServerOfAForeignRootIsRefused) {
  secrets_.SetCertificate("server", NewIdentity(NewAuthority("other"), {.uris = {Spiffe("cart")}}));
  StartMesh();
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr("unable_to_get_local_issuer_certificate"));
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_error"), 1);
}

TEST_F(TlsProxyTest, ClientsThatShowNoOrABadCertificateReachNothing) {
  StartMesh();
  SecureClient nobody(*t_.loop, t_.At("inbound"), ClientContext({}, ""));
  ASSERT_TRUE(t_.Until([&] { return nobody.closed; }));
  ASSERT_TRUE(t_.Until([&] { return Count("envoy_listener_ssl_fail_verify_no_cert") == 1; }));
  EXPECT_THAT(listener_log_->lines.back(),
              HasSubstr("PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide_required_client_"));

  secrets_.SetCertificate("client",
                          NewIdentity(NewAuthority("other"), {.uris = {Spiffe("front")}}));
  EXPECT_EQ(Ask("/x")->status, 503);
  ASSERT_TRUE(t_.Until([&] { return Count("envoy_listener_ssl_fail_verify_error") == 1; }));
  secrets_.SetCertificate("client",
                          NewIdentity(root_, {.uris = {Spiffe("front")}, .valid_to_s = -60}));
  EXPECT_EQ(Ask("/x")->status, 503);
  ASSERT_TRUE(t_.Until([&] { return Count("envoy_listener_ssl_fail_verify_error") == 2; }));
  EXPECT_EQ(origin_.requests, 0);
}

TEST_F(TlsProxyTest, WhatIsNoTlsOrTooOldIsRefused) {
  StartMesh();
  RawClient plain(*t_.loop, t_.At("inbound"));
  plain.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return plain.closed || plain.ended; }));
  ASSERT_TRUE(t_.Until([&] { return Count("envoy_listener_ssl_connection_error") == 1; }));
  EXPECT_THAT(listener_log_->lines.back(), HasSubstr("HTTP_REQUEST"));
  // A ClientHello of TLS 1.0 with one suite.
  const char hello[] =
      "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x01"
      "0123456789abcdef0123456789abcdef"
      "\x00\x00\x04\xc0\x13\x00\x2f\x01\x00";
  RawClient old(*t_.loop, t_.At("inbound"));
  old.Send(absl::string_view(hello, sizeof(hello) - 1));
  ASSERT_TRUE(t_.Until([&] { return old.closed || old.ended; }));
  ASSERT_TRUE(t_.Until([&] { return Count("envoy_listener_ssl_connection_error") == 2; }));
  EXPECT_THAT(listener_log_->lines.back(), HasSubstr("TLS_error:|"));
  EXPECT_EQ(origin_.requests, 0);
}

TEST_F(TlsProxyTest, AHandshakeThatDoesNotEndIsEnded) {
  FilterChain chain = ProxyHarness::Chain(InboundHttp());
  chain.transport_connect_timeout = milliseconds(30);
  t_.Apply({Inbound(std::move(chain), ServerConfig())});
  RawClient silent(*t_.loop, t_.At("inbound"));
  ASSERT_TRUE(t_.Until([&] { return silent.closed || silent.ended; }));
  ASSERT_FALSE(listener_log_->lines.empty());
  EXPECT_THAT(listener_log_->lines.back(), HasSubstr("timeout"));
  EXPECT_EQ(Count("envoy_listener_downstream_cx_active"), 0);
}

TEST_F(TlsProxyTest, WithoutSecretsNothingGoesThroughInClear) {
  TlsConfig config = ServerConfig();
  config.material.key = "server without";
  config.material.certificate->sds_name = "unknown";
  t_.Apply({Inbound(ProxyHarness::Chain(InboundHttp()), config), Outbound()});
  RawClient client(*t_.loop, t_.At("inbound"));
  client.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(Count("envoy_listener_server_ssl_socket_factory_downstream_context_secrets_not_ready"),
            1);

  TlsConfig upstream = ClientConfig();
  upstream.material.key = "client without";
  upstream.material.certificate->sds_name = "unknown";
  ClusterToInbound(upstream);
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_THAT(outbound_log_->lines[0],
              EndsWith("503 UF - - - TLS_error:_Secret_is_not_supplied_by_SDS"));
  EXPECT_EQ(Count("envoy_cluster_client_ssl_socket_factory_upstream_context_secrets_not_ready"), 1);
  // They come, and it works.
  secrets_.SetCertificate("unknown", Identity("cart"));
  EXPECT_EQ(Ask("/x")->status, 200);
}

// ---- Rotation and resumption --------------------------------------------------------------------

TEST_F(TlsProxyTest, ConnectionsOutliveRotationsAndNewOnesUseThem) {
  StartMesh(UpstreamProtocol::kHttp2);
  HttpClient client(*t_.loop, OutboundAddress(), Protocol::kHttp11);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client.Get("/x").status, 200) << i;
    secrets_.SetCertificate("server", Identity("cart"));
    secrets_.SetCertificate("client", Identity("front"));
  }
  EXPECT_EQ(Count("envoy_cluster_upstream_cx_total"), 2);  // one to each cluster
  secrets_.SetCertificate("client", Identity("front2"));
  SecureClient fresh(*t_.loop, t_.At("inbound"), ClientContext({"http/1.1"}, "late"));
  fresh.Send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return !fresh.received.empty(); }));
  EXPECT_THAT(inbound_log_->lines.back(), HasSubstr(Spiffe("late")));
}

TEST_F(TlsProxyTest, SessionsAreResumedUntilTheRulesChange) {
  StartMesh();
  const auto ask_on_new_connection = [&] {
    EXPECT_EQ(Ask("/x")->status, 200);
    // The next request finds no connection.
    t_.clusters->Drain();
    Settle(*t_.loop);
  };
  ask_on_new_connection();
  ask_on_new_connection();
  EXPECT_EQ(Count("envoy_listener_ssl_session_reused"), 1);
  EXPECT_EQ(Count("envoy_cluster_ssl_session_reused"), 1);
  // Who the client is comes with the session.
  EXPECT_THAT(inbound_log_->lines[1], HasSubstr(Spiffe("front")));

  // A new certificate at either end, and a new root: nothing of before counts.
  secrets_.SetCertificate("server", Identity("cart"));
  ask_on_new_connection();
  EXPECT_EQ(Count("envoy_listener_ssl_session_reused"), 1);
  const tls::KeyPair other = NewAuthority("other");
  secrets_.SetRoots("ROOTCA", other.certificate_chain_pem);
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_EQ(Count("envoy_listener_ssl_session_reused"), 1);
}

TEST_F(TlsProxyTest, ASessionIsNotResumedUnderAnotherRule) {
  StartMesh();
  EXPECT_EQ(Ask("/x")->status, 200);
  // The same context, another name is wanted: the certificate is looked at, and refused.
  ClusterToInbound(ClientConfig(Spiffe("catalog")));
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_EQ(sockets_.materials(), 2u);
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_san"), 1);
}

// ---- Sniffing, endpoints, names -----------------------------------------------------------------

TEST_F(TlsProxyTest, OnePortTakesPlaintextAndTls) {
  FilterChain secure = ProxyHarness::Chain(InboundHttp());
  secure.match.transport_protocol = "tls";
  secure.tls = Socket(ServerConfig());
  FilterChain plain = ProxyHarness::Chain(InboundHttp());
  plain.match.transport_protocol = "raw_buffer";
  auto listener = ProxyHarness::ListenerOf("inbound", {secure, plain});
  listener->tls_inspector = listener->http_inspector = true;
  t_.Apply({listener, Outbound()});
  ClusterToInbound(ClientConfig());
  EXPECT_EQ(Ask("/x")->status, 200);
  HttpClient client(*t_.loop, t_.At("inbound"), Protocol::kHttp11);
  EXPECT_EQ(client.Get("/x").status, 200);
  EXPECT_THAT(inbound_log_->lines[0], StartsWith("200 TLSv1.3"));
  EXPECT_EQ(inbound_log_->lines[1], "200 - - - -");
}

TEST_F(TlsProxyTest, EndpointsWithAndWithoutAProxyShareACluster) {
  t_.Apply({Inbound(), Outbound()});
  auto transport = std::make_shared<ClusterTransport>();
  transport->matches.push_back({"tlsMode-istio", {{"tlsMode", "istio"}}, Socket(ClientConfig())});
  transport->matches.push_back({"tlsMode-disabled", {}, nullptr});
  auto config = std::make_shared<ClusterConfig>();
  config->name = "inbound";
  config->transport = transport;
  auto endpoints = std::make_shared<EndpointsConfig>();
  for (uint16_t port : {t_.At("inbound").port(), origin_.port()}) {
    EndpointConfig endpoint;
    endpoint.address = net::Address::Loopback4(port);
    endpoint.mtls = port != origin_.port();
    endpoints->endpoints.push_back(endpoint);
  }
  t_.directory->SetCluster(config, endpoints);
  t_.directory->Publish();
  Settle(*t_.loop);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Ask("/x")->status, 200);
  EXPECT_EQ(inbound_log_->lines.size(), 2u);
  int encrypted = 0;
  for (const std::string& line : outbound_log_->lines) {
    encrypted += absl::StrContains(line, "TLSv1.3") ? 1 : 0;
  }
  EXPECT_EQ(encrypted, 2);
}

TEST_F(TlsProxyTest, TheRequestNamesTheServer) {
  t_.Apply({Inbound(), Outbound()});
  TlsConfig config = ClientConfig();
  config.server_name = "";
  config.names = nullptr;
  config.names_key = "";
  ClusterToInbound(config, UpstreamProtocol::kHttp1, [](ClusterTransport& transport) {
    transport.auto_sni = transport.auto_san_validation = true;
  });
  // Requests are for "shop": first there is no such name in the certificate, then there is.
  EXPECT_EQ(Ask("/x")->status, 503);
  EXPECT_EQ(Count("envoy_cluster_ssl_fail_verify_san"), 1);
  secrets_.SetCertificate("server",
                          NewIdentity(root_, {.uris = {Spiffe("cart")}, .dns_names = {"shop"}}));
  EXPECT_EQ(Ask("/x")->status, 200);
  EXPECT_THAT(inbound_log_->lines.back(), EndsWith(" shop"));
}

// ---- What is said of the client -----------------------------------------------------------------

TEST_F(TlsProxyTest, TheOriginLearnsWhoTheClientIs) {
  auto http = InboundHttp();
  http->forward_client_cert = ForwardClientCert::kAppendForward;
  http->client_cert_uri = http->client_cert_subject = true;
  t_.Apply({Inbound(ProxyHarness::Chain(http), ServerConfig()), Outbound()});
  ClusterToInbound(ClientConfig());
  EXPECT_EQ(Ask("/x")->status, 200);
  EXPECT_THAT(std::string(origin_.last->Get("x-forwarded-client-cert")),
              testing::MatchesRegex(absl::StrCat("By=", Spiffe("cart"), ";Hash=[0-9a-f]+;",
                                                 "Subject=\"O=shop\";URI=", Spiffe("front"))));
}

TEST_F(TlsProxyTest, WhatAClientSaysOfItselfIsTakenAway) {
  StartMesh();
  HttpClient client(*t_.loop, OutboundAddress(), Protocol::kHttp11);
  const std::string none;
  Reply& reply =
      client.Start("GET", "/x", &none, {{"x-forwarded-client-cert", "By=spiffe://a;URI=admin"}});
  ASSERT_TRUE(t_.Until([&] { return reply.done(); }));
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(origin_.last->Has(http::HeaderId::kXForwardedClientCert));
}

// ---- TCP ----------------------------------------------------------------------------------------

TEST_F(TlsProxyTest, BytesGoBothWaysAndEachDirectionEndsForItself) {
  RawServer far(*t_.loop);
  t_.AddCluster("far", {far.port()});
  auto inbound = t_.TcpTo("far");
  t_.Apply({Inbound(ProxyHarness::Chain(inbound), ServerConfig({})),
            OutboundOf(ProxyHarness::Chain(t_.TcpTo("inbound")))});
  ClusterToInbound(ClientConfig());
  RawClient client(*t_.loop, OutboundAddress());
  const std::string up(3'000'000, 'u'), down(2'000'000, 'd');
  client.Send(up);
  client.connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return !far.accepted.empty() && far.accepted[0]->ended; }));
  EXPECT_TRUE(far.accepted[0]->received == up);
  far.accepted[0]->Send(down);
  far.accepted[0]->connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return client.ended; }));
  EXPECT_TRUE(client.received == down);
}

TEST_F(TlsProxyTest, TcpToTheWrongServerIsClosed) {
  RawServer far(*t_.loop);
  t_.AddCluster("far", {far.port()});
  auto outbound = t_.TcpTo("inbound");
  outbound->access_logs = {outbound_log_};
  t_.Apply({Inbound(ProxyHarness::Chain(t_.TcpTo("far")), ServerConfig({})),
            OutboundOf(ProxyHarness::Chain(outbound))});
  ClusterToInbound(ClientConfig(Spiffe("catalog")));
  RawClient client(*t_.loop, OutboundAddress());
  client.Send("hello");
  ASSERT_TRUE(t_.Until([&] { return client.ended || client.closed; }));
  ASSERT_TRUE(t_.Until([&] { return !outbound_log_->lines.empty(); }));
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr(" UF "));
  EXPECT_THAT(outbound_log_->lines[0], HasSubstr("CERTIFICATE_VERIFY_FAILED"));
  EXPECT_THAT(far.accepted, IsEmpty());
}

}  // namespace
}  // namespace meltemi::proxy
