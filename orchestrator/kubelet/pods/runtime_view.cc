#include "orchestrator/kubelet/pods/runtime_view.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "orchestrator/kubelet/containers/configs.h"

namespace meltemi::kubelet {
namespace {

bool Same(const PodState& a, const PodState& b) {
  return std::equal(a.sandboxes.begin(), a.sandboxes.end(), b.sandboxes.begin(), b.sandboxes.end(),
                    [](const SandboxState& x, const SandboxState& y) {
                      return x.id == y.id && x.ready == y.ready && x.ips == y.ips;
                    }) &&
         std::equal(a.containers.begin(), a.containers.end(), b.containers.begin(),
                    b.containers.end(), [](const ContainerState& x, const ContainerState& y) {
                      return x.id == y.id && x.phase == y.phase;
                    });
}

const SandboxState* FindSandbox(const PodState& pod, const std::string& id) {
  for (const SandboxState& sandbox : pod.sandboxes) {
    if (sandbox.id == id) return &sandbox;
  }
  return nullptr;
}

void Sort(PodState* pod) {
  std::sort(pod->sandboxes.begin(), pod->sandboxes.end(),
            [](const SandboxState& a, const SandboxState& b) {
              return std::tie(b.attempt, b.created_at) < std::tie(a.attempt, a.created_at);
            });
  std::sort(pod->containers.begin(), pod->containers.end(),
            [](const ContainerState& a, const ContainerState& b) {
              return std::tie(b.created_at, b.attempt) < std::tie(a.created_at, a.attempt);
            });
}

}  // namespace

absl::Status RuntimeView::Relist(std::vector<std::string>* changed) {
  const uint64_t reading = BeginReading();
  const absl::StatusOr<Lists> lists = List("");
  if (!lists.ok()) return lists.status();
  std::map<std::string, Listed> pods = ByPod(*lists);
  for (const std::string& uid : Uids()) pods.try_emplace(uid);
  absl::Status worst;
  for (const auto& [uid, listed] : pods) {
    const Entry before = EntryOf(uid);
    if (before.read > reading) continue;
    absl::StatusOr<Entry> entry = Build(uid, listed, before);
    if (!entry.ok()) {
      worst = entry.status();
    } else if (Put(uid, *std::move(entry), reading)) {
      changed->push_back(uid);
    }
  }
  if (!worst.ok()) return worst;
  const std::lock_guard<std::mutex> lock(mutex_);
  read_at_ = clock_.Now();
  return absl::OkStatus();
}

absl::StatusOr<PodStatePtr> RuntimeView::Refresh(const std::string& uid) {
  const uint64_t reading = BeginReading();
  const absl::StatusOr<Lists> lists = List(uid);
  if (!lists.ok()) return lists.status();
  std::map<std::string, Listed> pods = ByPod(*lists);
  absl::StatusOr<Entry> entry = Build(uid, pods[uid], EntryOf(uid));
  if (!entry.ok()) return entry.status();
  Put(uid, *std::move(entry), reading);
  return Get(uid);
}

PodStatePtr RuntimeView::Get(const std::string& uid) const { return EntryOf(uid).state; }

std::vector<std::string> RuntimeView::Uids() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [uid, entry] : entries_) out.push_back(uid);
  return out;
}

std::optional<MonotonicTime> RuntimeView::read_at() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return read_at_;
}

uint64_t RuntimeView::BeginReading() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ++readings_;
}

absl::StatusOr<RuntimeView::Lists> RuntimeView::List(const std::string& uid) {
  Lists out;
  // Containers first: one whose sandbox is not in the list yet would look like a leftover.
  absl::StatusOr<std::vector<cri::Container>> containers = runtime_.ListContainers(uid);
  if (!containers.ok()) return containers.status();
  out.containers = *std::move(containers);
  absl::StatusOr<std::vector<cri::PodSandbox>> sandboxes = runtime_.ListPodSandboxes(uid);
  if (!sandboxes.ok()) return sandboxes.status();
  out.sandboxes = *std::move(sandboxes);
  return out;
}

std::map<std::string, RuntimeView::Listed> RuntimeView::ByPod(const Lists& lists) {
  std::map<std::string, Listed> out;
  for (const cri::PodSandbox& sandbox : lists.sandboxes) {
    PodState pod;
    SandboxState state;
    if (FromSandbox(sandbox, &pod, &state)) out[pod.uid].sandboxes.push_back(&sandbox);
  }
  for (const cri::Container& container : lists.containers) {
    PodState pod;
    ContainerState state;
    if (FromContainer(container, &pod, &state)) out[pod.uid].containers.push_back(&container);
  }
  return out;
}

absl::StatusOr<RuntimeView::Entry> RuntimeView::Build(const std::string& uid, const Listed& listed,
                                                      const Entry& before) {
  Entry out;
  auto pod = std::make_shared<PodState>();
  pod->uid = uid;
  for (const cri::PodSandbox* sandbox : listed.sandboxes) {
    if (absl::Status added = AddSandbox(*sandbox, before, pod.get(), &out); !added.ok()) {
      return added;
    }
  }
  for (const cri::Container* container : listed.containers) {
    if (absl::Status added = AddContainer(*container, before, pod.get()); !added.ok()) return added;
  }
  Sort(pod.get());
  out.state = std::move(pod);
  return out;
}

absl::Status RuntimeView::AddSandbox(const cri::PodSandbox& listed, const Entry& before,
                                     PodState* pod, Entry* out) {
  SandboxState state;
  if (!FromSandbox(listed, pod, &state)) return absl::OkStatus();
  const SandboxState* known = FindSandbox(*before.state, state.id);
  if (state.ready && known != nullptr && before.asked.count(state.id) != 0) {
    state.ips = known->ips;
    out->asked.insert(state.id);
  } else if (state.ready) {
    const absl::StatusOr<cri::PodSandboxStatus> status = runtime_.PodSandboxStatus(state.id);
    if (!status.ok() && status.status().code() != absl::StatusCode::kNotFound) {
      return status.status();
    }
    state.ready = status.ok() && status->state() == cri::SANDBOX_READY;
    if (state.ready) {
      state.ips.clear();
      if (!status->network().ip().empty()) state.ips.push_back(status->network().ip());
      for (const cri::PodIP& more : status->network().additional_ips()) {
        state.ips.push_back(more.ip());
      }
      out->asked.insert(state.id);
    }
  }
  pod->sandboxes.push_back(std::move(state));
  return absl::OkStatus();
}

absl::Status RuntimeView::AddContainer(const cri::Container& listed, const Entry& before,
                                       PodState* pod) {
  ContainerState state;
  if (!FromContainer(listed, pod, &state)) return absl::OkStatus();
  const ContainerState* known = before.state->ById(state.id);
  if (known != nullptr && known->phase == state.phase) {
    pod->containers.push_back(*known);
    return absl::OkStatus();
  }
  if (state.phase != ContainerState::Phase::kCreated) {
    const absl::StatusOr<cri::ContainerStatus> status = runtime_.ContainerStatus(state.id);
    // Removed in between.
    if (status.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
    if (!status.ok()) return status.status();
    AddStatus(*status, &state);
  }
  pod->containers.push_back(std::move(state));
  return absl::OkStatus();
}

RuntimeView::Entry RuntimeView::EntryOf(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = entries_.find(uid);
  return at == entries_.end() ? Entry() : at->second;
}

bool RuntimeView::Put(const std::string& uid, Entry entry, uint64_t reading) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& held = entries_[uid];
  if (held.read > reading) return false;
  const bool changed = !Same(*held.state, *entry.state);
  const bool gone = entry.state->empty() && !changed;
  held = std::move(entry);
  held.read = reading;
  // Kept once as empty, so that a reading which began before does not bring it back.
  if (gone) entries_.erase(uid);
  return changed;
}

}  // namespace meltemi::kubelet
