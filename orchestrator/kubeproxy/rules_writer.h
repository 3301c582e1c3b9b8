// How a mode writes what the model says into the kernel, as a seam between the sync loop and
// nftables, iptables or a fake.
//
// Threads: one call at a time; calls block.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

// What of the options decides about rules.
struct RulesOptions {
  std::vector<SourceRange> pods;                 // where pods are; none: not known
  std::vector<SourceRange> node_port_addresses;  // none: all of the node's
  bool masquerade_all = false;
  Ipv4 node_ip = 0;  // 0: not known

  bool operator==(const RulesOptions&) const = default;
};

class RulesWriter {
 public:
  virtual ~RulesWriter() = default;

  // Everything anew, whatever was there of ours, without a moment in which nothing is there.
  virtual absl::Status Replace(const RulesOptions& options,
                               const std::vector<ServiceRulesPtr>& services) = 0;
  // What differs from the last Replace and the Applies since; all of it or nothing. After an error
  // the next call is Replace.
  virtual absl::Status Apply(const std::vector<ServiceChange>& changes) = 0;
  // Whether what was written is still there: somebody may have flushed all rules of the machine.
  virtual absl::StatusOr<bool> Intact() = 0;
};

}  // namespace meltemi::kubeproxy
