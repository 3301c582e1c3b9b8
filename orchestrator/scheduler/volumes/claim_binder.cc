#include "orchestrator/scheduler/volumes/claim_binder.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;

constexpr int kLanes = 8;
constexpr Duration kTimeout = minutes(10);
// Nobody tells of pods that are not waited for any more.
constexpr Duration kLookAgain = seconds(5);

std::string Failed(absl::string_view why) {
  return absl::StrCat("running PreBind plugin \"VolumeBinding\": binding volumes: ", why);
}

}  // namespace

ClaimBinder::ClaimBinder(kube::Client& client, Gate& gate, ClaimBook& book,
                         std::function<bool(const PodInfo& pod)> is_wanted)
    : client_(client),
      gate_(gate),
      book_(book),
      is_wanted_(std::move(is_wanted)),
      lanes_(gate, kLanes) {}

size_t ClaimBinder::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.size() + writing_;
}

void ClaimBinder::Add(Job job) {
  auto waiting = std::make_shared<Waiting>();
  waiting->job = std::move(job);
  waiting->until = gate_.Now() + kTimeout;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++writing_;
  }
  lanes_.Add([this, waiting] { Write(waiting); });
}

void ClaimBinder::Write(const WaitingPtr& waiting) {
  std::string why;
  for (const auto& [claim, planned] : waiting->job.plan.bind) {
    PersistentVolume volume = *planned;
    if (!why.empty() || !controllers::BindTo(*claim, &volume)) continue;
    const auto written = kube::Update(client_, volume);
    if (!written.ok()) why = written.status().message;
  }
  for (ClaimPtr& claim : waiting->job.plan.provision) {
    if (!why.empty() || controllers::Annotation(claim->metadata(), controllers::kSelectedNode) ==
                            waiting->job.node) {
      continue;
    }
    PersistentVolumeClaim changed = *claim;
    (*changed.mutable_metadata()->mutable_annotations())[controllers::kSelectedNode] =
        waiting->job.node;
    const auto written = kube::Update(client_, changed);
    if (!written.ok()) {
      why = written.status().message;
    } else {
      claim = std::make_shared<const PersistentVolumeClaim>(*written);
    }
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --writing_;
    waiting_[waiting->job.pod->uid] = waiting;
  }
  if (!why.empty()) return End(waiting, Failed(why));
  Look(waiting);
  LookLater(waiting);
}

void ClaimBinder::LookAgain() {
  std::vector<WaitingPtr> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [uid, waiting] : waiting_) all.push_back(waiting);
  }
  // Not on the informer's thread: who is told takes locks of its own.
  for (const WaitingPtr& waiting : all) gate_.Run([this, waiting] { Look(waiting); });
}

void ClaimBinder::LookLater(const WaitingPtr& waiting) {
  gate_.Later(kLookAgain, [this, waiting] {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = waiting_.find(waiting->job.pod->uid);
      if (found == waiting_.end() || found->second != waiting) return;
    }
    Look(waiting);
    LookLater(waiting);
  });
}

std::string ClaimBinder::Progress(const Job& job, bool* bound) const {
  *bound = true;
  std::string why;
  const auto see = [&](const PersistentVolumeClaim& claim, bool is_provisioned) {
    const std::string& name = claim.metadata().name();
    const ClaimBook::State state = book_.StateOf(claim, is_provisioned);
    *bound &= state == ClaimBook::State::kBound;
    if (state == ClaimBook::State::kGone) {
      why = absl::StrCat("persistentvolumeclaim \"", name, "\" not found");
    } else if (state == ClaimBook::State::kRejected) {
      why = absl::StrCat("provisioning failed for PVC \"", name, "\"");
    }
  };
  for (const auto& [claim, volume] : job.plan.bind) see(*claim, false);
  for (const ClaimPtr& claim : job.plan.provision) see(*claim, true);
  return why;
}

void ClaimBinder::Look(const WaitingPtr& waiting) {
  bool bound = false;
  const std::string why = Progress(waiting->job, &bound);
  if (bound) return End(waiting, "");
  if (!why.empty()) return End(waiting, Failed(why));
  if (gate_.Now() >= waiting->until) return End(waiting, Failed("context deadline exceeded"));
  if (!is_wanted_(*waiting->job.pod)) End(waiting, "the pod is gone");
}

void ClaimBinder::End(const WaitingPtr& waiting, const std::string& why) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = waiting_.find(waiting->job.pod->uid);
    if (found == waiting_.end() || found->second != waiting) return;
    waiting_.erase(found);
  }
  book_.Forget(waiting->job.plan);
  if (is_wanted_(*waiting->job.pod)) waiting->job.done(why);
}

}  // namespace meltemi::scheduler
