// Secrets on their way to a gateway: when they come, when they change, when they go.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/session.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {
namespace {

using ::envoy::extensions::transport_sockets::tls::v3::Secret;
using ::envoy::service::discovery::v3::DiscoveryRequest;
using ::envoy::service::discovery::v3::DiscoveryResponse;

constexpr char kGateway[] = R"(
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge},
 spec: {selector: {app: edge}, servers: [{hosts: [a.example.com],
  port: {number: 443, name: h, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: cert}}]}}
)";

class SecretsTest : public ::testing::Test {
 protected:
  SecretsTest() {
    ProxyNode node;
    node.id = "router~10.1.0.8~edge.default~default.svc.cluster.local";
    node.kind = ProxyKind::kGateway;
    node.name = "edge";
    node.ns = "default";
    node.addresses = {"10.1.0.8"};
    node.labels = {{"app", "edge"}};
    node.authenticated = true;
    view_ = translator_.NewView(node);
    Use(mesh_.Apply(kGateway));
    session_ = std::make_unique<Session>(view_.get(), Session::Options());
    session_->OnSnapshot(version_);
  }
  void Use(FakeMesh& mesh) {
    view_->Use(mesh.Build());
    ++version_;
    if (session_ != nullptr) session_->OnSnapshot(version_);
  }
  FakeMesh& WithSecret(const std::string& key) {
    return mesh_.Apply(
        absl::StrCat("{apiVersion: v1, kind: Secret, metadata: {name: cert}, "
                     "stringData: {tls.crt: CHAIN, tls.key: ",
                     key, "}}"));
  }
  void Ask(const std::string& nonce) {
    DiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(XdsType::kSecret)));
    request.set_response_nonce(nonce);
    request.add_resource_names("kubernetes://cert");
    session_->OnRequest(request);
  }
  // The key in the next response, which is acknowledged; "" if there is none.
  std::string Next() {
    const std::optional<Response> response = session_->Next(MonotonicTime());
    if (!response.has_value()) return "";
    DiscoveryResponse message;
    EXPECT_TRUE(message.ParseFromString(response->message.ToString()));
    Ask(message.nonce());
    Secret secret;
    if (message.resources_size() != 1 || !message.resources(0).UnpackTo(&secret)) return "?";
    return secret.tls_certificate().private_key().inline_bytes();
  }

  FakeMesh mesh_;
  Translator translator_;
  std::unique_ptr<ProxyView> view_;
  std::unique_ptr<Session> session_;
  uint64_t version_ = 0;
};

TEST_F(SecretsTest, ComeWhenTheyAreThereAndAgainWhenTheyChange) {
  Ask("");
  EXPECT_EQ(Next(), "");
  Use(WithSecret("ONE"));
  EXPECT_EQ(Next(), "ONE");
  EXPECT_EQ(Next(), "");
  Use(WithSecret("TWO"));
  EXPECT_EQ(Next(), "TWO");
  EXPECT_EQ(Next(), "");
  // Something else changes.
  Use(
      mesh_.Apply("{apiVersion: v1, kind: Secret, metadata: {name: other}, stringData: {cert: c, "
                  "key: k}}"));
  EXPECT_EQ(Next(), "");
}

// A gateway that has lost a Secret by mistake goes on with what it has.
TEST_F(SecretsTest, ThatGoStayWhereTheyAre) {
  Use(WithSecret("ONE"));
  Ask("");
  EXPECT_EQ(Next(), "ONE");
  Use(mesh_.Delete(Kind::kSecret, "cert"));
  EXPECT_EQ(Next(), "");
  Use(WithSecret("TWO"));
  EXPECT_EQ(Next(), "TWO");
}

}  // namespace
}  // namespace meltemi::pilot
