// The life of a certificate under a clock that the test moves.
#include "proxy/config/secrets/ca_state.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/clock/clock_fake.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "proxy/config/secrets/authority_fake.h"
#include "proxy/config/secrets/pem.h"

namespace meltemi::proxy {
namespace {

constexpr char kIdentity[] = "spiffe://cluster.local/ns/shop/sa/web";

class CaStateTest : public testing::Test {
 protected:
  int64_t NowS() const {
    return std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
  }
  std::optional<Duration> DueIn() { return state_.DueIn(clock_.Now(), clock_.WallNow()); }
  absl::Status Answer(const std::vector<std::string>& chain) {
    return state_.Answered(chain, clock_.Now(), clock_.WallNow(), random_);
  }
  // A request and its answer, valid from now for `life_s`.
  absl::Status Round(int64_t life_s) {
    const auto request = state_.Begin();
    if (!request.ok()) return request.status();
    return Answer(authority_.Sign(request->csr_pem, NowS(), NowS() + life_s));
  }
  // What is said of an answer; the state has to ask again afterwards.
  std::string Refusal(const std::vector<std::string>& chain) {
    const absl::Status status = Answer(chain);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(DueIn().has_value());
    return std::string(status.message());
  }

  FakeClock clock_;
  FastRandom random_{1};
  FakeAuthority authority_{1704067200};
  CaState state_{kIdentity};
};

TEST_F(CaStateTest, AsksForAKeyOfItsOwnAndTakesTheAnswer) {
  EXPECT_EQ(DueIn(), Duration::zero());
  const auto request = state_.Begin();
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->validity_s, 86400);
  EXPECT_FALSE(DueIn().has_value());
  const auto info = tls::ReadSigningRequestPem(request->csr_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->uris, std::vector<std::string>{kIdentity});
  EXPECT_EQ(info->common_name, "");
  ASSERT_TRUE(Answer(authority_.Sign(request->csr_pem, NowS(), NowS() + 86400)).ok());
  ASSERT_NE(state_.certificate(), nullptr);
  EXPECT_TRUE(tls::IsCertificateOf(state_.certificate()->certificate_chain_pem,
                                   state_.certificate()->private_key_pem));
  // The root goes to the roots, not to peers.
  EXPECT_EQ(CertificatesOfPem(state_.certificate()->certificate_chain_pem).size(), 1u);
  EXPECT_EQ(state_.root_pem(), authority_.root_pem());
  // Half of its life, give or take a hundredth.
  const Duration due = *DueIn();
  EXPECT_GE(due, seconds(86400 * 49 / 100));
  EXPECT_LE(due, seconds(86400 * 51 / 100));
}

TEST_F(CaStateTest, AHundredRotationsEachWithANewKey) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(DueIn(), Duration::zero());
    ASSERT_TRUE(Round(3600).ok());
    EXPECT_TRUE(keys.insert(state_.certificate()->private_key_pem).second);
    EXPECT_TRUE(state_.valid(clock_.WallNow()));
    clock_.Advance(*DueIn());
    EXPECT_TRUE(state_.valid(clock_.WallNow()));
  }
}

TEST_F(CaStateTest, FailuresAreTriedAgainEverMoreSlowlyAndTheOldCertificateStays) {
  ASSERT_TRUE(Round(86400).ok());
  const std::string in_use = state_.certificate()->certificate_chain_pem;
  clock_.Advance(*DueIn());
  Duration longest{};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(state_.Begin().ok());
    state_.Failed(clock_.Now(), random_);
    EXPECT_GE(*DueIn(), milliseconds(125));
    EXPECT_LE(*DueIn(), seconds(30));
    longest = std::max(longest, *DueIn());
    clock_.Advance(*DueIn());
  }
  EXPECT_GE(longest, seconds(15));
  EXPECT_EQ(state_.certificate()->certificate_chain_pem, in_use);
  EXPECT_EQ(state_.failures(), 20u);
  ASSERT_TRUE(Round(86400).ok());
  EXPECT_EQ(state_.failures(), 0u);
  EXPECT_NE(state_.certificate()->certificate_chain_pem, in_use);
}

TEST_F(CaStateTest, WhatChangedMakesAFailedRequestDueAtOnce) {
  ASSERT_TRUE(state_.Begin().ok());
  state_.Failed(clock_.Now(), random_);
  state_.RetryNow();
  EXPECT_EQ(DueIn(), Duration::zero());
}

TEST_F(CaStateTest, CertificatesOfAnotherKeyOrIdentityAreRefused) {
  ASSERT_TRUE(state_.Begin().ok());
  const tls::KeyPair other = authority_.WorkloadCertificate(kIdentity, NowS() + 3600);
  EXPECT_NE(Refusal({other.certificate_chain_pem, authority_.root_pem()}).find("key"),
            std::string::npos);
  const std::string key = *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
  const std::string csr =
      *tls::NewSigningRequestPem({.uris = {"spiffe://cluster.local/ns/shop/sa/admin"}}, key);
  ASSERT_TRUE(state_.Begin().ok());
  EXPECT_EQ(Refusal(authority_.Sign(csr, NowS(), NowS() + 60)),
            "the authority's answer is refused: the certificate is for "
            "spiffe://cluster.local/ns/shop/sa/admin, not for "
            "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_EQ(state_.certificate(), nullptr);
}

TEST_F(CaStateTest, CertificatesThatAreNotValidNowAreRefused) {
  auto request = state_.Begin();
  EXPECT_EQ(Refusal(authority_.Sign(request->csr_pem, NowS() - 120, NowS() - 1)),
            "the authority's answer is refused: the certificate has expired at "
            "2023-12-31T23:59:59+00:00; here it is 2024-01-01T00:00:00+00:00");
  request = state_.Begin();
  EXPECT_NE(Refusal(authority_.Sign(request->csr_pem, NowS() + 3600, NowS() + 7200))
                .find("not valid before"),
            std::string::npos);
  // Clocks differ a little.
  request = state_.Begin();
  EXPECT_TRUE(Answer(authority_.Sign(request->csr_pem, NowS() + 30, NowS() + 7200)).ok());
}

TEST_F(CaStateTest, GarbageIsRefused) {
  const std::string leaf = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const std::vector<std::string>& chain : {std::vector<std::string>{},
                                                {""},
                                                {"hello"},
                                                {leaf},
                                                {leaf, authority_.root_pem()},
                                                {std::string(1 << 20, 'x')}}) {
    ASSERT_TRUE(state_.Begin().ok());
    Refusal(chain);
  }
  // A chain that ends in no authority.
  auto request = state_.Begin();
  std::vector<std::string> chain = authority_.Sign(request->csr_pem, NowS(), NowS() + 60);
  chain.push_back(authority_.WorkloadCertificate(kIdentity, NowS() + 60).certificate_chain_pem);
  EXPECT_NE(Refusal(chain).find("no authority's"), std::string::npos);
  // One that never ends.
  request = state_.Begin();
  chain = authority_.Sign(request->csr_pem, NowS(), NowS() + 60);
  for (int i = 0; i < 20; ++i) chain.push_back(authority_.root_pem());
  EXPECT_NE(Refusal(chain).find("too many"), std::string::npos);
}

TEST_F(CaStateTest, IntermediatesGoToPeersWithTheLeaf) {
  const tls::KeyPair intermediate = *tls::NewCertificate({.common_name = "between",
                                                          .is_ca = true,
                                                          .not_before_s = NowS() - 60,
                                                          .not_after_s = NowS() + 86400},
                                                         authority_.root());
  const auto request = state_.Begin();
  const std::string leaf = *tls::SignRequest(
      request->csr_pem, intermediate,
      {.usages = {"client auth"}, .not_before_s = NowS(), .not_after_s = NowS() + 3600});
  ASSERT_TRUE(Answer({leaf + intermediate.certificate_chain_pem, authority_.root_pem()}).ok());
  EXPECT_EQ(CertificatesOfPem(state_.certificate()->certificate_chain_pem).size(), 2u);
  EXPECT_EQ(state_.root_pem(), authority_.root_pem());
}

TEST_F(CaStateTest, ALifeThatIsNearlyOverDoesNotMakeItAskWithoutEnd) {
  const auto request = state_.Begin();
  ASSERT_TRUE(Answer(authority_.Sign(request->csr_pem, NowS() - 86400, NowS() + 10)).ok());
  EXPECT_GE(*DueIn(), seconds(5));
  ASSERT_TRUE(Round(1).ok());
  EXPECT_GE(*DueIn(), seconds(1));
}

}  // namespace
}  // namespace meltemi::proxy
