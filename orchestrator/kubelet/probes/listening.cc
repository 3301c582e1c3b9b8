#include "orchestrator/kubelet/probes/listening.h"

#include <utility>

#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;

constexpr Duration kAnswerMax = milliseconds(250);

kube::ControllerOptions QueueOptions() {
  kube::ControllerOptions out;
  out.name = "listening";
  out.workers = 4;
  return out;
}

std::vector<uint16_t> TcpPorts(const Container& container) {
  std::vector<uint16_t> out;
  for (const auto& port : container.ports()) {
    if (port.protocol().empty() || port.protocol() == "TCP") {
      out.push_back(static_cast<uint16_t>(port.container_port()));
    }
  }
  return out;
}

bool IsProbed(const Container& container) {
  return container.has_readiness_probe() || container.has_startup_probe();
}

}  // namespace

Listening::Listening(NetworkProber& network, kube::Executor& executor,
                     std::function<void(const std::string&)> on_change)
    : network_(network),
      executor_(executor),
      on_change_(std::move(on_change)),
      began_(executor.clock().WallNow()),
      controller_(
          kube::NewController(QueueOptions(), executor, nullptr,
                              [this](const kube::NamespacedName& key) { return Work(key); })) {
  shared_->controller = controller_.get();
  controller_->Start();
}

Listening::~Listening() {
  {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->controller = nullptr;
  }
  controller_.reset();
}

void Listening::Sync(const Pod& pod, const PodState& state, const std::string& ip) {
  if (pod.spec().host_network() || ip.empty()) return;
  const std::string& uid = pod.metadata().uid();
  const std::lock_guard<std::mutex> lock(shared_->mutex);
  std::set<std::string>& known = known_[uid];
  std::set<std::string> running;
  for (const auto* list : {&pod.spec().containers(), &pod.spec().init_containers()}) {
    for (const Container& container : *list) {
      const ContainerState* const found = state.Newest(container.name());
      if (found == nullptr || found->phase != ContainerState::Phase::kRunning) continue;
      running.insert(found->id);
      if (known.count(found->id) == 0 && !IsProbed(container)) Begin(container, *found, uid, ip);
    }
  }
  for (const std::string& id : known) {
    if (running.count(id) == 0) shared_->waiting.erase(id);
  }
  known = std::move(running);
  if (known.empty()) known_.erase(uid);
}

// With the lock held.
void Listening::Begin(const Container& container, const ContainerState& state,
                      const std::string& pod_uid, const std::string& ip) {
  std::vector<uint16_t> ports = TcpPorts(container);
  if (ports.empty() || state.started_at < began_) return;
  shared_->waiting[state.id] = {.pod_uid = pod_uid,
                                .ip = ip,
                                .ports = std::move(ports),
                                .until = executor_.clock().Now() + kListenWait};
  controller_->Add({pod_uid, state.id});
  controller_->AddAfter({pod_uid, state.id}, kListenWait);
}

kube::ReconcileResult Listening::Work(const kube::NamespacedName& key) {
  std::unique_lock<std::mutex> lock(shared_->mutex);
  const auto it = shared_->waiting.find(key.name);
  if (it == shared_->waiting.end()) return kube::Finished();
  Waiting& waiting = it->second;
  if (waiting.ports.empty() || executor_.clock().Now() >= waiting.until) {
    shared_->waiting.erase(it);
    lock.unlock();
    on_change_(key.ns);
    return kube::Finished();
  }
  if (waiting.asked) return kube::Finished();
  waiting.asked = true;
  const TcpProbe probe{.host = waiting.ip, .port = waiting.ports.back(), .timeout = kAnswerMax};
  lock.unlock();
  network_.Tcp(probe, [shared = shared_, key](const ProbeVerdict& verdict) {
    const std::lock_guard<std::mutex> answered(shared->mutex);
    const auto asked = shared->waiting.find(key.name);
    if (shared->controller == nullptr || asked == shared->waiting.end()) return;
    asked->second.asked = false;
    const bool listens = verdict.kind == ProbeVerdict::Kind::kSuccess;
    if (listens) asked->second.ports.pop_back();
    shared->controller->AddAfter(key, listens ? Duration(0) : kListenPeriod);
  });
  return kube::Finished();
}

void Listening::Forget(const std::string& pod_uid) {
  const std::lock_guard<std::mutex> lock(shared_->mutex);
  const auto it = known_.find(pod_uid);
  if (it == known_.end()) return;
  for (const std::string& id : it->second) shared_->waiting.erase(id);
  known_.erase(it);
}

bool Listening::Listens(const std::string& container_id) const {
  const std::lock_guard<std::mutex> lock(shared_->mutex);
  return shared_->waiting.count(container_id) == 0;
}

}  // namespace meltemi::kubelet
