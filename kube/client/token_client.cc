#include "kube/client/token_client.h"

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/object/object.h"

namespace meltemi::kube {
namespace {

constexpr int64_t kLifeSeconds = 3600;

class ServiceAccountTokens final : public TokenSource {
 public:
  ServiceAccountTokens(Client& client, const Clock& clock, absl::string_view ns,
                       absl::string_view name)
      : client_(client),
        clock_(clock),
        folder_(absl::StrCat("/api/v1/namespaces/", ns, "/serviceaccounts")),
        name_(name) {}

  Result<std::string> Token() override {
    // Held while one is asked for: whoever else needs it waits for the same.
    const std::lock_guard<std::mutex> lock(mutex_);
    const WallTime now = clock_.WallNow();
    if (!token_.empty() && now < renew_at_) return token_;
    const Outcome renewed = Renew(now);
    if (renewed.ok()) return token_;
    if (token_.empty() || now >= expires_at_) return renewed.status();
    LOG(kWarn, "client", name_, ": the token is not renewed yet: ", renewed.status().message);
    return token_;
  }

  void Drop(absl::string_view token) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (token_ == token) token_.clear();
  }

 private:
  // With the lock held.
  Outcome Renew(WallTime now) {
    const ApiCall request{
        .method = "POST",
        .path = absl::StrCat(folder_, "/", name_, "/token"),
        .body = absl::StrCat(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",)",
                             R"("spec":{"expirationSeconds":)", kLifeSeconds, "}}")};
    Result<ApiAnswer> answer = client_.Call(request);
    if (!answer.ok() && IsNotFound(answer.status())) {
      const Outcome created = CreateAccount();
      if (!created.ok()) return created.status();
      answer = client_.Call(request);
    }
    if (!answer.ok()) return answer.status();
    const auto json = json::Parse(answer->body);
    const json::Value* const status = json.ok() ? json->Find("status") : nullptr;
    const absl::string_view token = status == nullptr ? "" : status->FindString("token");
    if (token.empty()) return InternalError("the answer to the TokenRequest has no token");
    token_ = std::string(token);
    // Counted from before the call, by our own clock: the server's may be another one.
    const auto expires = ParseTimeMicros(status->FindString("expirationTimestamp"));
    Duration life = seconds(kLifeSeconds);
    if (expires.has_value()) {
      const WallTime told{microseconds(*expires)};
      if (told - now < life) life = told - now;
    }
    expires_at_ = now + life;
    renew_at_ = now + life / 5 * 4;
    return Done{};
  }

  Outcome CreateAccount() {
    std::string body = R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":)";
    json::Writer(&body).String(name_);
    body += "}}";
    const Result<ApiAnswer> created =
        client_.Call({.method = "POST", .path = folder_, .body = std::move(body)});
    if (created.ok() || IsAlreadyExists(created.status())) return Done{};
    return created.status();
  }

  Client& client_;
  const Clock& clock_;
  const std::string folder_, name_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::string token_;
  WallTime renew_at_{}, expires_at_{};
};

class TokenClient final : public Client {
 public:
  TokenClient(Client& base, TokenSource& tokens) : base_(base), tokens_(tokens) {}

  Result<ApiAnswer> Call(const ApiCall& call) override {
    ApiCall with_token = call;
    for (int attempt = 0;; ++attempt) {
      Result<std::string> token = tokens_.Token();
      if (!token.ok()) return token.status();
      with_token.bearer_token = *std::move(token);
      Result<ApiAnswer> answer = base_.Call(with_token);
      if (answer.ok() || answer.status().code != 401) return answer;
      tokens_.Drop(with_token.bearer_token);
      if (attempt == 1) return answer;
    }
  }

  std::unique_ptr<ApiWatch> Watch(const ApiCall& call, WatchSink& sink) override {
    ApiCall with_token = call;
    Result<std::string> token = tokens_.Token();
    // Without one the server refuses the watch, and the sink hears of it.
    if (token.ok()) with_token.bearer_token = *std::move(token);
    if (with_token.bearer_token.empty()) with_token.bearer_token = "none";
    return base_.Watch(with_token, sink);
  }

 private:
  Client& base_;
  TokenSource& tokens_;
};

}  // namespace

std::unique_ptr<TokenSource> NewServiceAccountTokens(Client& client, const Clock& clock,
                                                     absl::string_view ns, absl::string_view name) {
  return std::make_unique<ServiceAccountTokens>(client, clock, ns, name);
}

std::unique_ptr<Client> NewTokenClient(Client& base, TokenSource& tokens) {
  return std::make_unique<TokenClient>(base, tokens);
}

}  // namespace meltemi::kube
