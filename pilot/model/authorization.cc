#include "pilot/model/authorization.h"

#include <algorithm>
#include <utility>

#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

// Go's strconv.ParseBool, which is what the annotation's values are read by.
bool IsTrue(absl::string_view word) {
  return word == "1" || word == "t" || word == "T" || word == "true" || word == "TRUE" ||
         word == "True";
}

}  // namespace

AuthorizationPolicyPtr DecodeAuthorizationPolicy(const ObjectMeta& meta,
                                                 const security::AuthorizationPolicy& spec) {
  if (spec.has_targetref() || spec.targetrefs_size() > 0) return nullptr;
  auto policy = std::make_shared<AuthorizationPolicy>();
  policy->meta = meta;
  for (const auto& [key, value] : spec.selector().match_labels()) policy->selector[key] = value;
  const auto dry_run = meta.annotations.find(kDryRunAnnotation);
  policy->dry_run = dry_run != meta.annotations.end() && IsTrue(dry_run->second);
  policy->spec = std::make_shared<security::AuthorizationPolicy>(spec);
  return policy;
}

AuthorizationTable::AuthorizationTable(std::vector<AuthorizationPolicyPtr> policies)
    : all_(std::move(policies)) {
  all_.erase(std::remove(all_.begin(), all_.end(), nullptr), all_.end());
  std::stable_sort(all_.begin(), all_.end(),
                   [](const auto& a, const auto& b) { return CreatedBefore(a->meta, b->meta); });
  for (const AuthorizationPolicyPtr& policy : all_) {
    by_namespace_[policy->meta.ns].push_back(policy);
    for (const auto& [key, value] : policy->selector) label_keys_.insert(key);
  }
}

std::vector<AuthorizationPolicyPtr> AuthorizationTable::For(absl::string_view ns,
                                                            absl::string_view root_ns,
                                                            const Labels& labels) const {
  std::vector<AuthorizationPolicyPtr> found;
  const auto add = [&](absl::string_view from) {
    const auto it = by_namespace_.find(from);
    if (it == by_namespace_.end()) return;
    for (const AuthorizationPolicyPtr& policy : it->second) {
      if (LabelsMatch(policy->selector, labels)) found.push_back(policy);
    }
  };
  add(root_ns);
  if (ns != root_ns) add(ns);
  return found;
}

}  // namespace meltemi::pilot
