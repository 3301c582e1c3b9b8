#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/job/plan.h"
#include "orchestrator/controllers/job/policies.h"

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;

constexpr char kIndexVariable[] = "JOB_COMPLETION_INDEX";

void AddIndexVariable(core::Container& container) {
  const auto is_index = [](const core::EnvVar& variable) {
    return variable.name() == kIndexVariable;
  };
  if (absl::c_any_of(container.env(), is_index)) return;
  core::EnvVar& variable = *container.add_env();
  variable.set_name(kIndexVariable);
  variable.mutable_value_from()->mutable_field_ref()->set_field_path(
      absl::StrCat("metadata.labels['", kIndexAnnotation, "']"));
}

// "JOB-INDEX-", with the Job's name cut so that a suffix still fits.
std::string NamePrefix(const std::string& job, int index) {
  constexpr size_t kPrefixMax = 58;
  const std::string end = absl::StrCat("-", index, "-");
  return absl::StrCat(job.substr(0, kPrefixMax - end.size()), end);
}

void AddFailureCounts(const batch::Job& job, const core::Pod* replaced, core::Pod& pod) {
  int failures = 0, ignored = 0;
  if (replaced != nullptr) {
    failures = FailureCountOf(*replaced, kIndexFailures);
    ignored = FailureCountOf(*replaced, kIndexIgnoredFailures);
    ++(JudgeFailure(job.spec(), *replaced).counts() ? failures : ignored);
  }
  auto& annotations = *pod.mutable_metadata()->mutable_annotations();
  annotations[kIndexFailures] = absl::StrCat(failures);
  if (ignored > 0) annotations[kIndexIgnoredFailures] = absl::StrCat(ignored);
}

}  // namespace

core::Pod NewPod(const batch::Job& job, int index, const core::Pod* replaced) {
  core::Pod pod = PodFromTemplate(job.spec().template_(), job);
  kube::meta::v1::ObjectMeta& metadata = *pod.mutable_metadata();
  if (!IsTracked(pod)) metadata.add_finalizers(kTrackingFinalizer);
  if (index < 0) return pod;
  for (core::Container& container : *pod.mutable_spec()->mutable_init_containers()) {
    AddIndexVariable(container);
  }
  for (core::Container& container : *pod.mutable_spec()->mutable_containers()) {
    AddIndexVariable(container);
  }
  (*metadata.mutable_annotations())[kIndexAnnotation] = absl::StrCat(index);
  (*metadata.mutable_labels())[kIndexAnnotation] = absl::StrCat(index);
  metadata.set_generate_name(NamePrefix(job.metadata().name(), index));
  pod.mutable_spec()->set_hostname(absl::StrCat(job.metadata().name(), "-", index));
  if (job.spec().has_backoff_limit_per_index()) AddFailureCounts(job, replaced, pod);
  return pod;
}

}  // namespace meltemi::controllers::jobs
