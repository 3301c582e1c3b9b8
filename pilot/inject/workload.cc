#include "pilot/inject/workload.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::pilot {
namespace {

constexpr size_t kLabelBytesMax = 63;

const json::Value* Controller(const json::Value& metadata) {
  const json::Value* const owners = metadata.Find("ownerReferences");
  if (owners == nullptr || !owners->is_array()) return nullptr;
  for (const json::Value& owner : owners->items()) {
    const json::Value* const controller = owner.Find("controller");
    if (controller != nullptr && controller->bool_value()) return &owner;
  }
  return nullptr;
}

// "backup-28123456" -> "backup"; "" when the name is not that of a CronJob's Job.
absl::string_view CronJobOf(absl::string_view job) {
  const size_t dash = job.rfind('-');
  if (dash == absl::string_view::npos || dash == 0) return "";
  const absl::string_view digits = job.substr(dash + 1);
  const bool all_digits = std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
  return all_digits && digits.size() >= 8 && digits.size() <= 10 ? job.substr(0, dash) : "";
}

}  // namespace

WorkloadMeta WorkloadOfPod(const json::Value& metadata) {
  WorkloadMeta workload;
  workload.name = std::string(metadata.FindString("name"));
  if (metadata.FindString("generateName").empty()) return workload;
  const json::Value* const owner = Controller(metadata);
  if (owner == nullptr) return workload;
  workload.api_version = std::string(owner->FindString("apiVersion"));
  workload.kind = std::string(owner->FindString("kind"));
  workload.name = std::string(owner->FindString("name"));
  const std::string hash = ValueOr(TextsOf(metadata.Find("labels")), "pod-template-hash", "");
  const std::string suffix = absl::StrCat("-", hash);
  if (workload.kind == "ReplicaSet" && !hash.empty() && absl::EndsWith(workload.name, suffix)) {
    workload.kind = "Deployment";
    workload.name = std::string(absl::StripSuffix(workload.name, suffix));
  } else if (const absl::string_view cron = CronJobOf(workload.name);
             workload.kind == "Job" && !cron.empty()) {
    workload.kind = "CronJob";
    workload.api_version = "batch/v1";
    workload.name = std::string(cron);
  }
  return workload;
}

std::string OwnerUri(const WorkloadMeta& workload, absl::string_view ns) {
  return absl::StrCat("kubernetes://apis/", workload.api_version, "/namespaces/", ns, "/",
                      absl::AsciiStrToLower(workload.kind), "s/", workload.name);
}

std::string CanonicalName(const TextMap& labels, const WorkloadMeta& workload) {
  std::string name;
  for (const char* label : {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}) {
    if (name.empty()) name = ValueOr(labels, label, "");
  }
  if (name.empty()) name = workload.name;
  if (name.size() > kLabelBytesMax) name.resize(kLabelBytesMax);
  const size_t first = name.find_first_not_of("-_.");
  if (first == std::string::npos) return "";
  return name.substr(first, name.find_last_not_of("-_.") - first + 1);
}

std::string CanonicalRevision(const TextMap& labels) {
  for (const char* label :
       {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}) {
    const std::string value = ValueOr(labels, label, "");
    if (!value.empty()) return value;
  }
  return "latest";
}

}  // namespace meltemi::pilot
