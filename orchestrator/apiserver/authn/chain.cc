#include "orchestrator/apiserver/authn/chain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meltemi::apiserver {
namespace {

using AuthenticationResult = kube::Result<std::optional<Authenticated>>;

std::optional<Authenticated> Nobody() { return std::nullopt; }

class CertificateAuthenticator final : public Authenticator {
 public:
  AuthenticationResult Authenticate(const Credentials& credentials) override {
    if (!credentials.certificate.has_value() || credentials.certificate->common_name.empty()) {
      return Nobody();
    }
    Authenticated out;
    out.user.name = credentials.certificate->common_name;
    out.user.groups = credentials.certificate->organizations;
    out.user.extra["authentication.kubernetes.io/credential-id"] = {
        absl::StrCat("X509SHA256=", credentials.certificate->sha256_hex)};
    return std::optional<Authenticated>(std::move(out));
  }
};

void AddGroup(UserInfo& user, absl::string_view group) {
  if (!user.InGroup(group)) user.groups.emplace_back(group);
}

// As Kubernetes' group adder: also for users whose plugin has not said so.
void AddAuthenticatedGroup(UserInfo& user) {
  if (user.name == "system:anonymous" || user.InGroup("system:unauthenticated")) return;
  AddGroup(user, "system:authenticated");
}

// Asks the readers of bearer tokens in order; what is wrong by one may be right by another.
class TokenChain final : public Authenticator {
 public:
  explicit TokenChain(std::vector<std::unique_ptr<Authenticator>> plugins)
      : plugins_(std::move(plugins)) {}

  AuthenticationResult Authenticate(const Credentials& credentials) override {
    if (credentials.bearer_token.empty()) return Nobody();
    std::vector<std::string> errors;
    for (const std::unique_ptr<Authenticator>& plugin : plugins_) {
      AuthenticationResult result = plugin->Authenticate(credentials);
      if (!result.ok()) {
        errors.push_back(result.status().message);
        continue;
      }
      if (!result->has_value()) continue;
      AddAuthenticatedGroup((*result)->user);
      return result;
    }
    if (errors.empty()) return kube::Unauthorized("invalid bearer token");
    return kube::Unauthorized(
        errors.size() == 1 ? errors[0] : absl::StrCat("[", absl::StrJoin(errors, ", "), "]"));
  }

 private:
  const std::vector<std::unique_ptr<Authenticator>> plugins_;
};

// A credential that says nothing about audiences is for the API server's own.
class ForApiAudiences final : public Authenticator {
 public:
  ForApiAudiences(std::vector<std::string> api_audiences, std::unique_ptr<Authenticator> plugin)
      : api_audiences_(std::move(api_audiences)), plugin_(std::move(plugin)) {}

  AuthenticationResult Authenticate(const Credentials& credentials) override {
    std::vector<std::string> audiences;
    for (const std::string& audience : api_audiences_) {
      const auto& wanted = credentials.audiences;
      if (wanted.empty() || std::find(wanted.begin(), wanted.end(), audience) != wanted.end()) {
        audiences.push_back(audience);
      }
    }
    if (audiences.empty() && !credentials.audiences.empty()) return Nobody();
    AuthenticationResult result = plugin_->Authenticate(credentials);
    if (result.ok() && result->has_value()) (*result)->audiences = std::move(audiences);
    return result;
  }

 private:
  const std::vector<std::string> api_audiences_;
  const std::unique_ptr<Authenticator> plugin_;
};

class Chain final : public Authenticator {
 public:
  Chain(std::unique_ptr<Authenticator> tokens, bool anonymous)
      : certificates_(NewCertificateAuthenticator()),
        tokens_(std::move(tokens)),
        anonymous_(anonymous) {}

  AuthenticationResult Authenticate(const Credentials& credentials) override {
    AuthenticationResult by_certificate = certificates_->Authenticate(credentials);
    if (by_certificate.ok() && by_certificate->has_value()) {
      AddAuthenticatedGroup((*by_certificate)->user);
      return by_certificate;
    }
    AuthenticationResult by_token = tokens_->Authenticate(credentials);
    // Why is for TokenReview and the log: who knocks is not told.
    if (!by_token.ok()) return kube::Unauthorized();
    if (by_token->has_value()) return by_token;
    if (!anonymous_) return kube::Unauthorized();
    Authenticated out;
    out.user.name = "system:anonymous";
    out.user.groups = {"system:unauthenticated"};
    return std::optional<Authenticated>(std::move(out));
  }

 private:
  const std::unique_ptr<Authenticator> certificates_, tokens_;
  const bool anonymous_;
};

}  // namespace

std::string BearerToken(absl::string_view authorization) {
  authorization = absl::StripAsciiWhitespace(authorization);
  const std::vector<absl::string_view> parts =
      absl::StrSplit(authorization, absl::MaxSplits(' ', 2));
  if (parts.size() < 2 || !absl::EqualsIgnoreCase(parts[0], "bearer")) return "";
  return std::string(parts[1]);
}

std::unique_ptr<Authenticator> NewCertificateAuthenticator() {
  return std::make_unique<CertificateAuthenticator>();
}

absl::StatusOr<std::unique_ptr<Authenticator>> NewTokenAuthenticatorChain(
    AuthenticatorOptions options, const Clock& clock, WatchCache& cache) {
  std::vector<std::unique_ptr<Authenticator>> plugins;
  const std::vector<std::string> audiences =
      options.api_audiences.empty() ? options.issuers : options.api_audiences;
  if (!options.token_file_text.empty()) {
    absl::StatusOr<std::unique_ptr<Authenticator>> file =
        NewTokenFileAuthenticator(options.token_file_text, options.token_file_name);
    if (!file.ok()) return file.status();
    plugins.push_back(std::make_unique<ForApiAudiences>(audiences, *std::move(file)));
  }
  if (options.keys != nullptr) {
    plugins.push_back(NewServiceAccountAuthenticator(std::move(options.issuers),
                                                     std::move(options.api_audiences),
                                                     std::move(options.keys), clock, cache));
  }
  if (options.bootstrap_tokens) {
    plugins.push_back(
        std::make_unique<ForApiAudiences>(audiences, NewBootstrapTokenAuthenticator(clock, cache)));
  }
  return std::unique_ptr<Authenticator>(std::make_unique<TokenChain>(std::move(plugins)));
}

absl::StatusOr<std::unique_ptr<Authenticator>> NewAuthenticatorChain(AuthenticatorOptions options,
                                                                     const Clock& clock,
                                                                     WatchCache& cache) {
  const bool anonymous = options.anonymous;
  absl::StatusOr<std::unique_ptr<Authenticator>> tokens =
      NewTokenAuthenticatorChain(std::move(options), clock, cache);
  if (!tokens.ok()) return tokens.status();
  return std::unique_ptr<Authenticator>(std::make_unique<Chain>(*std::move(tokens), anonymous));
}

}  // namespace meltemi::apiserver
