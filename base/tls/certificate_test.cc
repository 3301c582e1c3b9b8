// Certificates and signatures, made and read; runs for both libraries.

#include "base/tls/certificate.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kBegin = 1700000000, kEnd = 4100000000;  // the end is after 2050

KeyPair Ca() {
  CertificateRequest request;
  request.common_name = "test-ca";
  request.is_ca = true;
  request.not_before_s = kBegin;
  request.not_after_s = kEnd;
  return *NewCertificate(request, KeyPair());
}

TEST(CertificateTest, ALeafSaysWhatWasAskedFor) {
  CertificateRequest request;
  request.common_name = "system:node:n1";
  request.organizations = {"system:nodes", "others"};
  request.dns_names = {"kubernetes", "*.example.com"};
  request.ip_addresses = {"10.96.0.1", "fd00::1"};
  request.uris = {"spiffe://cluster.local/ns/a/sa/b"};
  request.server_auth = request.client_auth = true;
  request.not_before_s = kBegin;
  request.not_after_s = kEnd;
  auto pair = NewCertificate(request, Ca());
  ASSERT_TRUE(pair.ok()) << pair.status();
  auto info = ReadCertificatePem(pair->certificate_chain_pem);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->common_name, "system:node:n1");
  EXPECT_THAT(info->organizations, ElementsAre("system:nodes", "others"));
  EXPECT_THAT(info->dns_names, ElementsAre("kubernetes", "*.example.com"));
  EXPECT_THAT(info->ip_addresses, ElementsAre("10.96.0.1", "fd00::1"));
  EXPECT_THAT(info->uris, ElementsAre("spiffe://cluster.local/ns/a/sa/b"));
  EXPECT_EQ(info->not_before_s, kBegin);
  EXPECT_EQ(info->not_after_s, kEnd);
  EXPECT_FALSE(info->is_ca);
  EXPECT_EQ(info->sha256_hex.size(), 64u);
  EXPECT_THAT(pair->private_key_pem, HasSubstr("BEGIN PRIVATE KEY"));
}

TEST(CertificateTest, ACaIsOne) {
  auto info = ReadCertificatePem(Ca().certificate_chain_pem);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->is_ca);
  EXPECT_THAT(info->dns_names, IsEmpty());
}

TEST(CertificateTest, BadRequestsSayWhatIsWrong) {
  CertificateRequest request;
  request.common_name = "x";
  request.ip_addresses = {"10.0.0.300"};
  EXPECT_THAT(NewCertificate(request, Ca()).status().message(),
              HasSubstr("\"10.0.0.300\" is no IP address"));
  request.ip_addresses.clear();
  KeyPair mixed = Ca();
  mixed.private_key_pem = Ca().private_key_pem;
  EXPECT_THAT(NewCertificate(request, mixed).status().message(),
              HasSubstr("not that of its certificate"));
  mixed.private_key_pem = "nonsense";
  EXPECT_THAT(NewCertificate(request, mixed).status().message(),
              HasSubstr("private key can't be read"));
}

TEST(CertificateTest, GarbageIsNoCertificate) {
  EXPECT_FALSE(ReadCertificatePem("").ok());
  EXPECT_FALSE(ReadCertificatePem("-----BEGIN CERTIFICATE-----\nAAAA\n").ok());
  EXPECT_FALSE(ReadCertificateDer(std::string(100, '\x30')).ok());
}

class SignatureTest : public testing::TestWithParam<KeyKind> {};

TEST_P(SignatureTest, WhatIsSignedIsVerifiedAndNothingElse) {
  auto key = NewPrivateKeyPem(GetParam());
  auto other = NewPrivateKeyPem(GetParam());
  ASSERT_TRUE(key.ok() && other.ok()) << key.status();
  auto signature = Sign(*key, "header.payload");
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_EQ(signature->size(), GetParam() == KeyKind::kRsa2048 ? 256u : 64u);
  EXPECT_TRUE(Verify(*key, "header.payload", *signature));
  EXPECT_FALSE(Verify(*key, "header.payloae", *signature));
  EXPECT_FALSE(Verify(*other, "header.payload", *signature));
  EXPECT_FALSE(Verify(*key, "header.payload", signature->substr(1)));
  EXPECT_FALSE(Verify(*key, "header.payload", ""));
  EXPECT_FALSE(Verify("no key", "header.payload", *signature));
}

TEST_P(SignatureTest, PublicHalvesHaveTheirNumbers) {
  auto key = NewPrivateKeyPem(GetParam());
  auto read = ReadPublicKeyPem(*key);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->kind, GetParam());
  if (GetParam() == KeyKind::kRsa2048) {
    EXPECT_EQ(read->modulus.size(), 256u);
    EXPECT_EQ(read->exponent, std::string("\x01\x00\x01", 3));
  } else {
    EXPECT_EQ(read->x.size(), 32u);
    EXPECT_EQ(read->y.size(), 32u);
  }
  // The public half alone verifies as well.
  const std::string pem = "-----BEGIN PUBLIC KEY-----\n" + absl::Base64Escape(read->der) +
                          "\n-----END PUBLIC KEY-----\n";
  auto again = ReadPublicKeyPem(pem);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->der, read->der);
  EXPECT_TRUE(Verify(pem, "data", *Sign(*key, "data")));
  EXPECT_FALSE(Sign(pem, "data").ok());
}

INSTANTIATE_TEST_SUITE_P(Kinds, SignatureTest,
                         testing::Values(KeyKind::kEcdsaP256, KeyKind::kRsa2048));

TEST(SignatureTest, ACertificateVerifies) {
  const KeyPair ca = Ca();
  EXPECT_TRUE(Verify(ca.certificate_chain_pem, "data", *Sign(ca.private_key_pem, "data")));
}

// A known answer, so that a wrong conversion can't cancel itself out: RFC 7515 A.3.
TEST(SignatureTest, VerifiesTheExampleOfTheRfc) {
  const std::string key =
      "-----BEGIN PUBLIC KEY-----\n"
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
      "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
      "-----END PUBLIC KEY-----\n";
  const std::string signed_part =
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
      "LmNvbS9pc19yb290Ijp0cnVlfQ";
  std::string signature;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
      &signature));
  EXPECT_TRUE(Verify(key, signed_part, signature));
}

TEST(Sha256Test, KnownAnswer) {
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace meltemi::tls
