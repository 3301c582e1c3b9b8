// Parts of a Node and its lease that all kinds of nodes write, hollow ones too.
//
// Threads: functions without state; RenewLease blocks on API calls. Source: the well-known labels,
// kube-node-lease.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"

namespace meltemi::kubelet {

// kubernetes.io/hostname, os, arch and the beta ones.
std::map<std::string, std::string> WellKnownLabels(absl::string_view node_name,
                                                   absl::string_view architecture);
// "key=value:Effect", "key:Effect"; without an effect it is NoSchedule.
kube::core::v1::Taint ParseTaint(absl::string_view text);

// Null: there is none.
const kube::core::v1::NodeCondition* FindCondition(const kube::core::v1::NodeStatus& status,
                                                   absl::string_view type);

// The reasons and messages of a node without pressure, and of a ready one.
struct ConditionWords {
  const char* type;
  const char* reason;
  const char* message;
};
constexpr ConditionWords kEnoughMemory = {"MemoryPressure", "KubeletHasSufficientMemory",
                                          "kubelet has sufficient memory available"};
constexpr ConditionWords kEnoughDisk = {"DiskPressure", "KubeletHasNoDiskPressure",
                                        "kubelet has no disk pressure"};
constexpr ConditionWords kEnoughPids = {"PIDPressure", "KubeletHasSufficientPID",
                                        "kubelet has sufficient PID available"};
constexpr ConditionWords kReady = {"Ready", "KubeletReady", "kubelet is posting ready status"};

kube::coordination::v1::Lease MakeLease(absl::string_view node_name, absl::string_view node_uid,
                                        Duration duration);
// Writes it with `now` as its time: created where it has no resourceVersion, taken over where there
// is one of an earlier process. The answer is what to renew the next time; after an error a new one
// is made.
kube::Result<kube::coordination::v1::Lease> RenewLease(kube::Client& client, WallTime now,
                                                       kube::coordination::v1::Lease lease);

}  // namespace meltemi::kubelet
