// What one class of proxies sees of a snapshot: the services it may call, the rules that apply to
// it, and for each host the DestinationRule it uses. Proxies of one namespace with the same Sidecar
// and the same labels (those that any rule asks for) are one class. Immutable; any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

struct Scope {
  SnapshotPtr snapshot;
  std::string ns;
  Labels labels;       // those that rules ask for
  SidecarPtr sidecar;  // null: everything is visible
  OutboundPolicy outbound_policy = OutboundPolicy::kAllowAny;

  // In order of creation; one service per host.
  std::vector<ServicePtr> services;
  // Those that are visible, in order of creation.
  std::vector<VirtualServicePtr> virtual_services;

  ServicePtr FindService(absl::string_view host) const;
  // Null where no rule applies.
  DestinationRulePtr FindRule(absl::string_view host) const;
  // The VirtualServices of `gateway` whose hosts cover `host`, those of the most specific host that
  // any of them gives, in order of creation.
  std::vector<VirtualServicePtr> RulesFor(absl::string_view host, absl::string_view gateway) const;

  // --- filled by BuildScope ---
  absl::flat_hash_map<std::string, ServicePtr> by_host;
  absl::flat_hash_map<std::string, DestinationRulePtr> rule_by_host;
  // VirtualServices by each host that they give.
  absl::flat_hash_map<std::string, std::vector<VirtualServicePtr>> virtual_by_host;
  std::vector<std::string> virtual_wildcards;  // most specific first
};
using ScopePtr = std::shared_ptr<const Scope>;

// The labels of `labels` that rules of the snapshot ask for.
Labels RelevantLabels(const Snapshot& snapshot, const Labels& labels);

// `use_sidecar`: false for gateways and proxyless clients, which see everything exported to them.
ScopePtr BuildScope(SnapshotPtr snapshot, const std::string& ns, const Labels& labels,
                    bool use_sidecar);

}  // namespace meltemi::pilot
