#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "kube/client/client_fake.h"
#include "kube/executor/executor_fake.h"
#include "pilot/ca/authority.h"
#include "pilot/ca/keys_store.h"
#include "pilot/ca/token_review.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const WallTime kNow{seconds(1'900'000'000)};
constexpr int64_t kNowSeconds = 1'900'000'000;
const Caller kSleep{.ns = "default", .service_account = "sleep"};
constexpr char kSleepSpiffe[] = "spiffe://cluster.local/ns/default/sa/sleep";

std::string Request(const std::vector<std::string>& uris,
                    const std::vector<std::string>& dns = {}) {
  return *tls::NewSigningRequestPem({.dns_names = dns, .uris = uris},
                                    *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256));
}

std::string Text(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

std::shared_ptr<const Authority> SelfSigned() {
  return *Authority::New(*NewSelfSignedKeys("cluster.local", kNow), {}, kNow);
}

TEST(Authority, SignsForWhoHasAsked) {
  const auto authority = SelfSigned();
  for (const auto& uris : {std::vector<std::string>{kSleepSpiffe}, {}}) {
    const auto chain = authority->Sign(Request(uris), kSleep, Duration::zero(), kNow);
    ASSERT_TRUE(chain.ok()) << chain.status();
    ASSERT_EQ(chain->size(), 2u);
    const auto leaf = tls::ReadCertificatePem((*chain)[0]);
    EXPECT_THAT(leaf->uris, ElementsAre(kSleepSpiffe));
    EXPECT_EQ(leaf->common_name, "");
    EXPECT_FALSE(leaf->is_ca);
    EXPECT_EQ(leaf->not_after_s, kNowSeconds + 24 * 3600);
    EXPECT_EQ(leaf->not_before_s, kNowSeconds - 120);
    EXPECT_EQ((*chain)[1], authority->roots_pem());
  }
}

TEST(Authority, RefusesAnotherName) {
  const auto authority = SelfSigned();
  const auto as = [&](const std::string& request) {
    return authority->Sign(request, kSleep, Duration::zero(), kNow).status();
  };
  const absl::Status other = as(Request({"spiffe://cluster.local/ns/default/sa/admin"}));
  EXPECT_EQ(other.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(other),
              HasSubstr("sa/admin', its sender is 'spiffe://cluster.local/ns/default"));
  EXPECT_EQ(as(Request({kSleepSpiffe}, {"kubernetes.default"})).code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(as("rubbish").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(as("").code(), absl::StatusCode::kInvalidArgument);
}

TEST(Authority, NothingLivesLongerThanTheAuthority) {
  const auto authority = SelfSigned();
  const auto lifetime = [&](Duration asked, WallTime now) {
    const auto chain = authority->Sign(Request({}), kSleep, asked, now);
    return tls::ReadCertificatePem((*chain)[0])->not_after_s -
           ToMillis(now.time_since_epoch()) / 1000;
  };
  EXPECT_EQ(lifetime(minutes(10), kNow), 600);
  EXPECT_EQ(lifetime(minutes(60 * 24 * 365), kNow), 90 * 24 * 3600);
  EXPECT_EQ(lifetime(Duration::zero(), WallTime(seconds(authority->not_after_s() - 60))), 60);
}

TEST(Authority, AnIntermediateSendsItsChain) {
  const AuthorityKeys root = *NewSelfSignedKeys("cluster.local", kNow);
  AuthorityKeys keys;
  keys.signer = *tls::NewCertificate({.common_name = "between",
                                      .is_ca = true,
                                      .not_before_s = kNowSeconds,
                                      .not_after_s = kNowSeconds + 1000},
                                     root.signer);
  keys.roots_pem = root.roots_pem;
  const std::string between = keys.signer.certificate_chain_pem;
  const auto authority = Authority::New(keys, {}, kNow);
  ASSERT_TRUE(authority.ok()) << authority.status();
  const auto chain = (*authority)->Sign(Request({}), kSleep, Duration::zero(), kNow);
  ASSERT_TRUE(chain.ok());
  EXPECT_THAT(between, HasSubstr((*chain)[1]));
  EXPECT_EQ(chain->back(), root.roots_pem);
  const auto serving = (*authority)->ServingIdentity({"meltemi-pilot.istio-system.svc"}, {}, kNow);
  ASSERT_TRUE(serving.ok());
  EXPECT_THAT(serving->certificate_chain_pem, HasSubstr((*chain)[1]));
}

TEST(Authority, BadKeysAreSaid) {
  const AuthorityKeys good = *NewSelfSignedKeys("cluster.local", kNow);
  const auto why = [](const AuthorityKeys& keys, WallTime now) {
    return Text(Authority::New(keys, {}, now).status());
  };
  AuthorityKeys keys = good;
  keys.signer.private_key_pem = *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
  EXPECT_THAT(why(keys, kNow), HasSubstr("key is not that of its certificate"));
  EXPECT_THAT(why(good, WallTime(seconds(kNowSeconds + 11 * 365 * 24 * 3600LL))),
              HasSubstr("has expired"));
  keys = good;
  keys.signer = *tls::NewCertificate(
      {.common_name = "leaf", .not_before_s = kNowSeconds, .not_after_s = kNowSeconds + 1000},
      good.signer);
  EXPECT_THAT(why(keys, kNow), HasSubstr("may not sign others"));
}

// An API server with Secrets, as far as the store asks for them.
class Secrets {
 public:
  explicit Secrets(kube::ClientFake* client) {
    client->on_call = [this](const kube::ApiCall& call) -> kube::Result<kube::ApiAnswer> {
      if (call.method == "POST") {
        if (before_create) std::exchange(before_create, nullptr)();
        if (!own.empty()) return kube::Status{409, "AlreadyExists", "exists"};
        own = call.body;
        return kube::ApiAnswer{201, own};
      }
      const std::string& body = absl::StrContains(call.path, "cacerts") ? given : own;
      if (body.empty()) return kube::Status{404, "NotFound", "not found"};
      return kube::ApiAnswer{200, body};
    };
  }
  std::string given, own;
  std::function<void()> before_create;
};

TEST(KeysStore, TheFirstReplicaMakesARootAndTheOthersTakeIt) {
  kube::ClientFake client;
  Secrets secrets(&client);
  const auto first = LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->roots_pem, second->roots_pem);
  EXPECT_EQ(first->signer.private_key_pem, second->signer.private_key_pem);
}

TEST(KeysStore, OfTwoAtOnceOneWins) {
  kube::ClientFake client;
  Secrets secrets(&client);
  std::string winner;
  secrets.before_create = [&] {
    winner = LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow)->roots_pem;
  };
  const auto keys = LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->roots_pem, winner);
}

TEST(KeysStore, AGivenIntermediateComesFirstAndWhatItLacksIsSaid) {
  kube::ClientFake client;
  Secrets secrets(&client);
  const AuthorityKeys root = *NewSelfSignedKeys("cluster.local", kNow);
  const auto secret = [&](bool with_root) {
    const auto value = [](const std::string& text) { return absl::Base64Escape(text); };
    return absl::StrCat(
        R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"cacerts"},)",
        R"("data":{"ca-cert.pem":")", value(root.signer.certificate_chain_pem),
        R"(","ca-key.pem":")", value(root.signer.private_key_pem), R"(","cert-chain.pem":")",
        value(root.signer.certificate_chain_pem), "\"",
        with_root ? absl::StrCat(R"(,"root-cert.pem":")", value(root.roots_pem), "\"") : "", "}}");
  };
  secrets.given = secret(true);
  const auto keys = LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->roots_pem, root.roots_pem);
  secrets.given = secret(false);
  EXPECT_THAT(Text(LoadOrMakeKeys(client, "istio-system", "cluster.local", kNow).status()),
              HasSubstr("Secret istio-system/cacerts has cert-chain.pem but no root-cert.pem"));
}

class TokenReviewTest : public ::testing::Test {
 protected:
  absl::StatusOr<Caller> Ask(const std::string& status_json, const std::string& token = "t") {
    client_.on_call = [&](const kube::ApiCall& call) -> kube::Result<kube::ApiAnswer> {
      body_ = call.body;
      if (status_json.empty()) return kube::GenericStatus(503, "down");
      return kube::ApiAnswer{201,
                             absl::StrCat(R"({"kind":"TokenReview","apiVersion":)",
                                          R"("authentication.k8s.io/v1","metadata":{},)",
                                          R"("spec":{"token":"t"},"status":)", status_json, "}")};
    };
    absl::StatusOr<Caller> out = absl::InternalError("no answer");
    reviewer_.Authenticate(token, [&](absl::StatusOr<Caller> caller) { out = std::move(caller); });
    executor_.RunReady();
    return out;
  }

  kube::ClientFake client_;
  kube::ExecutorFake executor_;
  TokenReviewer reviewer_{client_, executor_, "cluster.local"};
  std::string body_;
};

TEST_F(TokenReviewTest, TellsWhoItIs) {
  const auto caller = Ask(R"({"authenticated":true,"audiences":["istio-ca"],"user":{"username":)"
                          R"("system:serviceaccount:shop:cart","extra":{)"
                          R"("authentication.kubernetes.io/pod-name":["cart-1"]}}})");
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->Spiffe(), "spiffe://cluster.local/ns/shop/sa/cart");
  EXPECT_EQ(caller->pod, "cart-1");
  EXPECT_THAT(body_, HasSubstr("istio-ca"));
}

TEST_F(TokenReviewTest, RefusesEverythingElse) {
  EXPECT_THAT(Text(Ask("{}", "").status()), HasSubstr("no token"));
  EXPECT_THAT(Text(Ask(R"({"error":"token has expired"})").status()),
              HasSubstr("not valid: token has expired"));
  EXPECT_THAT(Text(Ask(R"({"authenticated":true,"user":{"username":"x"}})").status()),
              HasSubstr("not for the audience 'istio-ca'"));
  const absl::Status user =
      Ask(R"({"authenticated":true,"audiences":["istio-ca"],"user":{"username":"jane"}})").status();
  EXPECT_THAT(Text(user), HasSubstr("'jane', which is no service account"));
  EXPECT_EQ(user.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Ask("").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace meltemi::pilot
