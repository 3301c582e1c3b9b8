#include "orchestrator/controllers/runtime/pods.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/informer/informer.h"
#include "kube/names/check.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::PodCondition;
using kube::meta::v1::Time;

constexpr char kDeletionCost[] = "controller.kubernetes.io/pod-deletion-cost";

// Anything but a plain number of 32 bits counts as 0: "+5" and "007" too.
int DeletionCost(const Pod& pod) {
  const auto found = pod.metadata().annotations().find(kDeletionCost);
  if (found == pod.metadata().annotations().end()) return 0;
  const std::string& text = found->second;
  int cost = 0;
  if (text.empty() || text[0] == '+' || (text[0] == '0' && text != "0")) return 0;
  return absl::SimpleAtoi(text, &cost) ? cost : 0;
}

int PhaseRank(const Pod& pod) {
  const std::string& phase = pod.status().phase();
  if (phase == "Pending") return 0;
  if (phase == "Unknown") return 1;
  return phase == "Running" ? 2 : 0;
}

// The larger, the longer ago; what has no time is the youngest of all. With `now` the age counts by
// its power of two.
double AgeOf(const Time* time, std::optional<WallTime> now) {
  if (time == nullptr || time->seconds() == 0) return -std::numeric_limits<double>::infinity();
  if (!now.has_value()) return -static_cast<double>(time->seconds());
  const Duration age = *now - ToWall(*time);
  return age <= Duration::zero() ? -1 : std::floor(std::log2(static_cast<double>(age.count())));
}

// Most restarts of a container, and of a sidecar.
std::pair<int, int> Restarts(const Pod& pod) {
  int containers = 0;
  int sidecars = 0;
  for (const auto& status : pod.status().container_statuses()) {
    containers = std::max(containers, status.restart_count());
  }
  for (const auto& status : pod.status().init_container_statuses()) {
    for (const auto& container : pod.spec().init_containers()) {
      if (container.name() == status.name() && container.restart_policy() == "Always") {
        sidecars = std::max(sidecars, status.restart_count());
      }
    }
  }
  return {containers, sidecars};
}

// One criterion after the other; the smaller goes first.
struct DeletionRank {
  bool assigned;
  int phase;
  bool ready;
  int cost;
  int neighbours;  // negative: many of them first
  double ready_for;
  int restarts, sidecar_restarts;  // negative
  double age;
  std::string uid;

  auto Key() const {
    return std::tie(assigned, phase, ready, cost, neighbours, ready_for, restarts, sidecar_restarts,
                    age, uid);
  }
};

DeletionRank RankOf(const Pod& pod, const std::function<int(const Pod&)>& pods_on_node,
                    std::optional<WallTime> now) {
  const bool ready = IsReady(pod);
  const PodCondition* condition = FindCondition(pod, "Ready");
  const auto [restarts, sidecar_restarts] = Restarts(pod);
  return {!pod.spec().node_name().empty(),
          PhaseRank(pod),
          ready,
          DeletionCost(pod),
          pods_on_node ? -pods_on_node(pod) : 0,
          ready ? AgeOf(&condition->last_transition_time(), now) : 0,
          -restarts,
          -sidecar_restarts,
          AgeOf(&pod.metadata().creation_timestamp(), now),
          pod.metadata().uid()};
}

uint32_t Fnv32a(absl::string_view bytes) {
  uint32_t hash = 2166136261U;
  for (const char c : bytes) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 16777619U;
  }
  return hash;
}

}  // namespace

const PodCondition* FindCondition(const Pod& pod, absl::string_view type) {
  for (const PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

bool IsReady(const Pod& pod) {
  const PodCondition* ready = FindCondition(pod, "Ready");
  return ready != nullptr && ready->status() == "True";
}

bool IsAvailable(const Pod& pod, Duration min_ready, WallTime now, Duration* in) {
  if (in != nullptr) *in = Duration::zero();
  if (!IsReady(pod)) return false;
  if (min_ready <= Duration::zero()) return true;
  const Time& since = FindCondition(pod, "Ready")->last_transition_time();
  if (since.seconds() == 0) return false;
  const Duration left = ToWall(since) + min_ready - now;
  if (left <= Duration::zero()) return true;
  if (in != nullptr) *in = left;
  return false;
}

bool IsFinished(const Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

bool IsActive(const Pod& pod) {
  return !IsFinished(pod) && !pod.metadata().has_deletion_timestamp();
}

bool IsTerminating(const Pod& pod) {
  return !IsFinished(pod) && pod.metadata().has_deletion_timestamp();
}

void SortForDeletion(std::vector<PodPtr>& pods, const std::function<int(const Pod&)>& pods_on_node,
                     std::optional<WallTime> now) {
  std::vector<std::pair<DeletionRank, PodPtr>> ranked;
  ranked.reserve(pods.size());
  for (PodPtr& pod : pods) {
    DeletionRank rank = RankOf(*pod, pods_on_node, now);
    ranked.emplace_back(std::move(rank), std::move(pod));
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.first.Key() < b.first.Key(); });
  for (size_t i = 0; i < ranked.size(); ++i) pods[i] = std::move(ranked[i].second);
}

Pod PodFromTemplate(const kube::core::v1::PodTemplateSpec& pod_template,
                    const google::protobuf::Message& owner, absl::string_view name) {
  const kube::meta::v1::ObjectMeta& owner_meta = kube::MetaOf(owner);
  Pod pod;
  kube::meta::v1::ObjectMeta& meta = *pod.mutable_metadata();
  meta.set_namespace_(owner_meta.namespace_());
  *meta.mutable_labels() = pod_template.metadata().labels();
  *meta.mutable_annotations() = pod_template.metadata().annotations();
  *meta.mutable_finalizers() = pod_template.metadata().finalizers();
  *meta.add_owner_references() = ControllerReference(owner);
  if (!name.empty()) {
    meta.set_name(std::string(name));
  } else {
    // Without the dash where that is too long for a name.
    const bool fits = kube::CheckDns1123Subdomain(absl::StrCat(owner_meta.name(), "-x")).empty();
    meta.set_generate_name(absl::StrCat(owner_meta.name(), fits ? "-" : ""));
  }
  *pod.mutable_spec() = pod_template.spec();
  return pod;
}

kube::Result<Pod> CreatePod(kube::Client& client, kube::EventRecorder& recorder, const Pod& pod,
                            const google::protobuf::Message& owner) {
  if (pod.metadata().labels().empty()) {
    return kube::GenericStatus(422, "unable to create pods, no labels");
  }
  kube::Result<Pod> created = kube::Create(client, pod);
  if (created.ok()) {
    recorder.Record(owner, kube::kNormal, "SuccessfulCreate",
                    absl::StrCat("Created pod: ", created->metadata().name()));
  } else if (!kube::IsNamespaceTerminating(created.status())) {
    recorder.Record(owner, kube::kWarning, "FailedCreate",
                    absl::StrCat("Error creating: ", created.status().message));
  }
  return created;
}

kube::Outcome DeletePod(kube::Client& client, kube::EventRecorder& recorder, const Pod& pod,
                        const google::protobuf::Message& owner) {
  const kube::meta::v1::ObjectMeta& meta = pod.metadata();
  kube::DeleteOptions options;
  options.uid = meta.uid();
  kube::Outcome deleted = kube::Delete<Pod>(client, meta.namespace_(), meta.name(), options);
  if (deleted.ok()) {
    recorder.Record(owner, kube::kNormal, "SuccessfulDelete",
                    absl::StrCat("Deleted pod: ", meta.name()));
    return deleted;
  }
  if (kube::IsNotFound(deleted.status()) || kube::IsConflict(deleted.status())) return kube::Done{};
  recorder.Record(owner, kube::kWarning, "FailedDelete",
                  absl::StrCat("Error deleting: ", deleted.status().message));
  return deleted;
}

std::string TemplateHash(const kube::core::v1::PodTemplateSpec& pod_template, int collision_count) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    pod_template.SerializeToCodedStream(&out);
  }
  if (collision_count > 0) absl::StrAppend(&bytes, "#", collision_count);
  // Without vowels and digits that look like them: no words come out.
  static constexpr absl::string_view kSafe = "bcdfghjklmnpqrstvwxz2456789";
  std::string hash = absl::StrCat(Fnv32a(bytes));
  for (char& c : hash) c = kSafe[static_cast<uint8_t>(c) % kSafe.size()];
  return hash;
}

WallTime ToWall(const Time& time) { return WallTime(seconds(time.seconds())); }

Time FromWall(WallTime time) {
  Time out;
  out.set_seconds(std::chrono::floor<seconds>(time).time_since_epoch().count());
  return out;
}

int ScaledValue(const kube::intstr::IntOrString& value, int total, bool round_up) {
  if (value.type() == 0) return value.int_val();
  absl::string_view text = value.str_val();
  int64_t percent = 0;
  if (!absl::EndsWith(text, "%")) return 0;
  text.remove_suffix(1);
  if (!absl::SimpleAtoi(text, &percent) || percent < 0) return 0;
  return static_cast<int>((percent * total + (round_up ? 99 : 0)) / 100);
}

}  // namespace meltemi::controllers
