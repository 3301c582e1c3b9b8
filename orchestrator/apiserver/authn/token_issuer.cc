#include "orchestrator/apiserver/authn/token_issuer.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/write.h"
#include "base/random/random.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// What the kubelet asks for its projected volumes: an hour, and seven seconds to be told apart.
constexpr int64_t kProjectedExpirationSeconds = 3607;
constexpr int64_t kExtendedExpirationSeconds = int64_t{365} * 24 * 3600;

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

}  // namespace

std::unique_ptr<TokenIssuer> NewTokenIssuer(TokenIssuerOptions options,
                                            std::shared_ptr<const SigningKeys> keys,
                                            const Clock& clock) {
  return std::make_unique<TokenIssuerImpl>(std::move(options), std::move(keys), clock);
}

}  // namespace meltemi::apiserver
