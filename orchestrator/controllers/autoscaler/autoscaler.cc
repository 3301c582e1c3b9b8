#include "orchestrator/controllers/autoscaler/autoscaler.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/autoscaler/metrics.h"
#include "orchestrator/controllers/autoscaler/scaling_rules.h"
#include "orchestrator/controllers/autoscaler/targets.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::autoscaling::v2::HorizontalPodAutoscaler;
using kube::autoscaling::v2::HorizontalPodAutoscalerCondition;
using kube::autoscaling::v2::MetricSpec;
using kube::core::v1::Pod;

// What the metrics ask for together.
struct Wanted {
  bool known = false;
  int32_t replicas = 0;
  std::string metric;
  std::string error;  // of some or all metrics
  std::vector<kube::autoscaling::v2::MetricStatus> statuses;
};

// One pass over one autoscaler: its status as it becomes.
struct Pass {
  kube::NamespacedName key;
  std::shared_ptr<const HorizontalPodAutoscaler> before;
  HorizontalPodAutoscaler hpa;
  ScaleTarget target;
  WallTime now;
};

void SetCondition(Pass& pass, absl::string_view type, bool value, absl::string_view reason,
                  absl::string_view message) {
  HorizontalPodAutoscalerCondition* found = nullptr;
  for (auto& condition : *pass.hpa.mutable_status()->mutable_conditions()) {
    if (condition.type() == type) found = &condition;
  }
  if (found == nullptr) {
    found = pass.hpa.mutable_status()->add_conditions();
    found->set_type(std::string(type));
  }
  const char* const status = value ? "True" : "False";
  if (found->status() != status) *found->mutable_last_transition_time() = FromWall(pass.now);
  found->set_status(status);
  found->set_reason(std::string(reason));
  found->set_message(std::string(message));
}

void SetStatus(Pass& pass, int32_t current, int32_t desired, const Wanted& wanted) {
  auto* status = pass.hpa.mutable_status();
  status->clear_observed_generation();
  status->set_current_replicas(current);
  status->set_desired_replicas(desired);
  status->clear_current_metrics();
  for (const auto& metric : wanted.statuses) *status->add_current_metrics() = metric;
}

class AutoscalerController final : public Running {
 public:
  AutoscalerController(Context& context, const AutoscalerOptions& options)
      : context_(context),
        options_(options),
        recorder_(context.recorder("horizontal-pod-autoscaler")),
        hpas_(context.informers.ListerOf<HorizontalPodAutoscaler>()),
        pods_(context.informers.ListerOf<Pod>()),
        targets_(context.client, context.executor.clock()) {
    kube::ControllerOptions queue;
    queue.name = "horizontalpodautoscaler";
    queue_ =
        kube::NewController(queue, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    context.informers.Of<HorizontalPodAutoscaler>().AddHandler(
        [this](const kube::Change& change) { OnAutoscaler(change); });
  }

  void Start() override { queue_->Start(); }

 private:
  // Their own status is no reason to look again.
  void OnAutoscaler(const kube::Change& change) {
    if (change.before != nullptr && change.after != nullptr) {
      const auto& before = static_cast<const HorizontalPodAutoscaler&>(*change.before);
      const auto& after = static_cast<const HorizontalPodAutoscaler&>(*change.after);
      if (before.metadata().uid() == after.metadata().uid() &&
          kube::ToJson(before.spec()) == kube::ToJson(after.spec())) {
        return;
      }
    }
    queue_->Add(kube::NameOf(*(change.after ? change.after : change.before)));
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::Outcome Scale(Pass& pass);
  Wanted Evaluate(Pass& pass);
  // Error: why the pods are not this autoscaler's alone; said in the condition.
  std::optional<std::string> Select(Pass& pass, std::vector<PodPtr>* pods);
  std::vector<std::string> OthersThatSelect(const kube::NamespacedName& key,
                                            const std::vector<PodPtr>& pods);
  int32_t Decide(Pass& pass, int32_t current, int32_t desired, int32_t min);
  kube::Outcome Rescale(Pass& pass, int32_t current, int32_t desired, const std::string& reason,
                        const Wanted& wanted);
  kube::Outcome WriteStatus(Pass& pass);
  void Warn(const Pass& pass, absl::string_view reason, absl::string_view message) {
    recorder_.Record(*pass.before, kube::kWarning, reason, message);
  }

  Context& context_;
  const AutoscalerOptions options_;
  kube::EventRecorder& recorder_;
  const kube::Lister<HorizontalPodAutoscaler> hpas_;
  const kube::Lister<Pod> pods_;
  Targets targets_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<kube::NamespacedName, ScalingMemory> memory_;
  std::map<kube::NamespacedName, kube::LabelSelector> selectors_;

  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

kube::ReconcileResult AutoscalerController::Reconcile(const kube::NamespacedName& key) {
  Pass pass;
  pass.key = key;
  pass.before = hpas_.Get(key);
  if (pass.before == nullptr) {
    const std::lock_guard<std::mutex> lock(mutex_);
    memory_.erase(key);
    selectors_.erase(key);
    return kube::Finished();
  }
  pass.hpa = *pass.before;
  pass.now = context_.WallNow();
  // Failures are told in conditions and events; metrics are looked at at their own pace.
  if (const kube::Outcome done = Scale(pass); !done.ok()) {
    LOG(kInfo, "controller", "horizontalpodautoscaler: ", key.ToString(), ": ",
        done.status().message);
  }
  return kube::Again(options_.sync_period);
}

kube::Outcome AutoscalerController::Scale(Pass& pass) {
  kube::Result<ScaleTarget> target = targets_.Get(pass.key.ns, pass.hpa.spec().scale_target_ref());
  if (!target.ok()) {
    Warn(pass, "FailedGetScale", target.status().message);
    SetCondition(pass, "AbleToScale", false, "FailedGetScale",
                 absl::StrCat("the HPA controller was unable to get the target's current scale: ",
                              target.status().message));
    (void)WriteStatus(pass);
    return target.status();
  }
  pass.target = *std::move(target);
  SetCondition(pass, "AbleToScale", true, "SucceededGetScale",
               "the HPA controller was able to get the target's current scale");
  const auto& spec = pass.hpa.spec();
  const int32_t current = pass.target.scale.spec().replicas();
  const int32_t min = spec.has_min_replicas() ? spec.min_replicas() : 1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    RememberStart(current, context_.executor.clock().Now(), &memory_[pass.key]);
  }
  if (current == 0 && min != 0) {
    SetCondition(pass, "ScalingActive", false, "ScalingDisabled",
                 "scaling is disabled since the replica count of the target is zero");
    SetStatus(pass, current, 0, {});
    return WriteStatus(pass);
  }
  if (current > spec.max_replicas()) {
    return Rescale(pass, current, spec.max_replicas(),
                   "Current number of replicas above Spec.MaxReplicas", {});
  }
  if (current < min) {
    return Rescale(pass, current, min, "Current number of replicas below Spec.MinReplicas", {});
  }
  const Wanted wanted = Evaluate(pass);
  if (!wanted.known) {
    SetStatus(pass, current, pass.hpa.status().desired_replicas(), wanted);
    (void)WriteStatus(pass);
    Warn(pass, "FailedComputeMetricsReplicas", wanted.error);
    return kube::InternalError(absl::StrCat(
        "failed to compute desired number of replicas based on listed metrics: ", wanted.error));
  }
  const int32_t desired = Decide(pass, current, wanted.replicas, min);
  if (desired == current) {
    SetStatus(pass, current, current, wanted);
    return WriteStatus(pass);
  }
  return Rescale(pass, current, desired,
                 wanted.replicas > current   ? absl::StrCat(wanted.metric, " above target")
                 : wanted.replicas < current ? "All metrics below target"
                                             : "",
                 wanted);
}

Wanted AutoscalerController::Evaluate(Pass& pass) {
  Wanted out;
  std::vector<PodPtr> pods;
  if (std::optional<std::string> error = Select(pass, &pods)) {
    out.error = *std::move(error);
    return out;
  }
  const MetricsQuestion question{.ns = pass.key.ns,
                                 .selector = pass.target.scale.status().selector(),
                                 .pods = pods,
                                 .current_replicas = pass.target.scale.spec().replicas(),
                                 .now = pass.now,
                                 .options = options_};
  int failed = 0;
  std::optional<MetricAnswer> first_failure;
  for (const MetricSpec& spec : pass.hpa.spec().metrics()) {
    MetricAnswer answer = EvaluateMetric(context_.client, spec, question);
    out.statuses.push_back(answer.status);
    if (!answer.ok) {
      Warn(pass, answer.reason, answer.error);
      ++failed;
      if (!first_failure.has_value()) first_failure = std::move(answer);
    } else if (!out.known || answer.replicas > out.replicas) {
      out.known = true;
      out.replicas = answer.replicas;
      out.metric = answer.name;
    }
  }
  if (first_failure.has_value()) {
    out.error =
        absl::StrCat("invalid metrics (", failed, " invalid out of ",
                     pass.hpa.spec().metrics_size(), "), first error is: ", first_failure->summary);
    // Those that fail might ask for more: so nothing is taken away.
    if (!out.known || out.replicas < question.current_replicas) {
      out.known = false;
      SetCondition(
          pass, "ScalingActive", false, first_failure->reason,
          absl::StrCat("the HPA was unable to compute the replica count: ", first_failure->error));
      return out;
    }
  }
  if (!out.known) {
    out.error = "there are no metrics";
    return out;
  }
  SetCondition(
      pass, "ScalingActive", true, "ValidMetricFound",
      absl::StrCat("the HPA was able to successfully calculate a replica count from ", out.metric));
  return out;
}

std::optional<std::string> AutoscalerController::Select(Pass& pass, std::vector<PodPtr>* pods) {
  const auto fail = [&](absl::string_view event, absl::string_view reason, std::string message,
                        absl::string_view condition) {
    Warn(pass, event, message);
    SetCondition(pass, "ScalingActive", false, reason, condition.empty() ? message : condition);
    return message;
  };
  const std::string& text = pass.target.scale.status().selector();
  if (text.empty()) {
    return fail("SelectorRequired", "InvalidSelector", "selector is required",
                "the HPA target's scale is missing a selector");
  }
  const absl::StatusOr<kube::LabelSelector> selector = kube::LabelSelector::Parse(text);
  if (!selector.ok()) {
    return fail("InvalidSelector", "InvalidSelector",
                absl::StrCat("couldn't convert selector into a corresponding internal selector "
                             "object: ",
                             selector.status().message()),
                "");
  }
  for (PodPtr& pod : pods_.List(pass.key.ns)) {
    if (Matches(*selector, *pod)) pods->push_back(std::move(pod));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    selectors_[pass.key] = *selector;
  }
  const std::vector<std::string> owners = OthersThatSelect(pass.key, *pods);
  if (owners.size() > 1) {
    return fail("AmbiguousSelector", "AmbiguousSelector",
                absl::StrCat("pods by selector ", text, " are controlled by multiple HPAs: [",
                             absl::StrJoin(owners, " "), "]"),
                "");
  }
  return std::nullopt;
}

// "{web default}", its own among them.
std::vector<std::string> AutoscalerController::OthersThatSelect(const kube::NamespacedName& key,
                                                                const std::vector<PodPtr>& pods) {
  std::vector<std::string> out;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [other, selector] : selectors_) {
    if (other.ns != key.ns) continue;
    const bool selects = std::any_of(
        pods.begin(), pods.end(), [&s = selector](const PodPtr& pod) { return Matches(s, *pod); });
    if (selects) out.push_back(absl::StrCat("{", other.name, " ", other.ns, "}"));
  }
  return out;
}

int32_t AutoscalerController::Decide(Pass& pass, int32_t current, int32_t desired, int32_t min) {
  const auto& spec = pass.hpa.spec();
  const ScalingQuestion question{.current = current,
                                 .desired = desired,
                                 .min = min,
                                 .max = spec.max_replicas(),
                                 .behavior = spec.has_behavior() ? &spec.behavior() : nullptr,
                                 .downscale_stabilization = options_.downscale_stabilization,
                                 .now = context_.executor.clock().Now()};
  ScalingAnswer answer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer = DecideReplicas(question, &memory_[pass.key]);
  }
  SetCondition(pass, "AbleToScale", true, answer.able_reason, answer.able_message);
  SetCondition(pass, "ScalingLimited", answer.limited, answer.limited_reason,
               answer.limited_message);
  return answer.replicas;
}

kube::Outcome AutoscalerController::Rescale(Pass& pass, int32_t current, int32_t desired,
                                            const std::string& reason, const Wanted& wanted) {
  kube::Outcome scaled = targets_.Scale(pass.target, desired);
  if (!scaled.ok()) {
    const std::string& error = scaled.status().message;
    Warn(pass, "FailedRescale",
         absl::StrCat("New size: ", desired, "; reason: ", reason, "; error: ", error));
    SetCondition(pass, "AbleToScale", false, "FailedUpdateScale",
                 absl::StrCat("the HPA controller was unable to update the target scale: ", error));
    SetStatus(pass, current, pass.hpa.status().desired_replicas(), wanted);
    (void)WriteStatus(pass);
    return scaled;
  }
  SetCondition(pass, "AbleToScale", true, "SucceededRescale",
               absl::StrCat("the HPA controller was able to update the target scale to ", desired));
  recorder_.Record(*pass.before, kube::kNormal, "SuccessfulRescale",
                   absl::StrCat("New size: ", desired, "; reason: ", reason));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto& spec = pass.hpa.spec();
    RememberScaling({.current = current,
                     .behavior = spec.has_behavior() ? &spec.behavior() : nullptr,
                     .now = context_.executor.clock().Now()},
                    desired, &memory_[pass.key]);
  }
  *pass.hpa.mutable_status()->mutable_last_scale_time() = FromWall(pass.now);
  SetStatus(pass, current, desired, wanted);
  return WriteStatus(pass);
}

kube::Outcome AutoscalerController::WriteStatus(Pass& pass) {
  if (kube::ToJson(pass.before->status()) == kube::ToJson(pass.hpa.status())) return kube::Done{};
  const kube::Result<HorizontalPodAutoscaler> written =
      kube::UpdateStatus(context_.client, pass.hpa);
  if (written.ok() || kube::IsNotFound(written.status())) return kube::Done{};
  Warn(pass, "FailedUpdateStatus", written.status().message);
  return written.status();
}

}  // namespace

std::unique_ptr<Running> NewAutoscalerController(Context& context,
                                                 const AutoscalerOptions& options) {
  return std::make_unique<AutoscalerController>(context, options);
}

}  // namespace meltemi::controllers
