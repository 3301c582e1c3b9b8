// Pods as controllers see them: ready, active, available; and making and deleting them.
//
// Threads: functions without state; those with a client block.
// Source: pkg/api/v1/pod, pkg/controller/controller_utils.go's rules.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

using PodPtr = std::shared_ptr<const kube::core::v1::Pod>;

const kube::core::v1::PodCondition* FindCondition(const kube::core::v1::Pod& pod,
                                                  absl::string_view type);
bool IsReady(const kube::core::v1::Pod& pod);
// Ready for at least `min_ready` by now; `in` (may be null) gets how long until then, or zero.
bool IsAvailable(const kube::core::v1::Pod& pod, Duration min_ready, WallTime now, Duration* in);
// Neither finished nor being deleted.
bool IsActive(const kube::core::v1::Pod& pod);
bool IsFinished(const kube::core::v1::Pod& pod);  // Succeeded or Failed
bool IsTerminating(const kube::core::v1::Pod& pod);

// In the order in which they are to be deleted: unassigned, pending, not ready, by deletion cost,
// doubled up on a node (`pods_on_node` says how many related ones are there; may be empty), ready
// for less time, more restarts, younger. With `now`, times count by their order of magnitude only,
// and pods alike in that come in the order of their uids, which is as good as random.
void SortForDeletion(std::vector<PodPtr>& pods,
                     const std::function<int(const kube::core::v1::Pod&)>& pods_on_node,
                     std::optional<WallTime> now = std::nullopt);

// A pod made of the template, controlled by the owner: generateName "OWNER-" when `name` is empty.
kube::core::v1::Pod PodFromTemplate(const kube::core::v1::PodTemplateSpec& pod_template,
                                    const google::protobuf::Message& owner,
                                    absl::string_view name = "");
// The pod's labels must not be empty. Creates it and records SuccessfulCreate or FailedCreate on
// the owner, in Kubernetes' words.
kube::Result<kube::core::v1::Pod> CreatePod(kube::Client& client, kube::EventRecorder& recorder,
                                            const kube::core::v1::Pod& pod,
                                            const google::protobuf::Message& owner);
// Deletes it, with its uid as the precondition, and records SuccessfulDelete or FailedDelete on the
// owner; not found, or another one of that name, is success without an event.
kube::Outcome DeletePod(kube::Client& client, kube::EventRecorder& recorder,
                        const kube::core::v1::Pod& pod, const google::protobuf::Message& owner);

// Hash of a template, as text of the safe alphabet: part of names and labels. Stable over releases.
std::string TemplateHash(const kube::core::v1::PodTemplateSpec& pod_template, int collision_count);

// Kubernetes' times: whole seconds, as they are on the wire.
WallTime ToWall(const kube::meta::v1::Time& time);
kube::meta::v1::Time FromWall(WallTime time);

// "25%" of `total`, or the number. A text that is no percentage: 0.
int ScaledValue(const kube::intstr::IntOrString& value, int total, bool round_up);

}  // namespace meltemi::controllers
