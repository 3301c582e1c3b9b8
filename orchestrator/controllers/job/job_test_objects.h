// Jobs and pods of Jobs, for tests.
//
// Threads: functions without state.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/job/facts.h"

namespace meltemi::controllers::jobs {

constexpr int64_t kTestNow = 1'700'000'000;

inline kube::batch::v1::Job MakeJob(int parallelism, int completions) {
  kube::batch::v1::Job job;
  job.mutable_metadata()->set_name("pi");
  job.mutable_metadata()->set_namespace_("default");
  job.mutable_metadata()->set_uid("job-uid");
  job.mutable_spec()->set_parallelism(parallelism);
  if (completions >= 0) job.mutable_spec()->set_completions(completions);
  job.mutable_spec()->set_backoff_limit(6);
  job.mutable_spec()->mutable_template_()->mutable_spec()->set_restart_policy("Never");
  job.mutable_spec()->mutable_template_()->mutable_spec()->add_containers()->set_name("c");
  job.mutable_status()->mutable_start_time()->set_seconds(kTestNow - 60);
  return job;
}

inline kube::batch::v1::Job MakeIndexedJob(int parallelism, int completions) {
  kube::batch::v1::Job job = MakeJob(parallelism, completions);
  job.mutable_spec()->set_completion_mode("Indexed");
  return job;
}

struct PodLook {
  std::string phase = "Running";
  int index = -1;
  bool tracked = true;
  bool deleted = false;
  int64_t finished_ago = 0;  // seconds
  int exit_code = 0;
  int failures = -1;  // the annotation
};

inline std::shared_ptr<kube::core::v1::Pod> MakePod(const std::string& name, const PodLook& look) {
  auto pod = std::make_shared<kube::core::v1::Pod>();
  kube::meta::v1::ObjectMeta& metadata = *pod->mutable_metadata();
  metadata.set_name(name);
  metadata.set_namespace_("default");
  metadata.set_uid(name);
  metadata.mutable_creation_timestamp()->set_seconds(kTestNow - 1000);
  if (look.tracked) metadata.add_finalizers(kTrackingFinalizer);
  if (look.deleted) metadata.mutable_deletion_timestamp()->set_seconds(kTestNow);
  if (look.index >= 0) {
    (*metadata.mutable_annotations())[kIndexAnnotation] = absl::StrCat(look.index);
  }
  if (look.failures >= 0) {
    (*metadata.mutable_annotations())[kIndexFailures] = absl::StrCat(look.failures);
  }
  pod->mutable_spec()->set_node_name("n1");
  pod->mutable_status()->set_phase(look.phase);
  kube::core::v1::ContainerStatus& status = *pod->mutable_status()->add_container_statuses();
  status.set_name("c");
  if (look.phase == "Succeeded" || look.phase == "Failed") {
    auto& terminated = *status.mutable_state()->mutable_terminated();
    terminated.set_exit_code(look.exit_code);
    terminated.mutable_finished_at()->set_seconds(kTestNow - look.finished_ago);
  }
  return pod;
}

}  // namespace meltemi::controllers::jobs
