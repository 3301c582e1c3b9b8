#include "orchestrator/apiserver/authn/token_issuer.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/write.h"
#include "base/random/random.h"
#include "kube/object/object.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// What the kubelet asks for its projected volumes: an hour, and seven seconds to be told apart.
constexpr int64_t kProjectedExpirationSeconds = 3607;
constexpr int64_t kExtendedExpirationSeconds = int64_t{365} * 24 * 3600;
constexpr int64_t kExpirationSecondsMin = 600;
constexpr int64_t kExpirationSecondsMax = int64_t{1} << 32;

int64_t UnixSeconds(const Clock& clock) {
  return std::chrono::duration_cast<seconds>(clock.WallNow().time_since_epoch()).count();
}

Value Reference(absl::string_view name, absl::string_view uid) {
  Value out = Value::Object();
  if (!name.empty()) out.Add("name", Value::String(std::string(name)));
  if (!uid.empty()) out.Add("uid", Value::String(std::string(uid)));
  return out;
}

class TokenIssuerImpl final : public TokenIssuer {
 public:
  TokenIssuerImpl(TokenIssuerOptions options, std::shared_ptr<const SigningKeys> keys,
                  const Clock& clock)
      : options_(std::move(options)), keys_(std::move(keys)), clock_(clock) {
    if (options_.api_audiences.empty()) options_.api_audiences = {options_.issuer};
  }

  IssuedToken Issue(const TokenRequest& request) override {
    const int64_t now = UnixSeconds(clock_);
    const bool extended = Extends(request);
    Value claims = Value::Object();
    Value& audiences = claims.Add("aud", Value::Array());
    for (const std::string& audience : request.audiences) {
      audiences.Append(Value::String(audience));
    }
    claims.Add("exp", Value::Int(now + (extended ? kExtendedExpirationSeconds
                                                 : request.expiration_seconds)));
    claims.Add("iat", Value::Int(now));
    claims.Add("iss", Value::String(options_.issuer));
    claims.Add("jti", Value::String(NewUuid()));
    claims.Add("kubernetes.io",
               OwnClaims(request, extended ? now + request.expiration_seconds : 0));
    claims.Add("nbf", Value::Int(now));
    claims.Add("sub", Value::String(absl::StrCat("system:serviceaccount:", request.ns, ":",
                                                 request.service_account)));
    const absl::StatusOr<std::string> token = keys_->Sign(json::ToString(claims));
    // Keys have signed once when they were read: "" is all but impossible, and refused by callers.
    return {token.ok() ? *token : "", now + request.expiration_seconds};
  }

  std::string KeySetJson() const override { return keys_->KeySetJson(); }

  std::string DiscoveryJson() const override {
    Value out = Value::Object();
    out.Add("issuer", Value::String(options_.issuer));
    out.Add("jwks_uri", Value::String(options_.jwks_uri));
    out.Add("response_types_supported", Value::Array()).Append(Value::String("id_token"));
    out.Add("subject_types_supported", Value::Array()).Append(Value::String("public"));
    Value& algorithms = out.Add("id_token_signing_alg_values_supported", Value::Array());
    for (const std::string& name : keys_->Algorithms()) algorithms.Append(Value::String(name));
    return json::ToString(out);
  }

 private:
  bool Extends(const TokenRequest& request) const {
    const std::vector<std::string>& own = options_.api_audiences;
    return options_.extend_expiration && request.bound_kind == "Pod" &&
           request.expiration_seconds == kProjectedExpirationSeconds &&
           std::all_of(request.audiences.begin(), request.audiences.end(),
                       [&](const std::string& audience) {
                         return std::find(own.begin(), own.end(), audience) != own.end();
                       });
  }

  static Value OwnClaims(const TokenRequest& request, int64_t warn_after) {
    Value own = Value::Object();
    own.Add("namespace", Value::String(request.ns));
    if (request.bound_kind == "Node") {
      own.Add("node", Reference(request.bound_name, request.bound_uid));
    } else if (request.bound_kind == "Pod") {
      if (!request.node_name.empty()) {
        own.Add("node", Reference(request.node_name, request.node_uid));
      }
      own.Add("pod", Reference(request.bound_name, request.bound_uid));
    } else if (request.bound_kind == "Secret") {
      own.Add("secret", Reference(request.bound_name, request.bound_uid));
    }
    own.Add("serviceaccount", Reference(request.service_account, request.service_account_uid));
    if (warn_after != 0) own.Add("warnafter", Value::Int(warn_after));
    return own;
  }

  std::string NewUuid() {
    uint64_t high, low;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      high = random_.Next();
      low = random_.Next();
    }
    // RFC 4122: version 4, variant 10.
    high = (high & ~uint64_t{0xF000}) | 0x4000;
    low = (low & ~(uint64_t{3} << 62)) | (uint64_t{1} << 63);
    return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, (high >> 16) & 0xFFFF,
                           high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFF);
  }

  TokenIssuerOptions options_;  // constant after construction
  const std::shared_ptr<const SigningKeys> keys_;
  const Clock& clock_;

  std::mutex mutex_;
  FastRandom random_;  // guarded by mutex_
};

// One token request, step by step.
class TokenCreation {
 public:
  TokenCreation(WatchCache& cache, absl::string_view ns, absl::string_view name)
      : cache_(cache), ns_(ns), name_(name) {}

  kube::Result<ObjectPtr> Get(absl::string_view resource, absl::string_view ns,
                              absl::string_view name) {
    const kube::GroupResource storage{"", std::string(resource)};
    kube::Result<ObjectPtr> found = cache_.Get(storage, ns, name, true);
    if (found.ok() && *found == nullptr) return kube::NotFound(storage, name);
    return found;
  }

  // That metadata, if any, says the same as the path.
  kube::Outcome CheckMetadata(const Value& review) {
    const kube::FieldPath metadata("metadata");
    const kube::GroupVersionKind kind{"authentication.k8s.io", "v1", "TokenRequest"};
    const absl::string_view name = kube::Name(review), ns = kube::Namespace(review);
    if (!name.empty() && name != name_) {
      return kube::Invalid(kind, name_,
                           {kube::InvalidField(metadata.Child("name"), name,
                                               "must match the service account name if "
                                               "specified")});
    }
    if (!ns.empty() && ns != ns_) {
      return kube::Invalid(kind, name_,
                           {kube::InvalidField(metadata.Child("namespace"), ns,
                                               "must match the service account namespace if "
                                               "specified")});
    }
    return kube::Done{};
  }

  kube::Outcome CheckExpiration(int64_t expiration_seconds) {
    const kube::FieldPath path = kube::FieldPath("spec").Child("expirationSeconds");
    absl::string_view wrong;
    if (expiration_seconds < kExpirationSecondsMin) {
      wrong = "may not specify a duration less than 10 minutes";
    } else if (expiration_seconds > kExpirationSecondsMax) {
      wrong = "may not specify a duration larger than 2^32 seconds";
    } else {
      return kube::Done{};
    }
    return kube::Invalid({"authentication.k8s.io", "v1", "TokenRequest"}, "",
                         {kube::InvalidField(path, expiration_seconds, wrong)});
  }

  // spec.boundObjectRef.
  kube::Outcome Bind(const Value& reference, TokenRequest* request) {
    const kube::GroupVersionKind gvk = kube::GroupVersionKind::Of(
        reference.FindString("apiVersion"), reference.FindString("kind"));
    const std::string name(reference.FindString("name"));
    const bool known =
        gvk.group.empty() && (gvk.kind == "Pod" || gvk.kind == "Secret" || gvk.kind == "Node");
    if (!known) {
      return kube::BadRequest(absl::StrCat("cannot bind token to object of type ", gvk.group, "/",
                                           gvk.version, ", Kind=", gvk.kind));
    }
    const absl::string_view resource = gvk.kind == "Pod"      ? "pods"
                                       : gvk.kind == "Secret" ? "secrets"
                                                              : "nodes";
    const kube::Result<ObjectPtr> object = Get(resource, gvk.kind == "Node" ? "" : ns_, name);
    if (!object.ok()) return object.status();
    if (gvk.kind == "Pod") {
      kube::Outcome pod = BindPod((*object)->Tree(), request);
      if (!pod.ok()) return pod;
    }
    const absl::string_view uid = reference.FindString("uid");
    if (!uid.empty() && uid != (*object)->uid) {
      return kube::Conflict(
          {"", gvk.kind}, name,
          absl::StrCat("the UID in the bound object reference (", uid,
                       ") does not match the UID in record. The object might have been deleted "
                       "and then recreated"));
    }
    request->bound_kind = gvk.kind;
    request->bound_name = name;
    request->bound_uid = (*object)->uid;
    return kube::Done{};
  }

 private:
  kube::Outcome BindPod(const Value& pod, TokenRequest* request) {
    if (kube::TextAt(pod, "spec.serviceAccountName") != name_) {
      return kube::BadRequest(
          absl::StrCat("cannot bind token for serviceaccount \"", name_,
                       "\" to pod running with different serviceaccount name."));
    }
    request->node_name = kube::TextAt(pod, "spec.nodeName");
    if (request->node_name.empty()) return kube::Done{};
    const kube::Result<ObjectPtr> node = cache_.Get({"", "nodes"}, "", request->node_name, true);
    if (!node.ok()) return node.status();
    if (*node != nullptr) request->node_uid = (*node)->uid;
    return kube::Done{};
  }

  WatchCache& cache_;
  const std::string ns_, name_;
};

void FillMetadata(Value& review, absl::string_view ns, absl::string_view name, int64_t now) {
  Value& metadata = kube::MutableMetadata(review);
  metadata.Set("name", Value::String(std::string(name)));
  metadata.Set("namespace", Value::String(std::string(ns)));
  metadata.Set("creationTimestamp", Value::String(kube::FormatTime(now)));
}

std::vector<std::string> TakeAudiences(Value& spec, const TokenIssuerOptions& options) {
  const Value* sent = spec.Find("audiences");
  std::vector<std::string> out;
  if (sent != nullptr) {
    for (const Value& item : sent->items()) out.push_back(item.text());
  }
  if (out.empty()) out = options.api_audiences;
  if (out.empty()) out = {options.issuer};
  Value list = Value::Array();
  for (const std::string& audience : out) list.Append(Value::String(audience));
  spec.Set("audiences", std::move(list));
  return out;
}

}  // namespace

std::unique_ptr<TokenIssuer> NewTokenIssuer(TokenIssuerOptions options,
                                            std::shared_ptr<const SigningKeys> keys,
                                            const Clock& clock) {
  return std::make_unique<TokenIssuerImpl>(std::move(options), std::move(keys), clock);
}

kube::Result<Value> CreateServiceAccountToken(const TokenIssuerOptions& options,
                                              TokenIssuer& issuer, WatchCache& cache,
                                              const Clock& clock, absl::string_view ns,
                                              absl::string_view name, Value review,
                                              std::vector<std::string>* warnings) {
  if (!review.is_object()) return kube::BadRequest("not a TokenRequest");
  TokenCreation creation(cache, ns, name);
  kube::Outcome checked = creation.CheckMetadata(review);
  if (!checked.ok()) return checked.status();
  const kube::Result<ObjectPtr> account = creation.Get("serviceaccounts", ns, name);
  if (!account.ok()) return account.status();

  Value& spec = review.MutableObject("spec");
  TokenRequest request;
  request.ns = std::string(ns);
  request.service_account = std::string(name);
  request.service_account_uid = (*account)->uid;
  request.audiences = TakeAudiences(spec, options);
  request.expiration_seconds = kube::IntAt(spec, "expirationSeconds", 3600);
  checked = creation.CheckExpiration(request.expiration_seconds);
  if (!checked.ok()) return checked.status();
  const Value* bound = spec.Find("boundObjectRef");
  if (bound != nullptr && bound->is_object()) {
    checked = creation.Bind(*bound, &request);
    if (!checked.ok()) return checked.status();
  }
  if (options.expiration_seconds_max > 0 &&
      request.expiration_seconds > options.expiration_seconds_max) {
    warnings->push_back(absl::StrCat("requested expiration of ", request.expiration_seconds,
                                     " seconds shortened to ", options.expiration_seconds_max,
                                     " seconds"));
    request.expiration_seconds = options.expiration_seconds_max;
  }
  spec.Set("expirationSeconds", Value::Int(request.expiration_seconds));

  const IssuedToken token = issuer.Issue(request);
  if (token.token.empty()) return kube::InternalError("failed to generate token");
  FillMetadata(review, ns, name, UnixSeconds(clock));
  Value status = Value::Object();
  status.Add("token", Value::String(token.token));
  status.Add("expirationTimestamp", Value::String(kube::FormatTime(token.expires_at_s)));
  review.Set("status", std::move(status));
  return review;
}

}  // namespace meltemi::apiserver
