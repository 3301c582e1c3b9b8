#include "orchestrator/kubelet/pods/pods.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "cri/runtime/v1/status.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/node_places.h"
#include "orchestrator/kubelet/pods/pod_worker.h"
#include "orchestrator/kubelet/pods/runtime_view.h"
#include "orchestrator/kubelet/pods/status.h"
#include "orchestrator/kubelet/pods/status_writer.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;
using PodPtr = std::shared_ptr<const Pod>;

// Older than this, what is known of the runtime says nothing about it any more.
constexpr Duration kUnhealthyAfter = minutes(3);

kube::ControllerOptions QueueOptions(const PodsOptions& options) {
  kube::ControllerOptions out;
  out.name = "pods";
  out.workers = options.workers;
  out.backoff_min = milliseconds(200);
  out.backoff_max = seconds(10);
  out.retries_per_second = 100;
  out.retries_burst = 500;
  return out;
}

kube::NamespacedName Key(const std::string& uid) { return {"", uid}; }

std::string NameOf(const Pod& pod) {
  return absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
}

class PodsOfNode;

// Written by the relister alone.
struct Counts {
  explicit Counts(metrics::Registry& registry)
      : scope(registry.NewShard(), {}),
        pods(scope.GetGauge("kubelet_running_pods")),
        containers(scope.GetGauge("kubelet_running_containers", {{"container_state", "running"}})) {
    registry.Describe("kubelet_running_pods", "Number of pods that have a running pod sandbox");
    registry.Describe("kubelet_running_containers", "Number of containers currently running");
  }
  metrics::Scope scope;
  metrics::Gauge &pods, &containers;
};

// What callbacks hold: they may come when the pods are gone.
struct Touching {
  std::mutex mutex;
  PodsOfNode* pods = nullptr;  // guarded by mutex; null: gone

  void Touch(const std::string& uid, const std::function<void()>& before);
};

class PodsOfNode final : public Pods {
 public:
  PodsOfNode(const PodsParts& parts, const PodsOptions& options)
      : parts_(parts),
        options_(options),
        nodes_(parts.informers.ListerOf<Node>(absl::StrCat("metadata.name=", options.node_name))),
        touching_(std::make_shared<Touching>()),
        view_(parts.runtime, parts.executor.clock()),
        writer_(parts.client, parts.executor, parts.metrics),
        shared_{
            .parts = parts_,
            .options = options_,
            .view = view_,
            .writer = writer_,
            .object = [this](const std::string& uid) { return ObjectOf(uid); },
            .show = [this](const std::string& uid,
                           std::shared_ptr<const PodOnNode> shown) { Show(uid, std::move(shown)); },
            .later = [touching = touching_](
                         const std::string& uid,
                         const std::function<void()>& work) { touching->Touch(uid, work); },
            .runtime_name = "containerd"},
        workers_(kube::NewController(
            QueueOptions(options), parts.executor, parts.metrics,
            [this](const kube::NamespacedName& key) { return Work(key.name); })),
        relister_(kube::NewController({.name = "pods-relist", .workers = 1}, parts.executor,
                                      parts.metrics,
                                      [this](const kube::NamespacedName&) { return Relist(); })) {
    touching_->pods = this;
    if (parts_.metrics != nullptr) counts_ = std::make_unique<Counts>(*parts_.metrics);
    const auto touch = [touching = touching_](const std::string& uid) {
      touching->Touch(uid, [] {});
    };
    parts_.images.OnChange(touch);
    parts_.probes.OnChange(touch);
    parts_.informers.Of<Pod>(absl::StrCat("spec.nodeName=", options.node_name))
        .AddHandler([this](const kube::Change& change) { OnChange(change); });
  }
  ~PodsOfNode() override {
    {
      const std::lock_guard<std::mutex> lock(touching_->mutex);
      touching_->pods = nullptr;
    }
    relister_.reset();
    workers_.reset();
  }

  void Start() override {
    relister_->Start();
    relister_->Add(Key("all"));
  }
  std::shared_ptr<const PodOnNode> Find(absl::string_view ns,
                                        absl::string_view name) const override;
  std::vector<std::shared_ptr<const PodOnNode>> List() const override;
  bool InRuntime(const std::string& pod_uid) const override {
    return !view_.read_at().has_value() || !view_.Get(pod_uid)->empty();
  }
  void Touch(const std::string& pod_uid) override { workers_->Add(Key(pod_uid)); }
  bool healthy() const override {
    const std::optional<MonotonicTime> read = view_.read_at();
    return read.has_value() && parts_.executor.clock().Now() - *read < kUnhealthyAfter;
  }

 private:
  struct Entry {
    PodPtr pod;  // null: the runtime alone knows of it
    bool gone = true;
    std::shared_ptr<const PodOnNode> shown;
    std::shared_ptr<PodWorker> worker;
    bool admitted = false;  // or refused
  };

  void OnChange(const kube::Change& change);
  void MarkGone(const Pod& pod);
  PodObject ObjectOf(const std::string& uid) const;
  void Show(const std::string& uid, std::shared_ptr<const PodOnNode> shown);
  kube::ReconcileResult Work(const std::string& uid);
  std::shared_ptr<PodWorker> WorkerOf(const std::string& uid);
  void Admit(const std::string& uid, Entry& entry, PodWorker& worker);
  void Release(const std::string& uid, bool forget);
  kube::ReconcileResult Relist();
  void Count();
  void Begin();

  const PodsParts parts_;
  const PodsOptions options_;
  const kube::Lister<Node> nodes_;
  const std::shared_ptr<Touching> touching_;
  RuntimeView view_;
  StatusWriter writer_;
  WorkerParts shared_;
  // Of the relister.
  bool begun_ = false;
  std::unique_ptr<Counts> counts_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Entry> entries_;        // by UID
  std::map<std::string, std::string> by_name_;  // "ns/name" to the newest UID
  NodePlaces places_;

  std::unique_ptr<kube::Controller> workers_, relister_;
};

void Touching::Touch(const std::string& uid, const std::function<void()>& before) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (pods == nullptr) return;
  before();
  pods->Touch(uid);
}

void PodsOfNode::OnChange(const kube::Change& change) {
  const PodPtr before = kube::Lister<Pod>::Cast(change.before);
  const PodPtr after = kube::Lister<Pod>::Cast(change.after);
  if (before != nullptr &&
      (after == nullptr || after->metadata().uid() != before->metadata().uid())) {
    MarkGone(*before);
  }
  if (after == nullptr) return;
  const std::string& uid = after->metadata().uid();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entries_[uid];
    entry.pod = after;
    entry.gone = false;
    by_name_[NameOf(*after)] = uid;
  }
  writer_.Look(after);
  workers_->Add(Key(uid));
}

void PodsOfNode::MarkGone(const Pod& pod) {
  const std::string& uid = pod.metadata().uid();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_[uid].gone = true;
    // Whoever took it away by force has also given its place away, even while it still ends.
    places_.Release(uid);
    const auto at = by_name_.find(NameOf(pod));
    if (at != by_name_.end() && at->second == uid) by_name_.erase(at);
  }
  writer_.Forget(uid);
  workers_->Add(Key(uid));
}

PodObject PodsOfNode::ObjectOf(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = entries_.find(uid);
  if (at == entries_.end()) return {};
  return {at->second.pod, at->second.gone};
}

void PodsOfNode::Show(const std::string& uid, std::shared_ptr<const PodOnNode> shown) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = entries_.find(uid);
  if (at != entries_.end()) at->second.shown = std::move(shown);
}

std::shared_ptr<const PodOnNode> PodsOfNode::Find(absl::string_view ns,
                                                  absl::string_view name) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto uid = by_name_.find(absl::StrCat(ns, "/", name));
  if (uid == by_name_.end()) return nullptr;
  const auto at = entries_.find(uid->second);
  if (at == entries_.end()) return nullptr;
  if (at->second.shown != nullptr || at->second.pod == nullptr) return at->second.shown;
  auto out = std::make_shared<PodOnNode>();
  out->pod = at->second.pod;
  return out;
}

std::vector<std::shared_ptr<const PodOnNode>> PodsOfNode::List() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::shared_ptr<const PodOnNode>> out;
  for (const auto& [uid, entry] : entries_) {
    if (entry.shown != nullptr) out.push_back(entry.shown);
  }
  return out;
}

kube::ReconcileResult PodsOfNode::Work(const std::string& uid) {
  const std::shared_ptr<PodWorker> worker = WorkerOf(uid);
  const PodWorker::Result result = worker->Work();
  if (result.ended || result.forgotten) Release(uid, result.forgotten);
  return result.again.has_value() ? kube::Again(*result.again) : kube::Finished();
}

std::shared_ptr<PodWorker> PodsOfNode::WorkerOf(const std::string& uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = entries_[uid];
  if (entry.worker == nullptr) entry.worker = std::make_shared<PodWorker>(shared_, uid);
  if (!entry.admitted) Admit(uid, entry, *entry.worker);
  return entry.worker;
}

// With the lock held.
void PodsOfNode::Admit(const std::string& uid, Entry& entry, PodWorker& worker) {
  if (entry.pod == nullptr) return;
  entry.admitted = true;
  // What has ended takes no place; what is about to end, or has begun, has its own.
  if (entry.gone || IsFinalPhase(entry.pod->status())) return;
  if (entry.pod->metadata().has_deletion_timestamp() || !view_.Get(uid)->empty()) {
    return places_.Take(entry.pod);
  }
  const std::optional<Refusal> refusal =
      places_.Admit(entry.pod, nodes_.Get("", options_.node_name));
  if (!refusal.has_value()) return;
  parts_.recorder.Record(*entry.pod, kube::kWarning, refusal->reason, refusal->message);
  worker.Reject({refusal->reason, refusal->message});
}

void PodsOfNode::Release(const std::string& uid, bool forget) {
  const std::lock_guard<std::mutex> lock(mutex_);
  places_.Release(uid);
  const auto at = entries_.find(uid);
  if (forget && at != entries_.end() && at->second.gone) entries_.erase(at);
}

kube::ReconcileResult PodsOfNode::Relist() {
  std::vector<std::string> changed;
  const absl::Status read = view_.Relist(&changed);
  if (!read.ok()) LOG(kWarn, "kubelet", "reading the runtime's pods: ", read.message());
  if (read.ok() && !begun_) Begin();
  if (read.ok() && counts_ != nullptr) Count();
  for (const std::string& uid : changed) workers_->Add(Key(uid));
  return kube::Again(options_.relist_period);
}

void PodsOfNode::Count() {
  int64_t pods = 0, containers = 0;
  for (const std::string& uid : view_.Uids()) {
    const PodStatePtr state = view_.Get(uid);
    pods += !state->sandboxes.empty() && state->sandboxes.front().ready;
    for (const ContainerState& container : state->containers) {
      containers += container.phase == ContainerState::Phase::kRunning;
    }
  }
  counts_->pods.Set(pods);
  counts_->containers.Set(containers);
}

// Pods that run already keep their places before others are looked at.
void PodsOfNode::Begin() {
  begun_ = true;
  if (const auto version = parts_.runtime.Version(); version.ok()) {
    shared_.runtime_name = version->runtime_name();
  }
  std::vector<std::string> uids = view_.Uids();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [uid, entry] : entries_) {
      if (entry.pod == nullptr || entry.gone || IsFinalPhase(entry.pod->status())) continue;
      if (!view_.Get(uid)->empty() || entry.pod->status().has_start_time()) {
        places_.Take(entry.pod);
      }
    }
  }
  for (const std::string& uid : uids) workers_->Add(Key(uid));
  writer_.Start();
  workers_->Start();
}

}  // namespace

std::unique_ptr<Pods> NewPods(const PodsParts& parts, const PodsOptions& options) {
  return std::make_unique<PodsOfNode>(parts, options);
}

}  // namespace meltemi::kubelet
