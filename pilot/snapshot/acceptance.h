// Decides which version of each rule is in force, so that no order of applying manifests loses
// requests (docs/decisions: "weights and subsets are applied atomically"):
//
//  - a new VirtualService, or a new version of one, that names a service or subset that does not
//    exist is held back: the version before it (or none) stays in force until all it names exists;
//  - a subset that a VirtualService in force still names is retained when its DestinationRule
//    drops it or is deleted, until nothing names it any more.
//
// Both are reported as notes. Loop-owned: remembers what was in force.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

class RuleAcceptance {
 public:
  struct Result {
    std::vector<VirtualServicePtr> virtual_services;
    std::vector<DestinationRulePtr> destination_rules;
    std::vector<RuleNote> notes;
  };

  explicit RuleAcceptance(std::string root_namespace)
      : root_namespace_(std::move(root_namespace)) {}

  Result Apply(const ObjectSet& objects, const ServiceTable& services);

 private:
  using SubsetKey = std::pair<std::string, std::string>;  // host, subset

  // What `rule` lacks to be put in force, in words; empty: nothing.
  std::string MissingFor(const VirtualService& rule, const ServiceTable& services,
                         const RuleTable& written) const;
  void Retain(const ServiceTable& services, const RuleTable& written, Result* result);
  void RetainSubset(const SubsetKey& key, const VirtualService& user, Result* result);

  const std::string root_namespace_;
  std::map<std::string, VirtualServicePtr> in_force_;  // by object id
  // The rule that last defined each subset that is in use.
  std::map<SubsetKey, DestinationRulePtr> last_definition_;
};

}  // namespace meltemi::pilot
