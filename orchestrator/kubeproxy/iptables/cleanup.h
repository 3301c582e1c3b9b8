// Taking rules away that this proxy, or one before it, has written with iptables.
//
// Threads: functions without state; those that run programs block.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meltemi::kubeproxy::iptables {

// An empty chain of this name beside Kubernetes' ones says that those are ours.
constexpr char kMarkerChain[] = "MELTEMI-PROXY";

// A chain of the proxy: of a service, or shared by all.
bool IsOurs(const std::string& chain);

// Input for iptables-restore that removes the chains for which `remove` is true, and rules of other
// chains that lead to them; "": there is nothing to remove. `saved`: what iptables-save has said.
// Only tables in which the marker is are touched.
std::string RemovalOf(absl::string_view saved,
                      const std::function<bool(const std::string&)>& remove);

// With `program` ("iptables", "iptables-nft", "iptables-legacy"): everything of ours. kNotFound:
// there is no such program.
absl::Status RemoveAll(const std::string& program);

}  // namespace meltemi::kubeproxy::iptables
