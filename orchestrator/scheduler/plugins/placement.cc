#include "orchestrator/scheduler/plugins/placement.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "kube/names/check.h"
#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/plugins/plugin.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;

std::optional<int64_t> Integer(absl::string_view text) {
  int64_t value = 0;
  if (text.empty() || absl::ascii_isspace(text.front()) || absl::ascii_isspace(text.back()) ||
      !absl::SimpleAtoi(text, &value)) {
    return std::nullopt;
  }
  return value;
}

bool Has(const std::vector<std::string>& sorted, absl::string_view value) {
  return std::binary_search(sorted.begin(), sorted.end(), value);
}

}  // namespace

NodeTerm::NodeTerm(const core::NodeSelectorTerm& term) {
  empty_ = term.match_expressions().empty() && term.match_fields().empty();
  for (const core::NodeSelectorRequirement& expression : term.match_expressions()) {
    std::optional<Requirement> requirement = Read(expression);
    if (requirement.has_value()) {
      requirements_.push_back(*std::move(requirement));
    } else {
      wrong_ = true;
    }
  }
  for (const core::NodeSelectorRequirement& field : term.match_fields()) {
    const bool equals = field.operator_() == "In";
    if ((!equals && field.operator_() != "NotIn") || field.values().size() != 1) {
      wrong_ = true;
      continue;
    }
    fields_.push_back({field.key(), field.values(0), equals});
  }
}

std::optional<NodeTerm::Requirement> NodeTerm::Read(const core::NodeSelectorRequirement& from) {
  static constexpr std::pair<absl::string_view, Operator> kOperators[] = {
      {"In", Operator::kIn},         {"NotIn", Operator::kNotIn},
      {"Exists", Operator::kExists}, {"DoesNotExist", Operator::kNotExists},
      {"Gt", Operator::kGreater},    {"Lt", Operator::kLess}};
  const auto named = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [&](const auto& pair) { return pair.first == from.operator_(); });
  if (named == std::end(kOperators) || !kube::CheckQualifiedName(from.key()).empty()) {
    return std::nullopt;
  }
  Requirement read{from.key(), named->second, {from.values().begin(), from.values().end()}};
  for (const std::string& value : read.values) {
    if (!kube::CheckLabelValue(value).empty()) return std::nullopt;
  }
  switch (read.op) {
    case Operator::kIn:
    case Operator::kNotIn:
      if (read.values.empty()) return std::nullopt;
      std::sort(read.values.begin(), read.values.end());
      break;
    case Operator::kExists:
    case Operator::kNotExists:
      if (!read.values.empty()) return std::nullopt;
      break;
    case Operator::kGreater:
    case Operator::kLess: {
      const std::optional<int64_t> bound =
          read.values.size() == 1 ? Integer(read.values[0]) : std::nullopt;
      if (!bound.has_value()) return std::nullopt;
      read.bound = *bound;
      break;
    }
  }
  return read;
}

bool NodeTerm::Holds(const Requirement& requirement, const NodeFacts& node) {
  const std::string* value = FindLabel(node.labels, requirement.key);
  switch (requirement.op) {
    case Operator::kIn:
      return value != nullptr && Has(requirement.values, *value);
    case Operator::kNotIn:
      return value == nullptr || !Has(requirement.values, *value);
    case Operator::kExists:
      return value != nullptr;
    case Operator::kNotExists:
      return value == nullptr;
    case Operator::kGreater:
    case Operator::kLess: {
      const std::optional<int64_t> number = value == nullptr ? std::nullopt : Integer(*value);
      if (!number.has_value()) return false;
      return requirement.op == Operator::kGreater ? *number > requirement.bound
                                                  : *number < requirement.bound;
    }
  }
  return false;
}

bool NodeTerm::Matches(const NodeFacts& node) const {
  if (empty_ || wrong_) return false;
  for (const Requirement& requirement : requirements_) {
    if (!Holds(requirement, node)) return false;
  }
  for (const Field& field : fields_) {
    const absl::string_view value =
        field.key == "metadata.name" ? absl::string_view(node.name) : absl::string_view();
    if ((value == field.value) != field.equals) return false;
  }
  return true;
}

RequiredNodeAffinity::RequiredNodeAffinity(const core::PodSpec& spec)
    : selector_(SortedLabels(spec.node_selector())) {
  const core::NodeAffinity& affinity = spec.affinity().node_affinity();
  has_terms_ = affinity.has_required_during_scheduling_ignored_during_execution();
  if (!has_terms_) return;
  for (const core::NodeSelectorTerm& term :
       affinity.required_during_scheduling_ignored_during_execution().node_selector_terms()) {
    terms_.emplace_back(term);
  }
}

bool RequiredNodeAffinity::Matches(const NodeFacts& node) const {
  for (const auto& [key, wanted] : selector_) {
    const std::string* value = FindLabel(node.labels, key);
    if (value == nullptr || *value != wanted) return false;
  }
  return !has_terms_ || std::any_of(terms_.begin(), terms_.end(),
                                    [&](const NodeTerm& term) { return term.Matches(node); });
}

std::string TextOf(const core::PodSpec& spec) {
  std::string text;
  for (const auto& [key, value] : SortedLabels(spec.node_selector())) {
    absl::StrAppend(&text, key, "=", value, "\n");
  }
  const core::NodeAffinity& affinity = spec.affinity().node_affinity();
  if (affinity.has_required_during_scheduling_ignored_during_execution()) {
    AppendBytes(affinity.required_during_scheduling_ignored_during_execution(), &text);
  }
  return text;
}

void AppendBytes(const google::protobuf::MessageLite& message, std::string* out) {
  const size_t size = message.ByteSizeLong();
  absl::StrAppend(out, size, ":");
  google::protobuf::io::StringOutputStream stream(out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
}

bool Tolerates(const core::Toleration& toleration, const core::Taint& taint) {
  if (!toleration.effect().empty() && toleration.effect() != taint.effect()) return false;
  if (!toleration.key().empty() && toleration.key() != taint.key()) return false;
  if (toleration.operator_() == "Exists") return true;
  return (toleration.operator_().empty() || toleration.operator_() == "Equal") &&
         toleration.value() == taint.value();
}

bool Tolerates(const core::PodSpec& spec, const core::Taint& taint) {
  return std::any_of(
      spec.tolerations().begin(), spec.tolerations().end(),
      [&](const core::Toleration& toleration) { return Tolerates(toleration, taint); });
}

const core::Taint* FirstUntolerated(const core::PodSpec& spec, const NodeFacts& node) {
  if (!node.repels) return nullptr;
  for (const core::Taint& taint : node.node->spec().taints()) {
    if (taint.effect() != "NoSchedule" && taint.effect() != "NoExecute") continue;
    if (!Tolerates(spec, taint)) return &taint;
  }
  return nullptr;
}

void NormalizeToHighest(bool reverse, std::vector<int64_t>& scores) {
  int64_t highest = 0;
  for (int64_t score : scores) highest = std::max(highest, score);
  if (highest == 0) {
    if (reverse) std::fill(scores.begin(), scores.end(), kScoreMax);
    return;
  }
  for (int64_t& score : scores) {
    score = kScoreMax * score / highest;
    if (reverse) score = kScoreMax - score;
  }
}

}  // namespace meltemi::scheduler
