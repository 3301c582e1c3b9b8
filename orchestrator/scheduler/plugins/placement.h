// What several rules ask of a pod and a node: node selectors and affinity, taints and tolerations,
// and the usual ways to bring scores to 0 … 100.
//
// Threads: immutable after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/model/node_info.h"

namespace meltemi::scheduler {

// A term of node affinity, read once. One with a mistake in it (an operator that is not known, Gt
// with a value that is no integer) matches no node; so does an empty one.
class NodeTerm {
 public:
  explicit NodeTerm(const kube::core::v1::NodeSelectorTerm& term);
  bool Matches(const NodeFacts& node) const;
  bool empty() const { return empty_; }

 private:
  enum class Operator : uint8_t { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  struct Requirement {
    std::string key;
    Operator op = Operator::kIn;
    std::vector<std::string> values;  // sorted
    int64_t bound = 0;
  };
  struct Field {
    std::string key, value;
    bool equals = true;
  };

  static std::optional<Requirement> Read(
      const kube::core::v1::NodeSelectorRequirement& requirement);
  static bool Holds(const Requirement& requirement, const NodeFacts& node);

  bool empty_ = false, wrong_ = false;
  std::vector<Requirement> requirements_;
  std::vector<Field> fields_;
};

// spec.nodeSelector and the required part of spec.affinity.nodeAffinity.
class RequiredNodeAffinity {
 public:
  explicit RequiredNodeAffinity(const kube::core::v1::PodSpec& spec);
  bool Matches(const NodeFacts& node) const;
  // Whether the pod asks for nothing of the kind.
  bool empty() const { return selector_.empty() && !has_terms_; }

 private:
  kube::StringPairs selector_;
  bool has_terms_ = false;
  std::vector<NodeTerm> terms_;  // one must match
};

// The same text for pods whose nodeSelector and node affinity are the same.
std::string TextOf(const kube::core::v1::PodSpec& spec);
// Appends the same bytes for the same message: maps are sorted.
void AppendBytes(const google::protobuf::MessageLite& message, std::string* out);

bool Tolerates(const kube::core::v1::Toleration& toleration, const kube::core::v1::Taint& taint);
bool Tolerates(const kube::core::v1::PodSpec& spec, const kube::core::v1::Taint& taint);
// The first taint that keeps the pod away (NoSchedule, NoExecute); null: none.
const kube::core::v1::Taint* FirstUntolerated(const kube::core::v1::PodSpec& spec,
                                              const NodeFacts& node);

// The highest score becomes 100, the others their share of it; `reverse`: 100 less that.
void NormalizeToHighest(bool reverse, std::vector<int64_t>& scores);

}  // namespace meltemi::scheduler
