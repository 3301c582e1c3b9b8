// Jobs and CronJobs.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Jobs : public KindTest {
 protected:
  Jobs() { Use("batch", "v1", "jobs"); }

  // A good Job with more lines in its spec.
  static std::string Job(absl::string_view spec, absl::string_view status = "") {
    return absl::StrCat(R"(
apiVersion: batch/v1
kind: Job
metadata: {name: pi, namespace: default, uid: u-1}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: i}]}
)",
                        spec, status);
  }
  std::vector<std::string> StatusErrors(absl::string_view before, absl::string_view after,
                                        absl::string_view spec = "") const {
    const auto with = [&](absl::string_view status) {
      json::Value job = Created(Job(spec));
      job.Set("status", Yaml(status));
      return job;
    };
    return Texts(
        resource_->strategy->ValidateUpdate(*resource_, Scope::kStatus, with(before), with(after)));
  }
};

TEST_F(Jobs, GetDefaultsAndASelectorOfTheirOwn) {
  const json::Value job = Created(Job(""));
  const json::Value& spec = Get(job, "spec");
  EXPECT_EQ(Int(spec, "completions"), 1);
  EXPECT_EQ(Int(spec, "parallelism"), 1);
  EXPECT_EQ(Int(spec, "backoffLimit"), 6);
  EXPECT_EQ(Text(spec, "completionMode"), "NonIndexed");
  EXPECT_EQ(Text(spec, "podReplacementPolicy"), "TerminatingOrFailed");
  EXPECT_EQ(Json(Get(spec, "suspend")), "false");
  EXPECT_EQ(Json(Get(spec, "selector")),
            R"({"matchLabels":{"batch.kubernetes.io/controller-uid":"u-1"}})");
  EXPECT_EQ(Json(Get(Get(spec, "template"), "metadata", "labels")),
            R"({"job-name":"pi","batch.kubernetes.io/job-name":"pi",)"
            R"("controller-uid":"u-1","batch.kubernetes.io/controller-uid":"u-1"})");
  EXPECT_EQ(Int(Get(job, "metadata"), "generation"), 1);
  EXPECT_THAT(CreateErrors(Job("")), IsEmpty());
}

// Where it goes is open until it has begun: what queues of Jobs live by.
TEST_F(Jobs, SuspendedOnesCanBePlacedAnew) {
  const std::string moved = R"(
metadata: {name: pi, namespace: default, uid: u-1}
spec:
  suspend: true
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u-1}}
  template:
    metadata:
      labels: {job-name: pi, batch.kubernetes.io/job-name: pi, controller-uid: u-1,
               batch.kubernetes.io/controller-uid: u-1}
    spec: {restartPolicy: Never, containers: [{name: c, image: i}], nodeSelector: {disk: ssd}}
)";
  EXPECT_THAT(UpdateErrors(Job("  suspend: true\n"), moved), IsEmpty());
  EXPECT_THAT(UpdateErrors(Job(""), moved), Contains(HasSubstr("field is immutable")));
}

TEST_F(Jobs, LabelsComeFromTheTemplate) {
  const json::Value job =
      Created("spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}\n");
  EXPECT_EQ(Json(Get(job, "metadata", "labels")), R"({"a":"b"})");
}

TEST_F(Jobs, ParallelismAloneLeavesCompletionsOpen) {
  const json::Value job = Created(Job("  parallelism: 3\n"));
  EXPECT_FALSE(Has(Get(job, "spec"), "completions"));
}

TEST_F(Jobs, WhatIsWrongIsToldInKubernetesWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"  parallelism: -1\n",
       "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"},
      {"  completionMode: Indexed\n  parallelism: 1\n",
       "spec.completions: Required value: when completion mode is Indexed"},
      {"  completionMode: Other\n",
       R"(spec.completionMode: Unsupported value: "Other": supported values: "NonIndexed", )"
       R"("Indexed")"},
      {"  backoffLimitPerIndex: 1\n",
       "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"},
      {"  maxFailedIndexes: 1\n",
       "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"},
      {"  managedBy: me\n",
       R"(spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as )"
       R"("acme.io/foo"))"},
      {"  podReplacementPolicy: Soon\n",
       R"(spec.podReplacementPolicy: Unsupported value: "Soon": supported values: "Failed", )"
       R"("TerminatingOrFailed")"},
      {"  podFailurePolicy: {rules: [{action: FailJob}]}\n",
       "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and "
       "OnPodConditions is required"},
      {"  podFailurePolicy: {rules: [{action: Stop, onExitCodes: {operator: In, values: [1]}}]}\n",
       R"(spec.podFailurePolicy.rules[0].action: Unsupported value: "Stop": supported values: )"
       R"("Count", "FailIndex", "FailJob", "Ignore")"},
      {"  podFailurePolicy: {rules: [{action: Count, onExitCodes: {values: [1]}}]}\n",
       R"(spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: )"
       R"(["In" "NotIn"])"},
      {"  podFailurePolicy: {rules: [{action: Count, onExitCodes: {operator: In, values: "
       "[3, 0]}}]}\n",
       "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []int32{3, 0}: must be "
       "ordered"},
      {"  podFailurePolicy: {rules: [{action: FailIndex, onPodConditions: [{type: A}]}]}\n",
       R"(spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the )"
       "backoffLimitPerIndex to be set"},
      {"  successPolicy: {rules: []}\n  completionMode: Indexed\n  completions: 2\n",
       "spec.successPolicy.rules: Required value: at least one rules must be specified when the "
       "successPolicy is specified"},
      {"  successPolicy: {rules: [{succeededIndexes: '0-9'}]}\n  completionMode: Indexed\n"
       "  completions: 2\n",
       R"(spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-9": error parsing )"
       R"(succeededIndexes: too large index: "9")"},
  };
  for (const auto& [spec, expected] : cases) {
    EXPECT_THAT(CreateErrors(Job(spec)), Contains(expected)) << spec;
  }
}

TEST_F(Jobs, PodsDoNotRestartAlways) {
  EXPECT_THAT(CreateErrors(R"(
metadata: {name: pi, namespace: d, uid: u}
spec: {template: {spec: {containers: [{name: c, image: i}]}}}
)"),
              Contains(R"(spec.template.spec.restartPolicy: Required value: valid values: )"
                       R"("OnFailure", "Never")"));
}

TEST_F(Jobs, TheTemplateAndTheSelectorStay) {
  EXPECT_THAT(UpdateErrors(Job(""), Job("  completions: 5\n")),
              Contains("spec.completions: Invalid value: 5: field is immutable"));
  const std::string other = R"(
metadata: {name: pi, namespace: default, uid: u-1}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u-1}}
  template:
    metadata:
      labels: {job-name: pi, batch.kubernetes.io/job-name: pi, controller-uid: u-1,
               batch.kubernetes.io/controller-uid: u-1}
    spec: {restartPolicy: Never, containers: [{name: c, image: other}]}
)";
  EXPECT_THAT(UpdateErrors(Job(""), other), Contains(HasSubstr("field is immutable")));
}

TEST_F(Jobs, AStatusFollowsItsRules) {
  EXPECT_THAT(
      StatusErrors("{active: 1}", "{active: 1, ready: 2}"),
      ElementsAre("status.ready: Invalid value: 2: cannot set more ready pods than active"));
  EXPECT_THAT(StatusErrors("{failed: 2}", "{failed: 1}"),
              ElementsAre("status.failed: Invalid value: 1: cannot decrease the failed counter"));
  EXPECT_THAT(
      StatusErrors("{}", "{conditions: [{type: Complete, status: 'True'}]}"),
      ElementsAre(
          "status.completionTime: Required value: completionTime is required for Complete "
          "jobs",
          "status.conditions: Invalid value: cannot set Complete=True condition without the "
          "SuccessCriteriaMet=true condition",
          "status.startTime: Required value: startTime is required for finished job"));
  EXPECT_THAT(StatusErrors("{}", "{completedIndexes: '1,0'}",
                           "  completionMode: Indexed\n  completions: 3\n"),
              ElementsAre(R"(status.completedIndexes: Invalid value: "1,0": error parsing )"
                          "completedIndexes: non-increasing order, previous: 1, current: 0"));
  EXPECT_THAT(StatusErrors("{startTime: '2026-01-02T03:04:05Z'}",
                           "{startTime: '2026-01-02T03:04:05Z', completionTime: "
                           "'2026-01-02T03:00:00Z', conditions: [{type: Complete, status: 'True'}, "
                           "{type: SuccessCriteriaMet, status: 'True'}]}"),
              ElementsAre("status.completionTime: Invalid value: 2026-01-02 03:00:00 +0000 UTC: "
                          "completionTime cannot be set before startTime"));
}

TEST_F(Jobs, ATableShowsHowFarTheyHaveCome) {
  EXPECT_THAT(Row(R"(
metadata: {name: pi, creationTimestamp: '1970-01-01T00:00:00Z'}
spec:
  completions: 3
  selector: {matchLabels: {a: b}}
  template: {spec: {containers: [{name: c, image: i}, {name: d, image: j}]}}
status: {succeeded: 1, startTime: '1970-01-01T00:00:10Z'}
)",
                  100),
              ElementsAre("pi", "Running", "1/3", "90s", "100s", "c,d", "i,j", "a=b"));
}

class CronJobs : public KindTest {
 protected:
  CronJobs() { Use("batch", "v1", "cronjobs"); }
  static std::string CronJob(absl::string_view spec, absl::string_view name = "nightly") {
    return absl::StrCat("metadata: {name: ", name, ", namespace: d}\nspec:\n", spec, R"(
  jobTemplate:
    spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: i}]}}}
)");
  }
};

TEST_F(CronJobs, GetDefaults) {
  const json::Value object = Created(CronJob("  schedule: '0 3 * * *'\n"));
  const json::Value& spec = Get(object, "spec");
  EXPECT_EQ(Text(spec, "concurrencyPolicy"), "Allow");
  EXPECT_EQ(Int(spec, "successfulJobsHistoryLimit"), 3);
  EXPECT_EQ(Int(spec, "failedJobsHistoryLimit"), 1);
  EXPECT_THAT(CreateErrors(CronJob("  schedule: '0 3 * * *'\n")), IsEmpty());
}

TEST_F(CronJobs, WhatIsWrongIsToldInKubernetesWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"  suspend: true\n", "spec.schedule: Required value"},
      {"  schedule: never\n",
       R"(spec.schedule: Invalid value: "never": expected exactly 5 fields, found 1: [never])"},
      {"  schedule: 'TZ=UTC 0 3 * * *'\n",
       R"(spec.schedule: Invalid value: "TZ=UTC 0 3 * * *": cannot use TZ or CRON_TZ in schedule, )"
       "use timeZone field instead"},
      {"  schedule: '@daily'\n  timeZone: Mars/Olympus\n",
       R"(spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus)"},
      {"  schedule: '@daily'\n  concurrencyPolicy: Maybe\n",
       R"(spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", )"
       R"("Forbid", "Replace")"},
      {"  schedule: '@daily'\n  startingDeadlineSeconds: -5\n",
       "spec.startingDeadlineSeconds: Invalid value: -5: must be greater than or equal to 0"},
  };
  for (const auto& [spec, expected] : cases) {
    EXPECT_THAT(CreateErrors(CronJob(spec)), Contains(expected)) << spec;
  }
  const std::string name(53, 'a');
  EXPECT_THAT(CreateErrors(CronJob("  schedule: '@daily'\n", name)),
              ElementsAre(absl::StrCat("metadata.name: Invalid value: \"", name,
                                       "\": must be no more than 52 characters")));
}

}  // namespace
}  // namespace meltemi::apiserver
