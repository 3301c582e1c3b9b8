#include "orchestrator/apiserver/authz/rbac.h"

#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kGroup = "rbac.authorization.k8s.io";

struct Subject {
  std::string kind, name, ns;
};

// A RoleBinding, or with an empty namespace a ClusterRoleBinding.
struct Binding {
  std::string ns, name, role_kind, role_name;
  std::vector<Subject> subjects;

  std::string Describe(const Subject& subject) const {
    std::string who = subject.kind == "ServiceAccount"
                          ? absl::StrCat(subject.name, "/", subject.ns.empty() ? ns : subject.ns)
                          : subject.name;
    return absl::StrCat(ns.empty() ? "ClusterRoleBinding \"" : "RoleBinding \"", name,
                        ns.empty() ? "" : "/", ns, "\" of ", role_kind, " \"", role_name, "\" to ",
                        subject.kind, " \"", who, "\"");
  }
};
using BindingPtr = std::shared_ptr<const Binding>;
using RulesPtr = std::shared_ptr<const std::vector<PolicyRule>>;

// What a subject is found by: "u/NAME" or "g/NAME". Service accounts are users.
std::string KeyOf(const Subject& subject, absl::string_view binding_ns) {
  if (subject.kind == "User") return absl::StrCat("u/", subject.name);
  if (subject.kind == "Group") return absl::StrCat("g/", subject.name);
  if (subject.kind != "ServiceAccount") return "";
  const absl::string_view ns = subject.ns.empty() ? binding_ns : subject.ns;
  if (ns.empty()) return "";
  return absl::StrCat("u/system:serviceaccount:", ns, ":", subject.name);
}

BindingPtr BindingOf(const CachedObject& object) {
  const Value tree = object.Tree();
  auto out = std::make_shared<Binding>();
  out->ns = object.ns;
  out->name = object.name;
  out->role_kind = kube::TextAt(tree, "roleRef.kind");
  out->role_name = kube::TextAt(tree, "roleRef.name");
  const Value* subjects = tree.Find("subjects");
  if (subjects == nullptr) return out;
  for (const Value& subject : subjects->items()) {
    out->subjects.push_back({std::string(subject.FindString("kind")),
                             std::string(subject.FindString("name")),
                             std::string(subject.FindString("namespace"))});
  }
  return out;
}

// Shared with the cache's observers, which may outlive the authorizer.
class Index {
 public:
  void OnRole(const CacheEvent& event) {
    const auto key = std::make_pair(event.object->ns, event.object->name);
    RulesPtr rules;
    if (event.type != CacheEvent::Type::kDeleted) {
      rules = std::make_shared<const std::vector<PolicyRule>>(RulesOf(event.object->Tree()));
    }
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    if (rules == nullptr) {
      roles_.erase(key);
    } else {
      roles_[key] = std::move(rules);
    }
  }

  void OnBinding(const CacheEvent& event) {
    const auto key = std::make_pair(event.object->ns, event.object->name);
    BindingPtr binding;
    if (event.type != CacheEvent::Type::kDeleted) binding = BindingOf(*event.object);
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    BindingPtr& held = bindings_[key];
    if (held != nullptr) Unlink(held);
    held = binding;
    if (binding == nullptr) {
      bindings_.erase(key);
    } else {
      Link(binding);
    }
  }

  // Calls `visit(binding, subject, rules)` for each binding that applies, cluster-wide ones first,
  // by name; `rules` is null when the role does not exist. Ends when `visit` returns false.
  template <typename Visit>
  void Walk(const UserInfo& user, absl::string_view ns, Visit&& visit) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    std::set<std::pair<std::string, std::string>> seen;
    if (!WalkScope(user, "", seen, visit) || ns.empty()) return;
    WalkScope(user, ns, seen, visit);
  }

  RulesPtr RulesOfRole(absl::string_view kind, absl::string_view name, absl::string_view ns) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    return FindRules(kind, name, ns);
  }

 private:
  using ByName = std::map<std::string, std::pair<BindingPtr, size_t>>;  // with the subject's index

  static std::string ScopedKey(absl::string_view ns, absl::string_view subject_key) {
    return absl::StrCat(ns, "\n", subject_key);
  }

  void Link(const BindingPtr& binding) {
    for (size_t i = 0; i < binding->subjects.size(); ++i) {
      const std::string key = KeyOf(binding->subjects[i], binding->ns);
      if (key.empty()) continue;
      by_subject_[ScopedKey(binding->ns, key)].emplace(binding->name, std::make_pair(binding, i));
    }
  }

  void Unlink(const BindingPtr& binding) {
    for (const Subject& subject : binding->subjects) {
      const auto at = by_subject_.find(ScopedKey(binding->ns, KeyOf(subject, binding->ns)));
      if (at == by_subject_.end()) continue;
      at->second.erase(binding->name);
      if (at->second.empty()) by_subject_.erase(at);
    }
  }

  RulesPtr FindRules(absl::string_view kind, absl::string_view name, absl::string_view ns) const {
    if (kind != "Role" && kind != "ClusterRole") return nullptr;
    const auto at =
        roles_.find(std::make_pair(std::string(kind == "Role" ? ns : ""), std::string(name)));
    return at == roles_.end() ? nullptr : at->second;
  }

  template <typename Visit>
  bool WalkScope(const UserInfo& user, absl::string_view ns,
                 std::set<std::pair<std::string, std::string>>& seen, Visit&& visit) const {
    std::vector<std::string> keys = {absl::StrCat("u/", user.name)};
    for (const std::string& group : user.groups) keys.push_back(absl::StrCat("g/", group));
    for (const std::string& key : keys) {
      const auto at = by_subject_.find(ScopedKey(ns, key));
      if (at == by_subject_.end()) continue;
      for (const auto& [name, found] : at->second) {
        if (!seen.emplace(std::string(ns), name).second) continue;
        const Binding& binding = *found.first;
        if (!visit(binding, binding.subjects[found.second],
                   FindRules(binding.role_kind, binding.role_name, ns))) {
          return false;
        }
      }
    }
    return true;
  }

  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  std::map<std::pair<std::string, std::string>, RulesPtr> roles_;  // namespace ("": cluster), name
  std::map<std::pair<std::string, std::string>, BindingPtr> bindings_;
  absl::flat_hash_map<std::string, ByName> by_subject_;
};

std::string NoSuchRole(const Binding& binding) {
  return absl::StrCat(binding.role_kind == "Role" ? "role" : "clusterrole", ".", kGroup, " \"",
                      binding.role_name, "\" not found");
}

std::string Aggregate(std::vector<std::string> errors) {
  std::vector<std::string> unique;
  std::set<std::string> seen;
  for (std::string& error : errors) {
    if (seen.insert(error).second) unique.push_back(std::move(error));
  }
  if (unique.size() == 1) return unique[0];
  return absl::StrCat("[", absl::StrJoin(unique, ", "), "]");
}

class Rbac final : public RbacAuthorizer {
 public:
  explicit Rbac(WatchCache& cache) : index_(std::make_shared<Index>()) {
    for (const absl::string_view resource : {"roles", "clusterroles"}) {
      cache.Observe({std::string(kGroup), std::string(resource)},
                    [index = index_](const CacheEvent& event) { index->OnRole(event); });
    }
    for (const absl::string_view resource : {"rolebindings", "clusterrolebindings"}) {
      cache.Observe({std::string(kGroup), std::string(resource)},
                    [index = index_](const CacheEvent& event) { index->OnBinding(event); });
    }
  }

  Verdict Authorize(const Attributes& attributes) override {
    Verdict verdict;
    std::vector<std::string> errors;
    index_->Walk(attributes.user, attributes.ns,
                 [&](const Binding& binding, const Subject& subject, const RulesPtr& rules) {
                   if (rules == nullptr) {
                     errors.push_back(NoSuchRole(binding));
                     return true;
                   }
                   for (const PolicyRule& rule : *rules) {
                     if (!rule.Allows(attributes)) continue;
                     verdict.decision = Decision::kAllow;
                     verdict.reason = absl::StrCat("RBAC: allowed by ", binding.Describe(subject));
                     return false;
                   }
                   return true;
                 });
    if (verdict.decision != Decision::kAllow && !errors.empty()) {
      verdict.reason = absl::StrCat("RBAC: ", Aggregate(std::move(errors)));
    }
    return verdict;
  }

  std::vector<PolicyRule> RulesFor(const UserInfo& user, absl::string_view ns,
                                   std::vector<std::string>* errors) const override {
    std::vector<PolicyRule> out;
    index_->Walk(user, ns, [&](const Binding& binding, const Subject&, const RulesPtr& rules) {
      if (rules != nullptr) {
        out.insert(out.end(), rules->begin(), rules->end());
      } else if (errors != nullptr) {
        errors->push_back(NoSuchRole(binding));
      }
      return true;
    });
    return out;
  }

  kube::Result<std::vector<PolicyRule>> RulesOfRef(absl::string_view kind, absl::string_view name,
                                                   absl::string_view ns) const override {
    const RulesPtr rules = index_->RulesOfRole(kind, name, ns);
    if (rules != nullptr) return *rules;
    return kube::NotFound({std::string(kGroup), kind == "Role" ? "roles" : "clusterroles"}, name);
  }

 private:
  const std::shared_ptr<Index> index_;
};

}  // namespace

std::unique_ptr<RbacAuthorizer> NewRbacAuthorizer(WatchCache& cache) {
  return std::make_unique<Rbac>(cache);
}

}  // namespace meltemi::apiserver
