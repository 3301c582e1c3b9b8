// A pod as the scheduler looks at it: what it asks for, parsed once.
//
// Threads: immutable after MakePodInfo; shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"

namespace meltemi::scheduler {

using PodPtr = std::shared_ptr<const kube::core::v1::Pod>;

// Amounts of resources. Extended ones by the number that ResourceNames gave their name.
struct Resources {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;
  int64_t ephemeral_bytes = 0;
  int64_t pods = 0;  // of nodes: how many pods they take
  absl::InlinedVector<std::pair<int32_t, int64_t>, 1> extended;  // sorted by number

  void Add(const Resources& other);
  void Subtract(const Resources& other);
  void Max(const Resources& other);
  int64_t Extended(int32_t number) const;
  void SetExtended(int32_t number, int64_t amount);
};

// Of a list of amounts by resource ("cpu": "100m"); what is no quantity is left out.
Resources ResourcesOf(
    const google::protobuf::Map<std::string, meltemi::kube::quantity::Quantity>& amounts);

// The number of an extended resource's name, for the life of the process. Thread-safe.
int32_t ResourceNumber(absl::string_view name);
// Its name; valid for ever.
absl::string_view ResourceName(int32_t number);

struct HostPort {
  std::string ip;  // "0.0.0.0" where none is given
  std::string protocol;
  int32_t port = 0;
};

// One term of pod affinity or anti-affinity, with matchLabelKeys and mismatchLabelKeys already in
// the selector.
struct AffinityTerm {
  std::vector<std::string> namespaces;  // sorted
  kube::LabelSelector namespace_selector;
  bool has_namespace_selector = false;
  kube::LabelSelector selector;
  std::string topology_key;
  int32_t weight = 0;  // of preferred terms

  // Whether `other` is among the pods that the term speaks of; `namespace_labels` are those of its
  // namespace (sorted).
  bool Matches(const kube::core::v1::Pod& other, const kube::StringPairs& other_labels,
               const kube::StringPairs& namespace_labels) const;
};

// A claim that a volume of the pod is: by name, or generated for the pod.
struct PodClaim {
  std::string name;
  bool is_ephemeral = false;
};

struct PodInfo {
  PodPtr pod;
  kube::NamespacedName key;
  std::string uid;
  kube::StringPairs labels;  // sorted
  int32_t priority = 0;

  Resources
      request;  // containers, sidecars, init containers and overhead as Kubernetes adds them up
  // The same with defaults for containers that ask for nothing (100m, 200 MB): for scores.
  int64_t nonzero_milli_cpu = 0;
  int64_t nonzero_memory_bytes = 0;
  std::vector<HostPort> host_ports;
  std::vector<PodClaim> claims;  // in its own namespace

  std::vector<AffinityTerm> required_affinity, required_anti_affinity;
  std::vector<AffinityTerm> preferred_affinity, preferred_anti_affinity;

  bool has_affinity() const {
    return !required_affinity.empty() || !required_anti_affinity.empty() ||
           !preferred_affinity.empty() || !preferred_anti_affinity.empty();
  }
};
using PodInfoPtr = std::shared_ptr<const PodInfo>;

// `kept`: becomes its `pod`, where a part of the pod is all that will be asked for; null: the pod.
PodInfoPtr MakePodInfo(PodPtr pod, PodPtr kept = nullptr);

}  // namespace meltemi::scheduler
