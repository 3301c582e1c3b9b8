#include "orchestrator/scheduler/scheduler.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/binding/binder.h"
#include "orchestrator/scheduler/cache/cache.h"
#include "orchestrator/scheduler/cycle/cycle.h"
#include "orchestrator/scheduler/preemption/preemptor.h"
#include "orchestrator/scheduler/preemption/victims.h"
#include "orchestrator/scheduler/queue/gate.h"
#include "orchestrator/scheduler/queue/nominated.h"
#include "orchestrator/scheduler/queue/queue.h"
#include "orchestrator/scheduler/report/metrics.h"
#include "orchestrator/scheduler/report/reporter.h"
#include "orchestrator/scheduler/volumes/claim_binder.h"
#include "orchestrator/scheduler/volumes/volume_rules.h"
#include "orchestrator/scheduler/watching/owners.h"
#include "orchestrator/scheduler/watching/watching.h"

namespace meltemi::scheduler {
namespace {

constexpr size_t kPluginsMax = 64;
// Cycles in one piece of work, so that others get their turn on the executor.
constexpr int kCyclesPerRun = 16;
// Bindings that wait, for each that may be under way: past it no more pods are placed.
constexpr size_t kBindingsWaitingFactor = 4;

class SchedulerImpl final : public Scheduler {
 public:
  struct Seams {
    kube::Client& client;
    kube::Informers& informers;
    kube::Executor& executor;
    kube::EventRecorder& recorder;
    Random& random;
    metrics::Registry* metrics;
  };

  // `claims` is what the rules of volumes look at.
  SchedulerImpl(const SchedulerOptions& options, std::unique_ptr<ClaimBook> claims,
                std::vector<Rules> rules, const Seams& seams);
  ~SchedulerImpl() override { gate_.Close(); }

  void Start() override;
  size_t pending() const override {
    return queue_.counts().all() + claim_binder_.size() + binder_.size();
  }

 private:
  QueueGauges Gauges();
  const Rules* RulesOf(absl::string_view scheduler_name) const;
  bool MayHelp(const PodInfo& pod, PluginSet refused_by, const ClusterEvent& event) const;

  void Kick();
  void RunCycles();
  bool MayPlaceMore() const;
  void Try(const Attempt& attempt);
  void Bind(const Attempt& attempt, const NodeInfo& node, MonotonicTime began);
  void OnBound(const Binding& binding, BindingEnd end, const std::string& why);
  // Its claims first.
  void BindWithClaims(Binding binding, const NodeInfo& node);
  void TakeBack(const Binding& binding);
  void GiveUpPlace(const PodInfoPtr& pod);
  void FailBinding(const Binding& binding, std::string message);
  void OnStorage(const std::string& claim);
  void Refuse(const Attempt& attempt, Placement placement, MonotonicTime began);
  struct Preemption {
    std::optional<Candidate> candidate;
    std::string message;  // why there is none
    bool keeps_nomination = false;
  };
  Preemption Preempt(const PodInfo& pod, const Placement& placement);
  void GiveWay(const PodInfo& pod, const std::string& node);

  const SchedulerOptions options_;
  const std::unique_ptr<ClaimBook> claims_;
  const std::vector<Rules> rules_;
  kube::EventRecorder& recorder_;
  Random& random_;
  SchedulerMetrics metrics_;

  // Closed first: nothing below is used afterwards.
  Gate gate_;
  Cache cache_;
  Nominated nominated_;
  Reporter reporter_;
  Queue queue_;
  Binder binder_;
  ClaimBinder claim_binder_;
  Preemptor preemptor_;
  Watching watching_;

  std::atomic<bool> started_{false};
  std::atomic<bool> kicked_{false};  // a run is ready or under way

  // Of the scheduling thread.
  Snapshot snapshot_;
  Cycle cycle_;
};

SchedulerImpl::SchedulerImpl(const SchedulerOptions& options, std::unique_ptr<ClaimBook> claims,
                             std::vector<Rules> rules, const Seams& seams)
    : options_(options),
      claims_(std::move(claims)),
      rules_(std::move(rules)),
      recorder_(seams.recorder),
      random_(seams.random),
      metrics_(seams.metrics),
      gate_(seams.executor),
      reporter_(seams.client, seams.recorder, gate_),
      queue_(
          {options.backoff_initial, options.backoff_max, options.unschedulable_max}, Gauges(),
          gate_,
          [this](const PodInfo& pod, PluginSet refused_by, const ClusterEvent& event) {
            return MayHelp(pod, refused_by, event);
          },
          [this] { Kick(); }),
      binder_(seams.client, gate_, options.bindings_in_flight_max,
              {[this](const Binding& binding, BindingEnd end, const std::string& why) {
                 OnBound(binding, end, why);
               },
               [this](const PodInfo& pod) { return cache_.IsAssumed(pod.uid); }}),
      claim_binder_(seams.client, gate_, *claims_,
                    [this](const PodInfo& pod) { return cache_.IsAssumed(pod.uid); }),
      preemptor_(seams.client, seams.recorder, gate_),
      watching_(seams.informers,
                {cache_, queue_, nominated_, reporter_,
                 [this](absl::string_view name) { return RulesOf(name) != nullptr; }}),
      cycle_(options.percentage_of_nodes_to_score, seams.random) {
  ClaimBook::OnChange(seams.informers, [this](const std::string& claim) { OnStorage(claim); });
}

QueueGauges SchedulerImpl::Gauges() {
  return {metrics_.PendingPods("active"), metrics_.PendingPods("backoff"),
          metrics_.PendingPods("unschedulable"), metrics_.PendingPods("gated")};
}

const Rules* SchedulerImpl::RulesOf(absl::string_view scheduler_name) const {
  for (const Rules& rules : rules_) {
    if (rules.scheduler_name == scheduler_name) return &rules;
  }
  return nullptr;
}

bool SchedulerImpl::MayHelp(const PodInfo& pod, PluginSet refused_by,
                            const ClusterEvent& event) const {
  // There was no node at all.
  if (refused_by == 0) return event.type == ClusterEvent::Type::kNodeAdded;
  const Rules& rules = *RulesOf(pod.pod->spec().scheduler_name());
  for (size_t i = 0; refused_by != 0; ++i, refused_by >>= 1) {
    if ((refused_by & 1) != 0 && rules.plugins[i].plugin->MayHelp(pod, event)) return true;
  }
  return false;
}

// ---- cycles, one after the other ----

void SchedulerImpl::Start() {
  started_.store(true);
  Kick();
}

void SchedulerImpl::Kick() {
  if (!started_.load() || kicked_.exchange(true)) return;
  gate_.Run([this] { RunCycles(); });
}

bool SchedulerImpl::MayPlaceMore() const {
  return binder_.size() <
         kBindingsWaitingFactor * static_cast<size_t>(options_.bindings_in_flight_max);
}

void SchedulerImpl::RunCycles() {
  for (int i = 0; i < kCyclesPerRun && MayPlaceMore(); ++i) {
    const std::optional<Attempt> attempt = queue_.Pop();
    if (!attempt.has_value()) break;
    Try(*attempt);
  }
  const Cache::Size size = cache_.size();
  metrics_.CacheSize(size.nodes, size.pods, size.assumed);
  kicked_.store(false);
  // Who has kicked in between was not heard.
  if (queue_.counts().active > 0 && MayPlaceMore()) Kick();
}

void SchedulerImpl::Try(const Attempt& attempt) {
  const MonotonicTime began = gate_.Now();
  const PodInfo& pod = *attempt.pod;
  // After the pod has left the queue, so that what is not in it yet counts as an event.
  cache_.Update(snapshot_);
  if (cache_.Knows(pod.uid)) {
    queue_.Done(pod.uid);
    return;
  }
  const Rules& rules = *RulesOf(pod.pod->spec().scheduler_name());
  if (snapshot_.nodes().empty()) {
    queue_.Refuse(pod.uid, 0);
    metrics_.Attempt("unschedulable", rules.scheduler_name, gate_.Now() - began);
    reporter_.Failed(attempt.pod, {"Unschedulable", "no nodes available to schedule pods", ""});
    return;
  }
  Placement placement = cycle_.Place(rules, pod, snapshot_, nominated_);
  metrics_.Algorithm(gate_.Now() - began);
  if (placement.node != nullptr) {
    Bind(attempt, *placement.node, began);
  } else {
    Refuse(attempt, std::move(placement), began);
  }
}

// ---- it fits ----

void SchedulerImpl::Bind(const Attempt& attempt, const NodeInfo& node, MonotonicTime began) {
  if (!cache_.Assume(attempt.pod, node.name())) {
    queue_.Done(attempt.pod->uid);
    return;
  }
  queue_.Done(attempt.pod->uid);
  nominated_.Remove(attempt.pod->uid);
  Binding binding{attempt.pod, node.name(), attempt, began};
  if (attempt.pod->claims.empty()) {
    binder_.Add(std::move(binding));
  } else {
    BindWithClaims(std::move(binding), node);
  }
}

void SchedulerImpl::BindWithClaims(Binding binding, const NodeInfo& node) {
  ClaimBinder::Job job{binding.pod, binding.node, {}, {}};
  const ClaimNeeds needs = claims_->NeedsOf(*binding.pod);
  if (!needs.problem.empty() || !claims_->Plan(needs, *node.facts, &job.plan)) {
    // What the filters have seen has changed since.
    TakeBack(binding);
    FailBinding(binding, "running Reserve plugin \"VolumeBinding\": the pod's claims have changed");
    return;
  }
  if (job.plan.empty()) {
    binder_.Add(std::move(binding));
    return;
  }
  claims_->Assume(job.plan, binding.node);
  job.done = [this, binding](const std::string& why) {
    if (why.empty()) {
      binder_.Add(binding);
      return;
    }
    TakeBack(binding);
    FailBinding(binding, why);
  };
  claim_binder_.Add(std::move(job));
}

void SchedulerImpl::OnStorage(const std::string& claim) {
  ClusterEvent event;
  event.type = ClusterEvent::Type::kStorageChanged;
  event.claim = claim;
  queue_.OnEvent(event);
  claim_binder_.LookAgain();
}

void SchedulerImpl::OnBound(const Binding& binding, BindingEnd end, const std::string& why) {
  const PodInfo& pod = *binding.pod;
  if (end == BindingEnd::kForgotten) {
    // The informer knew it before the API server answered.
    const PodPtr now = watching_.Find(pod.key);
    if (now != nullptr && now->metadata().uid() == pod.uid &&
        now->spec().node_name() == binding.node) {
      end = BindingEnd::kBound;
    }
  }
  if (end == BindingEnd::kBound) {
    const MonotonicTime now = gate_.Now();
    metrics_.Attempt("scheduled", pod.pod->spec().scheduler_name(), now - binding.began);
    metrics_.Scheduled(binding.attempt.attempts, now - binding.attempt.first_tried);
    reporter_.Forget(pod.uid);
    recorder_.Record(
        *pod.pod, kube::kNormal, "Scheduled",
        absl::StrCat("Successfully assigned ", pod.key.ToString(), " to ", binding.node));
  } else {
    // The informer may have shown by now what became of it, which is not taken back.
    const bool failed = end == BindingEnd::kFailed;
    if (failed) queue_.Retry(binding.pod, binding.attempt);
    GiveUpPlace(binding.pod);
    if (failed) FailBinding(binding, absl::StrCat("binding rejected: ", why));
  }
  if (queue_.counts().active > 0) Kick();  // it may have waited for bindings to end
}

void SchedulerImpl::GiveUpPlace(const PodInfoPtr& pod) {
  if (!cache_.Forget(pod->uid)) return;
  ClusterEvent event;
  event.type = ClusterEvent::Type::kPodDeleted;
  event.pod_before = pod;
  queue_.OnEvent(event);
}

void SchedulerImpl::TakeBack(const Binding& binding) {
  queue_.Retry(binding.pod, binding.attempt);
  GiveUpPlace(binding.pod);
  if (queue_.counts().active > 0) Kick();
}

void SchedulerImpl::FailBinding(const Binding& binding, std::string message) {
  const PodInfo& pod = *binding.pod;
  // A version that came while it was assumed was not looked at.
  const PodPtr now = watching_.Find(pod.key);
  if (now == nullptr || now->metadata().uid() != pod.uid || !now->spec().node_name().empty()) {
    queue_.Remove(pod.uid);
    return;
  }
  queue_.Set(MakePodInfo(now));
  metrics_.Attempt("error", pod.pod->spec().scheduler_name(), gate_.Now() - binding.began);
  reporter_.Failed(binding.pod, {"SchedulerError", std::move(message), ""});
}

// ---- it fits nowhere ----

void SchedulerImpl::Refuse(const Attempt& attempt, Placement placement, MonotonicTime began) {
  const PodInfoPtr& pod = attempt.pod;
  Preemption preemption = Preempt(*pod, placement);
  metrics_.Preemption(preemption.candidate.has_value() ? preemption.candidate->victims.size() : 0);
  Report report{"Unschedulable", placement.diagnosis.Message(preemption.message), std::nullopt};
  metrics_.Attempt("unschedulable", pod->pod->spec().scheduler_name(), gate_.Now() - began);
  if (!preemption.candidate.has_value()) {
    if (!preemption.keeps_nomination) {
      report.nominated = "";
      nominated_.Remove(pod->uid);
    }
    queue_.Refuse(pod->uid, placement.diagnosis.refused_by);
    reporter_.Failed(pod, std::move(report));
    return;
  }
  Candidate& candidate = *preemption.candidate;
  const std::string& node = candidate.node->name();
  report.nominated = node;
  GiveWay(*pod, node);
  nominated_.Set(pod, node);
  queue_.Refuse(pod->uid, placement.diagnosis.refused_by, /*held=*/true);
  reporter_.Failed(pod, std::move(report));
  preemptor_.Preempt(pod, std::move(candidate.victims), node,
                     [this, uid = pod->uid](bool ok) { queue_.Release(uid, /*again=*/!ok); });
}

SchedulerImpl::Preemption SchedulerImpl::Preempt(const PodInfo& pod, const Placement& placement) {
  const Diagnosis& diagnosis = placement.diagnosis;
  const std::string nominated = nominated_.NodeOf(pod.uid);
  const absl::string_view ineligible = WhyNotEligible(
      pod, nominated.empty() ? nullptr : snapshot_.Find(nominated), diagnosis.nominated_node);
  if (!ineligible.empty()) {
    // It may be that it waits for its victims.
    return {std::nullopt, absl::StrCat("preemption: ", ineligible), true};
  }
  Reasons reasons;
  std::vector<Candidate> candidates;
  const WallTime now = gate_.executor().clock().WallNow();
  if (!diagnosis.preemptable.empty()) {
    candidates = FindCandidates(diagnosis.preemptable, *placement.filters, watching_.Budgets(), now,
                                random_, &reasons);
  }
  if (!candidates.empty()) {
    return {std::move(candidates[BestCandidate(candidates, now)]), "", false};
  }
  const size_t others = diagnosis.nodes - diagnosis.preemptable.size();
  if (others > 0) reasons.Add("Preemption is not helpful for scheduling", others);
  return {std::nullopt, absl::StrCat("preemption: ", NotAvailable(diagnosis.nodes, reasons)),
          false};
}

// Pods of lower priority that are nominated for the node may not fit any more.
void SchedulerImpl::GiveWay(const PodInfo& pod, const std::string& node) {
  for (const PodInfoPtr& other : nominated_.On(node)) {
    if (other->priority >= pod.priority) continue;
    nominated_.Remove(other->uid);
    reporter_.Nominate(other, "");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Scheduler>> NewScheduler(
    const SchedulerOptions& options, kube::Client& client, kube::Informers& informers,
    kube::Executor& executor, kube::EventRecorder& recorder, Random& random,
    metrics::Registry* metrics) {
  const bool spreads =
      std::any_of(options.profiles.begin(), options.profiles.end(),
                  [](const Profile& profile) { return profile.plugins.default_spreading; });
  const SelectorsOf selectors_of = spreads ? SelectorsOfOwners(informers) : SelectorsOf();
  auto claims = std::make_unique<ClaimBook>(informers);
  std::vector<Rules> rules;
  for (const Profile& profile : options.profiles) {
    absl::StatusOr<std::vector<WeightedPlugin>> plugins =
        MakePlugins(profile.plugins, profile.plugins.default_spreading ? selectors_of : nullptr);
    if (!plugins.ok()) {
      return absl::Status(plugins.status().code(), absl::StrCat("profile ", profile.scheduler_name,
                                                                ": ", plugins.status().message()));
    }
    AddVolumeRules(*claims, &*plugins);
    CHECK(plugins->size() <= kPluginsMax);
    rules.push_back(MakeRules(profile.scheduler_name, *std::move(plugins)));
  }
  return std::make_unique<SchedulerImpl>(
      options, std::move(claims), std::move(rules),
      SchedulerImpl::Seams{client, informers, executor, recorder, random, metrics});
}

}  // namespace meltemi::scheduler
