// The plugins that fill something in: tolerations, priority, classes, finalizers, the first taint.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/plugin.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kNotReady = "node.kubernetes.io/not-ready";
constexpr absl::string_view kUnreachable = "node.kubernetes.io/unreachable";

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

class DefaultTolerationSeconds final : public AdmissionPlugin {
 public:
  DefaultTolerationSeconds(int64_t not_ready_seconds, int64_t unreachable_seconds)
      : not_ready_seconds_(not_ready_seconds), unreachable_seconds_(unreachable_seconds) {}

  absl::string_view name() const override { return "DefaultTolerationSeconds"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "", "pods") || !IsWrite(request)) return kube::Done{};
    Value& tolerations = MutableArray(request.object.MutableObject("spec"), "tolerations");
    const bool has_not_ready = Tolerates(tolerations, kNotReady);
    const bool has_unreachable = Tolerates(tolerations, kUnreachable);
    if (!has_not_ready) tolerations.Append(Toleration(kNotReady, not_ready_seconds_));
    if (!has_unreachable) tolerations.Append(Toleration(kUnreachable, unreachable_seconds_));
    return kube::Done{};
  }

 private:
  static bool Tolerates(const Value& tolerations, absl::string_view taint) {
    for (const Value& toleration : tolerations.items()) {
      const absl::string_view key = toleration.FindString("key");
      const absl::string_view effect = toleration.FindString("effect");
      if ((key == taint || key.empty()) && (effect == "NoExecute" || effect.empty())) return true;
    }
    return false;
  }
  static Value Toleration(absl::string_view taint, int64_t seconds) {
    Value out = Value::Object();
    out.Add("key", Text(taint));
    out.Add("operator", Text("Exists"));
    out.Add("effect", Text("NoExecute"));
    out.Add("tolerationSeconds", Value::Int(seconds));
    return out;
  }

  const int64_t not_ready_seconds_, unreachable_seconds_;
};

class PriorityPlugin final : public AdmissionPlugin {
 public:
  explicit PriorityPlugin(WatchCache& cache) : cache_(cache) {}

  absl::string_view name() const override { return "Priority"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "", "pods") || !IsWrite(request)) return kube::Done{};
    if (request.operation == Operation::kCreate) return OfNewPod(request);
    // An update that leaves them out keeps them.
    const Value* old_spec = request.old_object.Find("spec");
    if (old_spec == nullptr) return kube::Done{};
    Value& spec = request.object.MutableObject("spec");
    for (const absl::string_view member : {"priority", "preemptionPolicy"}) {
      const Value* held = old_spec->Find(member);
      if (spec.Find(member) == nullptr && held != nullptr) spec.Set(member, *held);
    }
    return kube::Done{};
  }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (!IsMain(request, storage_.group, storage_.resource) || !IsWrite(request) ||
        !kube::BoolAt(request.object, "globalDefault", false)) {
      return kube::Done{};
    }
    const kube::Result<Value> held = GlobalDefault();
    if (!held.ok()) return held.status();
    if (held->is_null() || (request.operation == Operation::kUpdate &&
                            kube::Name(*held) == kube::Name(request.object))) {
      return kube::Done{};
    }
    return Refuse(request, absl::StrCat("PriorityClass ", kube::Name(*held),
                                        " is already marked as default. Only one default can "
                                        "exist"));
  }

 private:
  kube::Outcome OfNewPod(AdmissionRequest& request) {
    Value& spec = request.object.MutableObject("spec");
    const std::string class_name(spec.FindString("priorityClassName"));
    kube::Result<Value> priority_class = class_name.empty() ? GlobalDefault() : Class(class_name);
    if (!priority_class.ok()) return priority_class.status();
    int64_t priority = 0;
    std::string policy = "PreemptLowerPriority";
    if (!priority_class->is_null()) {
      priority = kube::IntAt(*priority_class, "value", 0);
      policy = std::string(priority_class->FindString("preemptionPolicy"));
      if (class_name.empty()) spec.Set("priorityClassName", Text(kube::Name(*priority_class)));
    } else if (!class_name.empty()) {
      return Refuse(request, absl::StrCat("no PriorityClass with name ", class_name, " was found"));
    }
    const Value* given = spec.Find("priority");
    if (given != nullptr && given->is_number() && given->AsInt64() != priority) {
      return Refuse(request, absl::StrCat("the integer value of priority (", given->text(),
                                          ") must not be provided in pod spec; priority admission "
                                          "controller computed ",
                                          priority, " from the given PriorityClass name"));
    }
    spec.Set("priority", Value::Int(priority));
    if (policy.empty()) return kube::Done{};
    const absl::string_view given_policy = spec.FindString("preemptionPolicy");
    if (!given_policy.empty() && given_policy != policy) {
      return Refuse(request, absl::StrCat("the string value of PreemptionPolicy (", given_policy,
                                          ") must not be provided in pod spec; priority admission "
                                          "controller computed ",
                                          policy, " from the given PriorityClass name"));
    }
    spec.Set("preemptionPolicy", Text(policy));
    return kube::Done{};
  }

  // Null when there is none.
  kube::Result<Value> Class(const std::string& class_name) {
    kube::Result<ObjectPtr> found = cache_.Get(storage_, "", class_name, false);
    if (found.ok() && *found == nullptr) found = cache_.Get(storage_, "", class_name, true);
    if (!found.ok()) return found.status();
    return *found == nullptr ? Value() : (*found)->Tree();
  }

  // Of several the lowest.
  kube::Result<Value> GlobalDefault() {
    ListQuery query;
    query.any_version = true;
    const kube::Result<ListResult> list = cache_.List(storage_, query);
    if (!list.ok()) return list.status();
    Value out;
    for (const ObjectPtr& object : list->objects) {
      if (object->json.find("\"globalDefault\"") == std::string::npos) continue;
      Value tree = object->Tree();
      if (!kube::BoolAt(tree, "globalDefault", false)) continue;
      if (out.is_null() || kube::IntAt(tree, "value", 0) < kube::IntAt(out, "value", 0)) {
        out = std::move(tree);
      }
    }
    return out;
  }

  WatchCache& cache_;
  const kube::GroupResource storage_{"scheduling.k8s.io", "priorityclasses"};
};

// The newest object of a resource that one of the annotations marks as the default; "" when none.
kube::Result<std::string> DefaultClass(WatchCache& cache, const kube::GroupResource& storage,
                                       std::initializer_list<absl::string_view> annotations) {
  ListQuery query;
  query.any_version = true;
  const kube::Result<ListResult> list = cache.List(storage, query);
  if (!list.ok()) return list.status();
  std::string out, created;
  for (const ObjectPtr& object : list->objects) {
    const Value tree = object->Tree();
    const bool marked = std::any_of(
        annotations.begin(), annotations.end(),
        [&](absl::string_view key) { return kube::Annotation(tree, key).value_or("") == "true"; });
    if (!marked) continue;
    // Times of metadata sort as texts; lists are sorted by name.
    const std::string at = kube::TextAt(tree, "metadata.creationTimestamp");
    if (!out.empty() && at <= created) continue;
    out = object->name;
    created = at;
  }
  return out;
}

class DefaultStorageClass final : public AdmissionPlugin {
 public:
  explicit DefaultStorageClass(WatchCache& cache) : cache_(cache) {}
  absl::string_view name() const override { return "DefaultStorageClass"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "", "persistentvolumeclaims") || request.operation != Operation::kCreate) {
      return kube::Done{};
    }
    Value& spec = request.object.MutableObject("spec");
    const Value* given = spec.Find("storageClassName");
    // "" is a class too: none.
    if ((given != nullptr && given->is_string()) ||
        kube::Annotation(request.object, "volume.beta.kubernetes.io/storage-class").has_value()) {
      return kube::Done{};
    }
    const kube::Result<std::string> found =
        DefaultClass(cache_, {"storage.k8s.io", "storageclasses"},
                     {"storageclass.kubernetes.io/is-default-class",
                      "storageclass.beta.kubernetes.io/is-default-class"});
    if (!found.ok()) return Refuse(request, found.status().message);
    if (!found->empty()) spec.Set("storageClassName", Text(*found));
    return kube::Done{};
  }

 private:
  WatchCache& cache_;
};

class DefaultIngressClass final : public AdmissionPlugin {
 public:
  explicit DefaultIngressClass(WatchCache& cache) : cache_(cache) {}
  absl::string_view name() const override { return "DefaultIngressClass"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "networking.k8s.io", "ingresses") ||
        request.operation != Operation::kCreate) {
      return kube::Done{};
    }
    Value& spec = request.object.MutableObject("spec");
    const Value* given = spec.Find("ingressClassName");
    if ((given != nullptr && given->is_string()) ||
        kube::Annotation(request.object, "kubernetes.io/ingress.class").has_value()) {
      return kube::Done{};
    }
    const kube::Result<std::string> found =
        DefaultClass(cache_, {"networking.k8s.io", "ingressclasses"},
                     {"ingressclass.kubernetes.io/is-default-class"});
    if (!found.ok()) return Refuse(request, found.status().message);
    if (!found->empty()) spec.Set("ingressClassName", Text(*found));
    return kube::Done{};
  }

 private:
  WatchCache& cache_;
};

class TaintNodesByCondition final : public AdmissionPlugin {
 public:
  absl::string_view name() const override { return "TaintNodesByCondition"; }

  // So that nothing is scheduled to a node before it is known to be ready.
  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!IsMain(request, "", "nodes") || request.operation != Operation::kCreate) {
      return kube::Done{};
    }
    Value& taints = MutableArray(request.object.MutableObject("spec"), "taints");
    for (const Value& taint : taints.items()) {
      if (taint.FindString("key") == kNotReady && taint.FindString("effect") == "NoSchedule") {
        return kube::Done{};
      }
    }
    Value taint = Value::Object();
    taint.Add("key", Text(kNotReady));
    taint.Add("effect", Text("NoSchedule"));
    taints.Append(std::move(taint));
    return kube::Done{};
  }
};

class StorageObjectInUseProtection final : public AdmissionPlugin {
 public:
  absl::string_view name() const override { return "StorageObjectInUseProtection"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (request.operation != Operation::kCreate) return kube::Done{};
    absl::string_view finalizer;
    if (IsMain(request, "", "persistentvolumeclaims")) {
      finalizer = "kubernetes.io/pvc-protection";
    } else if (IsMain(request, "", "persistentvolumes")) {
      finalizer = "kubernetes.io/pv-protection";
    } else {
      return kube::Done{};
    }
    const std::vector<std::string> held = kube::Finalizers(request.object);
    if (std::find(held.begin(), held.end(), finalizer) != held.end()) return kube::Done{};
    MutableArray(kube::MutableMetadata(request.object), "finalizers").Append(Text(finalizer));
    return kube::Done{};
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewTaintNodesByCondition() {
  return std::make_unique<TaintNodesByCondition>();
}
std::unique_ptr<AdmissionPlugin> NewPriorityPlugin(WatchCache& cache) {
  return std::make_unique<PriorityPlugin>(cache);
}
std::unique_ptr<AdmissionPlugin> NewDefaultTolerationSeconds(int64_t not_ready_seconds,
                                                             int64_t unreachable_seconds) {
  return std::make_unique<DefaultTolerationSeconds>(not_ready_seconds, unreachable_seconds);
}
std::unique_ptr<AdmissionPlugin> NewDefaultStorageClass(WatchCache& cache) {
  return std::make_unique<DefaultStorageClass>(cache);
}
std::unique_ptr<AdmissionPlugin> NewDefaultIngressClass(WatchCache& cache) {
  return std::make_unique<DefaultIngressClass>(cache);
}
std::unique_ptr<AdmissionPlugin> NewStorageObjectInUseProtection() {
  return std::make_unique<StorageObjectInUseProtection>();
}

}  // namespace meltemi::apiserver
