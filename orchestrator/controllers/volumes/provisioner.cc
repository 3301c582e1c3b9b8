#include "orchestrator/controllers/volumes/provisioner.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "kube/events/recorder.h"
#include "orchestrator/controllers/volumes/volumes.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::storage::v1::StorageClass;

constexpr char kHostname[] = "kubernetes.io/hostname";
// Where nodes keep such volumes unless they say otherwise.
constexpr char kDefaultFolder[] = "/var/lib/meltemi/nodes/$(NODE)/volumes";
constexpr char kFolderAnnotation[] = "meltemi.dev/local-volumes";

std::string LabelOf(const Node& node, const std::string& name) {
  const auto found = node.metadata().labels().find(name);
  return found == node.metadata().labels().end() ? "" : found->second;
}

bool IsReady(const Node& node) {
  if (node.spec().unschedulable() || node.metadata().has_deletion_timestamp()) return false;
  const auto& conditions = node.status().conditions();
  return std::any_of(conditions.begin(), conditions.end(), [](const auto& condition) {
    return condition.type() == "Ready" && condition.status() == "True";
  });
}

bool IsAllowed(const Node& node, const StorageClass& storage_class) {
  const auto& terms = storage_class.allowed_topologies();
  return terms.empty() || std::any_of(terms.begin(), terms.end(), [&node](const auto& term) {
           const auto& wants = term.match_label_expressions();
           return std::all_of(wants.begin(), wants.end(), [&node](const auto& want) {
             const std::string value = LabelOf(node, want.key());
             return std::find(want.values().begin(), want.values().end(), value) !=
                    want.values().end();
           });
         });
}

std::string FolderOn(const Node& node) {
  const std::string told = Annotation(node.metadata(), kFolderAnnotation);
  if (absl::StartsWith(told, "/") && !absl::StrContains(told, "..")) return told;
  return absl::StrReplaceAll(kDefaultFolder, {{"$(NODE)", node.metadata().name()}});
}

}  // namespace

std::string ProvisionedName(const PersistentVolumeClaim& claim) {
  return absl::StrCat("pvc-", claim.metadata().uid());
}

std::string WhyNotProvisioned(const PersistentVolumeClaim& claim,
                              const StorageClass& storage_class) {
  for (const std::string& mode : claim.spec().access_modes()) {
    if (mode == "ReadWriteOnce" || mode == "ReadWriteOncePod") continue;
    return absl::StrCat("access mode ", mode, " is not supported: volumes of ",
                        kLocalPathProvisioner,
                        " lie on one node, so ask for ReadWriteOnce or ReadWriteOncePod");
  }
  if (claim.spec().volume_mode() == "Block") {
    return absl::StrCat("volumeMode Block is not supported by ", kLocalPathProvisioner);
  }
  if (claim.spec().has_selector()) return "claim.spec.selector is not supported";
  if (claim.spec().has_data_source() || claim.spec().has_data_source_ref()) {
    return "claim.spec.dataSource is not supported";
  }
  if (!storage_class.mount_options().empty()) {
    return absl::StrCat("Mount options are not supported by the provisioner but StorageClass \"",
                        storage_class.metadata().name(), "\" has mount options [",
                        absl::StrJoin(storage_class.mount_options(), " "), "]");
  }
  return "";
}

NodePtr ChooseNode(const StorageClass& storage_class, const std::vector<NodePtr>& nodes,
                   const std::vector<VolumePtr>& volumes) {
  std::map<std::string, int> on;  // volumes by folder
  for (const VolumePtr& volume : volumes) {
    const std::string& path = volume->spec().persistent_volume_source().local().path();
    ++on[path.substr(0, path.rfind('/'))];
  }
  NodePtr best;
  for (const NodePtr& node : nodes) {
    if (!IsReady(*node) || !IsAllowed(*node, storage_class)) continue;
    if (best == nullptr || on[FolderOn(*node)] < on[FolderOn(*best)]) best = node;
  }
  return best;
}

PersistentVolume ProvisionedVolume(const PersistentVolumeClaim& claim,
                                   const StorageClass& storage_class, const Node& node) {
  PersistentVolume volume;
  auto& meta = *volume.mutable_metadata();
  meta.set_name(ProvisionedName(claim));
  (*meta.mutable_annotations())[kProvisionedBy] = kLocalPathProvisioner;
  auto& spec = *volume.mutable_spec();
  const auto& requests = claim.spec().resources().requests();
  if (const auto size = requests.find("storage"); size != requests.end()) {
    (*spec.mutable_capacity())["storage"] = size->second;
  }
  *spec.mutable_access_modes() = claim.spec().access_modes();
  spec.set_persistent_volume_reclaim_policy(
      storage_class.reclaim_policy().empty() ? "Delete" : storage_class.reclaim_policy());
  spec.set_storage_class_name(storage_class.metadata().name());
  spec.set_volume_mode("Filesystem");
  *spec.mutable_claim_ref() = kube::ReferenceTo(claim);
  spec.mutable_persistent_volume_source()->mutable_local()->set_path(
      absl::StrCat(FolderOn(node), "/", meta.name()));
  auto& term = *spec.mutable_node_affinity()->mutable_required()->add_node_selector_terms();
  const std::string hostname = LabelOf(node, kHostname);
  auto& here = hostname.empty() ? *term.add_match_fields() : *term.add_match_expressions();
  here.set_key(hostname.empty() ? "metadata.name" : kHostname);
  here.set_operator_("In");
  here.add_values(hostname.empty() ? node.metadata().name() : hostname);
  return volume;
}

}  // namespace meltemi::controllers
