// Service account tokens: whose signature, times and audiences are right, and whose account and
// bound object are still there.
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/tls/certificate.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authn/chain.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// Clocks of two machines may differ by this much.
constexpr int64_t kLeewaySeconds = 60;
constexpr size_t kVerifiedMax = 8192;
constexpr absl::string_view kInvalidated = "service account token has been invalidated";

std::vector<std::string> Audiences(const Value* claim) {
  std::vector<std::string> out;
  if (claim == nullptr) return out;
  if (claim->is_string()) return {claim->text()};
  for (const Value& item : claim->items()) {
    if (item.is_string()) out.push_back(item.text());
  }
  return out;
}

std::string QuotedList(const std::vector<std::string>& texts) {
  return absl::StrCat("[",
                      absl::StrJoin(texts, " ",
                                    [](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, "\"", text, "\"");
                                    }),
                      "]");
}

std::vector<std::string> Intersection(const std::vector<std::string>& a,
                                      const std::vector<std::string>& b) {
  std::vector<std::string> out;
  for (const std::string& text : a) {
    if (std::find(b.begin(), b.end(), text) != b.end()) out.push_back(text);
  }
  return out;
}

struct Reference {
  bool present = false;
  std::string name, uid;

  static Reference Of(const Value* claim) {
    if (claim == nullptr || !claim->is_object()) return {};
    return {true, std::string(claim->FindString("name")), std::string(claim->FindString("uid"))};
  }
};

class ServiceAccountAuthenticator final : public Authenticator {
 public:
  ServiceAccountAuthenticator(std::vector<std::string> issuers,
                              std::vector<std::string> api_audiences,
                              std::shared_ptr<const SigningKeys> keys, const Clock& clock,
                              WatchCache& cache)
      : issuers_(std::move(issuers)),
        api_audiences_(api_audiences.empty() ? issuers_ : std::move(api_audiences)),
        keys_(std::move(keys)),
        clock_(clock),
        cache_(cache) {}

  kube::Result<std::optional<Authenticated>> Authenticate(const Credentials& credentials) override {
    const absl::StatusOr<CompactJws> jws = ParseCompactJws(credentials.bearer_token);
    if (!jws.ok()) return std::optional<Authenticated>();
    const absl::string_view issuer = jws->payload.FindString("iss");
    if (std::find(issuers_.begin(), issuers_.end(), issuer) == issuers_.end()) {
      return std::optional<Authenticated>();
    }
    const absl::Status signature = VerifyOnce(credentials.bearer_token, *jws);
    if (!signature.ok()) return kube::Unauthorized(signature.message());

    std::vector<std::string> of_token = Audiences(jws->payload.Find("aud"));
    if (of_token.empty()) of_token = api_audiences_;
    const std::vector<std::string>& wanted =
        credentials.audiences.empty() ? api_audiences_ : credentials.audiences;
    Authenticated out;
    out.audiences = Intersection(of_token, wanted);
    if (out.audiences.empty()) {
      return kube::Unauthorized(absl::StrCat("token audiences ", QuotedList(of_token),
                                             " is invalid for the target audiences ",
                                             QuotedList(wanted)));
    }
    std::string error = CheckTimes(jws->payload);
    if (error.empty()) error = Identify(jws->payload, &out.user);
    if (!error.empty()) return kube::Unauthorized(error);
    return std::optional<Authenticated>(std::move(out));
  }

 private:
  int64_t NowSeconds() const {
    return std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
  }

  // A right signature stays right: the costly part is done once per token. Bounded by forgetting
  // everything now and then.
  absl::Status VerifyOnce(absl::string_view token, const CompactJws& jws) {
    const std::string digest = tls::Sha256(token);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (verified_.contains(digest)) return absl::OkStatus();
    }
    absl::Status status = keys_->Verify(jws);
    if (status.ok()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (verified_.size() >= kVerifiedMax) verified_.clear();
      verified_.insert(digest);
    }
    return status;
  }

  std::string CheckTimes(const Value& claims) const {
    const int64_t now = NowSeconds();
    const auto time_of = [&](absl::string_view name) -> std::optional<double> {
      const Value* claim = claims.Find(name);
      if (claim == nullptr || !claim->is_number()) return std::nullopt;
      return claim->AsDouble();
    };
    for (const absl::string_view name : {"nbf", "exp", "iat"}) {
      const Value* claim = claims.Find(name);
      if (claim != nullptr && !time_of(name).has_value()) {
        return "service account token claims could not be validated due to unexpected validation "
               "error";
      }
    }
    const std::optional<double> nbf = time_of("nbf"), exp = time_of("exp"), iat = time_of("iat");
    if (nbf.has_value() && now + kLeewaySeconds < *nbf) {
      return "service account token is not valid yet";
    }
    if (exp.has_value() && now - kLeewaySeconds > *exp) {
      return "service account token has expired";
    }
    if (iat.has_value() && now + kLeewaySeconds < *iat) {
      return "service account token is issued in the future";
    }
    return "";
  }

  // The cache may be a moment behind a creation: what it lacks, or knows under another uid, is
  // asked for again with everything that has been acknowledged.
  ObjectPtr Find(absl::string_view resource, absl::string_view ns, const Reference& reference) {
    const kube::GroupResource storage{"", std::string(resource)};
    kube::Result<ObjectPtr> found = cache_.Get(storage, ns, reference.name, false);
    if (found.ok() && *found != nullptr && (*found)->uid == reference.uid) return *found;
    found = cache_.Get(storage, ns, reference.name, true);
    return found.ok() ? *found : nullptr;
  }

  bool Deleted(const CachedObject& object) const {
    // Looked for in the text first: few objects are being deleted, and parsing costs.
    if (!absl::StrContains(object.json, "\"deletionTimestamp\"")) return false;
    const Value tree = object.Tree();
    if (!kube::BeingDeleted(tree)) return false;
    const std::optional<int64_t> at =
        kube::ParseTimeMicros(kube::TextAt(tree, "metadata.deletionTimestamp"));
    return at.has_value() && *at / 1'000'000 < NowSeconds() - kLeewaySeconds;
  }

  // "" when the object is there, under this uid, and not long deleted.
  std::string CheckBound(absl::string_view resource, absl::string_view what,
                         absl::string_view claim_text, absl::string_view ns,
                         const Reference& reference) {
    const ObjectPtr object = Find(resource, ns, reference);
    if (object == nullptr) return std::string(kInvalidated);
    if (object->uid != reference.uid) {
      return absl::StrCat(what, " UID (", object->uid, ") does not match service account ",
                          claim_text, " ref claim (", reference.uid, ")");
    }
    return Deleted(*object) ? std::string(kInvalidated) : "";
  }

  // Fills in `user`; or says why the token is not good any more.
  std::string Identify(const Value& claims, UserInfo* user) {
    const Value* own = claims.Find("kubernetes.io");
    const Value nothing = Value::Object();
    if (own == nullptr || !own->is_object()) own = &nothing;
    const std::string ns(own->FindString("namespace"));
    const Reference account = Reference::Of(own->Find("serviceaccount"));
    const Reference pod = Reference::Of(own->Find("pod"));
    const Reference secret = Reference::Of(own->Find("secret"));
    const Reference node = Reference::Of(own->Find("node"));
    const ObjectPtr object = Find("serviceaccounts", ns, account);
    if (object == nullptr) {
      return kube::NotFound({"", "serviceaccounts"}, account.name).message;
    }
    if (object->uid != account.uid) {
      return absl::StrCat("service account UID (", object->uid, ") does not match claim (",
                          account.uid, ")");
    }
    if (Deleted(*object)) {
      return absl::StrCat("service account ", ns, "/", account.name, " has been deleted");
    }
    std::string error;
    if (secret.present) error = CheckBound("secrets", "secret", "secret", ns, secret);
    if (error.empty() && pod.present) error = CheckBound("pods", "pod", "pod", ns, pod);
    if (error.empty() && node.present && !pod.present) {
      error = CheckBound("nodes", "node", "node", "", node);
    }
    if (!error.empty()) return error;
    user->name = absl::StrCat("system:serviceaccount:", ns, ":", account.name);
    user->uid = account.uid;
    user->groups = {"system:serviceaccounts", absl::StrCat("system:serviceaccounts:", ns)};
    const auto extra = [&](absl::string_view key, absl::string_view value) {
      user->extra[absl::StrCat("authentication.kubernetes.io/", key)] = {std::string(value)};
    };
    if (pod.present) {
      extra("pod-name", pod.name);
      extra("pod-uid", pod.uid);
    }
    if (node.present) {
      extra("node-name", node.name);
      // Of a pod whose node is not known (any more) there is but the name.
      if (!node.uid.empty()) extra("node-uid", node.uid);
    }
    const absl::string_view id = claims.FindString("jti");
    if (!id.empty()) extra("credential-id", absl::StrCat("JTI=", id));
    return "";
  }

  const std::vector<std::string> issuers_, api_audiences_;
  const std::shared_ptr<const SigningKeys> keys_;
  const Clock& clock_;
  WatchCache& cache_;

  std::mutex mutex_;
  absl::flat_hash_set<std::string> verified_;  // guarded by mutex_: SHA-256 of tokens
};

}  // namespace

std::unique_ptr<Authenticator> NewServiceAccountAuthenticator(
    std::vector<std::string> issuers, std::vector<std::string> api_audiences,
    std::shared_ptr<const SigningKeys> keys, const Clock& clock, WatchCache& cache) {
  return std::make_unique<ServiceAccountAuthenticator>(std::move(issuers), std::move(api_audiences),
                                                       std::move(keys), clock, cache);
}

}  // namespace meltemi::apiserver
