#include "orchestrator/kubelet/node/node_parts.h"

#include <utility>

#include "absl/strings/str_split.h"
#include "kube/client/typed.h"

namespace meltemi::kubelet {

using kube::coordination::v1::Lease;
using kube::core::v1::NodeCondition;
using kube::core::v1::Taint;

std::map<std::string, std::string> WellKnownLabels(absl::string_view node_name,
                                                   absl::string_view architecture) {
  const std::string arch(architecture);
  return {{"kubernetes.io/hostname", std::string(node_name)},
          {"kubernetes.io/os", "linux"},
          {"kubernetes.io/arch", arch},
          {"beta.kubernetes.io/os", "linux"},
          {"beta.kubernetes.io/arch", arch}};
}

Taint ParseTaint(absl::string_view text) {
  const size_t colon = text.rfind(':');
  const std::pair<absl::string_view, absl::string_view> pair =
      absl::StrSplit(text.substr(0, colon), absl::MaxSplits('=', 1));
  Taint out;
  out.set_key(std::string(pair.first));
  out.set_value(std::string(pair.second));
  out.set_effect(colon == absl::string_view::npos ? "NoSchedule"
                                                  : std::string(text.substr(colon + 1)));
  return out;
}

const NodeCondition* FindCondition(const kube::core::v1::NodeStatus& status,
                                   absl::string_view type) {
  for (const NodeCondition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

Lease MakeLease(absl::string_view node_name, absl::string_view node_uid, Duration duration) {
  Lease out;
  const std::string name(node_name);
  out.mutable_metadata()->set_name(name);
  out.mutable_metadata()->set_namespace_("kube-node-lease");
  kube::meta::v1::OwnerReference* owner = out.mutable_metadata()->add_owner_references();
  owner->set_api_version("v1");
  owner->set_kind("Node");
  owner->set_name(name);
  owner->set_uid(std::string(node_uid));
  out.mutable_spec()->set_holder_identity(name);
  out.mutable_spec()->set_lease_duration_seconds(
      static_cast<int32_t>(std::chrono::duration_cast<seconds>(duration).count()));
  return out;
}

kube::Result<Lease> RenewLease(kube::Client& client, WallTime now, Lease lease) {
  const int64_t nanos = now.time_since_epoch().count();
  kube::meta::v1::MicroTime* time = lease.mutable_spec()->mutable_renew_time();
  time->set_seconds(nanos / 1'000'000'000);
  time->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000 / 1000 * 1000));
  if (!lease.metadata().resource_version().empty()) return kube::Update(client, lease);
  kube::Result<Lease> written = kube::Create(client, lease);
  if (written.ok() || !kube::IsAlreadyExists(written.status())) return written;
  // Of an earlier process, or of an earlier node of this name.
  kube::Result<Lease> held =
      kube::Get<Lease>(client, lease.metadata().namespace_(), lease.metadata().name());
  if (!held.ok()) return held.status();
  lease.mutable_metadata()->set_resource_version(held->metadata().resource_version());
  return kube::Update(client, lease);
}

}  // namespace meltemi::kubelet
