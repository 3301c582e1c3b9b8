// What may become of a Job's status. Kubernetes holds a rule against an update only when it changes
// something that the rule is about.
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/job.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

const FieldPath& StatusPath() {
  static const auto& path = *new FieldPath("status");
  return path;
}

// metav1.Time as Go prints it: "2026-01-02 03:04:05 +0000 UTC".
std::string GoTime(const json::Value& time) {
  std::string text = time.text();
  if (text.size() < 20) return text;
  text.replace(10, 1, " ");
  return absl::StrCat(text.substr(0, 19), " +0000 UTC");
}

bool IsFinished(const json::Value& job) {
  return HasTrueCondition(job, "Complete") || HasTrueCondition(job, "Failed");
}

class StatusUpdate {
 public:
  StatusUpdate(const json::Value& old_job, const json::Value& job, FieldErrors& errors)
      : old_job_(old_job),
        job_(job),
        old_(Get(old_job, "status")),
        new_(Get(job, "status")),
        spec_(Get(job, "spec")),
        errors_(errors) {}

  void Counts();
  void UncountedPods();
  void FinalConditions();
  void FinishedJobs();
  void Indexes();
  void ConditionsTogether();
  void Transitions();

 private:
  bool Changed(absl::string_view key) const { return !SameMember(old_, new_, key); }
  bool ConditionChanged(absl::string_view type) const {
    return HasTrueCondition(old_job_, type) != HasTrueCondition(job_, type);
  }
  bool FinishedChanged() const { return IsFinished(old_job_) != IsFinished(job_); }
  bool Is(absl::string_view type) const { return HasTrueCondition(job_, type); }
  // The value of conditions is never printed.
  void BadConditions(absl::string_view detail) {
    errors_.push_back(InvalidPrinted(StatusPath().Child("conditions"), "", detail));
  }
  void BadTime(absl::string_view key, absl::string_view detail) {
    errors_.push_back(InvalidPrinted(StatusPath().Child(key), GoTime(Get(new_, key)), detail));
  }
  void BadNumber(absl::string_view key, absl::string_view detail) {
    errors_.push_back(kube::InvalidField(StatusPath().Child(key), Int(new_, key), detail));
  }
  void BadText(absl::string_view key, absl::string_view detail) {
    errors_.push_back(kube::InvalidField(StatusPath().Child(key), Text(new_, key), detail));
  }

  const json::Value& old_job_;
  const json::Value& job_;
  const json::Value& old_;
  const json::Value& new_;
  const json::Value& spec_;
  FieldErrors& errors_;
};

void StatusUpdate::Counts() {
  for (const char* key : {"active", "succeeded", "failed", "ready", "terminating"}) {
    ValidateNonNegative(new_, key, StatusPath(), errors_);
  }
}

void StatusUpdate::UncountedPods() {
  std::set<std::string> seen;
  for (const char* key : {"succeeded", "failed"}) {
    const auto& uids = Items(Get(new_, "uncountedTerminatedPods"), key);
    for (size_t i = 0; i < uids.size(); ++i) {
      const FieldPath path = StatusPath().Child("uncountedTerminatedPods").Child(key).Index(i);
      if (uids[i].text().empty()) {
        errors_.push_back(kube::InvalidField(path, "", "must not be empty"));
      } else if (!seen.insert(uids[i].text()).second) {
        errors_.push_back(kube::DuplicateField(path, uids[i]));
      }
    }
  }
}

void StatusUpdate::FinalConditions() {
  const bool complete = Is("Complete");
  const bool complete_changed = ConditionChanged("Complete");
  const bool time_changed = complete_changed || Changed("completionTime");
  const bool has_time = Has(new_, "completionTime");
  if ((complete_changed || ConditionChanged("Failed")) && complete && Is("Failed")) {
    BadConditions("cannot set Complete=True and Failed=true conditions");
  }
  if ((complete_changed || ConditionChanged("FailureTarget")) && complete && Is("FailureTarget")) {
    BadConditions("cannot set Complete=True and FailureTarget=true conditions");
  }
  if (time_changed && has_time && !complete) {
    BadTime("completionTime", "cannot set completionTime when there is no Complete=True condition");
  }
  if (time_changed && !has_time && complete) {
    errors_.push_back(kube::Required(StatusPath().Child("completionTime"),
                                     "completionTime is required for Complete jobs"));
  }
  if ((Changed("startTime") || Changed("completionTime")) && has_time && Has(new_, "startTime") &&
      kube::ParseTimeMicros(Text(new_, "completionTime")) <
          kube::ParseTimeMicros(Text(new_, "startTime"))) {
    BadTime("completionTime", "completionTime cannot be set before startTime");
  }
  if ((ConditionChanged("Failed") || Changed("failedIndexes")) && Is("Failed") &&
      !Is("FailureTarget")) {
    BadConditions("cannot set Failed=True condition without the FailureTarget=true condition");
  }
  if ((complete_changed || ConditionChanged("SuccessCriteriaMet")) && complete &&
      !Is("SuccessCriteriaMet")) {
    BadConditions(
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  }
}

void StatusUpdate::FinishedJobs() {
  if (!IsFinished(job_)) return;
  const bool changed = FinishedChanged();
  if ((changed || Changed("active")) && Int(new_, "active") > 0) {
    BadNumber("active", "active>0 is invalid for finished job");
  }
  if ((changed || Changed("startTime")) && !Has(new_, "startTime")) {
    errors_.push_back(
        kube::Required(StatusPath().Child("startTime"), "startTime is required for finished job"));
  }
  const json::Value& uncounted = Get(new_, "uncountedTerminatedPods");
  if ((changed || Changed("uncountedTerminatedPods")) &&
      Items(uncounted, "failed").size() + Items(uncounted, "succeeded").size() > 0) {
    errors_.push_back(
        kube::InvalidField(StatusPath().Child("uncountedTerminatedPods"), uncounted,
                           "uncountedTerminatedPods needs to be empty for finished job"));
  }
}

void StatusUpdate::Indexes() {
  const std::optional<int64_t> completions = OptionalInt(spec_, "completions");
  const bool completed_changed = Changed("completedIndexes"),
             failed_changed = Changed("failedIndexes");
  const bool per_index = Has(spec_, "backoffLimitPerIndex");
  const absl::string_view completed = Text(new_, "completedIndexes");
  const absl::string_view failed = Text(new_, "failedIndexes");
  if (completed_changed && completions.has_value()) {
    const IndexCount indexes = CountIndexes(completed, *completions);
    if (!indexes.error.empty()) {
      BadText("completedIndexes", absl::StrCat("error parsing completedIndexes: ", indexes.error));
    }
  }
  if (failed_changed && completions.has_value() && per_index && Has(new_, "failedIndexes")) {
    const IndexCount indexes = CountIndexes(failed, *completions);
    if (!indexes.error.empty()) {
      BadText("failedIndexes", absl::StrCat("error parsing failedIndexes: ", indexes.error));
    }
  }
  if (completed_changed && !completed.empty() && Text(spec_, "completionMode") != "Indexed") {
    BadText("completedIndexes",
            "cannot set non-empty completedIndexes when non-indexed completion mode");
  }
  if (failed_changed && !per_index && Has(new_, "failedIndexes")) {
    BadText("failedIndexes", "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
  }
  if ((completed_changed || failed_changed) && completions.has_value() &&
      Has(new_, "failedIndexes")) {
    const std::string overlap = OverlapOfIndexes(completed, failed, *completions);
    if (!overlap.empty()) BadText("failedIndexes", overlap);
  }
}

void StatusUpdate::ConditionsTogether() {
  if ((FinishedChanged() || Changed("terminating")) && Int(new_, "terminating") > 0 &&
      IsFinished(job_)) {
    BadNumber("terminating", "terminating>0 is invalid for finished job");
  }
  if ((Changed("ready") || Changed("active")) && Int(new_, "ready") > Int(new_, "active")) {
    BadNumber("ready", "cannot set more ready pods than active");
  }
  const bool met = Is("SuccessCriteriaMet");
  if (met && Is("Failed")) {
    BadConditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
  }
  if (met && Is("FailureTarget")) {
    BadConditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  }
  if (Has(spec_, "successPolicy") && !met && Is("Complete")) {
    BadConditions(
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  }
}

void StatusUpdate::Transitions() {
  for (const char* type : {"Failed", "Complete", "FailureTarget"}) {
    if (HasTrueCondition(old_job_, type) && !Is(type)) {
      BadConditions(absl::StrCat("cannot disable the terminal ", type, "=True condition"));
    }
  }
  if (Int(new_, "failed") < Int(old_, "failed")) {
    BadNumber("failed", "cannot decrease the failed counter");
  }
  const bool elastic = Text(spec_, "completionMode") == "Indexed" &&
                       OptionalInt(spec_, "completions") == OptionalInt(spec_, "parallelism");
  if (!elastic && Int(new_, "succeeded") < Int(old_, "succeeded")) {
    BadNumber("succeeded", "cannot decrease the succeeded counter");
  }
  if (Has(new_, "completionTime") && Has(old_, "completionTime") && Changed("completionTime")) {
    BadTime("completionTime", "completionTime cannot be mutated");
  }
  if (Changed("startTime") && Has(old_, "startTime") && !Bool(spec_, "suspend")) {
    errors_.push_back(kube::Required(StatusPath().Child("startTime"),
                                     "startTime cannot be removed for unsuspended job"));
  }
  if (HasTrueCondition(old_job_, "SuccessCriteriaMet") && !Is("SuccessCriteriaMet")) {
    BadConditions("cannot disable the SuccessCriteriaMet=True condition");
  }
  if (HasTrueCondition(old_job_, "Complete") && !HasTrueCondition(old_job_, "SuccessCriteriaMet") &&
      Is("SuccessCriteriaMet")) {
    BadConditions(
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
  }
}

}  // namespace

bool HasTrueCondition(const json::Value& job, absl::string_view type) {
  for (const json::Value& condition : Items(Get(job, "status"), "conditions")) {
    if (Text(condition, "type") == type && Text(condition, "status") == "True") return true;
  }
  return false;
}

void ValidateJobStatusUpdate(const json::Value& old_job, const json::Value& job,
                             FieldErrors& errors) {
  StatusUpdate update(old_job, job, errors);
  update.Counts();
  update.UncountedPods();
  update.FinalConditions();
  update.FinishedJobs();
  update.Indexes();
  update.ConditionsTogether();
  update.Transitions();
}

}  // namespace meltemi::apiserver
