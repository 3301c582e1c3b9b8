// ServiceAccount: every pod runs as one, and finds its token where client libraries look for it.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/plugin.h"
#include "orchestrator/apiserver/authz/pod_mentions.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kVolumePrefix = "kube-api-access-";
constexpr absl::string_view kMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr absl::string_view kSuffixLetters = "bcdfghjklmnpqrstvwxz2456789";
constexpr size_t kSuffixLength = 5;
// A controller makes the account `default` a moment after its namespace.
constexpr std::chrono::milliseconds kDefaultAccountWait{1500};

// Told of every service account; shared with the cache's observer.
struct Arrivals {
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t count = 0;  // guarded by mutex
};

const std::vector<Value>& ItemsOf(const Value* list) {
  static const std::vector<Value>* const nothing = new std::vector<Value>;
  return list == nullptr ? *nothing : list->items();
}

std::set<std::string> NamesIn(const Value& object, absl::string_view member) {
  std::set<std::string> out;
  for (const Value& item : ItemsOf(object.Find(member))) out.emplace(item.FindString("name"));
  return out;
}

Value Object(std::initializer_list<std::pair<absl::string_view, absl::string_view>> texts) {
  Value out = Value::Object();
  for (const auto& [key, text] : texts) {
    out.Add(std::string(key), Value::String(std::string(text)));
  }
  return out;
}

// The token, the cluster's CA and the namespace.
Value TokenVolume(const std::string& name) {
  Value token = Value::Object();
  Value& projection = token.Add("serviceAccountToken", Value::Object());
  projection.Add("expirationSeconds", Value::Int(3607));
  projection.Add("path", Value::String("token"));
  Value ca = Value::Object();
  Value& map = ca.Add("configMap", Value::Object());
  map.Add("name", Value::String("kube-root-ca.crt"));
  map.Add("items", Value::Array()).Append(Object({{"key", "ca.crt"}, {"path", "ca.crt"}}));
  Value file = Object({{"path", "namespace"}});
  file.Add("fieldRef", Object({{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}}));
  Value downward = Value::Object();
  downward.Add("downwardAPI", Value::Object()).Add("items", Value::Array()).Append(std::move(file));
  Value volume = Object({{"name", name}});
  Value& projected = volume.Add("projected", Value::Object());
  Value& sources = projected.Add("sources", Value::Array());
  sources.Append(std::move(token));
  sources.Append(std::move(ca));
  sources.Append(std::move(downward));
  projected.Add("defaultMode", Value::Int(0644));
  return volume;
}

bool ShouldMount(const Value& account, const Value& pod) {
  const bool of_account = kube::BoolAt(account, "automountServiceAccountToken", true);
  return kube::BoolAt(pod, "spec.automountServiceAccountToken", of_account);
}

// Which secret of a container the account does not list; `who` is "container", "init container" ….
std::string ForeignSecret(const Value& container, absl::string_view who,
                          const std::set<std::string>& allowed, absl::string_view account) {
  const auto text = [&](absl::string_view what, absl::string_view secret) {
    return absl::StrCat(who, " ", container.FindString("name"), " with ", what,
                        " referencing secret.secretName=\"", secret,
                        "\" is not allowed because service account ", account,
                        " does not reference that secret");
  };
  for (const Value& variable : ItemsOf(container.Find("env"))) {
    const Value* reference = variable.Find("valueFrom", "secretKeyRef");
    if (reference == nullptr || allowed.count(std::string(reference->FindString("name"))) > 0) {
      continue;
    }
    return text(absl::StrCat("envVar ", variable.FindString("name")),
                reference->FindString("name"));
  }
  for (const Value& source : ItemsOf(container.Find("envFrom"))) {
    const Value* reference = source.Find("secretRef");
    if (reference == nullptr || allowed.count(std::string(reference->FindString("name"))) > 0) {
      continue;
    }
    return text("envFrom", reference->FindString("name"));
  }
  return "";
}

class ServiceAccountPlugin final : public AdmissionPlugin {
 public:
  explicit ServiceAccountPlugin(WatchCache& cache)
      : cache_(cache), arrivals_(std::make_shared<Arrivals>()) {
    cache_.Observe(storage_, [arrivals = arrivals_](const CacheEvent&) {
      const std::lock_guard<std::mutex> lock(arrivals->mutex);
      ++arrivals->count;
      arrivals->changed.notify_all();
    });
  }

  absl::string_view name() const override { return "ServiceAccount"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "", "pods") || request.operation != Operation::kCreate) {
      return kube::Done{};
    }
    Value& pod = request.object;
    if (IsMirrorPod(pod)) return Validate(request);
    Value& spec = pod.MutableObject("spec");
    std::string account_name(spec.FindString("serviceAccountName"));
    if (account_name.empty()) account_name = std::string(spec.FindString("serviceAccount"));
    if (account_name.empty()) account_name = "default";
    // Both: the second is the old name of the first.
    spec.Set("serviceAccountName", Value::String(account_name));
    spec.Set("serviceAccount", Value::String(account_name));
    const kube::Result<Value> account = Account(request, account_name);
    if (!account.ok()) return account.status();
    if (ShouldMount(*account, pod)) Mount(spec);
    const Value* pull_secrets = account->Find("imagePullSecrets");
    if (ItemsOf(spec.Find("imagePullSecrets")).empty() && !ItemsOf(pull_secrets).empty()) {
      Value& list = spec.Set("imagePullSecrets", Value::Array());
      for (const Value& secret : pull_secrets->items()) {
        list.Append(Object({{"name", secret.FindString("name")}}));
      }
    }
    return Validate(request);
  }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (!IsResource(request, "", "pods")) return kube::Done{};
    const bool ephemeral =
        request.operation == Operation::kUpdate && request.subresource == "ephemeralcontainers";
    const bool created = request.operation == Operation::kCreate && request.subresource.empty();
    if (!ephemeral && !created) return kube::Done{};
    const Value& pod = request.object;
    const std::string account_name = kube::TextAt(pod, "spec.serviceAccountName");
    if (created && IsMirrorPod(pod)) return CheckMirrorPod(request, account_name);
    if (account_name.empty()) {
      return Refuse(request, absl::StrCat("no service account specified for pod ", request.ns, "/",
                                          kube::Name(pod)));
    }
    const kube::Result<Value> account = Account(request, account_name);
    if (!account.ok()) return account.status();
    if (kube::Annotation(*account, "kubernetes.io/enforce-mountable-secrets").value_or("") !=
        "true") {
      return kube::Done{};
    }
    const std::string wrong =
        ephemeral ? ForeignInEphemeral(*account, pod) : ForeignInPod(*account, pod);
    if (!wrong.empty()) return Refuse(request, wrong);
    return kube::Done{};
  }

 private:
  kube::Result<Value> Account(const AdmissionRequest& request, const std::string& account) {
    kube::Result<ObjectPtr> found = cache_.Get(storage_, request.ns, account, false);
    if (found.ok() && *found != nullptr) return (*found)->Tree();
    const auto until = std::chrono::steady_clock::now() + kDefaultAccountWait;
    for (;;) {
      uint64_t seen;
      {
        const std::lock_guard<std::mutex> lock(arrivals_->mutex);
        seen = arrivals_->count;
      }
      found = cache_.Get(storage_, request.ns, account, true);
      if (!found.ok()) return found.status();
      if (*found != nullptr) return (*found)->Tree();
      std::unique_lock<std::mutex> lock(arrivals_->mutex);
      const bool arrived = account == "default" && arrivals_->changed.wait_until(lock, until, [&] {
        return arrivals_->count != seen;
      });
      if (!arrived) break;
    }
    return Refuse(request, absl::StrCat("error looking up service account ", request.ns, "/",
                                        account, ": serviceaccount \"", account, "\" not found"));
  }

  void Mount(Value& spec) {
    std::string volume_name;
    for (const Value& volume : ItemsOf(spec.Find("volumes"))) {
      if (absl::StartsWith(volume.FindString("name"), kVolumePrefix)) {
        volume_name = std::string(volume.FindString("name"));
      }
    }
    const bool has_volume = !volume_name.empty();
    if (!has_volume) volume_name = NewVolumeName();
    bool mounted = false;
    for (const absl::string_view member : {"initContainers", "containers"}) {
      Value* containers = spec.Find(member);
      if (containers == nullptr) continue;
      for (Value& container : containers->items()) {
        if (!container.is_object()) continue;
        Value& mounts = MutableArray(container, "volumeMounts");
        // Whoever mounts something else there does not want the token.
        const bool taken = std::any_of(
            mounts.items().begin(), mounts.items().end(),
            [](const Value& mount) { return mount.FindString("mountPath") == kMountPath; });
        if (taken) continue;
        Value mount = Object({{"name", volume_name}});
        mount.Add("readOnly", Value::Bool(true));
        mount.Add("mountPath", Value::String(std::string(kMountPath)));
        mounts.Append(std::move(mount));
        mounted = true;
      }
    }
    if (mounted && !has_volume) MutableArray(spec, "volumes").Append(TokenVolume(volume_name));
  }

  std::string NewVolumeName() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string out(kVolumePrefix);
    for (size_t i = 0; i < kSuffixLength; ++i) {
      out.push_back(kSuffixLetters[random_.Below(kSuffixLetters.size())]);
    }
    return out;
  }

  static kube::Outcome CheckMirrorPod(const AdmissionRequest& request,
                                      const std::string& account_name) {
    if (!account_name.empty()) {
      return Refuse(request, "a mirror pod may not reference service accounts");
    }
    for (const PodMention& mention : PodMentions(request.object)) {
      if (mention.first == "secrets") {
        return Refuse(request, "a mirror pod may not reference secrets");
      }
    }
    for (const Value& volume : ItemsOf(kube::At(request.object, "spec.volumes"))) {
      for (const Value& source : ItemsOf(volume.Find("projected", "sources"))) {
        if (source.Find("serviceAccountToken") == nullptr) continue;
        return Refuse(request, "a mirror pod may not use ServiceAccountToken volume projections");
      }
    }
    return kube::Done{};
  }

  static std::string ForeignInPod(const Value& account, const Value& pod) {
    const std::set<std::string> secrets = NamesIn(account, "secrets");
    const absl::string_view name = kube::Name(account);
    for (const Value& volume : ItemsOf(kube::At(pod, "spec.volumes"))) {
      const Value* secret = volume.Find("secret");
      if (secret == nullptr || secrets.count(std::string(secret->FindString("secretName"))) > 0) {
        continue;
      }
      return absl::StrCat("volume with secret.secretName=\"", secret->FindString("secretName"),
                          "\" is not allowed because service account ", name,
                          " does not reference that secret");
    }
    for (const Value& container : ItemsOf(kube::At(pod, "spec.initContainers"))) {
      std::string wrong = ForeignSecret(container, "init container", secrets, name);
      if (!wrong.empty()) return wrong;
    }
    for (const Value& container : ItemsOf(kube::At(pod, "spec.containers"))) {
      std::string wrong = ForeignSecret(container, "container", secrets, name);
      if (!wrong.empty()) return wrong;
    }
    const std::set<std::string> pull_secrets = NamesIn(account, "imagePullSecrets");
    size_t index = 0;
    for (const Value& secret : ItemsOf(kube::At(pod, "spec.imagePullSecrets"))) {
      const std::string secret_name(secret.FindString("name"));
      if (pull_secrets.count(secret_name) == 0) {
        return absl::StrCat("imagePullSecrets[", index, "].name=\"", secret_name,
                            "\" is not allowed because service account ", name,
                            " does not reference that imagePullSecret");
      }
      ++index;
    }
    return "";
  }

  static std::string ForeignInEphemeral(const Value& account, const Value& pod) {
    const std::set<std::string> secrets = NamesIn(account, "secrets");
    for (const Value& container : ItemsOf(kube::At(pod, "spec.ephemeralContainers"))) {
      std::string wrong =
          ForeignSecret(container, "ephemeral container", secrets, kube::Name(account));
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  WatchCache& cache_;
  const kube::GroupResource storage_{"", "serviceaccounts"};
  const std::shared_ptr<Arrivals> arrivals_;

  std::mutex mutex_;
  FastRandom random_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewServiceAccountPlugin(WatchCache& cache) {
  return std::make_unique<ServiceAccountPlugin>(cache);
}

}  // namespace meltemi::apiserver
