#include "proxy/config/compile/transport_socket.h"

#include <ctime>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/tls/certificate.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {
namespace {

namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::core::v3::TransportSocket;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

tls::KeyPair NewPair(const std::string& name, const tls::KeyPair& issuer = {}) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.uris = {"spiffe://cluster.local/ns/shop/sa/" + name};
  request.is_ca = issuer.private_key_pem.empty();
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  return *tls::NewCertificate(request, issuer);
}

template <typename Context>
TransportSocket SocketOf(const std::string& text) {
  Context context;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &context)) << text;
  TransportSocket socket;
  socket.set_name("envoy.transport_sockets.tls");
  socket.mutable_typed_config()->PackFrom(context);
  return socket;
}

class TransportSocketTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const TlsSocket>> Upstream(const std::string& text) {
    return CompileUpstreamSocket(SocketOf<tls_v3::UpstreamTlsContext>(text), "cluster 'x'",
                                 &sockets_);
  }
  absl::StatusOr<std::shared_ptr<const TlsSocket>> Downstream(const std::string& text) {
    return CompileDownstreamSocket(SocketOf<tls_v3::DownstreamTlsContext>(text), "listener 'x'",
                                   &sockets_);
  }
  std::string UpstreamError(const std::string& text) {
    return std::string(Upstream(text).status().message());
  }
  std::string DownstreamError(const std::string& text) {
    return std::string(Downstream(text).status().message());
  }

  const tls::KeyPair root_ = NewPair("root");
  SecretStoreFake secrets_;
  TlsSockets sockets_{secrets_};
};

// As Istio's control plane writes it for the mesh.
constexpr char kMutual[] = R"(
    tls_certificate_sds_secret_configs { name: "default" sds_config { ads {} } }
    combined_validation_context {
      default_validation_context {
        match_typed_subject_alt_names { san_type: URI
          matcher { exact: "spiffe://cluster.local/ns/shop/sa/cart" } } }
      validation_context_sds_secret_config { name: "ROOTCA" sds_config { ads {} } } }
    alpn_protocols: "istio-peer-exchange" alpn_protocols: "istio")";

TEST_F(TransportSocketTest, NothingAndRawBufferArePlaintext) {
  EXPECT_EQ(*CompileUpstreamSocket(TransportSocket(), "x", nullptr), nullptr);
  TransportSocket raw;
  raw.set_name("envoy.transport_sockets.raw_buffer");
  EXPECT_EQ(*CompileDownstreamSocket(raw, "x", nullptr), nullptr);
  raw.mutable_typed_config()->PackFrom(
      envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer());
  EXPECT_EQ(*CompileDownstreamSocket(raw, "x", nullptr), nullptr);
}

TEST_F(TransportSocketTest, TheMeshIsReadyOnceItsSecretsAreThere) {
  int ready = 0;
  sockets_.OnReady([&] { ++ready; });
  const auto socket =
      Upstream(absl::StrCat("common_tls_context {", kMutual, "} sni: 'outbound_.80_._.cart'"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ((*socket)->config().server_name, "outbound_.80_._.cart");
  EXPECT_FALSE((*socket)->ready());
  secrets_.SetCertificate("default", NewPair("front", root_));
  EXPECT_FALSE((*socket)->ready());
  secrets_.SetRoots("ROOTCA", root_.certificate_chain_pem);
  EXPECT_TRUE((*socket)->ready());
  EXPECT_EQ(ready, 1);
  // A rotation is no news for those who wait.
  secrets_.SetCertificate("default", NewPair("front", root_));
  EXPECT_EQ(ready, 1);
}

TEST_F(TransportSocketTest, WhatIsNotSpokenIsNotOffered) {
  const auto socket = Upstream(absl::StrCat("common_tls_context {", kMutual, "}"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_THAT((*socket)->config().alpn, ElementsAre("istio"));
}

TEST_F(TransportSocketTest, ClustersThatDifferInNamesAloneShareTheirContext) {
  std::vector<std::shared_ptr<const TlsSocket>> all;
  for (const char* service : {"cart", "catalog", "orders"}) {
    std::string text = absl::StrCat("common_tls_context {", kMutual, "} sni: '", service, "'");
    text.replace(text.find("sa/cart"), 7, absl::StrCat("sa/", service));
    all.push_back(*Upstream(text));
  }
  EXPECT_EQ(sockets_.materials(), 1u);
  EXPECT_EQ(secrets_.watches(), 2u);
  EXPECT_NE(all[0]->config().names_key, all[1]->config().names_key);
  // Sessions of one rule are not resumed under another.
  EXPECT_NE(all[1]->config().names_key, all[2]->config().names_key);
}

TEST_F(TransportSocketTest, ABadSecretLeavesTheGoodOneInPlace) {
  const auto socket = Upstream(absl::StrCat("common_tls_context {", kMutual, "}"));
  secrets_.SetCertificate("default", NewPair("front", root_));
  secrets_.SetRoots("ROOTCA", root_.certificate_chain_pem);
  ASSERT_TRUE((*socket)->ready());
  secrets_.SetRoots("ROOTCA", "garbage");
  EXPECT_TRUE((*socket)->ready());
}

TEST_F(TransportSocketTest, AServerTakesItsParametersAndAsksForClients) {
  const tls::KeyPair pair = NewPair("cart", root_);
  const std::string certificate =
      absl::StrCat("tls_certificates { certificate_chain { inline_string: '",
                   absl::CEscape(pair.certificate_chain_pem), "' } private_key { inline_string: '",
                   absl::CEscape(pair.private_key_pem), "' } }");
  const auto socket = Downstream(
      absl::StrCat("common_tls_context { tls_params { tls_minimum_protocol_version: TLSv1_3 } ",
                   certificate, " validation_context { trusted_ca { inline_string: '",
                   absl::CEscape(root_.certificate_chain_pem),
                   "' } } alpn_protocols: 'h2' } require_client_certificate { value: true }"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE((*socket)->ready());
  const MaterialConfig& material = (*socket)->config().material;
  EXPECT_EQ(material.peer, tls::PeerCertificate::kRequired);
  EXPECT_EQ(material.parameters.version_min, tls::Version::kTls13);
  EXPECT_THAT(material.alpn, ElementsAre("h2"));
  EXPECT_THAT(
      DownstreamError(absl::StrCat("common_tls_context { tls_params { cipher_suites: 'NULL-MD5' } ",
                                   certificate, "}")),
      HasSubstr("NULL-MD5"));
}

TEST_F(TransportSocketTest, RefusesByNameWhatItDoesNotKnow) {
  EXPECT_THAT(UpstreamError("allow_renegotiation: true"), HasSubstr("'allow_renegotiation'"));
  EXPECT_THAT(UpstreamError("common_tls_context { tls_params {"
                            " tls_minimum_protocol_version: TLSv1_0 } }"),
              HasSubstr("TLSv1_0 is not supported"));
  EXPECT_THAT(UpstreamError("common_tls_context { key_log {} }"), HasSubstr("'key_log'"));
  EXPECT_THAT(UpstreamError("common_tls_context { validation_context {"
                            " match_typed_subject_alt_names { san_type: URI"
                            " matcher { exact: 'x' } } } }"),
              HasSubstr("without trusted CA is insecure"));
  EXPECT_THAT(UpstreamError("common_tls_context { validation_context {"
                            " verify_certificate_hash: 'zz' } }"),
              HasSubstr("SHA-256 zz"));
  EXPECT_THAT(UpstreamError("common_tls_context { validation_context { crl {"
                            " inline_string: 'x' } } }"),
              HasSubstr("'crl'"));
  EXPECT_THAT(DownstreamError(""), HasSubstr("no TLS certificates found for server context"));
  EXPECT_THAT(DownstreamError("require_sni { value: true }"), HasSubstr("'require_sni'"));
  EXPECT_THAT(DownstreamError("common_tls_context { tls_certificates { certificate_chain {"
                              " filename: '/nowhere/cert.pem' } } }"),
              HasSubstr("/nowhere/cert.pem can't be read"));
  EXPECT_THAT(std::string(CompileUpstreamSocket(SocketOf<tls_v3::DownstreamTlsContext>(""),
                                                "cluster 'x'", &sockets_)
                              .status()
                              .message()),
              HasSubstr("DownstreamTlsContext' is not supported"));
}

TEST_F(TransportSocketTest, WithoutSecretsTlsIsRefused) {
  EXPECT_THAT(
      std::string(CompileUpstreamSocket(SocketOf<tls_v3::UpstreamTlsContext>(""), "x", nullptr)
                      .status()
                      .message()),
      HasSubstr("TLS is not supported here"));
}

}  // namespace
}  // namespace meltemi::proxy
