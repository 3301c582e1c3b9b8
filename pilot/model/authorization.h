// Who may call a workload, as AuthorizationPolicies say it. Immutable; shared between snapshots.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"

namespace istio::security::v1beta1 {
class AuthorizationPolicy;
}

namespace meltemi::pilot {

namespace security = ::istio::security::v1beta1;

struct AuthorizationPolicy {
  ObjectMeta meta;
  Labels selector;  // empty: every workload of its namespace (of the root namespace: of the mesh)
  // Annotation istio.io/dry-run: what it would decide is counted and logged, nothing is refused.
  bool dry_run = false;
  std::shared_ptr<const security::AuthorizationPolicy> spec;
};
using AuthorizationPolicyPtr = std::shared_ptr<const AuthorizationPolicy>;

inline constexpr char kDryRunAnnotation[] = "istio.io/dry-run";

// Null for what selects its target in a way that we do not have (targetRefs): validation refuses
// it.
AuthorizationPolicyPtr DecodeAuthorizationPolicy(const ObjectMeta& meta,
                                                 const security::AuthorizationPolicy& spec);

// All policies, found by the workload that they protect.
class AuthorizationTable {
 public:
  AuthorizationTable() = default;
  // Nulls are left out.
  explicit AuthorizationTable(std::vector<AuthorizationPolicyPtr> policies);

  // In order of creation.
  const std::vector<AuthorizationPolicyPtr>& all() const { return all_; }
  // Those that protect the workload with `labels` in `ns`: of the root namespace, then of its own;
  // in each in order of creation.
  std::vector<AuthorizationPolicyPtr> For(absl::string_view ns, absl::string_view root_ns,
                                          const Labels& labels) const;
  // Keys of the labels by which any policy tells workloads apart.
  const std::set<std::string>& label_keys() const { return label_keys_; }

 private:
  std::vector<AuthorizationPolicyPtr> all_;
  std::map<std::string, std::vector<AuthorizationPolicyPtr>, std::less<>> by_namespace_;
  std::set<std::string> label_keys_;
};

}  // namespace meltemi::pilot
