// Jobs and CronJobs.
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/cron/cron.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/age.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/job.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kJobName = "batch.kubernetes.io/job-name";
constexpr absl::string_view kControllerUid = "batch.kubernetes.io/controller-uid";
constexpr absl::string_view kOldJobName = "job-name";
constexpr absl::string_view kOldControllerUid = "controller-uid";
constexpr size_t kCronJobNameBytesMax = 52;

kube::StringPairs PairsOf(const json::Value& labels) {
  kube::StringPairs pairs;
  for (const json::Member& label : labels.members()) {
    pairs.emplace_back(label.key, label.value.text());
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

bool Selects(const json::Value& selector, const kube::StringPairs& labels) {
  const auto parsed = kube::LabelSelector::FromJson(&selector);
  return !parsed.ok() || parsed->Matches(labels);
}

void DefaultJobSpec(json::Value& spec) {
  if (!Has(spec, "completions") && !Has(spec, "parallelism")) SetDefault(spec, "completions", 1);
  SetDefault(spec, "parallelism", 1);
  SetDefault(spec, "backoffLimit",
             Has(spec, "backoffLimitPerIndex") ? std::numeric_limits<int32_t>::max() : 6);
  SetDefault(spec, "completionMode", "NonIndexed");
  SetDefault(spec, "suspend", json::Value::Bool(false));
  SetDefault(spec, "podReplacementPolicy",
             Has(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
  SetDefault(spec, "manualSelector", json::Value::Bool(false));
}

void DefaultPodConditions(json::Value& spec) {
  json::Value* policy = MutableMember(spec, "podFailurePolicy");
  std::vector<json::Value>* rules = policy == nullptr ? nullptr : MutableItems(*policy, "rules");
  if (rules == nullptr) return;
  for (json::Value& rule : *rules) {
    std::vector<json::Value>* patterns = MutableItems(rule, "onPodConditions");
    if (patterns == nullptr) continue;
    for (json::Value& pattern : *patterns) {
      if (Text(pattern, "status").empty()) pattern.Set("status", json::Value::String("True"));
    }
  }
}

// Labels by which a Job finds its pods, unless they are the user's own matter. Waits until name and
// uid are known.
void GenerateSelector(json::Value& job) {
  const std::string name(kube::Name(job)), uid(kube::Uid(job));
  json::Value& spec = job.MutableObject("spec");
  if (Bool(spec, "manualSelector") || name.empty() || uid.empty()) return;
  json::Value& labels =
      spec.MutableObject("template").MutableObject("metadata").MutableObject("labels");
  for (const absl::string_view key : {kOldJobName, kJobName}) SetDefault(labels, key, name);
  for (const absl::string_view key : {kOldControllerUid, kControllerUid}) {
    SetDefault(labels, key, uid);
  }
  SetDefault(spec.MutableObject("selector").MutableObject("matchLabels"), kControllerUid, uid);
}

void RequireLabel(const json::Value& labels, absl::string_view key, absl::string_view value,
                  FieldErrors& errors) {
  const FieldPath path =
      FieldPath("spec").Child("template").Child("metadata").Child("labels").Key(key);
  const json::Value* label = labels.Find(key);
  const std::string must = absl::StrCat("must be '", value, "'");
  if (label == nullptr) {
    errors.push_back(kube::Required(path, must));
  } else if (label->text() != value) {
    errors.push_back(InvalidPrinted(path, GoTextMap(labels), must));
  }
}

// `prefixed`: jobs that were made before the prefixed labels came need not have them.
void ValidateGeneratedSelector(const json::Value& job, bool prefixed, FieldErrors& errors) {
  const json::Value& spec = Get(job, "spec");
  if (Bool(spec, "manualSelector") || !Has(spec, "selector")) return;
  const absl::string_view name = kube::Name(job), uid = kube::Uid(job);
  if (uid.empty()) errors.push_back(kube::Required(FieldPath("metadata").Child("uid")));
  const json::Value& labels = Get(spec, "template", "metadata", "labels");
  kube::StringPairs expected = {{std::string(kOldControllerUid), std::string(uid)},
                                {std::string(kOldJobName), std::string(name)}};
  RequireLabel(labels, kOldControllerUid, uid, errors);
  RequireLabel(labels, kOldJobName, name, errors);
  if (prefixed) {
    RequireLabel(labels, kControllerUid, uid, errors);
    RequireLabel(labels, kJobName, name, errors);
    expected.emplace_back(kControllerUid, uid);
    expected.emplace_back(kJobName, name);
  }
  std::sort(expected.begin(), expected.end());
  if (!Selects(Get(spec, "selector"), expected)) {
    errors.push_back(InvalidPrinted(FieldPath("spec").Child("selector"),
                                    GoLabelSelector(Get(spec, "selector")),
                                    "`selector` not auto-generated"));
  }
}

void ValidateSelectorOfSpec(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value* selector = spec.Find("selector");
  if (selector == nullptr || selector->is_null()) {
    errors.push_back(kube::Required(path.Child("selector")));
    return;
  }
  ValidateLabelSelector(selector, path.Child("selector"), errors);
  const json::Value& labels = Get(spec, "template", "metadata", "labels");
  if (!Selects(*selector, PairsOf(labels))) {
    errors.push_back(InvalidPrinted(path.Child("template").Child("metadata").Child("labels"),
                                    GoTextMap(labels),
                                    "`selector` does not match template `labels`"));
  }
}

// The template of a Job that is suspended and has not begun, with what may change then taken from
// the new one.
json::Value WithNewPlacement(const json::Value& old_template, const json::Value& pods) {
  json::Value merged = old_template;
  json::Value& metadata = merged.MutableObject("metadata");
  for (const char* key : {"labels", "annotations"}) {
    CopyMember(Get(pods, "metadata"), key, metadata);
  }
  json::Value& spec = merged.MutableObject("spec");
  const json::Value& new_spec = Get(pods, "spec");
  for (const char* key : {"nodeSelector", "tolerations", "schedulingGates"}) {
    CopyMember(new_spec, key, spec);
  }
  json::Value& affinity = spec.MutableObject("affinity");
  CopyMember(Get(new_spec, "affinity"), "nodeAffinity", affinity);
  const bool only_nodes = !Has(affinity, "podAffinity") && !Has(affinity, "podAntiAffinity");
  if (only_nodes && !Has(new_spec, "affinity")) spec.Remove("affinity");
  return merged;
}

class JobStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    DefaultJobSpec(*spec);
    DefaultPodConditions(*spec);
    json::Value* pods = MutableMember(*spec, "template");
    if (pods == nullptr) return;
    DefaultPodTemplate(*pods);
    json::Value labels = Get(*pods, "metadata", "labels");
    if (!labels.members().empty() && Members(Get(object, "metadata"), "labels").empty()) {
      object.MutableObject("metadata").Set("labels", std::move(labels));
    }
  }
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    GenerateSelector(object);
    Strategy::PrepareForCreate(resource, object);
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateJob(object, true, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      ValidateJobStatusUpdate(old_object, object, errors);
      return errors;
    }
    const json::Value& old_labels = Get(Get(old_object, "spec", "template"), "metadata", "labels");
    ValidateJob(object,
                old_labels.Find(kJobName) != nullptr && old_labels.Find(kControllerUid) != nullptr,
                errors);
    ValidateChange(old_object, object, errors);
    return errors;
  }
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override {
    return WarningsWithName(object, Get(object, "spec"), FieldPath("spec"));
  }

  std::vector<std::string> SelectableFieldNames() const override { return {"status.successful"}; }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"status.successful", absl::StrCat(Int(Get(object, "status"), "succeeded"))}};
  }
  bool OrphansDependentsByDefault() const override { return false; }

  static std::vector<std::string> WarningsWithName(const json::Value& object,
                                                   const json::Value& spec, const FieldPath& path) {
    std::vector<std::string> warnings;
    const Complaints complaints = CheckDns1123Label(kube::Name(object));
    if (!complaints.empty()) {
      warnings.push_back(absl::StrCat(
          "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
          "behavior; a DNS label is recommended: [",
          absl::StrJoin(complaints, " "), "]"));
    }
    for (std::string& warning : JobSpecWarnings(spec, path)) {
      warnings.push_back(std::move(warning));
    }
    return warnings;
  }

 private:
  static void ValidateJob(const json::Value& job, bool prefixed_labels, FieldErrors& errors) {
    ValidateGeneratedSelector(job, prefixed_labels, errors);
    const json::Value& spec = Get(job, "spec");
    ValidateJobSpec(spec, FieldPath("spec"), errors);
    ValidateSelectorOfSpec(spec, FieldPath("spec"), errors);
    const int64_t completions = Int(spec, "completions");
    if (Text(spec, "completionMode") != "Indexed" || completions <= 0) return;
    // Host names of its pods end in the index.
    const std::string host = absl::StrCat(kube::Name(job), "-", completions - 1);
    if (CheckDns1123Label(host).empty()) return;
    errors.push_back(kube::InvalidField(
        FieldPath("metadata").Child("name"), kube::Name(job),
        absl::StrCat("will not able to create pod with invalid DNS label: ", host)));
  }
  static void ValidateChange(const json::Value& old_job, const json::Value& job,
                             FieldErrors& errors);
};

void JobStrategy::ValidateChange(const json::Value& old_job, const json::Value& job,
                                 FieldErrors& errors) {
  const json::Value& old_spec = Get(old_job, "spec");
  const json::Value& spec = Get(job, "spec");
  const FieldPath path("spec");
  if (Text(spec, "completionMode") != "Indexed") {
    ValidateImmutable(Get(old_spec, "completions"), Get(spec, "completions"),
                      path.Child("completions"), errors);
  } else if (!SameMember(old_spec, spec, "completions") && Has(spec, "completions") &&
             Int(spec, "completions") != Int(spec, "parallelism")) {
    errors.push_back(kube::InvalidField(path.Child("completions"), Int(spec, "completions"),
                                        "can only be modified in tandem with spec.parallelism"));
  }
  if (!SameMember(old_spec, spec, "selector")) {
    errors.push_back(InvalidPrinted(path.Child("selector"), GoLabelSelector(Get(spec, "selector")),
                                    "field is immutable"));
  }
  const json::Value& pods = Get(spec, "template");
  const bool placeable = Bool(old_spec, "suspend") && !Has(Get(old_job, "status"), "startTime");
  ValidateImmutable(
      placeable ? WithNewPlacement(Get(old_spec, "template"), pods) : Get(old_spec, "template"),
      pods, path.Child("template"), errors);
  for (const char* key : {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy",
                          "successPolicy"}) {
    ValidateImmutable(Get(old_spec, key), Get(spec, key), path.Child(key), errors);
  }
}

void ValidateTimeZone(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  if (!Has(spec, "timeZone")) return;
  const absl::string_view zone = Text(spec, "timeZone");
  if (zone.empty()) {
    errors.push_back(kube::InvalidField(path, zone, "timeZone must be nil or non-empty string"));
    return;
  }
  for (absl::string_view part : absl::StrSplit(zone, '/')) {
    const bool fits = absl::c_all_of(part, [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
             absl::string_view(".-_+").find(c) != absl::string_view::npos;
    });
    if (part.empty() || part == "." || part == ".." || part[0] == '-' || part.size() > 14 ||
        !fits) {
      errors.push_back(kube::InvalidField(path, zone, absl::StrCat("unknown time zone ", zone)));
      return;
    }
  }
  if (absl::EqualsIgnoreCase(zone, "Local")) {
    errors.push_back(kube::InvalidField(path, zone,
                                        "timeZone must be an explicit time zone as defined in "
                                        "https://www.iana.org/time-zones"));
  }
  const std::string wrong = kube::CheckTimeZone(zone);
  if (!wrong.empty()) errors.push_back(kube::InvalidField(path, zone, wrong));
}

// `old_spec` null: creation. Zones in the timetable itself are left to those who had them.
void ValidateSchedule(const json::Value* old_spec, const json::Value& spec, const FieldPath& path,
                      FieldErrors& errors) {
  const absl::string_view schedule = Text(spec, "schedule");
  if (schedule.empty()) {
    errors.push_back(kube::Required(path));
    return;
  }
  const absl::Status read = kube::CronSchedule::Parse(schedule).status();
  if (!read.ok()) errors.push_back(kube::InvalidField(path, schedule, read.message()));
  if (!absl::StrContains(schedule, "TZ")) return;
  const bool had = old_spec != nullptr && absl::StrContains(Text(*old_spec, "schedule"), "TZ");
  if (!had) {
    errors.push_back(kube::InvalidField(
        path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
  } else if (Has(spec, "timeZone")) {
    errors.push_back(kube::InvalidField(
        path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"));
  }
}

void ValidateCronJobSpec(const json::Value* old_spec, const json::Value& spec,
                         FieldErrors& errors) {
  const FieldPath path("spec");
  ValidateSchedule(old_spec, spec, path.Child("schedule"), errors);
  ValidateNonNegative(spec, "startingDeadlineSeconds", path, errors);
  if (old_spec == nullptr || !SameMember(*old_spec, spec, "timeZone")) {
    ValidateTimeZone(spec, path.Child("timeZone"), errors);
  }
  ValidateOneOf(spec, "concurrencyPolicy", path, {"Allow", "Forbid", "Replace"}, true, errors);
  const json::Value& job = Get(spec, "jobTemplate", "spec");
  const FieldPath job_path = path.Child("jobTemplate").Child("spec");
  ValidateJobSpec(job, job_path, errors);
  if (Has(job, "selector")) {
    errors.push_back(InvalidPrinted(job_path.Child("selector"),
                                    GoLabelSelector(Get(job, "selector")),
                                    "`selector` will be auto-generated"));
  }
  if (Bool(job, "manualSelector")) {
    errors.push_back(kube::NotSupported(job_path.Child("manualSelector"),
                                        Get(job, "manualSelector"), {"nil", "false"}));
  }
  for (const char* key : {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"}) {
    ValidateNonNegative(spec, key, path, errors);
  }
}

class CronJobStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    if (Text(*spec, "concurrencyPolicy").empty()) {
      spec->Set("concurrencyPolicy", json::Value::String("Allow"));
    }
    SetDefault(*spec, "suspend", json::Value::Bool(false));
    SetDefault(*spec, "successfulJobsHistoryLimit", 3);
    SetDefault(*spec, "failedJobsHistoryLimit", 1);
    json::Value* job = MutableMember(*spec, "jobTemplate");
    json::Value* job_spec = job == nullptr ? nullptr : MutableMember(*job, "spec");
    json::Value* pods = job_spec == nullptr ? nullptr : MutableMember(*job_spec, "template");
    if (pods != nullptr) DefaultPodTemplate(*pods);
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateCronJobSpec(nullptr, Get(object, "spec"), errors);
    // Its Jobs' names are longer by eleven characters.
    if (kube::Name(object).size() > kCronJobNameBytesMax) {
      errors.push_back(kube::InvalidField(FieldPath("metadata").Child("name"), kube::Name(object),
                                          "must be no more than 52 characters"));
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) return errors;
    ValidateCronJobSpec(&Get(old_object, "spec"), Get(object, "spec"), errors);
    return errors;
  }
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override {
    return JobStrategy::WarningsWithName(object, Get(object, "spec", "jobTemplate", "spec"),
                                         FieldPath("spec").Child("jobTemplate").Child("spec"));
  }
};

// ---- columns

TableColumn ContainersColumn() {
  return TextColumn("Containers", "The names of the containers of its pods.", 1);
}
TableColumn ImagesColumn() { return TextColumn("Images", "The images of these containers.", 1); }
TableColumn SelectorColumn() { return TextColumn("Selector", "Which pods are its own.", 1); }

std::string CompletionsText(const json::Value& job) {
  const int64_t succeeded = Int(Get(job, "status"), "succeeded");
  const json::Value& spec = Get(job, "spec");
  if (Has(spec, "completions")) return absl::StrCat(succeeded, "/", Int(spec, "completions"));
  const int64_t parallelism = Int(spec, "parallelism");
  return parallelism > 1 ? absl::StrCat(succeeded, "/1 of ", parallelism)
                         : absl::StrCat(succeeded, "/1");
}

std::string DurationText(const json::Value& job, int64_t now_s) {
  constexpr int64_t kMicros = 1'000'000;
  const json::Value& status = Get(job, "status");
  const std::optional<int64_t> begin = kube::ParseTimeMicros(Text(status, "startTime"));
  if (!begin.has_value()) return "";
  const std::optional<int64_t> end = kube::ParseTimeMicros(Text(status, "completionTime"));
  return HumanDuration((end.has_value() ? *end / kMicros : now_s) - *begin / kMicros);
}

absl::string_view JobStatusText(const json::Value& job) {
  if (HasTrueCondition(job, "Complete")) return "Complete";
  if (HasTrueCondition(job, "Failed")) return "Failed";
  if (kube::BeingDeleted(job)) return "Terminating";
  if (HasTrueCondition(job, "Suspended")) return "Suspended";
  if (HasTrueCondition(job, "FailureTarget")) return "FailureTarget";
  return "Running";
}

std::vector<json::Value> JobRow(const json::Value& job, int64_t now_s) {
  const json::Value& pods = Get(job, "spec", "template");
  return {NameCell(job),
          TextCell(JobStatusText(job)),
          TextCell(CompletionsText(job)),
          TextCell(DurationText(job, now_s)),
          AgeCell(job, now_s),
          TextCell(ContainerNames(pods)),
          TextCell(ContainerImages(pods)),
          TextCell(SelectorText(Get(job, "spec", "selector")))};
}

std::vector<json::Value> CronJobRow(const json::Value& cron_job, int64_t now_s) {
  const json::Value& spec = Get(cron_job, "spec");
  const json::Value& status = Get(cron_job, "status");
  const json::Value& job = Get(spec, "jobTemplate", "spec");
  const absl::string_view last = Text(status, "lastScheduleTime");
  return {NameCell(cron_job),
          TextCell(Text(spec, "schedule")),
          TextCell(Has(spec, "timeZone") ? Text(spec, "timeZone") : "<none>"),
          TextCell(Has(spec, "suspend") ? (Bool(spec, "suspend") ? "True" : "False") : "<unset>"),
          json::Value::Int(static_cast<int64_t>(Items(status, "active").size())),
          TextCell(last.empty() ? "<none>" : TimeSince(last, now_s)),
          AgeCell(cron_job, now_s),
          TextCell(ContainerNames(Get(job, "template"))),
          TextCell(ContainerImages(Get(job, "template"))),
          TextCell(SelectorText(Get(job, "selector")))};
}

TableColumn BooleanColumn(absl::string_view name, absl::string_view description) {
  TableColumn column = TextColumn(name, description);
  column.type = "boolean";
  return column;
}

}  // namespace

void AddBatch(KindTable& table) {
  table.Add("batch", "jobs", std::make_unique<JobStrategy>(),
            MakeColumns({NameColumn(), TextColumn("Status", "How far it has come."),
                         TextColumn("Completions", "How many pods succeeded, of how many."),
                         TextColumn("Duration", "How long it has run, or ran."), AgeColumn(),
                         ContainersColumn(), ImagesColumn(), SelectorColumn()},
                        JobRow));
  table.Add("batch", "cronjobs", std::make_unique<CronJobStrategy>(),
            MakeColumns({NameColumn(), TextColumn("Schedule", "Its timetable."),
                         TextColumn("Timezone", "Time zone of the timetable."),
                         BooleanColumn("Suspend", "Whether it makes no more Jobs."),
                         NumberColumn("Active", "How many of its Jobs run."),
                         TextColumn("Last Schedule", "The time since it last made a Job."),
                         AgeColumn(), ContainersColumn(), ImagesColumn(), SelectorColumn()},
                        CronJobRow));
}

}  // namespace meltemi::apiserver
