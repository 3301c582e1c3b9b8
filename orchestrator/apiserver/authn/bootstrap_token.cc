// Bootstrap tokens: with which a new node makes itself known.
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authn/chain.h"

namespace meltemi::apiserver {
namespace {

constexpr size_t kIdBytes = 6, kSecretBytes = 16;

bool IsLowerAlnum(absl::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_islower(static_cast<unsigned char>(c)) &&
        !absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      return false;
    }
  }
  return true;
}

// "abcdef.0123456789abcdef"
bool SplitToken(absl::string_view token, absl::string_view* id, absl::string_view* secret) {
  if (token.size() != kIdBytes + 1 + kSecretBytes || token[kIdBytes] != '.') return false;
  *id = token.substr(0, kIdBytes);
  *secret = token.substr(kIdBytes + 1);
  return IsLowerAlnum(*id) && IsLowerAlnum(*secret);
}

// Takes as long whatever differs.
bool SameSecret(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

std::string DataOf(const json::Value& secret, absl::string_view key) {
  const json::Value* value = secret.Find("data", key);
  std::string out;
  if (value == nullptr || !absl::Base64Unescape(value->text(), &out)) return "";
  return out;
}

bool IsBootstrapGroup(absl::string_view group) {
  constexpr absl::string_view kPrefix = "system:bootstrappers:";
  if (!absl::StartsWith(group, kPrefix)) return false;
  const absl::string_view rest = group.substr(kPrefix.size());
  if (rest.empty() || rest.size() > 256) return false;
  for (const char c : rest) {
    if (!IsLowerAlnum(absl::string_view(&c, 1)) && c != ':' && c != '-') return false;
  }
  return IsLowerAlnum(rest.substr(rest.size() - 1));
}

class BootstrapTokenAuthenticator final : public Authenticator {
 public:
  BootstrapTokenAuthenticator(const Clock& clock, WatchCache& cache)
      : clock_(clock), cache_(cache) {}

  kube::Result<std::optional<Authenticated>> Authenticate(const Credentials& credentials) override {
    absl::string_view id, secret_text;
    if (!SplitToken(credentials.bearer_token, &id, &secret_text)) return Nobody();
    const kube::Result<ObjectPtr> found =
        cache_.Get({"", "secrets"}, "kube-system", absl::StrCat("bootstrap-token-", id), false);
    if (!found.ok()) return found.status();
    if (*found == nullptr) return Nobody();
    const json::Value secret = (*found)->Tree();
    if (kube::BeingDeleted(secret) ||
        secret.FindString("type") != "bootstrap.kubernetes.io/token" ||
        !SameSecret(DataOf(secret, "token-secret"), secret_text) ||
        DataOf(secret, "token-id") != id || Expired(secret) ||
        DataOf(secret, "usage-bootstrap-authentication") != "true") {
      return Nobody();
    }
    std::set<std::string> groups = {"system:bootstrappers"};
    const std::string extra_groups = DataOf(secret, "auth-extra-groups");
    if (!extra_groups.empty()) {
      for (const absl::string_view group : absl::StrSplit(extra_groups, ',')) {
        if (!IsBootstrapGroup(group)) return Nobody();
        groups.emplace(group);
      }
    }
    Authenticated out;
    out.user.name = absl::StrCat("system:bootstrap:", id);
    out.user.groups.assign(groups.begin(), groups.end());
    return std::optional<Authenticated>(std::move(out));
  }

 private:
  static std::optional<Authenticated> Nobody() { return std::nullopt; }

  // What is no time has expired.
  bool Expired(const json::Value& secret) const {
    const std::string text = DataOf(secret, "expiration");
    if (text.empty()) return false;
    const std::optional<int64_t> at = kube::ParseTimeMicros(text);
    const int64_t now =
        std::chrono::duration_cast<microseconds>(clock_.WallNow().time_since_epoch()).count();
    return !at.has_value() || *at <= now;
  }

  const Clock& clock_;
  WatchCache& cache_;
};

}  // namespace

std::unique_ptr<Authenticator> NewBootstrapTokenAuthenticator(const Clock& clock,
                                                              WatchCache& cache) {
  return std::make_unique<BootstrapTokenAuthenticator>(clock, cache);
}

}  // namespace meltemi::apiserver
