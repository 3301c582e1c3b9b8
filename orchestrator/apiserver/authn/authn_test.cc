#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/tls/certificate.h"
#include "orchestrator/apiserver/authn/chain.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/authn/token_issuer.h"

namespace meltemi::apiserver {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kIssuer[] = "https://kubernetes.default.svc.cluster.local";

json::Value Tree(absl::string_view text) { return *json::Parse(text); }

std::string NewKey(tls::KeyKind kind = tls::KeyKind::kEcdsaP256) {
  return *tls::NewPrivateKeyPem(kind);
}

class AuthnTest : public ::testing::Test {
 protected:
  AuthnTest() : keys_(*NewSigningKeys(NewKey())) {
    Put("serviceaccounts", "default", "builder", "sa-uid");
    issuer_ = NewTokenIssuer({.jwks_uri = "https://10.0.0.1:6443/openid/v1/jwks"}, keys_, clock_);
  }

  void Put(const std::string& resource, const std::string& ns, const std::string& name,
           const std::string& uid, const std::string& more = "") {
    cache_.Put({"", resource},
               Tree(absl::StrCat(R"({"metadata":{"name":")", name, R"(","namespace":")", ns,
                                 R"(","uid":")", uid, R"("})", more, "}")));
  }

  AuthenticatorOptions Options() {
    AuthenticatorOptions options;
    options.issuers = {kIssuer};
    options.keys = keys_;
    return options;
  }
  std::unique_ptr<Authenticator> Chain() {
    return *NewAuthenticatorChain(Options(), clock_, cache_);
  }

  TokenRequest Request() {
    TokenRequest request;
    request.ns = "default";
    request.service_account = "builder";
    request.service_account_uid = "sa-uid";
    request.audiences = {kIssuer};
    return request;
  }

  static Credentials Bearer(const std::string& token) {
    Credentials credentials;
    credentials.bearer_token = token;
    return credentials;
  }

  // "" when the token is good, else why it is not.
  std::string WhyNot(const std::string& token, const std::vector<std::string>& audiences = {}) {
    auto tokens = *NewTokenAuthenticatorChain(Options(), clock_, cache_);
    Credentials credentials = Bearer(token);
    credentials.audiences = audiences;
    const auto result = tokens->Authenticate(credentials);
    return result.ok() ? "" : result.status().message;
  }

  json::Value Claims(const std::string& token) { return ParseCompactJws(token)->payload; }

  FakeClock clock_;
  ObjectCacheFake cache_;
  std::shared_ptr<const SigningKeys> keys_;
  std::unique_ptr<TokenIssuer> issuer_;
};

TEST_F(AuthnTest, WhoSendsNothingIsAnonymousUnlessThatIsOff) {
  const auto result = Chain()->Authenticate({});
  EXPECT_EQ((*result)->user.name, "system:anonymous");
  EXPECT_THAT((*result)->user.groups, ElementsAre("system:unauthenticated"));

  AuthenticatorOptions options = Options();
  options.anonymous = false;
  const auto refused = (*NewAuthenticatorChain(options, clock_, cache_))->Authenticate({});
  EXPECT_EQ(refused.status().code, 401);
  EXPECT_EQ(refused.status().message, "Unauthorized");
}

TEST_F(AuthnTest, ACertificateNamesTheUserAndItsGroups) {
  Credentials credentials;
  credentials.certificate = ClientCertificate{"jane", {"dev", "ops"}, "ab12"};
  const auto result = Chain()->Authenticate(credentials);
  EXPECT_EQ((*result)->user.name, "jane");
  EXPECT_THAT((*result)->user.groups, ElementsAre("dev", "ops", "system:authenticated"));
  EXPECT_THAT((*result)->user.extra.at("authentication.kubernetes.io/credential-id"),
              ElementsAre("X509SHA256=ab12"));
}

TEST_F(AuthnTest, ABearerTokenThatNobodyKnowsIsNeverAnonymous) {
  const auto result = Chain()->Authenticate(Bearer("what"));
  EXPECT_EQ(result.status().code, 401);
  EXPECT_EQ(result.status().message, "Unauthorized");
  EXPECT_EQ(WhyNot("what"), "invalid bearer token");
}

TEST_F(AuthnTest, TheAuthorizationHeaderHasASchemeThatIsNotCaseSensitive) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bearer abc"), "abc");
  EXPECT_EQ(BearerToken("Basic abc"), "");
  EXPECT_EQ(BearerToken("Bearer"), "");
}

TEST_F(AuthnTest, AStaticTokenFile) {
  AuthenticatorOptions options = Options();
  options.token_file_text =
      "secret,jane,42,\"dev,ops\"\n\"with \"\"quotes\"\"\",joe,7\r\n\nplain,jim,8,one\n";
  options.token_file_name = "tokens.csv";
  auto chain = *NewAuthenticatorChain(options, clock_, cache_);
  const auto jane = chain->Authenticate(Bearer("secret"));
  EXPECT_EQ((*jane)->user.name, "jane");
  EXPECT_EQ((*jane)->user.uid, "42");
  EXPECT_THAT((*jane)->user.groups, ElementsAre("dev", "ops", "system:authenticated"));
  EXPECT_THAT((*jane)->audiences, ElementsAre(kIssuer));
  EXPECT_EQ((*chain->Authenticate(Bearer("with \"quotes\"")))->user.name, "joe");
  EXPECT_EQ((*chain->Authenticate(Bearer("plain")))->user.name, "jim");
  // Static tokens are not for others' audiences.
  Credentials elsewhere = Bearer("secret");
  elsewhere.audiences = {"vault"};
  EXPECT_FALSE(chain->Authenticate(elsewhere).ok());
}

TEST_F(AuthnTest, AStaticTokenFileThatIsWrongIsToldWithItsLine) {
  const auto error = [](absl::string_view text) {
    return std::string(NewTokenFileAuthenticator(text, "tokens.csv").status().message());
  };
  EXPECT_EQ(error("a,b,c\nd,e\n"),
            "token file 'tokens.csv' must have at least 3 columns (token, user name, user uid), "
            "found 2 in line 2");
  EXPECT_EQ(error("a,b,c\n\nd\"x,e,f\n"),
            "token file 'tokens.csv': line 3: bare \" in non-quoted field");
  EXPECT_EQ(error("a,\"b,c\nd"), "token file 'tokens.csv': line 1: a quoted field does not end");
}

TEST_F(AuthnTest, ABootstrapTokenIsASecretOfKubeSystem) {
  const auto put = [&](const std::string& expiration, const std::string& usage,
                       const std::string& groups) {
    const auto b64 = [](absl::string_view text) { return absl::Base64Escape(text); };
    Put("secrets", "kube-system", "bootstrap-token-abcdef", "1",
        absl::StrCat(R"(,"type":"bootstrap.kubernetes.io/token","data":{"token-id":")",
                     b64("abcdef"), R"(","token-secret":")", b64("0123456789abcdef"),
                     R"(","usage-bootstrap-authentication":")", b64(usage), R"(","expiration":")",
                     b64(expiration), R"(","auth-extra-groups":")", b64(groups), "\"}"));
  };
  const std::string token = "abcdef.0123456789abcdef";
  EXPECT_EQ(WhyNot(token), "invalid bearer token");
  put("2024-01-02T00:00:00Z", "true", "system:bootstrappers:workers");
  const auto result = Chain()->Authenticate(Bearer(token));
  EXPECT_EQ((*result)->user.name, "system:bootstrap:abcdef");
  EXPECT_THAT(
      (*result)->user.groups,
      ElementsAre("system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"));
  EXPECT_EQ(WhyNot("abcdef.0123456789abcdee"), "invalid bearer token");
  put("2023-12-31T23:59:59Z", "true", "");
  EXPECT_EQ(WhyNot(token), "invalid bearer token");
  put("", "false", "");
  EXPECT_EQ(WhyNot(token), "invalid bearer token");
  put("", "true", "system:masters");
  EXPECT_EQ(WhyNot(token), "invalid bearer token");
  put("", "true", "");
  EXPECT_EQ(WhyNot(token), "");
}

TEST_F(AuthnTest, AServiceAccountTokenSaysWhoItIs) {
  const IssuedToken issued = issuer_->Issue(Request());
  EXPECT_EQ(issued.expires_at_s, 1704067200 + 3600);
  const auto result = Chain()->Authenticate(Bearer(issued.token));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ((*result)->user.name, "system:serviceaccount:default:builder");
  EXPECT_EQ((*result)->user.uid, "sa-uid");
  EXPECT_THAT((*result)->user.groups,
              ElementsAre("system:serviceaccounts", "system:serviceaccounts:default",
                          "system:authenticated"));
  EXPECT_THAT((*result)->user.extra.at("authentication.kubernetes.io/credential-id")[0],
              HasSubstr("JTI="));
  const json::Value claims = Claims(issued.token);
  EXPECT_EQ(claims.FindString("sub"), "system:serviceaccount:default:builder");
  EXPECT_EQ(claims.FindString("iss"), kIssuer);
  EXPECT_EQ(claims.FindString("jti").size(), 36u);
  EXPECT_EQ(claims.Find("kubernetes.io", "serviceaccount")->FindString("uid"), "sa-uid");
}

TEST_F(AuthnTest, AServiceAccountTokenEndsWithItsTime) {
  const std::string token = issuer_->Issue(Request()).token;
  clock_.Advance(seconds(3600 + 59));  // a minute of grace for clocks that differ
  EXPECT_EQ(WhyNot(token), "");
  clock_.Advance(seconds(2));
  EXPECT_EQ(WhyNot(token), "service account token has expired");
  const auto result = Chain()->Authenticate(Bearer(token));
  EXPECT_EQ(result.status().message, "Unauthorized");
}

TEST_F(AuthnTest, AServiceAccountTokenOfTheFuture) {
  FakeClock later;
  later.Advance(seconds(3600));
  EXPECT_EQ(WhyNot(NewTokenIssuer({}, keys_, later)->Issue(Request()).token),
            "service account token is not valid yet");
}

TEST_F(AuthnTest, ATokenIsForItsAudienceOnly) {
  TokenRequest request = Request();
  request.audiences = {"vault"};
  const std::string token = issuer_->Issue(request).token;
  EXPECT_EQ(WhyNot(token),
            "token audiences [\"vault\"] is invalid for the target audiences "
            "[\"https://kubernetes.default.svc.cluster.local\"]");
  EXPECT_EQ(WhyNot(token, {"vault", "other"}), "");
}

TEST_F(AuthnTest, ATokenDiesWithItsServiceAccount) {
  const std::string token = issuer_->Issue(Request()).token;
  cache_.Delete({"", "serviceaccounts"}, "default", "builder");
  EXPECT_EQ(WhyNot(token), "serviceaccounts \"builder\" not found");
  Put("serviceaccounts", "default", "builder", "other");
  EXPECT_EQ(WhyNot(token), "service account UID (other) does not match claim (sa-uid)");
}

TEST_F(AuthnTest, ATokenDiesWithThePodThatItIsBoundTo) {
  Put("pods", "default", "web", "pod-uid");
  TokenRequest request = Request();
  request.bound_kind = "Pod";
  request.bound_name = "web";
  request.bound_uid = "pod-uid";
  request.node_name = "n1";
  request.node_uid = "node-uid";
  const std::string token = issuer_->Issue(request).token;
  const auto result = Chain()->Authenticate(Bearer(token));
  ASSERT_TRUE(result.ok());
  const auto& extra = (*result)->user.extra;
  EXPECT_THAT(extra.at("authentication.kubernetes.io/pod-name"), ElementsAre("web"));
  EXPECT_THAT(extra.at("authentication.kubernetes.io/pod-uid"), ElementsAre("pod-uid"));
  EXPECT_THAT(extra.at("authentication.kubernetes.io/node-name"), ElementsAre("n1"));
  EXPECT_THAT(extra.at("authentication.kubernetes.io/node-uid"), ElementsAre("node-uid"));
  cache_.Delete({"", "pods"}, "default", "web");
  EXPECT_EQ(WhyNot(token), "service account token has been invalidated");
  Put("pods", "default", "web", "again");
  EXPECT_EQ(WhyNot(token),
            "pod UID (again) does not match service account pod ref claim (pod-uid)");
}

TEST_F(AuthnTest, ATokenOutlivesADeletionByAMinute) {
  const std::string token = issuer_->Issue(Request()).token;
  cache_.Put({"", "serviceaccounts"},
             Tree(R"({"metadata":{"name":"builder","namespace":"default","uid":"sa-uid",
                      "deletionTimestamp":"2024-01-01T00:00:00Z"}})"));
  EXPECT_EQ(WhyNot(token), "");
  clock_.Advance(seconds(61));
  EXPECT_EQ(WhyNot(token), "service account default/builder has been deleted");
}

TEST_F(AuthnTest, KubeletsProjectedTokensLiveForAYear) {
  Put("pods", "default", "web", "pod-uid");
  TokenRequest request = Request();
  request.bound_kind = "Pod";
  request.bound_name = "web";
  request.bound_uid = "pod-uid";
  request.expiration_seconds = 3607;
  const IssuedToken issued = issuer_->Issue(request);
  EXPECT_EQ(issued.expires_at_s, 1704067200 + 3607);
  const json::Value claims = Claims(issued.token);
  EXPECT_EQ(claims.Find("exp")->AsInt64(), 1704067200 + 365 * 24 * 3600);
  EXPECT_EQ(claims.Find("kubernetes.io", "warnafter")->AsInt64(), 1704067200 + 3607);
}

TEST_F(AuthnTest, ATokenThatWasTamperedWithIsRefused) {
  const std::string token = issuer_->Issue(Request()).token;
  std::vector<std::string> parts = absl::StrSplit(token, '.');
  std::string payload;
  absl::WebSafeBase64Unescape(parts[1], &payload);
  const std::string forged = absl::StrCat(
      parts[0], ".",
      absl::WebSafeBase64Escape(absl::StrReplaceAll(payload, {{"builder", "cluster"}})), ".",
      parts[2]);
  EXPECT_THAT(WhyNot(forged), HasSubstr("cryptographic primitive"));
  const std::string none =
      absl::StrCat(absl::WebSafeBase64Escape(R"({"alg":"none"})"), ".", parts[1], ".");
  EXPECT_THAT(WhyNot(none), HasSubstr("cryptographic primitive"));
  const auto others = *NewSigningKeys(NewKey());
  EXPECT_EQ(WhyNot(NewTokenIssuer({}, others, clock_)->Issue(Request()).token),
            "invalid signature, no keys found");
  TokenIssuerOptions other_issuer;
  other_issuer.issuer = "https://elsewhere";
  EXPECT_EQ(WhyNot(NewTokenIssuer(other_issuer, keys_, clock_)->Issue(Request()).token),
            "invalid bearer token");
}

TEST_F(AuthnTest, KeysAreRotatedByAcceptingTheOldOnes) {
  const std::string old_pem = NewKey(tls::KeyKind::kRsa2048);
  const auto old_keys = *NewSigningKeys(old_pem);
  const std::string token = NewTokenIssuer({}, old_keys, clock_)->Issue(Request()).token;
  keys_ = *NewSigningKeys(NewKey(), {old_pem});
  EXPECT_EQ(WhyNot(token), "");
  EXPECT_THAT(keys_->Algorithms(), ElementsAre("ES256", "RS256"));
  const json::Value set = Tree(keys_->KeySetJson());
  ASSERT_EQ(set.Find("keys")->items().size(), 2u);
  const json::Value& ec = set.Find("keys")->items()[0];
  EXPECT_EQ(ec.FindString("crv"), "P-256");
  EXPECT_EQ(ec.FindString("x").size(), 43u);
  const json::Value& rsa = set.Find("keys")->items()[1];
  EXPECT_EQ(rsa.FindString("kty"), "RSA");
  EXPECT_EQ(rsa.FindString("e"), "AQAB");
  EXPECT_EQ(rsa.Find("d"), nullptr);
}

TEST_F(AuthnTest, KeysThatCantSignAreRefusedAtStart) {
  EXPECT_THAT(std::string(NewSigningKeys("nonsense").status().message()),
              HasSubstr("not a key in PEM form"));
}

TEST_F(AuthnTest, TheIssuerIsDiscoverable) {
  const json::Value document = Tree(issuer_->DiscoveryJson());
  EXPECT_EQ(document.FindString("issuer"), kIssuer);
  EXPECT_EQ(document.FindString("jwks_uri"), "https://10.0.0.1:6443/openid/v1/jwks");
  EXPECT_EQ(document.Find("id_token_signing_alg_values_supported")->items()[0].text(), "ES256");
}

}  // namespace
}  // namespace meltemi::apiserver
