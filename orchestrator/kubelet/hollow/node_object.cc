#include "orchestrator/kubelet/hollow/node_object.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "orchestrator/kubelet/hollow/pod_run.h"
#include "orchestrator/kubelet/node/node_parts.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Node;
using kube::core::v1::NodeCondition;
using kube::core::v1::NodeStatus;

constexpr uint32_t kNodesBegin = 0x7f010000;  // 127.1.0.0
constexpr uint32_t kPodsBegin = 0x0a800000;   // 10.128.0.0
constexpr int kPodBits = 23;
constexpr char kVersion[] = "v1.32.0";

int BitsFor(int pods_max) {
  int bits = 8;
  while ((1 << bits) - 2 < pods_max && bits < 16) ++bits;
  return bits;
}

void AddCondition(const ConditionWords& words, bool value, int64_t since_s, int64_t now_s,
                  NodeStatus* out) {
  NodeCondition* condition = out->add_conditions();
  condition->set_type(words.type);
  condition->set_status(value ? "True" : "False");
  condition->mutable_last_heartbeat_time()->set_seconds(now_s);
  condition->mutable_last_transition_time()->set_seconds(since_s);
  condition->set_reason(words.reason);
  condition->set_message(words.message);
}

// The same digits whenever they are asked for.
std::string Digits(absl::string_view name, uint64_t salt) {
  uint64_t hash = 0xcbf29ce484222325ULL + salt;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return absl::StrFormat("%016x%016x", hash, hash * 0x9e3779b97f4a7c15ULL);
}

std::string Uuid(absl::string_view name, uint64_t salt) {
  const std::string digits = Digits(name, salt);
  return absl::StrCat(digits.substr(0, 8), "-", digits.substr(8, 4), "-", digits.substr(12, 4), "-",
                      digits.substr(16, 4), "-", digits.substr(20, 12));
}

void AddNodeInfo(const std::string& name, NodeStatus* out) {
  kube::core::v1::NodeSystemInfo* info = out->mutable_node_info();
  info->set_machine_id(Digits(name, 1));
  info->set_system_uuid(Uuid(name, 2));
  info->set_boot_id(Uuid(name, 3));
  info->set_kernel_version("hollow");
  info->set_os_image("Meltemi hollow node");
  info->set_container_runtime_version("hollow://1.0.0");
  info->set_kubelet_version(kVersion);
  info->set_kube_proxy_version(kVersion);
  info->set_operating_system("linux");
  info->set_architecture("amd64");
}

}  // namespace

std::string NodeName(const HollowOptions& options, int node) {
  return absl::StrCat(options.name_prefix, options.first_node + node);
}

std::string NodeAddress(const HollowOptions& options, int node) {
  return AddressText(kNodesBegin + static_cast<uint32_t>(options.first_node + node) + 1);
}

int NodeOfAddress(const HollowOptions& options, absl::string_view address_or_name) {
  int64_t number = -1;
  if (const uint32_t address = ParseAddress(address_or_name); address != 0) {
    number = static_cast<int64_t>(address) - kNodesBegin - 1;
  } else if (address_or_name.substr(0, options.name_prefix.size()) == options.name_prefix) {
    if (!absl::SimpleAtoi(address_or_name.substr(options.name_prefix.size()), &number)) return -1;
  }
  number -= options.first_node;
  return number >= 0 && number < options.nodes ? static_cast<int>(number) : -1;
}

PodAddressPlan::PodAddressPlan(const HollowOptions& options)
    : first_(options.first_node), bits_(BitsFor(options.pods_max)) {}

uint32_t PodAddressPlan::Address(int node, int slot) const {
  const uint64_t block = static_cast<uint64_t>(first_ + node) << bits_;
  return kPodsBegin +
         static_cast<uint32_t>((block + static_cast<uint64_t>(slot) + 1) % (1ULL << kPodBits));
}

int PodAddressPlan::Slot(int node, uint32_t address) const {
  const int64_t slot = static_cast<int64_t>(address) - Address(node, 0);
  return slot >= 0 && slot < slots() ? static_cast<int>(slot) : -1;
}

std::string AddressText(uint32_t address) {
  return absl::StrCat(address >> 24, ".", (address >> 16) & 255, ".", (address >> 8) & 255, ".",
                      address & 255);
}

uint32_t ParseAddress(absl::string_view text) {
  in_addr parsed{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return 0;
  return ntohl(parsed.s_addr);
}

NodeStatus MakeNodeStatus(const HollowOptions& options, int node, int64_t ready_since_s,
                          WallTime now) {
  NodeStatus out;
  const std::string name = NodeName(options, node);
  const int64_t now_s = UnixSeconds(now);
  for (auto* amounts : {out.mutable_capacity(), out.mutable_allocatable()}) {
    (*amounts)["cpu"].set_string(options.cpu);
    (*amounts)["memory"].set_string(options.memory);
    (*amounts)["ephemeral-storage"].set_string(options.ephemeral_storage);
    (*amounts)["pods"].set_string(absl::StrCat(options.pods_max));
    for (const auto& [resource, amount] : options.extended_resources) {
      (*amounts)[resource].set_string(amount);
    }
  }
  for (const ConditionWords& words : {kEnoughMemory, kEnoughDisk, kEnoughPids}) {
    AddCondition(words, false, ready_since_s, now_s, &out);
  }
  AddCondition(kReady, true, ready_since_s, now_s, &out);
  kube::core::v1::NodeAddress* address = out.add_addresses();
  address->set_type("InternalIP");
  address->set_address(NodeAddress(options, node));
  address = out.add_addresses();
  address->set_type("Hostname");
  address->set_address(name);
  out.mutable_daemon_endpoints()->mutable_kubelet_endpoint()->set_port(options.port);
  AddNodeInfo(name, &out);
  return out;
}

Node MakeNode(const HollowOptions& options, int node, WallTime now) {
  Node out;
  const std::string name = NodeName(options, node);
  const int number = options.first_node + node;
  out.mutable_metadata()->set_name(name);
  auto& labels = *out.mutable_metadata()->mutable_labels();
  for (const auto& [key, value] : WellKnownLabels(name, "amd64")) labels[key] = value;
  if (options.zones > 0) {
    labels["topology.kubernetes.io/zone"] = absl::StrCat("zone-", number % options.zones);
  }
  for (const auto& [key, value] : options.labels) {
    labels[key] = absl::StrReplaceAll(value, {{"%d", absl::StrCat(number)}});
  }
  for (const std::string& taint : options.taints)
    *out.mutable_spec()->add_taints() = ParseTaint(taint);
  *out.mutable_status() = MakeNodeStatus(options, node, UnixSeconds(now), now);
  return out;
}

}  // namespace meltemi::kubelet
