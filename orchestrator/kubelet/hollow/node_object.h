// The Node that a hollow node registers, and where its addresses lie.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/kubelet/hollow/hollow.h"

namespace meltemi::kubelet {

std::string NodeName(const HollowOptions& options, int node);

// 127.1.0.1 and on: each node has an address of this machine's loopback network.
std::string NodeAddress(const HollowOptions& options, int node);
// The number among `options.nodes` that has the address or the name; -1: none.
int NodeOfAddress(const HollowOptions& options, absl::string_view address_or_name);

// Addresses of pods lie in 10.128.0.0/9, a block of the same size for each node.
class PodAddressPlan {
 public:
  explicit PodAddressPlan(const HollowOptions& options);
  // The `slot`-th of the node's addresses; 0 <= slot < slots().
  uint32_t Address(int node, int slot) const;
  // The slot of an address of the node's block; -1: it lies elsewhere.
  int Slot(int node, uint32_t address) const;
  int slots() const { return (1 << bits_) - 2; }

 private:
  const int first_;
  const int bits_;  // of a node's block
};
std::string AddressText(uint32_t address);
uint32_t ParseAddress(absl::string_view text);  // 0: it is none

// As a kubelet registers: ready from the start.
kube::core::v1::Node MakeNode(const HollowOptions& options, int node, WallTime now);
// The status alone, as it is written again and again; `ready_since_s`: Unix time.
kube::core::v1::NodeStatus MakeNodeStatus(const HollowOptions& options, int node,
                                          int64_t ready_since_s, WallTime now);

}  // namespace meltemi::kubelet
