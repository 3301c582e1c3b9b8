#include <array>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/probes/handlers.h"
#include "orchestrator/kubelet/probes/hooks.h"
#include "orchestrator/kubelet/probes/listening.h"
#include "orchestrator/kubelet/probes/probes.h"
#include "orchestrator/kubelet/probes/worker.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using kube::core::v1::Probe;
using Kind = ProbeVerdict::Kind;

constexpr char kAgent[] = "kube-probe/1.32";
constexpr int kTriesMax = 3;

const Probe* SpecOf(const Container& container, ProbeType type) {
  switch (type) {
    case ProbeType::kLiveness:
      return container.has_liveness_probe() ? &container.liveness_probe() : nullptr;
    case ProbeType::kReadiness:
      return container.has_readiness_probe() ? &container.readiness_probe() : nullptr;
    case ProbeType::kStartup:
      return container.has_startup_probe() ? &container.startup_probe() : nullptr;
  }
  return nullptr;
}

// What the pod's status says of this very container. Null: nothing.
const ContainerStatus* StatusOf(const Pod& pod, const std::string& id) {
  for (const auto* list :
       {&pod.status().container_statuses(), &pod.status().init_container_statuses()}) {
    for (const ContainerStatus& status : *list) {
      if (absl::EndsWith(status.container_id(), absl::StrCat("://", id))) return &status;
    }
  }
  return nullptr;
}

std::string AddressOf(const Pod& pod, const PodState& state) {
  if (!state.sandboxes.empty() && !state.sandboxes.front().ips.empty()) {
    return state.sandboxes.front().ips.front();
  }
  return pod.status().pod_ip().empty() ? pod.status().host_ip() : pod.status().pod_ip();
}

kube::ControllerOptions QueueOptions() {
  kube::ControllerOptions out;
  out.name = "probes";
  out.workers = 8;
  return out;
}

// One container that runs and has probes.
struct Target {
  std::shared_ptr<const Pod> pod;
  std::string name, id, ip;
  std::array<std::unique_ptr<ProbeWorker>, kProbeTypes> workers;
  std::array<std::unique_ptr<metrics::Scope>, kProbeTypes> metrics;

  ProbeWorker* worker(ProbeType type) const { return workers[static_cast<size_t>(type)].get(); }
  // The other probes wait for the startup probe, which is not asked any more once it has passed.
  bool started() const {
    const ProbeWorker* const startup = worker(ProbeType::kStartup);
    return startup == nullptr || startup->state() == ProbeState::kSuccess;
  }
};

bool NeedsAddress(const Target& target, ProbeType type) {
  const Container* const container = ContainerNamed(*target.pod, target.name, nullptr);
  const Probe* const spec = container == nullptr ? nullptr : SpecOf(*container, type);
  return spec != nullptr && !spec->handler().has_exec();
}

// What ends of calls are told to, which may come after the probes are gone.
struct Inbox {
  std::mutex mutex;
  kube::Controller* controller = nullptr;  // guarded by mutex; null: nobody listens
  struct Arrived {
    uint64_t number;
    ProbeVerdict verdict;
  };
  std::map<kube::NamespacedName, Arrived> arrived;  // guarded by mutex
};

class PodProbes final : public Probes {
 public:
  PodProbes(Runtime& runtime, NetworkProber& network, kube::Executor& executor,
            kube::EventRecorder& recorder, Random& random, metrics::Registry* metrics)
      : runtime_(runtime),
        network_(network),
        executor_(executor),
        recorder_(recorder),
        random_(random),
        shard_(metrics == nullptr ? nullptr : &metrics->NewShard()),
        began_(executor.clock().WallNow()),
        hooks_(NewHooks(runtime, network, executor, recorder)),
        listening_(network, executor,
                   [this](const std::string& pod_uid) {
                     if (on_change_) on_change_(pod_uid);
                   }),
        controller_(
            kube::NewController(QueueOptions(), executor, nullptr,
                                [this](const kube::NamespacedName& key) { return Work(key); })) {
    inbox_->controller = controller_.get();
    controller_->Start();
  }
  ~PodProbes() override {
    {
      const std::lock_guard<std::mutex> lock(inbox_->mutex);
      inbox_->controller = nullptr;
    }
    controller_.reset();
    hooks_.reset();
  }

  void Sync(const std::shared_ptr<const Pod>& pod, const PodState& state, bool ending) override;
  ProbeResult Get(const Container& container, const ContainerState& state) const override;
  void Forget(const std::string& pod_uid) override;
  void OnChange(std::function<void(const std::string& pod_uid)> on_change) override {
    on_change_ = std::move(on_change);
  }
  void RunHook(const std::shared_ptr<const Pod>& pod, const Container& container,
               const ContainerState& state, const std::string& pod_ip,
               const kube::core::v1::LifecycleHandler& handler, Duration timeout,
               std::function<void(absl::Status)> done) override {
    hooks_->Run(pod, container, state.id, pod_ip, handler, timeout, std::move(done));
  }

 private:
  // Container's id and kind of probe.
  static kube::NamespacedName KeyOf(const std::string& id, ProbeType type) {
    return {id, ProbeTypeName(type)};
  }
  static ProbeType TypeOf(const kube::NamespacedName& key) {
    for (int i = 0; i < kProbeTypes; ++i) {
      if (key.name == ProbeTypeName(static_cast<ProbeType>(i))) return static_cast<ProbeType>(i);
    }
    return ProbeType::kLiveness;
  }

  void Begin(const std::shared_ptr<const Pod>& pod, const Container& container,
             const ContainerState& state, const std::string& ip);
  kube::ReconcileResult Work(const kube::NamespacedName& key);
  void TakeAnswer(const kube::NamespacedName& key);
  void Ask(const kube::NamespacedName& key, const Target& target, uint64_t number);
  ProbeDone TellInbox(const kube::NamespacedName& key, uint64_t number);
  void TellEvent(const Target& target, ProbeType type, const ProbeVerdict& verdict);
  void Count(const Target& target, ProbeType type, Kind kind);
  void WakeOthers(const Target& target);
  std::string WhyUnhealthy(const Target& target, ProbeType type) const;

  Runtime& runtime_;
  NetworkProber& network_;
  kube::Executor& executor_;
  kube::EventRecorder& recorder_;
  Random& random_;
  metrics::Shard* const shard_;
  const WallTime began_;
  std::function<void(const std::string&)> on_change_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();

  mutable std::mutex mutex_;
  // Guarded by mutex_; the targets too.
  std::map<std::string, Target> targets_;  // by the container's id
  std::map<std::string, std::set<std::string>> by_pod_;

  std::unique_ptr<Hooks> hooks_;
  Listening listening_;
  std::unique_ptr<kube::Controller> controller_;
};

void PodProbes::Sync(const std::shared_ptr<const Pod>& pod, const PodState& state, bool ending) {
  const std::string ip = AddressOf(*pod, state);
  if (!ending) listening_.Sync(*pod, state, ip);
  bool changed = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::set<std::string>& known = by_pod_[pod->metadata().uid()];
    std::set<std::string> running;
    const auto look = [&](const Container& container) {
      if (!container.has_liveness_probe() && !container.has_readiness_probe() &&
          !container.has_startup_probe()) {
        return;
      }
      const ContainerState* const found = state.Newest(container.name());
      if (found == nullptr || found->phase != ContainerState::Phase::kRunning) return;
      running.insert(found->id);
      if (known.count(found->id) == 0) Begin(pod, container, *found, ip);
      Target& target = targets_[found->id];
      const bool has_address_now = target.ip.empty() && !ip.empty();
      target.pod = pod;
      target.ip = ip;
      if (has_address_now) WakeOthers(target);
      if (!ending) return;
      for (const ProbeType type : {ProbeType::kLiveness, ProbeType::kStartup}) {
        if (ProbeWorker* const worker = target.worker(type)) changed |= worker->Pass();
      }
    };
    for (const Container& container : pod->spec().containers()) look(container);
    for (const Container& container : pod->spec().init_containers()) {
      if (RunsAsSidecar(container)) look(container);
    }
    for (const std::string& id : known) {
      if (running.count(id) == 0) targets_.erase(id);
    }
    known = std::move(running);
    if (known.empty()) by_pod_.erase(pod->metadata().uid());
  }
  if (changed && on_change_) on_change_(pod->metadata().uid());
}

// With the lock held.
void PodProbes::Begin(const std::shared_ptr<const Pod>& pod, const Container& container,
                      const ContainerState& state, const std::string& ip) {
  Target& target = targets_[state.id];
  target.pod = pod;
  target.name = container.name();
  target.id = state.id;
  target.ip = ip;
  const bool from_before = state.started_at < began_;
  const ContainerStatus* const status = from_before ? StatusOf(*pod, state.id) : nullptr;
  const MonotonicTime now = executor_.clock().Now();
  const Duration runs_for =
      std::max(Duration::zero(), Duration(executor_.clock().WallNow() - state.started_at));
  for (int i = 0; i < kProbeTypes; ++i) {
    const ProbeType type = static_cast<ProbeType>(i);
    const Probe* const spec = SpecOf(container, type);
    if (spec == nullptr) continue;
    const bool taken_over =
        status != nullptr && ((type == ProbeType::kReadiness && status->ready()) ||
                              (type == ProbeType::kStartup && status->started()));
    Duration wait =
        std::max(Duration::zero(), Duration(seconds(spec->initial_delay_seconds()) - runs_for));
    if (from_before) {
      // Not all probes of a node at the same moment.
      const double period_ns = 1e9 * std::max(1, spec->period_seconds());
      wait += Duration(static_cast<int64_t>(random_.Unit() * period_ns));
    }
    target.workers[static_cast<size_t>(i)] =
        std::make_unique<ProbeWorker>(type, *spec, now + wait, taken_over);
    controller_->AddAfter(KeyOf(state.id, type), wait);
  }
}

ProbeResult PodProbes::Get(const Container& container, const ContainerState& state) const {
  ProbeResult out;
  if (state.phase != ContainerState::Phase::kRunning) return out;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = targets_.find(state.id);
  if (it == targets_.end()) {
    out.started = !container.has_startup_probe();
    out.ready = out.started && !container.has_readiness_probe() && listening_.Listens(state.id);
    return out;
  }
  const Target& target = it->second;
  const ProbeWorker* const readiness = target.worker(ProbeType::kReadiness);
  out.started = target.started();
  out.ready = out.started && (readiness == nullptr ? listening_.Listens(state.id)
                                                   : readiness->state() == ProbeState::kSuccess);
  for (const ProbeType type : {ProbeType::kLiveness, ProbeType::kStartup}) {
    const ProbeWorker* const worker = target.worker(type);
    if (worker == nullptr || worker->state() != ProbeState::kFailure || out.unhealthy) continue;
    out.unhealthy = true;
    out.why = WhyUnhealthy(target, type);
  }
  return out;
}

std::string PodProbes::WhyUnhealthy(const Target& target, ProbeType type) const {
  std::string field_path;
  ContainerNamed(*target.pod, target.name, &field_path);
  const bool init = absl::StartsWith(field_path, "spec.init");
  const char* const what =
      type == ProbeType::kLiveness ? " failed liveness probe" : " failed startup probe";
  const bool restarts = !init && target.pod->spec().restart_policy() != "Never";
  return absl::StrCat(init ? "Init container " : "Container ", target.name, what,
                      restarts ? ", will be restarted" : "");
}

void PodProbes::Forget(const std::string& pod_uid) {
  listening_.Forget(pod_uid);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = by_pod_.find(pod_uid);
  if (it == by_pod_.end()) return;
  for (const std::string& id : it->second) targets_.erase(id);
  by_pod_.erase(it);
}

// With the lock held: what waited for something may go on now.
void PodProbes::WakeOthers(const Target& target) {
  for (const auto& worker : target.workers) {
    if (worker != nullptr) controller_->Add(KeyOf(target.id, worker->type()));
  }
}

kube::ReconcileResult PodProbes::Work(const kube::NamespacedName& key) {
  TakeAnswer(key);
  const ProbeType type = TypeOf(key);
  std::unique_lock<std::mutex> lock(mutex_);
  const auto it = targets_.find(key.ns);
  ProbeWorker* const worker = it == targets_.end() ? nullptr : it->second.worker(type);
  if (worker == nullptr || worker->on_hold() || worker->in_flight()) return kube::Finished();
  const Target& target = it->second;
  if (type != ProbeType::kStartup && !target.started()) return kube::Finished();
  // Sync adds it once there is an address.
  if (target.ip.empty() && NeedsAddress(target, type)) return kube::Finished();
  const MonotonicTime now = executor_.clock().Now();
  if (now < worker->due()) return kube::Again(worker->due() - now);
  const uint64_t number = worker->Begin(now);
  Target copy;
  copy.pod = target.pod;
  copy.name = target.name;
  copy.id = target.id;
  copy.ip = target.ip;
  lock.unlock();
  Ask(key, copy, number);
  return kube::Finished();
}

void PodProbes::TakeAnswer(const kube::NamespacedName& key) {
  Inbox::Arrived arrived;
  {
    const std::lock_guard<std::mutex> lock(inbox_->mutex);
    const auto it = inbox_->arrived.find(key);
    if (it == inbox_->arrived.end()) return;
    arrived = std::move(it->second);
    inbox_->arrived.erase(it);
  }
  const ProbeType type = TypeOf(key);
  std::unique_lock<std::mutex> lock(mutex_);
  const auto it = targets_.find(key.ns);
  ProbeWorker* const worker = it == targets_.end() ? nullptr : it->second.worker(type);
  if (worker == nullptr || !worker->in_flight() || worker->number() != arrived.number) return;
  const Target& target = it->second;
  Target copy;
  copy.pod = target.pod;
  copy.name = target.name;
  copy.id = target.id;
  copy.ip = target.ip;
  if (arrived.verdict.kind == Kind::kError && worker->tries() + 1 < kTriesMax) {
    const uint64_t number = worker->Retry();
    lock.unlock();
    return Ask(key, copy, number);
  }
  const ProbeWorker::Effect effect = worker->Take(arrived.verdict, executor_.clock().Now());
  if (effect.tell) Count(target, type, arrived.verdict.kind);
  if (effect.changed && type == ProbeType::kStartup && worker->state() == ProbeState::kSuccess) {
    WakeOthers(target);
  }
  lock.unlock();
  if (effect.tell) TellEvent(copy, type, arrived.verdict);
  if (effect.changed && on_change_) on_change_(copy.pod->metadata().uid());
}

ProbeDone PodProbes::TellInbox(const kube::NamespacedName& key, uint64_t number) {
  return [inbox = inbox_, key, number](ProbeVerdict verdict) {
    const std::lock_guard<std::mutex> lock(inbox->mutex);
    if (inbox->controller == nullptr) return;
    inbox->arrived[key] = {number, std::move(verdict)};
    inbox->controller->Add(key);
  };
}

void PodProbes::Ask(const kube::NamespacedName& key, const Target& target, uint64_t number) {
  ProbeDone done = TellInbox(key, number);
  const Container* const container = ContainerNamed(*target.pod, target.name, nullptr);
  const Probe* const spec = container == nullptr ? nullptr : SpecOf(*container, TypeOf(key));
  if (spec == nullptr) return done({Kind::kError, "the probe is gone"});
  const Duration timeout = seconds(std::max(1, spec->timeout_seconds()));
  const kube::core::v1::ProbeHandler& handler = spec->handler();
  if (handler.has_exec()) {
    const std::vector<std::string> command = ExpandCommand(*container, handler.exec());
    runtime_.ExecSync(target.id, command, timeout,
                      [command, timeout, done](absl::StatusOr<ExecResult> result) {
                        done(ExecVerdict(command, timeout, result));
                      });
  } else if (handler.has_http_get()) {
    const auto probe = MakeHttpProbe(handler.http_get(), *container, target.ip, kAgent, timeout);
    if (!probe.ok()) return done({Kind::kError, std::string(probe.status().message())});
    network_.Http(*probe, done);
  } else if (handler.has_tcp_socket()) {
    const auto probe = MakeTcpProbe(handler.tcp_socket(), *container, target.ip, timeout);
    if (!probe.ok()) return done({Kind::kError, std::string(probe.status().message())});
    network_.Tcp(*probe, done);
  } else if (handler.has_grpc()) {
    network_.Grpc(MakeGrpcProbe(handler.grpc(), target.ip, timeout), done);
  } else {
    done({Kind::kError,
          absl::StrCat("missing probe handler for ", PodForLog(*target.pod), ":", target.name)});
  }
}

void PodProbes::TellEvent(const Target& target, ProbeType type, const ProbeVerdict& verdict) {
  if (verdict.kind == Kind::kSuccess) return;
  kube::core::v1::ObjectReference reference = kube::ReferenceTo(*target.pod);
  std::string field_path;
  ContainerNamed(*target.pod, target.name, &field_path);
  reference.set_field_path(field_path);
  const char* const what = verdict.kind == Kind::kWarning ? " probe warning: "
                           : verdict.kind == Kind::kError ? " probe errored: "
                                                          : " probe failed: ";
  recorder_.RecordFor(reference, kube::kWarning,
                      verdict.kind == Kind::kWarning ? "ProbeWarning" : "Unhealthy",
                      absl::StrCat(ProbeTypeName(type), what, verdict.output));
}

// With the lock held, which also orders the writers of the shard.
void PodProbes::Count(const Target& target, ProbeType type, Kind kind) {
  if (shard_ == nullptr) return;
  auto& scope = targets_[target.id].metrics[static_cast<size_t>(type)];
  if (scope == nullptr) {
    const auto& meta = target.pod->metadata();
    scope = std::make_unique<metrics::Scope>(*shard_,
                                             metrics::Labels{{"container", target.name},
                                                             {"namespace", meta.namespace_()},
                                                             {"pod", meta.name()},
                                                             {"pod_uid", meta.uid()},
                                                             {"probe_type", ProbeTypeName(type)}});
  }
  const char* const result = kind == Kind::kFailure ? "failed"
                             : kind == Kind::kError ? "unknown"
                                                    : "successful";
  scope->GetCounter("prober_probe_total", {{"result", result}}).Inc();
}

}  // namespace

std::unique_ptr<Probes> NewProbes(Runtime& runtime, NetworkProber& network,
                                  kube::Executor& executor, kube::EventRecorder& recorder,
                                  Random& random, metrics::Registry* metrics) {
  return std::make_unique<PodProbes>(runtime, network, executor, recorder, random, metrics);
}

}  // namespace meltemi::kubelet
