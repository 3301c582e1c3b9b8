#include "base/tls/signing_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kNow = 1'700'000'000;

KeyPair Authority() {
  return *NewCertificate(
      {.common_name = "ca", .is_ca = true, .not_before_s = kNow - 60, .not_after_s = kNow + 86400},
      {});
}

TEST(SigningRequest, IsReadAsItWasMade) {
  for (const KeyKind kind : {KeyKind::kEcdsaP256, KeyKind::kRsa2048}) {
    const std::string key = *NewPrivateKeyPem(kind);
    const auto request = NewSigningRequestPem({.common_name = "system:node:n1",
                                               .organizations = {"system:nodes"},
                                               .dns_names = {"n1"},
                                               .ip_addresses = {"10.0.0.1", "fd00::1"},
                                               .uris = {"spiffe://x"}},
                                              key);
    ASSERT_TRUE(request.ok()) << request.status();
    const auto info = ReadSigningRequestPem(*request);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->common_name, "system:node:n1");
    EXPECT_THAT(info->organizations, ElementsAre("system:nodes"));
    EXPECT_THAT(info->dns_names, ElementsAre("n1"));
    EXPECT_THAT(info->ip_addresses, ElementsAre("10.0.0.1", "fd00::1"));
    EXPECT_THAT(info->uris, ElementsAre("spiffe://x"));
    EXPECT_EQ(info->is_rsa, kind == KeyKind::kRsa2048);
  }
}

TEST(SigningRequest, BecomesACertificateForItsKey) {
  const KeyPair ca = Authority();
  const std::string key = *NewPrivateKeyPem(KeyKind::kEcdsaP256);
  const std::string request = *NewSigningRequestPem(
      {.common_name = "n1", .organizations = {"system:nodes"}, .dns_names = {"n1"}}, key);
  const auto signed_pem = SignRequest(request, ca,
                                      {.usages = {"digital signature", "server auth"},
                                       .not_before_s = kNow,
                                       .not_after_s = kNow + 3600});
  ASSERT_TRUE(signed_pem.ok()) << signed_pem.status();
  EXPECT_TRUE(IsCertificateOf(*signed_pem, key));
  EXPECT_FALSE(IsCertificateOf(*signed_pem, ca.private_key_pem));
  const auto info = ReadCertificatePem(*signed_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "n1");
  EXPECT_THAT(info->organizations, ElementsAre("system:nodes"));
  EXPECT_THAT(info->dns_names, ElementsAre("n1"));
  EXPECT_EQ(info->not_after_s, kNow + 3600);
  EXPECT_FALSE(info->is_ca);
}

TEST(SigningRequest, MayBeSignedForOtherNamesThanItsOwn) {
  const std::string key = *NewPrivateKeyPem(KeyKind::kEcdsaP256);
  const std::string request =
      *NewSigningRequestPem({.common_name = "admin", .dns_names = {"admin"}}, key);
  const auto signed_pem = SignRequest(request, Authority(),
                                      {.usages = {"client auth"},
                                       .not_before_s = kNow,
                                       .not_after_s = kNow + 3600,
                                       .uris = {"spiffe://cluster.local/ns/a/sa/b"}});
  ASSERT_TRUE(signed_pem.ok()) << signed_pem.status();
  const auto info = ReadCertificatePem(*signed_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "");
  EXPECT_THAT(info->dns_names, ElementsAre());
  EXPECT_THAT(info->uris, ElementsAre("spiffe://cluster.local/ns/a/sa/b"));
}

TEST(SigningRequest, UnknownUsagesAreRefused) {
  const std::string key = *NewPrivateKeyPem(KeyKind::kEcdsaP256);
  const std::string request = *NewSigningRequestPem({.common_name = "n1"}, key);
  const auto signed_pem = SignRequest(request, Authority(), {.usages = {"juggling"}});
  EXPECT_THAT(std::string(signed_pem.status().message()), HasSubstr("juggling"));
}

TEST(SigningRequest, WhatIsNoneOrForgedIsRefused) {
  EXPECT_EQ(ReadSigningRequestPem("").status().message(),
            "PEM block type must be CERTIFICATE REQUEST");
  EXPECT_FALSE(ReadSigningRequestPem(Authority().certificate_chain_pem).ok());
  std::string request =
      *NewSigningRequestPem({.common_name = "n1"}, *NewPrivateKeyPem(KeyKind::kEcdsaP256));
  // The last characters are those of the signature.
  const size_t at = request.find("\n-----END") - 8;
  request[at] = request[at] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(ReadSigningRequestPem(request).ok());
}

}  // namespace
}  // namespace meltemi::tls
