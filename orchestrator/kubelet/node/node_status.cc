#include "orchestrator/kubelet/node/node_status.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/message_differencer.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/kubelet/node/node_parts.h"

namespace meltemi::kubelet {
namespace {

using kube::Quantity;
using kube::core::v1::NodeCondition;
using kube::core::v1::NodeStatus;

constexpr Quantity::Format kBinary = Quantity::Format::kBinarySi;
constexpr char kMemory[] = "memory", kEphemeral[] = "ephemeral-storage";

int64_t DiskReserve(const NodeOptions& options, int64_t capacity_bytes) {
  return std::min(options.disk_available_min_bytes,
                  capacity_bytes / 100 * options.disk_available_min_percent);
}

std::map<std::string, Quantity> Capacity(const NodeOptions& options, const NodeSight& sight) {
  std::map<std::string, Quantity> out;
  out["cpu"] = Quantity::Of(sight.machine.cpus);
  out[kMemory] = Quantity::Of(sight.machine.memory_bytes, kBinary);
  out["pods"] = Quantity::Of(options.pods_max);
  if (sight.pods_fs.capacity_bytes > 0) {
    out[kEphemeral] = Quantity::Of(sight.pods_fs.capacity_bytes, kBinary);
  }
  for (const auto& [size, count] : sight.machine.hugepages) {
    out[absl::StrCat("hugepages-", Quantity::Of(size, kBinary).ToString())] =
        Quantity::Of(size * count, kBinary);
  }
  return out;
}

std::map<std::string, Quantity> Reserved(const NodeOptions& options, const NodeSight& sight) {
  std::map<std::string, Quantity> out;
  out[kMemory] = Quantity::Of(options.memory_available_min_bytes, kBinary);
  out[kEphemeral] = Quantity::Of(DiskReserve(options, sight.pods_fs.capacity_bytes), kBinary);
  for (const auto* reserved : {&options.system_reserved, &options.kube_reserved}) {
    for (const auto& [name, text] : *reserved) {
      if (const auto amount = Quantity::Parse(text)) out[name] += *amount;
    }
  }
  for (const auto& [size, count] : sight.machine.hugepages) {
    out[kMemory] += Quantity::Of(size * count, kBinary);
  }
  return out;
}

void SetResources(const NodeOptions& options, const NodeSight& sight, NodeStatus* out) {
  const std::map<std::string, Quantity> capacity = Capacity(options, sight);
  const std::map<std::string, Quantity> reserved = Reserved(options, sight);
  for (auto* amounts : {out->mutable_capacity(), out->mutable_allocatable()}) {
    for (auto it = amounts->begin(); it != amounts->end();) {
      const bool gone = absl::StartsWith(it->first, "hugepages-") && capacity.count(it->first) == 0;
      it = gone ? amounts->erase(it) : std::next(it);
    }
  }
  for (const auto& [name, amount] : capacity) {
    (*out->mutable_capacity())[name].set_string(amount.ToString());
  }
  // Extended resources, which somebody has announced, are all allocatable.
  for (const auto& [name, amount] : out->capacity()) {
    Quantity left = Quantity::Parse(amount.string()).value_or(Quantity());
    if (const auto it = reserved.find(name); it != reserved.end()) left -= it->second;
    if (left.Sign() < 0) left = Quantity::Of(0, left.format());
    (*out->mutable_allocatable())[name].set_string(left.ToString());
  }
}

NodeCondition* Condition(absl::string_view type, NodeStatus* out) {
  for (NodeCondition& condition : *out->mutable_conditions()) {
    if (condition.type() == type) return &condition;
  }
  NodeCondition* const added = out->add_conditions();
  added->set_type(std::string(type));
  return added;
}

// True when its status has changed.
bool SetCondition(absl::string_view type, bool value, absl::string_view reason,
                  absl::string_view message, int64_t now_s, NodeStatus* out) {
  NodeCondition* const condition = Condition(type, out);
  const char* const status = value ? "True" : "False";
  condition->mutable_last_heartbeat_time()->set_seconds(now_s);
  condition->set_reason(std::string(reason));
  condition->set_message(std::string(message));
  if (condition->status() == status) return false;
  condition->set_status(status);
  condition->mutable_last_transition_time()->set_seconds(now_s);
  return true;
}

void SetConditions(const NodeOptions& options, const NodeSight& sight, NodeStatus* out,
                   std::vector<NodeEvent>* events) {
  const int64_t now_s = std::chrono::duration_cast<seconds>(sight.now.time_since_epoch()).count();
  const auto tell = [&](absl::string_view event) {
    events->push_back({"Normal", std::string(event),
                       absl::StrCat("Node ", options.name, " status is now: ", event)});
  };
  const auto pressure = [&](bool bad, const ConditionWords& bad_words,
                            const ConditionWords& good_words, absl::string_view bad_event,
                            absl::string_view good_event) {
    const ConditionWords& words = bad ? bad_words : good_words;
    if (SetCondition(words.type, bad, words.reason, words.message, now_s, out)) {
      tell(bad ? bad_event : good_event);
    }
  };
  constexpr ConditionWords kLittleMemory = {"MemoryPressure", "KubeletHasInsufficientMemory",
                                            "kubelet has insufficient memory available"};
  constexpr ConditionWords kLittleDisk = {"DiskPressure", "KubeletHasDiskPressure",
                                          "kubelet has disk pressure"};
  pressure(sight.memory_pressure, kLittleMemory, kEnoughMemory, "NodeHasInsufficientMemory",
           "NodeHasSufficientMemory");
  pressure(sight.disk_pressure, kLittleDisk, kEnoughDisk, "NodeHasDiskPressure",
           "NodeHasNoDiskPressure");
  // Kubernetes has no bound for processes by default, so they never press.
  pressure(false, kEnoughPids, kEnoughPids, "", "NodeHasSufficientPID");

  std::vector<std::string> problems = sight.problems;
  std::vector<std::string> missing;
  for (const char* resource : {"cpu", kMemory, "pods", kEphemeral}) {
    if (out->capacity().count(resource) == 0) missing.emplace_back(resource);
  }
  if (!missing.empty()) {
    problems.push_back(
        absl::StrCat("missing node capacity for resources: ", absl::StrJoin(missing, ", ")));
  }
  const bool ready = problems.empty();
  const bool had_condition = FindCondition(*out, kReady.type) != nullptr;
  const bool changed =
      SetCondition(kReady.type, ready, ready ? kReady.reason : "KubeletNotReady",
                   ready ? std::string(kReady.message) : JoinProblems(problems), now_s, out);
  if (changed && had_condition) tell(ready ? "NodeReady" : "NodeNotReady");
}

void SetNodeInfo(const NodeOptions& options, const NodeSight& sight, NodeStatus* out,
                 std::vector<NodeEvent>* events) {
  kube::core::v1::NodeSystemInfo* const info = out->mutable_node_info();
  const std::string& boot_id = sight.machine.boot_id;
  if (!info->boot_id().empty() && !boot_id.empty() && info->boot_id() != boot_id) {
    events->push_back(
        {"Warning", "Rebooted",
         absl::StrCat("Node ", options.name, " has been rebooted, boot id: ", boot_id)});
  }
  info->set_machine_id(sight.machine.machine_id);
  info->set_system_uuid(sight.machine.system_uuid);
  info->set_boot_id(boot_id);
  info->set_kernel_version(sight.machine.kernel_version);
  info->set_os_image(sight.machine.os_image);
  info->set_container_runtime_version(sight.runtime_version);
  info->set_kubelet_version(options.version);
  info->set_kube_proxy_version(options.version);
  info->set_operating_system("linux");
  info->set_architecture(sight.machine.architecture);
}

void SetAddresses(const NodeOptions& options, const NodeSight& sight, NodeStatus* out) {
  out->clear_addresses();
  const auto add = [out](const char* type, const std::string& text) {
    kube::core::v1::NodeAddress* const address = out->add_addresses();
    address->set_type(type);
    address->set_address(text);
  };
  if (!sight.ip.empty()) add("InternalIP", sight.ip);
  add("Hostname", options.name);
}

NodeStatus WithoutHeartbeats(NodeStatus status) {
  for (NodeCondition& condition : *status.mutable_conditions()) {
    condition.clear_last_heartbeat_time();
  }
  return status;
}

}  // namespace

std::string JoinProblems(const std::vector<std::string>& problems) {
  std::vector<std::string> unique;
  for (const std::string& problem : problems) {
    if (std::find(unique.begin(), unique.end(), problem) == unique.end()) unique.push_back(problem);
  }
  if (unique.size() == 1) return unique.front();
  return unique.empty() ? "" : absl::StrCat("[", absl::StrJoin(unique, ", "), "]");
}

bool LowOnMemory(const NodeOptions& options, const Machine& machine) {
  return machine.memory_bytes > 0 &&
         machine.memory_available_bytes < options.memory_available_min_bytes;
}

bool LowOnDisk(const NodeOptions& options, const FileSystemSpace& space) {
  if (space.capacity_bytes == 0) return false;
  if (space.available_bytes < DiskReserve(options, space.capacity_bytes)) return true;
  // Some file systems (btrfs) count no inodes.
  return space.inodes > 0 &&
         space.inodes_free < space.inodes / 100 * options.disk_available_min_percent;
}

NodeStatus NextNodeStatus(const NodeOptions& options, const NodeSight& sight,
                          const NodeStatus& before, std::vector<NodeEvent>* events) {
  NodeStatus out = before;
  SetAddresses(options, sight, &out);
  SetResources(options, sight, &out);
  SetNodeInfo(options, sight, &out, events);
  out.mutable_daemon_endpoints()->mutable_kubelet_endpoint()->set_port(options.port);
  out.clear_images();
  for (const auto& image : sight.images) *out.add_images() = image;
  SetConditions(options, sight, &out, events);
  return out;
}

bool SameNodeStatus(const NodeStatus& a, const NodeStatus& b) {
  return google::protobuf::util::MessageDifferencer::Equals(WithoutHeartbeats(a),
                                                            WithoutHeartbeats(b));
}

}  // namespace meltemi::kubelet
