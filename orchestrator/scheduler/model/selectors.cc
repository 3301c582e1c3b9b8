#include "orchestrator/scheduler/model/selectors.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/json/value.h"

namespace meltemi::scheduler {

kube::LabelSelector SelectorOf(const kube::meta::v1::LabelSelector& selector) {
  json::Value value = json::Value::Object();
  if (!selector.match_labels().empty()) {
    json::Value& labels = value.Set("matchLabels", json::Value::Object());
    for (const auto& [key, text] : selector.match_labels()) {
      labels.Set(key, json::Value::String(text));
    }
  }
  if (!selector.match_expressions().empty()) {
    json::Value& expressions = value.Set("matchExpressions", json::Value::Array());
    for (const auto& requirement : selector.match_expressions()) {
      json::Value expression = json::Value::Object();
      expression.Set("key", json::Value::String(requirement.key()));
      expression.Set("operator", json::Value::String(requirement.operator_()));
      json::Value& values = expression.Set("values", json::Value::Array());
      for (const std::string& text : requirement.values()) values.Append(json::Value::String(text));
      expressions.Append(std::move(expression));
    }
  }
  absl::StatusOr<kube::LabelSelector> parsed = kube::LabelSelector::FromJson(&value);
  return parsed.ok() ? *std::move(parsed) : kube::LabelSelector::Nothing();
}

kube::StringPairs SortedLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  kube::StringPairs pairs(labels.begin(), labels.end());
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

const std::string* FindLabel(const kube::StringPairs& labels, absl::string_view key) {
  auto found =
      std::lower_bound(labels.begin(), labels.end(), key,
                       [](const auto& pair, absl::string_view k) { return pair.first < k; });
  return found == labels.end() || found->first != key ? nullptr : &found->second;
}

}  // namespace meltemi::scheduler
