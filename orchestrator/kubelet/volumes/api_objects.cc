#include "orchestrator/kubelet/volumes/api_objects.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/object/object.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::core::v1::Secret;

constexpr size_t kKeptMax = 256;
constexpr size_t kKeptBytesMax = 16 * 1024;  // of one; larger ones are read each time
constexpr Duration kKeptFor = seconds(60);
constexpr int64_t kTokenSeconds = 3600;
constexpr Duration kTokenAgeMax = std::chrono::hours(24);

}  // namespace

absl::Status FromApi(const kube::Status& status) {
  if (kube::IsNotFound(status)) return absl::NotFoundError(status.message);
  if (kube::IsTransient(status)) return absl::UnavailableError(status.message);
  return absl::UnknownError(status.message);
}

template <typename T>
absl::StatusOr<std::shared_ptr<const T>> ApiObjects::Read(const char* kind, const std::string& ns,
                                                          const std::string& name,
                                                          Duration age_max) {
  const Key key{kind, absl::StrCat(ns, "/", name)};
  if (age_max > Duration::zero()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kept_.find(key);
    if (found != kept_.end() && clock_.Now() - found->second.read_at <= age_max) {
      return std::static_pointer_cast<const T>(found->second.object);
    }
  }
  kube::Result<T> got = kube::Get<T>(client_, ns, name);
  if (!got.ok()) {
    if (kube::IsNotFound(got.status())) {
      return absl::NotFoundError(absl::StrCat(kind, " \"", name, "\" not found"));
    }
    return FromApi(got.status());
  }
  auto object = std::make_shared<const T>(*std::move(got));
  Keep(key, object);
  return object;
}

void ApiObjects::Keep(const Key& key, std::shared_ptr<const google::protobuf::Message> object) {
  const bool keeps = object->ByteSizeLong() <= kKeptBytesMax;
  const MonotonicTime now = clock_.Now();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto i = kept_.begin(); i != kept_.end();) {
    i = now - i->second.read_at > kKeptFor ? kept_.erase(i) : std::next(i);
  }
  if (keeps && kept_.size() < kKeptMax) {
    kept_[key] = {std::move(object), now};
  } else {
    kept_.erase(key);
  }
}

absl::StatusOr<std::shared_ptr<const ConfigMap>> ApiObjects::GetConfigMap(const std::string& ns,
                                                                          const std::string& name,
                                                                          Duration age_max) {
  return Read<ConfigMap>("configmap", ns, name, age_max);
}

absl::StatusOr<std::shared_ptr<const Secret>> ApiObjects::GetSecret(const std::string& ns,
                                                                    const std::string& name,
                                                                    Duration age_max) {
  return Read<Secret>("secret", ns, name, age_max);
}

absl::StatusOr<std::shared_ptr<const Node>> ApiObjects::GetNode(const std::string& name,
                                                                Duration age_max) {
  return Read<Node>("node", "", name, age_max);
}

absl::StatusOr<std::string> ApiObjects::Token(
    const Pod& pod, const kube::core::v1::ServiceAccountTokenProjection& wanted) {
  const TokenKey key{pod.metadata().uid(), wanted.audience(),
                     wanted.has_expiration_seconds() ? wanted.expiration_seconds() : kTokenSeconds};
  const WallTime now = clock_.WallNow();
  KeptToken old;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = tokens_.find(key); found != tokens_.end()) old = found->second;
  }
  if (!old.token.empty() && now < old.renew_at) return old.token;
  const kube::Result<KeptToken> renewed = Request(pod, key);
  if (!renewed.ok()) {
    const std::string& why = renewed.status().message;
    if (old.token.empty()) {
      return absl::Status(FromApi(renewed.status()).code(),
                          absl::StrCat("failed to fetch token: ", why));
    }
    if (now >= old.expires_at) {
      return absl::UnknownError(absl::StrCat("token \"", pod.spec().service_account_name(), "\"/\"",
                                             pod.metadata().namespace_(),
                                             "\" expired and refresh failed: ", why));
    }
    LOG(kWarn, "volumes", "the token of pod ", pod.metadata().namespace_(), "/",
        pod.metadata().name(), " is not renewed yet: ", why);
    return old.token;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  tokens_[key] = *renewed;
  return renewed->token;
}

kube::Result<ApiObjects::KeptToken> ApiObjects::Request(const Pod& pod, const TokenKey& key) {
  json::Value spec = json::Value::Object();
  json::Value audiences = json::Value::Array();
  if (!key.audience.empty()) audiences.Append(json::Value::String(key.audience));
  spec.Set("audiences", std::move(audiences));
  spec.Set("expirationSeconds", json::Value::Int(key.seconds));
  json::Value bound = json::Value::Object();
  bound.Set("apiVersion", json::Value::String("v1"));
  bound.Set("kind", json::Value::String("Pod"));
  bound.Set("name", json::Value::String(pod.metadata().name()));
  bound.Set("uid", json::Value::String(key.pod_uid));
  spec.Set("boundObjectRef", std::move(bound));
  json::Value request = json::Value::Object();
  request.Set("apiVersion", json::Value::String("authentication.k8s.io/v1"));
  request.Set("kind", json::Value::String("TokenRequest"));
  request.Set("spec", std::move(spec));

  const WallTime now = clock_.WallNow();
  const kube::Result<kube::ApiAnswer> answer = client_.Call(
      {.method = "POST",
       .path = absl::StrCat("/api/v1/namespaces/", pod.metadata().namespace_(), "/serviceaccounts/",
                            pod.spec().service_account_name(), "/token"),
       .body = json::ToString(request)});
  if (!answer.ok()) return answer.status();
  const auto tree = json::Parse(answer->body);
  const json::Value* const status = tree.ok() ? tree->Find("status") : nullptr;
  KeptToken out;
  if (status != nullptr) out.token = std::string(status->FindString("token"));
  if (out.token.empty()) return kube::InternalError("the answer to the TokenRequest has no token");
  // Counted from before the call, by our own clock: the server's may be another one.
  const auto expires = kube::ParseTimeMicros(status->FindString("expirationTimestamp"));
  Duration life = seconds(key.seconds);
  if (expires.has_value()) life = WallTime(microseconds(*expires)) - now;
  out.expires_at = now + life;
  out.renew_at = now + std::min<Duration>(life / 5 * 4, kTokenAgeMax);
  return out;
}

void ApiObjects::ForgetTokens(const std::string& pod_uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto i = tokens_.lower_bound({pod_uid, "", 0});
       i != tokens_.end() && i->first.pod_uid == pod_uid;) {
    i = tokens_.erase(i);
  }
}

}  // namespace meltemi::kubelet
