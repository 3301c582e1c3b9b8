#include "proxy/config/secrets/secrets.h"

#include "base/clock/clock_fake.h"
#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

const tls::KeyPair kFirst{"chain 1", "key 1"};
const tls::KeyPair kSecond{"chain 2", "key 2"};

class SecretsTest : public testing::Test {
 protected:
  std::unique_ptr<SecretWatch> Watch(const std::string& name, int* told) {
    return secrets_.Watch(SecretKind::kCertificate, name, [told] { ++*told; });
  }

  FakeClock clock_;
  Secrets secrets_{clock_};
};

TEST_F(SecretsTest, WatchersAreToldOfChangesAlone) {
  int told = 0, others = 0;
  const auto watch = Watch("shop", &told);
  const auto other = Watch("inn", &others);
  EXPECT_TRUE(secrets_.SetCertificate("shop", kFirst, "v1"));
  EXPECT_TRUE(secrets_.SetCertificate("shop", kFirst, "v2"));
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(secrets_.SetCertificate("shop", kSecond, "v3"));
  EXPECT_EQ(told, 2);
  EXPECT_EQ(others, 0);
  EXPECT_EQ(secrets_.Certificate("shop")->private_key_pem, "key 2");
  EXPECT_EQ(secrets_.Roots("shop"), nullptr);
}

TEST_F(SecretsTest, AWatcherMayEndAnyWatch) {
  std::unique_ptr<SecretWatch> first, second;
  int told = 0;
  first = secrets_.Watch(SecretKind::kCertificate, "shop", [&] {
    ++told;
    second.reset();
    first.reset();
  });
  second = Watch("shop", &told);
  secrets_.SetCertificate("shop", kFirst, "v1");
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(secrets_.SdsNames().empty());
}

TEST_F(SecretsTest, WhatIsClaimedComesFromNobodyElse) {
  int told = 0;
  const auto watch = Watch("default", &told);
  EXPECT_EQ(secrets_.SdsNames(), std::set<std::string>{"default"});
  secrets_.Claim(SecretKind::kCertificate, "default");
  EXPECT_TRUE(secrets_.SdsNames().empty());
  EXPECT_FALSE(secrets_.SetCertificate("default", kSecond, "v1"));
  EXPECT_EQ(secrets_.Certificate("default"), nullptr);
  secrets_.SetLocalCertificate("default", kFirst);
  EXPECT_EQ(told, 1);
  // Roots of that name are another secret.
  EXPECT_TRUE(secrets_.SetRoots("default", "roots", "v1"));
}

TEST_F(SecretsTest, WhatNobodyWatchesIsForgottenUnlessItIsOurs) {
  int told = 0;
  auto watch = Watch("shop", &told);
  secrets_.SetCertificate("shop", kFirst, "v1");
  secrets_.SetLocalRoots("ROOTCA", "roots");
  secrets_.ForgetUnwatched();
  EXPECT_NE(secrets_.Certificate("shop"), nullptr);
  watch.reset();
  secrets_.ForgetUnwatched();
  EXPECT_EQ(secrets_.Certificate("shop"), nullptr);
  EXPECT_NE(secrets_.Roots("ROOTCA"), nullptr);
}

}  // namespace
}  // namespace meltemi::proxy
