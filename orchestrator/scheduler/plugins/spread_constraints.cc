#include "orchestrator/scheduler/plugins/spread_constraints.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;

kube::LabelSelector SelectorOfConstraint(const core::TopologySpreadConstraint& constraint,
                                         const PodInfo& pod) {
  if (!constraint.has_label_selector()) return kube::LabelSelector::Nothing();
  if (constraint.match_label_keys().empty()) return SelectorOf(constraint.label_selector());
  kube::meta::v1::LabelSelector selector = constraint.label_selector();
  for (const std::string& key : constraint.match_label_keys()) {
    const std::string* value = FindLabel(pod.labels, key);
    if (value == nullptr) continue;
    kube::meta::v1::LabelSelectorRequirement& added = *selector.add_match_expressions();
    added.set_key(key);
    added.set_operator_("In");
    added.add_values(*value);
  }
  return SelectorOf(selector);
}

}  // namespace

bool SpreadConstraint::Counts(const PodInfo& pod, const std::string& ns) const {
  return !selector.empty() && pod.key.ns == ns && !pod.pod->metadata().has_deletion_timestamp() &&
         selector.Matches(pod.labels);
}

int64_t SpreadConstraint::CountOn(const NodeInfo& node, const std::string& ns) const {
  if (selector.empty()) return 0;
  return std::count_if(node.pods.begin(), node.pods.end(),
                       [&](const PodInfoPtr& pod) { return Counts(*pod, ns); });
}

SpreadConstraints ConstraintsOf(const PodInfo& pod, absl::string_view action) {
  SpreadConstraints constraints;
  for (const core::TopologySpreadConstraint& from : pod.pod->spec().topology_spread_constraints()) {
    if (from.when_unsatisfiable() != action) continue;
    SpreadConstraint read;
    read.max_skew = from.max_skew();
    read.topology_key = from.topology_key();
    read.selector = SelectorOfConstraint(from, pod);
    if (from.has_min_domains()) read.min_domains = from.min_domains();
    if (from.has_node_affinity_policy()) {
      read.honor_affinity = from.node_affinity_policy() == "Honor";
    }
    if (from.has_node_taints_policy()) read.honor_taints = from.node_taints_policy() == "Honor";
    constraints.push_back(std::move(read));
  }
  return constraints;
}

SpreadConstraints SystemDefaults(const kube::LabelSelector& selector) {
  SpreadConstraint hosts, zones;
  hosts.topology_key = kHostnameLabel;
  hosts.max_skew = 3;
  hosts.selector = selector;
  zones.topology_key = kZoneLabel;
  zones.max_skew = 5;
  zones.selector = selector;
  return {std::move(hosts), std::move(zones)};
}

bool HasAllKeys(const SpreadConstraints& constraints, const NodeFacts& node) {
  return std::all_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint& each) {
    return FindLabel(node.labels, each.topology_key) != nullptr;
  });
}

bool IsIncluded(const SpreadConstraint& constraint, const PodInfo& pod,
                const RequiredNodeAffinity& affinity, const NodeFacts& node) {
  if (constraint.honor_affinity && !affinity.Matches(node)) return false;
  return !constraint.honor_taints || FirstUntolerated(pod.pod->spec(), node) == nullptr;
}

std::string CountedBy(const SpreadConstraints& constraints, const PodInfo& pod) {
  std::string text = absl::StrCat(pod.key.ns, "\n");
  bool affinity = false, taints = false;
  for (const SpreadConstraint& each : constraints) {
    absl::StrAppend(&text, each.topology_key, "|", each.selector.ToString(), "|",
                    each.selector.empty() ? "" : "s", each.honor_affinity ? "a" : "",
                    each.honor_taints ? "t" : "", "\n");
    affinity |= each.honor_affinity;
    taints |= each.honor_taints;
  }
  const core::PodSpec& spec = pod.pod->spec();
  if (affinity) text += TextOf(spec);
  for (int i = 0; taints && i < spec.tolerations().size(); ++i) {
    AppendBytes(spec.tolerations(i), &text);
  }
  return text;
}

}  // namespace meltemi::scheduler
