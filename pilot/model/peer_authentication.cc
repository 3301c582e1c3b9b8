#include "pilot/model/peer_authentication.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

using Spec = istio::security::v1beta1::PeerAuthentication;

MtlsMode ToMode(Spec::MutualTLS::Mode mode) {
  switch (mode) {
    case Spec::MutualTLS::DISABLE:
      return MtlsMode::kDisable;
    case Spec::MutualTLS::PERMISSIVE:
      return MtlsMode::kPermissive;
    case Spec::MutualTLS::STRICT:
      return MtlsMode::kStrict;
    default:
      return MtlsMode::kUnset;
  }
}

void Narrow(const PeerAuthenticationPtr& policy, MtlsMode* mode) {
  if (policy != nullptr && policy->mode != MtlsMode::kUnset) *mode = policy->mode;
}

}  // namespace

absl::string_view MtlsModeName(MtlsMode mode) {
  switch (mode) {
    case MtlsMode::kDisable:
      return "DISABLE";
    case MtlsMode::kPermissive:
      return "PERMISSIVE";
    case MtlsMode::kStrict:
      return "STRICT";
    case MtlsMode::kUnset:
      break;
  }
  return "UNSET";
}

PeerAuthenticationPtr DecodePeerAuthentication(const ObjectMeta& meta, const Spec& spec) {
  auto policy = std::make_shared<PeerAuthentication>();
  policy->meta = meta;
  for (const auto& [key, value] : spec.selector().match_labels()) policy->selector[key] = value;
  policy->mode = ToMode(spec.mtls().mode());
  for (const auto& [port, mtls] : spec.port_level_mtls()) policy->ports[port] = ToMode(mtls.mode());
  return policy;
}

PeerAuthenticationTable::PeerAuthenticationTable(std::vector<PeerAuthenticationPtr> policies)
    : all_(std::move(policies)) {
  std::stable_sort(all_.begin(), all_.end(),
                   [](const auto& a, const auto& b) { return CreatedBefore(a->meta, b->meta); });
  for (const PeerAuthenticationPtr& policy : all_) {
    NamespacePolicies& place = by_namespace_[policy->meta.ns];
    for (const auto& [key, value] : policy->selector) label_keys_.insert(key);
    if (!policy->selector.empty()) {
      place.selecting.push_back(policy);
    } else if (place.whole == nullptr) {
      place.whole = policy;
    }
  }
}

MtlsPolicy PeerAuthenticationTable::For(absl::string_view ns, absl::string_view root_ns,
                                        const Labels& labels) const {
  MtlsPolicy result;
  const auto root = by_namespace_.find(root_ns);
  if (root != by_namespace_.end()) Narrow(root->second.whole, &result.mode);
  if (ns == root_ns) return result;
  const auto own = by_namespace_.find(ns);
  if (own == by_namespace_.end()) return result;
  Narrow(own->second.whole, &result.mode);
  const std::vector<PeerAuthenticationPtr>& selecting = own->second.selecting;
  const auto workload = std::find_if(selecting.begin(), selecting.end(), [&](const auto& policy) {
    return LabelsMatch(policy->selector, labels);
  });
  if (workload == selecting.end()) return result;
  Narrow(*workload, &result.mode);
  for (const auto& [port, mode] : (*workload)->ports) {
    result.ports.emplace(port, mode == MtlsMode::kUnset ? result.mode : mode);
  }
  return result;
}

}  // namespace meltemi::pilot
