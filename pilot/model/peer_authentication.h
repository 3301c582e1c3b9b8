// Which workloads take plaintext, mutual TLS or both, as PeerAuthentications say it. Immutable;
// shared between snapshots.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"

namespace istio::security::v1beta1 {
class PeerAuthentication;
}

namespace meltemi::pilot {

enum class MtlsMode : uint8_t {
  kUnset,  // what the wider policy says
  kDisable,
  kPermissive,
  kStrict,
};

absl::string_view MtlsModeName(MtlsMode mode);  // "STRICT"

struct PeerAuthentication {
  ObjectMeta meta;
  Labels selector;  // empty: the namespace (of the root namespace: the mesh)
  MtlsMode mode = MtlsMode::kUnset;
  std::map<uint32_t, MtlsMode> ports;  // of the workload, not of a service
};
using PeerAuthenticationPtr = std::shared_ptr<const PeerAuthentication>;

PeerAuthenticationPtr DecodePeerAuthentication(
    const ObjectMeta& meta, const istio::security::v1beta1::PeerAuthentication& spec);

// What holds for one workload; nothing is unset.
struct MtlsPolicy {
  MtlsMode mode = MtlsMode::kPermissive;
  std::map<uint32_t, MtlsMode> ports;

  MtlsMode ForPort(uint32_t port) const {
    const auto it = ports.find(port);
    return it == ports.end() ? mode : it->second;
  }
  bool operator==(const MtlsPolicy&) const = default;
};

// All policies, found by the workload that they are for.
class PeerAuthenticationTable {
 public:
  PeerAuthenticationTable() = default;
  explicit PeerAuthenticationTable(std::vector<PeerAuthenticationPtr> policies);

  // In order of creation.
  const std::vector<PeerAuthenticationPtr>& all() const { return all_; }
  // Mesh, namespace, workload and port, each in force where the narrower one is unset; of several
  // at one level the oldest. Without any: permissive. A policy with a selector counts only outside
  // the root namespace, ports only in one with a selector.
  MtlsPolicy For(absl::string_view ns, absl::string_view root_ns, const Labels& labels) const;
  // Keys of the labels by which any policy tells workloads apart.
  const std::set<std::string>& label_keys() const { return label_keys_; }

 private:
  struct NamespacePolicies {
    PeerAuthenticationPtr whole;  // null: none
    std::vector<PeerAuthenticationPtr> selecting;
  };

  std::vector<PeerAuthenticationPtr> all_;
  std::map<std::string, NamespacePolicies, std::less<>> by_namespace_;
  std::set<std::string> label_keys_;
};

}  // namespace meltemi::pilot
