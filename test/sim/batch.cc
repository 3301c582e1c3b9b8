// Jobs and CronJobs.
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "test/sim/invariant.h"

namespace meltemi::sim {
namespace {

using kube::batch::v1::CronJob;
using kube::batch::v1::Job;
using kube::core::v1::Pod;

constexpr char kIndex[] = "batch.kubernetes.io/job-completion-index";

bool HasCondition(const Job& job, absl::string_view type) {
  for (const auto& condition : job.status().conditions()) {
    if (condition.type() == type && condition.status() == "True") return true;
  }
  return false;
}

bool IsFinished(const Job& job) {
  return HasCondition(job, "Complete") || HasCondition(job, "Failed");
}

std::string IndexOf(const Pod& pod) {
  const auto found = pod.metadata().annotations().find(kIndex);
  return found == pod.metadata().annotations().end() ? "" : found->second;
}

class CompletionsInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    if (change.resource() == "jobs.batch") OnJob(change, findings);
    if (change.resource() != "pods") return;
    const Pod& pod = change.Object<Pod>();
    for (const auto& owner : pod.metadata().owner_references()) {
      if (!owner.controller() || owner.kind() != "Job") continue;
      Ended& ended = ended_[owner.uid()];
      if (pod.status().phase() == "Succeeded") {
        ended.succeeded.insert(pod.metadata().uid());
        // A pod that was to go has succeeded after all, and was replaced meanwhile.
        ended.disturbed = ended.disturbed || IsTerminating(pod);
        if (!IsTerminating(pod) && !IndexOf(pod).empty()) ended.indexes.insert(IndexOf(pod));
      }
      if (pod.status().phase() == "Failed" || IsTerminating(pod) || change.gone()) {
        ended.failed.insert(pod.metadata().uid());
      }
      if ((change.deletion_begins() && change.by() != "job-controller") ||
          circumstances.unacknowledged.count(pod.metadata().uid()) > 0) {
        ended.disturbed = true;
      }
      const auto* const job =
          truth.Find<Job>("jobs.batch", pod.metadata().namespace_(), owner.name());
      if (job == nullptr || job->metadata().uid() != owner.uid() || !change.created()) continue;
      OnBegin(truth, *job, pod, ended, circumstances, findings);
    }
  }

 private:
  struct Ended {
    std::set<std::string> succeeded, failed;  // pods, by uid
    std::set<std::string> indexes;            // that succeeded
    // Users have deleted pods, or answers were lost: more may succeed than were wanted.
    bool disturbed = false;
  };

  static void OnBegin(const Truth& truth, const Job& job, const Pod& pod, const Ended& ended,
                      const Circumstances& circumstances, Findings& findings) {
    const std::string& name = pod.metadata().name();
    int active = 0, same_index = 0;
    for (const Pod* other : truth.OwnedBy<Pod>("pods", job.metadata().uid())) {
      if (!IsActive(*other) || circumstances.unacknowledged.count(other->metadata().uid()) > 0) {
        continue;
      }
      ++active;
      same_index += !IndexOf(pod).empty() && IndexOf(*other) == IndexOf(pod) ? 1 : 0;
    }
    const int parallelism = job.spec().has_parallelism() ? job.spec().parallelism() : 1;
    if (active > parallelism) {
      findings.Add(absl::StrCat("pod ", name, " of a Job is the ", active, "th of ", parallelism,
                                " at a time"));
    }
    if (same_index > 1 || ended.indexes.count(IndexOf(pod)) > 0) {
      findings.Add(
          absl::StrCat("pod ", name, " begins for index ", IndexOf(pod), " a second time"));
    }
    const int done = static_cast<int>(ended.succeeded.size());
    if (!ended.disturbed && job.spec().has_completions() &&
        active + done > job.spec().completions()) {
      findings.Add(absl::StrCat("pod ", name, " of a Job makes ", active, " active and ", done,
                                " succeeded ones of ", job.spec().completions(), " wanted"));
    }
  }

  void OnJob(const Change& change, Findings& findings) {
    if (change.gone()) return;
    const Job& job = *change.After<Job>();
    const std::string& name = job.metadata().name();
    const Ended& ended = ended_[job.metadata().uid()];
    const int succeeded = job.status().succeeded(), failed = job.status().failed();
    if (!ended.disturbed && job.spec().has_completions() && succeeded > job.spec().completions()) {
      findings.Add(absl::StrCat("Job ", name, " counts ", succeeded, " completions of ",
                                job.spec().completions()));
    }
    if (succeeded > static_cast<int>(ended.succeeded.size())) {
      findings.Add(absl::StrCat("Job ", name, " counts ", succeeded, " succeeded pods; there were ",
                                ended.succeeded.size()));
    }
    if (failed > static_cast<int>(ended.failed.size())) {
      findings.Add(absl::StrCat("Job ", name, " counts ", failed, " failed pods; there were ",
                                ended.failed.size()));
    }
    if (!change.created() && succeeded < change.Before<Job>()->status().succeeded()) {
      findings.Add(absl::StrCat("Job ", name, " counts fewer completions than before"));
    }
    if (HasCondition(job, "Complete") && succeeded < job.spec().completions()) {
      findings.Add(absl::StrCat("Job ", name, " is complete with ", succeeded, " of ",
                                job.spec().completions()));
    }
  }

  std::map<std::string, Ended> ended_;
};

class ForbidInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    if (change.resource() != "jobs.batch" || !change.created()) return;
    const Job& job = *change.After<Job>();
    for (const auto& owner : job.metadata().owner_references()) {
      if (!owner.controller() || owner.kind() != "CronJob") continue;
      const auto* const cron =
          truth.Find<CronJob>("cronjobs.batch", job.metadata().namespace_(), owner.name());
      if (cron == nullptr || cron->spec().concurrency_policy() != "Forbid") continue;
      for (const Job* other : truth.OwnedBy<Job>("jobs.batch", owner.uid())) {
        if (other == &job || IsFinished(*other) || IsTerminating(*other)) continue;
        if (circumstances.unacknowledged.count(other->metadata().uid()) > 0) continue;
        findings.Add(absl::StrCat("CronJob ", owner.name(), " begins ", job.metadata().name(),
                                  " while ", other->metadata().name(), " is active"));
      }
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewCompletionsInvariant() {
  return std::make_unique<CompletionsInvariant>();
}
std::unique_ptr<Invariant> NewForbidInvariant() { return std::make_unique<ForbidInvariant>(); }

}  // namespace meltemi::sim
