#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "kube/core/v1/config.pb.h"
#include "pilot/model/peer_authentication.h"
#include "pilot/model/secret.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

constexpr MtlsMode kUnset = MtlsMode::kUnset;
constexpr MtlsMode kDisable = MtlsMode::kDisable;
constexpr MtlsMode kPermissive = MtlsMode::kPermissive;
constexpr MtlsMode kStrict = MtlsMode::kStrict;

PeerAuthenticationPtr Policy(const std::string& ns, MtlsMode mode, Labels selector = {},
                             std::map<uint32_t, MtlsMode> ports = {}, int64_t created_s = 1) {
  auto policy = std::make_shared<PeerAuthentication>();
  policy->meta = ObjectMeta{
      .name = std::string("p") + std::to_string(created_s), .ns = ns, .created_s = created_s};
  policy->selector = std::move(selector);
  policy->mode = mode;
  policy->ports = std::move(ports);
  return policy;
}

const Labels kWeb = {{"app", "web"}, {"version", "v1"}};

TEST(PeerAuthentication, TheNarrowestThatIsSetHolds) {
  const struct {
    const char* what;
    std::vector<PeerAuthenticationPtr> policies;
    MtlsMode want;
    MtlsMode want_8080;
  } cases[] = {
      {"none", {}, kPermissive, kPermissive},
      {"mesh", {Policy("root", kStrict)}, kStrict, kStrict},
      {"mesh unset", {Policy("root", kUnset)}, kPermissive, kPermissive},
      {"namespace over mesh",
       {Policy("root", kStrict), Policy("shop", kDisable)},
       kDisable,
       kDisable},
      {"namespace unset", {Policy("root", kStrict), Policy("shop", kUnset)}, kStrict, kStrict},
      {"another namespace", {Policy("elsewhere", kStrict)}, kPermissive, kPermissive},
      {"workload over namespace",
       {Policy("shop", kStrict), Policy("shop", kPermissive, {{"app", "web"}})},
       kPermissive,
       kPermissive},
      {"workload unset",
       {Policy("shop", kStrict), Policy("shop", kUnset, {{"app", "web"}})},
       kStrict,
       kStrict},
      {"another workload", {Policy("shop", kStrict, {{"app", "db"}})}, kPermissive, kPermissive},
      {"all labels count",
       {Policy("shop", kStrict, {{"app", "web"}, {"version", "v2"}})},
       kPermissive,
       kPermissive},
      {"port over workload",
       {Policy("shop", kStrict, {{"app", "web"}}, {{8080, kDisable}})},
       kStrict,
       kDisable},
      {"port unset takes the workload's",
       {Policy("root", kDisable), Policy("shop", kStrict, {{"app", "web"}}, {{8080, kUnset}})},
       kStrict,
       kStrict},
      {"port beside an unset workload",
       {Policy("shop", kStrict), Policy("shop", kUnset, {{"app", "web"}}, {{8080, kPermissive}})},
       kStrict,
       kPermissive},
      {"ports without a selector mean nothing",
       {Policy("shop", kStrict, {}, {{8080, kDisable}})},
       kStrict,
       kStrict},
      {"a selector in the root namespace means nothing",
       {Policy("root", kStrict, {{"app", "web"}})},
       kPermissive,
       kPermissive},
      {"the oldest of a namespace",
       {Policy("shop", kStrict, {}, {}, 2), Policy("shop", kDisable, {}, {}, 1)},
       kDisable,
       kDisable},
      {"the oldest of a workload, ports and all",
       {Policy("shop", kStrict, {{"app", "web"}}, {{8080, kStrict}}, 2),
        Policy("shop", kDisable, {{"version", "v1"}}, {}, 1)},
       kDisable,
       kDisable},
  };
  for (const auto& c : cases) {
    const MtlsPolicy got = PeerAuthenticationTable(c.policies).For("shop", "root", kWeb);
    EXPECT_EQ(got.mode, c.want) << c.what;
    EXPECT_EQ(got.ForPort(8080), c.want_8080) << c.what;
  }
}

TEST(PeerAuthentication, InTheRootNamespaceTheMeshsPolicyIsItsOwn) {
  const PeerAuthenticationTable table(
      {Policy("root", kStrict), Policy("root", kDisable, {{"app", "web"}})});
  EXPECT_EQ(table.For("root", "root", kWeb).mode, kStrict);
}

TEST(PeerAuthentication, IsDecoded) {
  istio::security::v1beta1::PeerAuthentication spec;
  (*spec.mutable_selector()->mutable_match_labels())["app"] = "web";
  spec.mutable_mtls()->set_mode(istio::security::v1beta1::PeerAuthentication::MutualTLS::STRICT);
  (*spec.mutable_port_level_mtls())[80].set_mode(
      istio::security::v1beta1::PeerAuthentication::MutualTLS::DISABLE);
  const auto policy = DecodePeerAuthentication(ObjectMeta{.name = "p", .ns = "shop"}, spec);
  EXPECT_EQ(policy->mode, kStrict);
  EXPECT_EQ(policy->ports.at(80), kDisable);
  EXPECT_EQ(policy->selector.at("app"), "web");
}

CredentialPtr Decode(const std::map<std::string, std::string>& data, const std::string& type = "",
                     const std::string& name = "s") {
  kube::core::v1::Secret secret;
  secret.set_type(type);
  for (const auto& [key, value] : data) (*secret.mutable_data())[key] = value;
  return DecodeSecret(ObjectMeta{.name = name, .ns = "n"}, secret);
}

TEST(Secret, BothWaysToWriteACredential) {
  const auto tls =
      Decode({{"tls.crt", "c"}, {"tls.key", "k"}, {"ca.crt", "r"}}, "kubernetes.io/tls");
  EXPECT_EQ(tls->chain + tls->key + tls->roots, "ckr");
  const auto generic = Decode({{"cert", "c"}, {"key", "k"}, {"cacert", "r"}, {"crl", "x"}});
  EXPECT_EQ(generic->chain + generic->key + generic->roots + generic->crl, "ckrx");
  EXPECT_EQ(Decode({{"tls.crt", "c"}}), nullptr);
  EXPECT_EQ(Decode({{"password", "x"}}), nullptr);
  EXPECT_EQ(Decode({{"ca.crt", "r"}}, "kubernetes.io/service-account-token"), nullptr);
}

TEST(Secret, RootsAreFoundUnderTheirOwnNameOrBesideTheCertificate) {
  const CredentialTable table(
      {Decode({{"cert", "c"}, {"key", "k"}, {"cacert", "beside"}}, "", "a"),
       Decode({{"cacert", "own"}}, "", "a-cacert"),
       Decode({{"cert", "c"}, {"key", "k"}, {"cacert", "beside"}}, "", "b")});
  EXPECT_EQ(table.FindRoots("n", "a-cacert")->roots, "own");
  EXPECT_EQ(table.FindRoots("n", "b-cacert")->roots, "beside");
  EXPECT_EQ(table.FindRoots("n", "c-cacert"), nullptr);
  EXPECT_EQ(table.FindCertificate("n", "a")->chain, "c");
  EXPECT_EQ(table.FindCertificate("n", "a-cacert"), nullptr);
  EXPECT_EQ(table.FindCertificate("m", "a"), nullptr);
}

}  // namespace
}  // namespace meltemi::pilot
