#include "orchestrator/kubelet/hollow/pod_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/client/typed.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/kubelet/hollow/pod_status.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using PodPtr = std::shared_ptr<const Pod>;

constexpr char kByNode[] = "node";
constexpr int64_t kCpuUnset = -1;

kube::ControllerOptions QueueOptions(const HollowOptions& options) {
  kube::ControllerOptions out;
  out.name = "hollow-pods";
  out.workers = options.pod_calls_max;
  out.backoff_min = milliseconds(50);
  out.backoff_max = seconds(10);
  out.retries_per_second = 200;
  out.retries_burst = 1000;
  return out;
}

std::vector<std::string> ByNode(const google::protobuf::Message& object) {
  const Pod& pod = static_cast<const Pod&>(object);
  if (pod.spec().node_name().empty()) return {};
  return {pod.spec().node_name()};
}

int64_t Revision(const Pod& pod) {
  int64_t out = 0;
  return absl::SimpleAtoi(pod.metadata().resource_version(), &out) ? out : 0;
}

std::string ControllerUid(const Pod& pod) {
  for (const kube::meta::v1::OwnerReference& owner : pod.metadata().owner_references()) {
    if (owner.controller()) return owner.uid();
  }
  return "";
}

PodTiming DefaultTiming(const HollowOptions& options) {
  PodTiming out;
  out.start_delay = options.start_delay;
  out.ready_delay = options.ready_delay;
  out.stop_delay = options.stop_delay;
  out.run_for = options.run_for;
  out.failure_rate = options.failure_rate;
  return out;
}

void TrimContainers(google::protobuf::RepeatedPtrField<Container>* containers, bool known) {
  for (Container& container : *containers) {
    Container kept;
    kept.mutable_name()->swap(*container.mutable_name());
    kept.mutable_image()->swap(*container.mutable_image());
    if (container.has_restart_policy()) kept.set_restart_policy(container.restart_policy());
    if (!known) {
      kept.mutable_resources()->Swap(container.mutable_resources());
      kept.mutable_ports()->Swap(container.mutable_ports());
    }
    container = std::move(kept);
  }
}

}  // namespace

PodKeeper::PodKeeper(const HollowOptions& options, Parts parts)
    : options_(options),
      timing_(DefaultTiming(options)),
      addresses_(options),
      facts_(scheduler::MakeNodeFacts(std::make_shared<const kube::core::v1::Node>(
          MakeNode(options, 0, parts.executor.clock().WallNow())))),
      parts_(std::move(parts)),
      pods_(parts_.informers.ListerOf<Pod>("spec.nodeName!=")),
      node_objects_(parts_.informers.ListerOf<kube::core::v1::Node>()),
      nodes_(static_cast<size_t>(options.nodes)),
      controller_(
          kube::NewController(QueueOptions(options), parts_.executor, parts_.metrics,
                              [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
  kube::Informer& informer = parts_.informers.Of<Pod>("spec.nodeName!=");
  informer.AddIndex(kByNode, ByNode);
  informer.SetTransform(
      [this](google::protobuf::Message& object) { Trim(static_cast<Pod&>(object)); });
  informer.AddHandler([this](const kube::Change& change) {
    const Pod& pod = static_cast<const Pod&>(*(change.after ? change.after : change.before));
    if (NodeOfAddress(options_, pod.spec().node_name()) < 0) return;
    controller_->Add({pod.metadata().namespace_(), pod.metadata().name()});
  });
}

void PodKeeper::Start() { controller_->Start(); }

// What nobody here reads is not kept: pods are many.
void PodKeeper::Trim(Pod& pod) {
  const std::string key = absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
  bool known;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = entries_.find(key);
    known = at != entries_.end() && at->second->run.uid == pod.metadata().uid();
  }
  kube::meta::v1::ObjectMeta* meta = pod.mutable_metadata();
  meta->clear_labels();
  meta->clear_managed_fields();
  meta->clear_finalizers();
  auto* annotations = meta->mutable_annotations();
  for (auto at = annotations->begin(); at != annotations->end();) {
    at = absl::StartsWith(at->first, kAnnotationPrefix) ? std::next(at) : annotations->erase(at);
  }
  kube::core::v1::PodSpec kept;
  kube::core::v1::PodSpec* spec = pod.mutable_spec();
  TrimContainers(spec->mutable_init_containers(), known);
  TrimContainers(spec->mutable_containers(), known);
  kept.mutable_init_containers()->Swap(spec->mutable_init_containers());
  kept.mutable_containers()->Swap(spec->mutable_containers());
  kept.mutable_readiness_gates()->Swap(spec->mutable_readiness_gates());
  kept.set_node_name(spec->node_name());
  kept.set_restart_policy(spec->restart_policy());
  kept.set_host_network(spec->host_network());
  if (spec->has_active_deadline_seconds()) {
    kept.set_active_deadline_seconds(spec->active_deadline_seconds());
  }
  if (!known) {
    kept.mutable_overhead()->swap(*spec->mutable_overhead());
    if (spec->has_affinity()) *kept.mutable_affinity() = spec->affinity();
    kept.mutable_node_selector()->swap(*spec->mutable_node_selector());
    kept.mutable_tolerations()->Swap(spec->mutable_tolerations());
  }
  *spec = std::move(kept);
  if (!known) return;
  pod.mutable_status()->clear_container_statuses();
  pod.mutable_status()->clear_init_container_statuses();
  for (kube::core::v1::PodCondition& condition : *pod.mutable_status()->mutable_conditions()) {
    condition.clear_last_transition_time();
    condition.clear_last_probe_time();
    condition.clear_message();
  }
}

void PodKeeper::Resync(int node) {
  for (const PodPtr& pod : pods_.ByIndex(kByNode, NodeName(options_, node))) {
    controller_->Add({pod->metadata().namespace_(), pod->metadata().name()});
  }
}

void PodKeeper::SetCpuMilli(const kube::NamespacedName& key, int64_t cpu_milli) {
  const std::lock_guard<std::mutex> lock(mutex_);
  cpu_overrides_[key.ToString()] = cpu_milli;
}

size_t PodKeeper::running() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return running_;
}

kube::ReconcileResult PodKeeper::Reconcile(const kube::NamespacedName& key) {
  const PodPtr pod = pods_.Get(key);
  if (pod == nullptr) {
    Forget(key);
    return kube::Finished();
  }
  const int node = NodeOfAddress(options_, pod->spec().node_name());
  if (node < 0 || parts_.frozen(node)) return kube::Finished();
  const Plan plan = MakePlan(key, pod, node);
  if (!plan.event_reason.empty()) {
    parts_.recorder.Record(*pod, kube::kWarning, plan.event_reason, plan.event_message);
  }
  if (kube::Outcome written = Write(key, plan, pod->metadata().uid()); !written.ok()) {
    return written.status();
  }
  return plan.next.has_value() ? kube::Again(*plan.next) : kube::Finished();
}

PodKeeper::Plan PodKeeper::MakePlan(const kube::NamespacedName& key, const PodPtr& pod, int node) {
  Plan plan;
  const RunTime time{parts_.executor.clock().Now(), parts_.executor.clock().WallNow()};
  const PodTiming timing = TimingOf(*pod, timing_);
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = EntryOf(key, pod, node, &plan);
  if (entry.deleted) return plan;
  const auto failed_start = [&] {
    return timing.failure_rate > 0 && parts_.random.Unit() < timing.failure_rate;
  };
  const bool was_backing_off =
      std::any_of(entry.run.main.begin(), entry.run.main.end(),
                  [](const ContainerRun& container) { return container.backing_off(); });
  entry.dirty |= Step(*pod, timing, time, failed_start, &entry.run);
  Count(&entry);
  if (entry.run.finished()) Release(&entry);
  const std::string ip = entry.run.ip != 0 ? AddressText(entry.run.ip) : "";
  const PodAddresses addresses{NodeAddress(options_, node),
                               pod->spec().host_network() ? NodeAddress(options_, node) : ip};
  const kube::core::v1::PodStatus status =
      StatusOf(*pod, addresses, UnixSeconds(time.wall), &entry.run);
  if (!entry.dirty && Revision(*pod) >= entry.written_revision) {
    entry.dirty = Differs(status, pod->status());
  }
  if (entry.dirty) plan.patch = StatusPatch(entry.run.uid, status);
  plan.remove = entry.run.finished() && pod->metadata().has_deletion_timestamp();
  for (const kube::core::v1::ContainerStatus& container : status.container_statuses()) {
    if (was_backing_off || container.state().waiting().reason() != "CrashLoopBackOff") continue;
    plan.event_reason = "BackOff";
    plan.event_message = absl::StrCat("Back-off restarting failed container ", container.name(),
                                      " in pod ", key.name, "_", key.ns, "(", entry.run.uid, ")");
  }
  if (const std::optional<MonotonicTime> next = NextStep(entry.run)) {
    plan.next = std::max(*next - time.now, Duration(milliseconds(1)));
  }
  return plan;
}

PodKeeper::Entry& PodKeeper::EntryOf(const kube::NamespacedName& key, const PodPtr& pod, int node,
                                     Plan* plan) {
  std::unique_ptr<Entry>& held = entries_[key.ToString()];
  if (held != nullptr && held->run.uid != pod->metadata().uid()) {
    Release(held.get());
    held.reset();
  }
  if (held != nullptr) return *held;
  held = std::make_unique<Entry>();
  held->run.uid = pod->metadata().uid();
  held->run.node = node;
  held->owner = ControllerUid(*pod);
  held->cpu_counted_at = parts_.executor.clock().Now();
  Admit(pod, held.get(), plan);
  return *held;
}

void PodKeeper::Admit(const PodPtr& pod, Entry* entry, Plan* plan) {
  const RunTime time{parts_.executor.clock().Now(), parts_.executor.clock().WallNow()};
  NodeState& node = nodes_[static_cast<size_t>(entry->run.node)];
  Adopt(*pod, TimingOf(*pod, timing_), time, &entry->run);
  AdoptConditions(*pod, &entry->run);
  if (entry->run.finished()) return;
  const scheduler::PodInfoPtr info = scheduler::MakePodInfo(pod);
  // What was running already goes on, and what is being stopped needs no place.
  if (entry->run.stage == PodRun::Stage::kNew && !pod->metadata().has_deletion_timestamp()) {
    const auto object = node_objects_.Get("", pod->spec().node_name());
    const auto shown = object == nullptr ? nullptr : scheduler::MakeNodeFacts(object);
    if (const std::optional<Refusal> refusal =
            CheckAdmission(*info, *facts_, shown.get(), node.use)) {
      Refuse(*pod, refusal->reason, refusal->message, time, &entry->run);
      entry->dirty = true;
      plan->event_reason = refusal->reason;
      plan->event_message = refusal->message;
      return;
    }
  }
  entry->request = info->request;
  entry->ports = info->host_ports;
  for (const scheduler::HostPort& port : entry->ports) node.use.ports.Add(port);
  entry->admitted = true;
  node.use.requested.Add(entry->request);
  ++node.use.pods;
  TakeAddress(*pod, entry);
}

void PodKeeper::TakeAddress(const Pod& pod, Entry* entry) {
  if (pod.spec().host_network()) return;
  NodeState& node = nodes_[static_cast<size_t>(entry->run.node)];
  if (node.slots.empty()) node.slots.resize(static_cast<size_t>(addresses_.slots()));
  if (const uint32_t written = ParseAddress(pod.status().pod_ip()); written != 0) {
    entry->run.ip = written;
    const int slot = addresses_.Slot(entry->run.node, written);
    if (slot >= 0) node.slots[static_cast<size_t>(slot)] = true;
    return;
  }
  // Addresses in turn, so that one that was given back is not another pod's at once.
  for (int i = 0; i < addresses_.slots(); ++i) {
    const int slot = (node.next_slot + i) % addresses_.slots();
    if (node.slots[static_cast<size_t>(slot)]) continue;
    node.slots[static_cast<size_t>(slot)] = true;
    node.next_slot = slot + 1;
    entry->run.ip = addresses_.Address(entry->run.node, slot);
    return;
  }
}

// A pod that has ended takes no place any more.
void PodKeeper::Release(Entry* entry) {
  NodeState& node = nodes_[static_cast<size_t>(entry->run.node)];
  if (std::exchange(entry->admitted, false)) {
    node.use.requested.Subtract(entry->request);
    for (const scheduler::HostPort& port : entry->ports) node.use.ports.Remove(port);
    --node.use.pods;
    const int slot = entry->run.ip == 0 ? -1 : addresses_.Slot(entry->run.node, entry->run.ip);
    if (slot >= 0) node.slots[static_cast<size_t>(slot)] = false;
  }
  if (!std::exchange(entry->counted, false)) return;
  --running_;
  const auto at = owners_.find(entry->owner);
  if (at != owners_.end() && --at->second == 0) owners_.erase(at);
}

void PodKeeper::Count(Entry* entry) {
  if (!entry->run.serving() || std::exchange(entry->counted, true)) return;
  ++running_;
  if (!entry->owner.empty()) ++owners_[entry->owner];
}

void PodKeeper::Forget(const kube::NamespacedName& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = entries_.find(key.ToString());
  cpu_overrides_.erase(key.ToString());
  if (at == entries_.end()) return;
  Release(at->second.get());
  entries_.erase(at);
}

kube::Outcome PodKeeper::Write(const kube::NamespacedName& key, const Plan& plan,
                               const std::string& uid) {
  if (!plan.patch.empty()) {
    kube::Result<Pod> written = kube::Patch<Pod>(
        parts_.client, key.ns, key.name, kube::PatchType::kStrategicMerge, plan.patch, "status");
    // It is gone, or another one has its name: the informer will tell.
    if (!written.ok() &&
        (kube::IsNotFound(written.status()) || kube::IsConflict(written.status()))) {
      return kube::Done{};
    }
    if (!written.ok()) return written.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = entries_.find(key.ToString());
    if (at != entries_.end() && at->second->run.uid == uid) {
      at->second->dirty = false;
      at->second->written_revision = Revision(*written);
    }
  }
  if (!plan.remove) return kube::Done{};
  kube::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = uid;
  kube::Outcome deleted = kube::Delete<Pod>(parts_.client, key.ns, key.name, options);
  if (!deleted.ok() && !kube::IsNotFound(deleted.status()) && !kube::IsConflict(deleted.status())) {
    return deleted;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = entries_.find(key.ToString());
  if (at != entries_.end() && at->second->run.uid == uid) at->second->deleted = true;
  return kube::Done{};
}

// A pod that is not running uses nothing.
int64_t PodKeeper::CpuMilli(const Pod& pod, const Entry& entry) const {
  if (!entry.run.serving()) return 0;
  const int64_t containers = std::max(1, pod.spec().containers_size());
  const auto override_at =
      cpu_overrides_.find(absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name()));
  if (override_at != cpu_overrides_.end()) return override_at->second;
  absl::string_view text = HollowAnnotation(pod, "cpu");
  if (text.empty()) return options_.cpu_milli_per_pod;
  const bool shared = absl::ConsumeSuffix(&text, "/requests");
  const std::optional<kube::Quantity> amount = kube::Quantity::Parse(text);
  if (!amount.has_value() || amount->Sign() < 0) return options_.cpu_milli_per_pod;
  if (!shared) return amount->MilliValue() * containers;
  const auto owner = owners_.find(entry.owner);
  return amount->MilliValue() / std::max(1, owner == owners_.end() ? 1 : owner->second);
}

std::vector<PodUse> PodKeeper::UseOf(int node) {
  std::vector<PodPtr> pods = pods_.ByIndex(kByNode, NodeName(options_, node));
  std::sort(pods.begin(), pods.end(), [](const PodPtr& a, const PodPtr& b) {
    return std::make_pair(a->metadata().namespace_(), a->metadata().name()) <
           std::make_pair(b->metadata().namespace_(), b->metadata().name());
  });
  std::vector<PodUse> out;
  const MonotonicTime now = parts_.executor.clock().Now();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const PodPtr& pod : pods) {
    const auto at =
        entries_.find(absl::StrCat(pod->metadata().namespace_(), "/", pod->metadata().name()));
    if (at == entries_.end() || at->second->run.uid != pod->metadata().uid()) continue;
    Entry& entry = *at->second;
    PodUse use;
    use.pod = pod;
    use.start_time_s = entry.run.start_time_s;
    use.running = entry.run.serving();
    use.cpu_milli = CpuMilli(*pod, entry);
    // The use since it was asked last counts as what it is now.
    entry.cpu_nanos_total +=
        use.cpu_milli *
        std::chrono::duration_cast<std::chrono::milliseconds>(now - entry.cpu_counted_at).count() *
        1000;
    entry.cpu_counted_at = now;
    use.cpu_nanos_total = entry.cpu_nanos_total;
    const std::optional<kube::Quantity> memory =
        kube::Quantity::Parse(HollowAnnotation(*pod, "memory"));
    use.memory_bytes = !use.running ? 0
                       : memory.has_value() && memory->Sign() >= 0
                           ? memory->Value() * pod->spec().containers_size()
                           : options_.memory_bytes_per_pod;
    out.push_back(std::move(use));
  }
  return out;
}

}  // namespace meltemi::kubelet
