#include "orchestrator/apiserver/kinds/job.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/references.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr int64_t kManyCompletions = 100'000;
constexpr int64_t kParallelismMax = 100'000;
constexpr int64_t kParallelismOfManyMax = 10'000;
constexpr int64_t kFailedIndexesMax = 100'000;
constexpr int64_t kFailedIndexesOfManyMax = 10'000;
constexpr size_t kRulesMax = 20;
constexpr size_t kPatternsMax = 20;
constexpr size_t kExitCodesMax = 255;
constexpr size_t kManagedByBytesMax = 63;
constexpr size_t kSucceededIndexesBytesMax = 64 * 1024;

// `valid values: ["In" "NotIn"]`
std::string ValidValues(const std::vector<std::string>& values) {
  return absl::StrCat(
      "valid values: [",
      absl::StrJoin(values, " ",
                    [](std::string* out, const std::string& v) { *out += kube::GoQuote(v); }),
      "]");
}

void ValidateRequiredChoice(const json::Value& object, absl::string_view key,
                            const FieldPath& parent, const std::vector<std::string>& values,
                            FieldErrors& errors) {
  if (Text(object, key).empty()) {
    errors.push_back(kube::Required(parent.Child(key), ValidValues(values)));
    return;
  }
  ValidateOneOf(object, key, parent, values, false, errors);
}

bool IsIndexed(const json::Value& spec) { return Text(spec, "completionMode") == "Indexed"; }

void ValidateManyIndexes(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const int64_t failed = Int(spec, "maxFailedIndexes"), parallelism = Int(spec, "parallelism");
  const std::string with = absl::StrCat("when completions are above ", kManyCompletions,
                                        " and used with backoff limit per index");
  if (!Has(spec, "maxFailedIndexes")) {
    errors.push_back(kube::Required(
        path.Child("maxFailedIndexes"),
        absl::StrCat("must be specified when completions is above ", kManyCompletions)));
  }
  if (parallelism > kParallelismOfManyMax) {
    errors.push_back(kube::InvalidField(
        path.Child("parallelism"), parallelism,
        absl::StrCat("must be less than or equal to ", kParallelismOfManyMax, " ", with)));
  }
  if (failed > kFailedIndexesOfManyMax) {
    errors.push_back(kube::InvalidField(
        path.Child("maxFailedIndexes"), failed,
        absl::StrCat("must be less than or equal to ", kFailedIndexesOfManyMax, " ", with)));
  }
}

void ValidateIndexed(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::optional<int64_t> completions = OptionalInt(spec, "completions");
  const int64_t failed = Int(spec, "maxFailedIndexes"), parallelism = Int(spec, "parallelism");
  if (!completions.has_value()) {
    errors.push_back(kube::Required(path.Child("completions"), "when completion mode is Indexed"));
  }
  if (parallelism > kParallelismMax) {
    errors.push_back(
        kube::InvalidField(path.Child("parallelism"), parallelism,
                           absl::StrCat("must be less than or equal to ", kParallelismMax,
                                        " when completion mode is Indexed")));
  }
  if (completions.has_value() && failed > *completions) {
    errors.push_back(kube::InvalidField(path.Child("maxFailedIndexes"), failed,
                                        "must be less than or equal to completions"));
  }
  if (failed > kFailedIndexesMax) {
    errors.push_back(
        kube::InvalidField(path.Child("maxFailedIndexes"), failed,
                           absl::StrCat("must be less than or equal to ", kFailedIndexesMax)));
  }
  if (completions.value_or(0) > kManyCompletions && Has(spec, "backoffLimitPerIndex")) {
    ValidateManyIndexes(spec, path, errors);
  }
}

void ValidateCompletionMode(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  ValidateOneOf(spec, "completionMode", path, {"NonIndexed", "Indexed"}, false, errors);
  if (IsIndexed(spec)) ValidateIndexed(spec, path, errors);
  const absl::string_view mode = Text(spec, "completionMode");
  if (!mode.empty() && mode != "NonIndexed") return;
  for (const char* key : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
    if (!Has(spec, key)) continue;
    errors.push_back(
        kube::InvalidField(path.Child(key), Int(spec, key), "requires indexed completion mode"));
  }
}

std::string GoIntList(const json::Value& list) {
  if (!list.is_array()) return "[]int32(nil)";
  return absl::StrCat(
      "[]int32{",
      absl::StrJoin(list.items(), ", ",
                    [](std::string* out, const json::Value& v) { *out += v.text(); }),
      "}");
}

void ValidateExitCodes(const json::Value& on_exit_codes, const std::set<std::string>& containers,
                       const FieldPath& path, FieldErrors& errors) {
  ValidateRequiredChoice(on_exit_codes, "operator", path, {"In", "NotIn"}, errors);
  if (Has(on_exit_codes, "containerName") &&
      containers.count(std::string(Text(on_exit_codes, "containerName"))) == 0) {
    errors.push_back(kube::InvalidField(
        path.Child("containerName"), Text(on_exit_codes, "containerName"),
        "must be one of the container or initContainer names in the pod template"));
  }
  const FieldPath values_path = path.Child("values");
  const auto& values = Items(on_exit_codes, "values");
  const std::string printed = GoIntList(Get(on_exit_codes, "values"));
  if (values.empty()) {
    errors.push_back(InvalidPrinted(values_path, printed, "at least one value is required"));
  } else if (values.size() > kExitCodesMax) {
    errors.push_back(kube::TooMany(values_path, values.size(), kExitCodesMax));
  }
  bool ordered = true;
  std::set<int64_t> seen;
  std::optional<int64_t> previous;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = values[i].AsInt64().value_or(0);
    if (Text(on_exit_codes, "operator") == "In" && value == 0) {
      errors.push_back(
          kube::InvalidField(values_path.Index(i), value, "must not be 0 for the In operator"));
    }
    if (!seen.insert(value).second) {
      errors.push_back(kube::DuplicateField(values_path.Index(i), values[i]));
    }
    ordered = ordered && (!previous.has_value() || *previous <= value);
    previous = value;
  }
  if (!ordered) errors.push_back(InvalidPrinted(values_path, printed, "must be ordered"));
}

void ValidatePodConditions(const std::vector<json::Value>& patterns, const FieldPath& path,
                           FieldErrors& errors) {
  if (patterns.size() > kPatternsMax) {
    errors.push_back(kube::TooMany(path, patterns.size(), kPatternsMax));
  }
  for (size_t i = 0; i < patterns.size(); ++i) {
    const absl::string_view type = Text(patterns[i], "type");
    AddInvalid(path.Index(i).Child("type"), type, CheckQualifiedName(type), errors);
    ValidateRequiredChoice(patterns[i], "status", path.Index(i), {"False", "True", "Unknown"},
                           errors);
  }
}

void ValidateFailureRule(const json::Value& spec, const json::Value& rule,
                         const std::set<std::string>& containers, const FieldPath& path,
                         FieldErrors& errors) {
  if (Text(rule, "action") != "FailIndex") {
    ValidateRequiredChoice(rule, "action", path, {"Count", "FailIndex", "FailJob", "Ignore"},
                           errors);
  } else if (!Has(spec, "backoffLimitPerIndex")) {
    errors.push_back(kube::InvalidField(path.Child("action"), "FailIndex",
                                        "requires the backoffLimitPerIndex to be set"));
  }
  const bool codes = Has(rule, "onExitCodes");
  const auto& conditions = Items(rule, "onPodConditions");
  if (codes) {
    ValidateExitCodes(Get(rule, "onExitCodes"), containers, path.Child("onExitCodes"), errors);
  }
  if (!conditions.empty()) {
    ValidatePodConditions(conditions, path.Child("onPodConditions"), errors);
  }
  if (codes != conditions.empty()) {
    errors.push_back(
        InvalidPrinted(path, "",
                       codes ? "specifying both OnExitCodes and OnPodConditions is not supported"
                             : "specifying one of OnExitCodes and OnPodConditions is required"));
  }
}

void ValidateFailurePolicy(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const auto& rules = Items(Get(spec, "podFailurePolicy"), "rules");
  const FieldPath rules_path = path.Child("rules");
  if (rules.size() > kRulesMax)
    errors.push_back(kube::TooMany(rules_path, rules.size(), kRulesMax));
  std::set<std::string> containers;
  for (const char* key : {"containers", "initContainers"}) {
    for (const json::Value& container : Items(Get(spec, "template", "spec"), key)) {
      containers.emplace(Text(container, "name"));
    }
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    ValidateFailureRule(spec, rules[i], containers, rules_path.Index(i), errors);
  }
}

void ValidateSuccessRule(const json::Value& rule, int64_t completions, const FieldPath& path,
                         FieldErrors& errors) {
  const bool has_indexes = Has(rule, "succeededIndexes");
  const std::optional<int64_t> count = OptionalInt(rule, "succeededCount");
  if (!has_indexes && !count.has_value()) {
    errors.push_back(kube::Required(
        path, "at least one of succeededCount or succeededIndexes must be specified"));
  }
  const absl::string_view text = Text(rule, "succeededIndexes");
  const FieldPath indexes_path = path.Child("succeededIndexes");
  if (text.size() > kSucceededIndexesBytesMax) {
    errors.push_back(kube::TooLong(indexes_path, kSucceededIndexesBytesMax));
  }
  const IndexCount indexes = CountIndexes(text, completions);
  if (!indexes.error.empty()) {
    errors.push_back(kube::InvalidField(
        indexes_path, text, absl::StrCat("error parsing succeededIndexes: ", indexes.error)));
  }
  if (!count.has_value()) return;
  const FieldPath count_path = path.Child("succeededCount");
  ValidateNonNegative(*count, count_path, errors);
  if (*count > completions) {
    errors.push_back(kube::InvalidField(count_path, *count,
                                        absl::StrCat("must be less than or equal to ", completions,
                                                     " (the number of specified completions)")));
  }
  if (has_indexes && *count > indexes.count) {
    errors.push_back(kube::InvalidField(
        count_path, *count,
        absl::StrCat("must be less than or equal to ", indexes.count,
                     " (the number of indexes in the specified succeededIndexes field)")));
  }
}

void ValidateSuccessPolicy(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  if (!IsIndexed(spec)) {
    errors.push_back(
        kube::InvalidField(path, Get(spec, "successPolicy"), "requires indexed completion mode"));
    return;
  }
  const auto& rules = Items(Get(spec, "successPolicy"), "rules");
  const FieldPath rules_path = path.Child("rules");
  if (rules.empty()) {
    errors.push_back(kube::Required(
        rules_path, "at least one rules must be specified when the successPolicy is specified"));
  }
  if (rules.size() > kRulesMax)
    errors.push_back(kube::TooMany(rules_path, rules.size(), kRulesMax));
  for (size_t i = 0; i < rules.size(); ++i) {
    ValidateSuccessRule(rules[i], Int(spec, "completions"), rules_path.Index(i), errors);
  }
}

void ValidateRestartPolicy(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& pods = Get(spec, "template", "spec");
  const absl::string_view policy = Text(pods, "restartPolicy");
  const FieldPath parent = path.Child("template").Child("spec");
  if (policy.empty() || policy == "Always") {
    errors.push_back(
        kube::Required(parent.Child("restartPolicy"), R"(valid values: "OnFailure", "Never")"));
  } else if (policy != "OnFailure" && policy != "Never") {
    ValidateOneOf(pods, "restartPolicy", parent, {"OnFailure", "Never"}, false, errors);
  } else if (policy != "Never" && Has(spec, "podFailurePolicy")) {
    errors.push_back(
        kube::InvalidField(parent.Child("restartPolicy"), policy,
                           R"(only "Never" is supported when podFailurePolicy is specified)"));
  }
}

}  // namespace

void ValidateJobSpec(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                          "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"}) {
    ValidateNonNegative(spec, key, path, errors);
  }
  if (Has(spec, "maxFailedIndexes") && !Has(spec, "backoffLimitPerIndex")) {
    errors.push_back(
        kube::Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
  }
  if (Has(spec, "managedBy")) {
    const absl::string_view manager = Text(spec, "managedBy");
    ValidateDomainPrefixedPath(manager, path.Child("managedBy"), errors);
    if (manager.size() > kManagedByBytesMax) {
      errors.push_back(kube::TooLong(path.Child("managedBy"), kManagedByBytesMax));
    }
  }
  ValidateCompletionMode(spec, path, errors);
  const bool failure_policy = Has(spec, "podFailurePolicy");
  if (failure_policy) ValidateFailurePolicy(spec, path.Child("podFailurePolicy"), errors);
  if (Has(spec, "successPolicy")) {
    ValidateSuccessPolicy(spec, path.Child("successPolicy"), errors);
  }
  ValidateOneOf(spec, "podReplacementPolicy", path,
                failure_policy ? std::vector<std::string>{"Failed"}
                               : std::vector<std::string>{"Failed", "TerminatingOrFailed"},
                false, errors);
  ValidatePodTemplate(Get(spec, "template"), path.Child("template"), errors);
  ValidateRestartPolicy(spec, path, errors);
}

std::vector<std::string> JobSpecWarnings(const json::Value& spec, const FieldPath& path) {
  std::vector<std::string> warnings;
  if (IsIndexed(spec) && Int(spec, "completions") > kManyCompletions &&
      Int(spec, "parallelism") > kParallelismOfManyMax) {
    warnings.push_back(absl::StrCat(
        path.text(),
        ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
        "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of "
        "indexes fail"));
  }
  for (std::string& warning :
       PodSpecWarnings(Get(spec, "template", "spec"), path.Child("template").Child("spec"))) {
    warnings.push_back(std::move(warning));
  }
  return warnings;
}

}  // namespace meltemi::apiserver
