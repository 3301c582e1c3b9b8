// Brings the bootstrap policy into the store.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authz/bootstrap_policy.h"
#include "orchestrator/apiserver/authz/policy_rule.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kGroup = "rbac.authorization.k8s.io";
// Writes are durable one by one; side by side they share the store's commits.
constexpr int kThreads = 8;

absl::string_view ResourceOf(absl::string_view kind) {
  if (kind == "ClusterRole") return "clusterroles";
  if (kind == "ClusterRoleBinding") return "clusterrolebindings";
  return kind == "Role" ? "roles" : "rolebindings";
}

// What the user has set stays.
bool AddMissing(Value& object, absl::string_view member, const Value& wanted) {
  const Value* source = kube::Metadata(wanted).Find(member);
  if (source == nullptr) return false;
  Value& target = kube::MutableMetadata(object).MutableObject(member);
  bool changed = false;
  for (const json::Member& entry : source->members()) {
    if (target.Find(entry.key) != nullptr) continue;
    target.Add(entry.key, entry.value);
    changed = true;
  }
  return changed;
}

bool AddMissingRules(Value& role, const Value& wanted) {
  if (wanted.Find("aggregationRule") != nullptr) {
    // Its rules are the aggregation's.
    if (role.Find("aggregationRule") != nullptr) return false;
    role.Set("aggregationRule", *wanted.Find("aggregationRule"));
    return true;
  }
  const std::vector<PolicyRule> missing =
      CompactRules(MissingRules(RulesOf(role), RulesOf(wanted)));
  if (missing.empty()) return false;
  Value* rules = role.Find("rules");
  if (rules == nullptr || !rules->is_array()) rules = &role.Set("rules", Value::Array());
  for (const PolicyRule& rule : missing) rules->Append(rule.ToJson());
  return true;
}

bool SameSubject(const Value& a, const Value& b) {
  for (const absl::string_view member : {"kind", "apiGroup", "name", "namespace"}) {
    if (a.FindString(member) != b.FindString(member)) return false;
  }
  return true;
}

bool AddMissingSubjects(Value& binding, const Value& wanted) {
  const Value* source = wanted.Find("subjects");
  if (source == nullptr) return false;
  Value* subjects = binding.Find("subjects");
  if (subjects == nullptr || !subjects->is_array()) {
    subjects = &binding.Set("subjects", Value::Array());
  }
  bool changed = false;
  for (const Value& subject : source->items()) {
    const auto& held = subjects->items();
    if (std::any_of(held.begin(), held.end(),
                    [&](const Value& other) { return SameSubject(other, subject); })) {
      continue;
    }
    subjects->Append(subject);
    changed = true;
  }
  return changed;
}

// Whether `object` had to be changed.
bool Complete(Value& object, const Value& wanted) {
  const std::optional<absl::string_view> auto_update =
      kube::Annotation(object, "rbac.authorization.kubernetes.io/autoupdate");
  if (auto_update.has_value() && *auto_update == "false") return false;
  bool changed = AddMissing(object, "labels", wanted);
  changed |= AddMissing(object, "annotations", wanted);
  changed |= wanted.Find("roleRef") == nullptr ? AddMissingRules(object, wanted)
                                               : AddMissingSubjects(object, wanted);
  return changed;
}

class Reconciler {
 public:
  Reconciler(const CatalogSource& catalogs, WatchCache& cache, Objects& objects, const Clock& clock)
      : catalog_(catalogs.current()), cache_(cache), objects_(objects), clock_(clock) {}

  absl::Status EnsureNamespace(const std::string& name) {
    Value object = Value::Object();
    object.Add("apiVersion", Value::String("v1"));
    object.Add("kind", Value::String("Namespace"));
    object.Add("metadata", Value::Object()).Add("name", Value::String(name));
    const Resource* resource = catalog_->FindPreferred({"", "namespaces"});
    if (resource == nullptr) return absl::InternalError("there is no resource namespaces");
    const kube::Result<ObjectPtr> found = cache_.Get(resource->storage, "", name, false);
    if (found.ok() && *found != nullptr) return absl::OkStatus();
    WriteContext context = NewContext();
    return ToStatus(name, objects_.Create(*resource, "", std::move(object), context));
  }

  absl::Status Ensure(const Value& wanted) {
    const Resource* resource = catalog_->FindPreferred(
        {std::string(kGroup), std::string(ResourceOf(wanted.FindString("kind")))});
    if (resource == nullptr) return absl::InternalError("the rbac resources are missing");
    const std::string ns(kube::Namespace(wanted)), name(kube::Name(wanted));
    kube::Result<ObjectPtr> found = cache_.Get(resource->storage, ns, name, false);
    if (!found.ok()) return absl::UnavailableError(found.status().message);
    WriteContext context = NewContext();
    if (*found != nullptr) {
      Value current = (*found)->Tree();
      if (OtherRole(current, wanted)) {
        bool deleted_now = false;
        const kube::Result<Value> deleted =
            objects_.Delete(*resource, ns, name, DeleteRequest(), context, &deleted_now);
        if (!deleted.ok() && deleted.status().code != 404) {
          return absl::UnavailableError(deleted.status().message);
        }
        found = ObjectPtr();
      } else if (!Complete(current, wanted)) {
        return absl::OkStatus();
      }
    }
    if (*found == nullptr) {
      return ToStatus(name, objects_.Create(*resource, ns, wanted, context));
    }
    const UpdateFunction update = [&wanted](const Value& current, bool) -> kube::Result<Value> {
      Value changed = current;
      Complete(changed, wanted);
      return changed;
    };
    return ToStatus(name, objects_.Update(*resource, ns, name, update, false, context));
  }

 private:
  // A binding's roleRef can't be changed: it is made anew.
  static bool OtherRole(const Value& current, const Value& wanted) {
    if (wanted.Find("roleRef") == nullptr) return false;
    return kube::TextAt(current, "roleRef.kind") != kube::TextAt(wanted, "roleRef.kind") ||
           kube::TextAt(current, "roleRef.name") != kube::TextAt(wanted, "roleRef.name");
  }

  WriteContext NewContext() const {
    WriteContext context;
    context.user.name = "system:apiserver";
    context.user.groups = {"system:masters", "system:authenticated"};
    context.field_manager = "meltemi-apiserver";
    context.deadline = clock_.Now() + seconds(30);
    return context;
  }

  static absl::Status ToStatus(absl::string_view name, const kube::Result<Written>& result) {
    // Another server of the same store was quicker.
    if (result.ok() || result.status().reason == "AlreadyExists") return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(name, ": ", result.status().message));
  }

  const std::shared_ptr<const Catalog> catalog_;
  WatchCache& cache_;
  Objects& objects_;
  const Clock& clock_;
};

}  // namespace

absl::Status ReconcileBootstrapPolicy(const CatalogSource& catalogs, WatchCache& cache,
                                      Objects& objects, const Clock& clock) {
  Reconciler reconciler(catalogs, cache, objects, clock);
  std::vector<Value> all = BootstrapClusterRoles();
  std::set<std::string> namespaces;
  for (const Value& role : BootstrapRoles()) namespaces.emplace(kube::Namespace(role));
  for (std::vector<Value> more :
       {BootstrapRoles(), BootstrapClusterRoleBindings(), BootstrapRoleBindings()}) {
    for (Value& object : more) all.push_back(std::move(object));
  }
  for (const std::string& name : namespaces) {
    absl::Status status = reconciler.EnsureNamespace(name);
    if (!status.ok()) return status;
  }
  std::atomic<size_t> next{0};
  std::mutex mutex;
  absl::Status first_error;  // guarded by mutex
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (size_t at = next++; at < all.size(); at = next++) {
        absl::Status status = reconciler.Ensure(all[at]);
        if (status.ok()) continue;
        const std::lock_guard<std::mutex> lock(mutex);
        if (first_error.ok()) first_error = std::move(status);
        next = all.size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return first_error;
}

}  // namespace meltemi::apiserver
