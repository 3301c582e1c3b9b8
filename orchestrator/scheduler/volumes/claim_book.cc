#include "orchestrator/scheduler/volumes/claim_book.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "kube/quantity/quantity.h"

namespace meltemi::scheduler {
namespace {

using controllers::Annotation;
using controllers::BestMatch;
using controllers::ClassOf;
using controllers::FitsNode;
using controllers::IsFullyBound;
using controllers::kSelectedNode;
using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using kube::storage::v1::StorageClass;

constexpr char kByClass[] = "class";
constexpr char kNoProvisioner[] = "kubernetes.io/no-provisioner";

std::vector<std::string> ByClass(const google::protobuf::Message& volume) {
  return {ClassOf(static_cast<const PersistentVolume&>(volume))};
}

int64_t SizeOf(const PersistentVolumeClaim& claim) {
  const auto& requests = claim.spec().resources().requests();
  const auto found = requests.find("storage");
  if (found == requests.end()) return 0;
  return kube::Quantity::Parse(found->second.string()).value_or(kube::Quantity()).Value();
}

bool IsOwnedBy(const PersistentVolumeClaim& claim, const PodInfo& pod) {
  const auto& owners = claim.metadata().owner_references();
  return std::any_of(owners.begin(), owners.end(), [&pod](const auto& owner) {
    return owner.controller() && owner.uid() == pod.uid;
  });
}

// "": none that keeps all nodes away.
std::string ProblemOf(const PodClaim& wanted, const PersistentVolumeClaim* claim,
                      const PodInfo& pod) {
  const std::string quoted = absl::StrCat("persistentvolumeclaim \"", wanted.name, "\"");
  if (claim == nullptr) {
    return wanted.is_ephemeral
               ? absl::StrCat("waiting for ephemeral volume controller to create the ", quoted)
               : absl::StrCat(quoted, " not found");
  }
  if (claim->status().phase() == "Lost") {
    return absl::StrCat(quoted, " bound to non-existent persistentvolume \"",
                        claim->spec().volume_name(), "\"");
  }
  if (claim->metadata().has_deletion_timestamp()) {
    return absl::StrCat(quoted, " is being deleted");
  }
  if (wanted.is_ephemeral && !IsOwnedBy(*claim, pod)) {
    return absl::StrCat("PVC ", pod.key.ns, "/", wanted.name, " was not created for pod ",
                        pod.key.ToString(), " (pod is not owner)");
  }
  return "";
}

}  // namespace

ClaimBook::ClaimBook(kube::Informers& informers)
    : claims_(informers.ListerOf<PersistentVolumeClaim>()),
      volumes_(informers.ListerOf<PersistentVolume>()),
      classes_(informers.ListerOf<StorageClass>()) {
  informers.Of<PersistentVolume>().AddIndex(kByClass, ByClass);
}

void ClaimBook::OnChange(kube::Informers& informers,
                         const std::function<void(const std::string& claim)>& changed) {
  informers.Of<PersistentVolumeClaim>().AddHandler([changed](const kube::Change& change) {
    changed(kube::NameOf(change.after == nullptr ? *change.before : *change.after).ToString());
  });
  informers.Of<PersistentVolume>().AddHandler([changed](const kube::Change&) { changed(""); });
  informers.Of<StorageClass>().AddHandler([changed](const kube::Change&) { changed(""); });
}

ClaimNeeds ClaimBook::NeedsOf(const PodInfo& pod) const {
  ClaimNeeds needs;
  bool waits_for_nobody = false;
  for (const PodClaim& wanted : pod.claims) {
    const ClaimPtr claim = claims_.Get(pod.key.ns, wanted.name);
    needs.problem = ProblemOf(wanted, claim.get(), pod);
    if (!needs.problem.empty()) return needs;
    const auto& modes = claim->spec().access_modes();
    if (std::find(modes.begin(), modes.end(), "ReadWriteOncePod") != modes.end()) {
      needs.alone.push_back(wanted.name);
    }
    if (IsFullyBound(*claim)) {
      VolumePtr volume = volumes_.Get("", claim->spec().volume_name());
      needs.lost |= volume == nullptr;
      if (volume != nullptr) needs.bound.push_back(std::move(volume));
      continue;
    }
    const auto of = classes_.Get("", ClassOf(*claim));
    if (of != nullptr && controllers::WaitsForConsumer(*of) &&
        claim->spec().volume_name().empty()) {
      needs.unbound.push_back(claim);
    } else {
      waits_for_nobody = true;
    }
  }
  if (waits_for_nobody) needs.problem = "pod has unbound immediate PersistentVolumeClaims";
  // The smallest takes the smallest volume, so that the larger ones are left for those that need
  // them.
  std::stable_sort(needs.unbound.begin(), needs.unbound.end(),
                   [](const ClaimPtr& a, const ClaimPtr& b) { return SizeOf(*a) < SizeOf(*b); });
  return needs;
}

bool ClaimBook::Plan(const ClaimNeeds& needs, const NodeFacts& node, ClaimPlan* plan) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::set<std::string> taken;
  for (const auto& [uid, promise] : promises_) taken.insert(promise.volume);
  return std::all_of(needs.unbound.begin(), needs.unbound.end(),
                     [&](const ClaimPtr& claim) { return PlanOne(claim, node, &taken, plan); });
}

bool ClaimBook::PlanOne(const ClaimPtr& claim, const NodeFacts& node, std::set<std::string>* taken,
                        ClaimPlan* plan) const {
  const auto promised = promises_.find(claim->metadata().uid());
  if (promised != promises_.end() && !promised->second.volume.empty()) {
    VolumePtr volume = volumes_.Get("", promised->second.volume);
    if (volume == nullptr || !FitsNode(*volume, node)) return false;
    plan->bind.emplace_back(claim, std::move(volume));
    return true;
  }
  const std::string selected = promised != promises_.end()
                                   ? promised->second.node
                                   : Annotation(claim->metadata(), kSelectedNode);
  if (!selected.empty()) {
    if (selected != node.name) return false;
    plan->provision.push_back(claim);
    return true;
  }
  VolumePtr volume = BestMatch(*claim, volumes_.ByIndex(kByClass, ClassOf(*claim)),
                               {.node = &node, .taken = taken});
  if (volume != nullptr) {
    taken->insert(volume->metadata().name());
    plan->bind.emplace_back(claim, std::move(volume));
    return true;
  }
  if (!CanProvision(*claim, node)) return false;
  plan->provision.push_back(claim);
  return true;
}

bool ClaimBook::CanProvision(const PersistentVolumeClaim& claim, const NodeFacts& node) const {
  const auto of = classes_.Get("", ClassOf(claim));
  if (of == nullptr || of->provisioner().empty() || of->provisioner() == kNoProvisioner) {
    return false;
  }
  const auto& terms = of->allowed_topologies();
  return terms.empty() || std::any_of(terms.begin(), terms.end(), [&node](const auto& term) {
           const auto& wants = term.match_label_expressions();
           return std::all_of(wants.begin(), wants.end(), [&node](const auto& want) {
             const absl::string_view value = node.Label(want.key());
             return std::find(want.values().begin(), want.values().end(), value) !=
                    want.values().end();
           });
         });
}

void ClaimBook::Assume(const ClaimPlan& plan, const std::string& node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [claim, volume] : plan.bind) {
    promises_[claim->metadata().uid()] = {node, volume->metadata().name()};
  }
  for (const ClaimPtr& claim : plan.provision) promises_[claim->metadata().uid()] = {node, ""};
}

void ClaimBook::Forget(const ClaimPlan& plan) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [claim, volume] : plan.bind) promises_.erase(claim->metadata().uid());
  for (const ClaimPtr& claim : plan.provision) promises_.erase(claim->metadata().uid());
}

ClaimBook::State ClaimBook::StateOf(const PersistentVolumeClaim& claim, bool is_provisioned) const {
  const ClaimPtr now = claims_.Get(kube::NameOf(claim));
  if (now == nullptr || now->metadata().uid() != claim.metadata().uid()) return State::kGone;
  if (IsFullyBound(*now)) return State::kBound;
  // An informer that does not show our own writing yet is no rejection.
  const auto number = [](const PersistentVolumeClaim& of) {
    return std::strtoll(of.metadata().resource_version().c_str(), nullptr, 10);
  };
  if (is_provisioned && number(*now) >= number(claim) &&
      Annotation(now->metadata(), kSelectedNode).empty()) {
    return State::kRejected;
  }
  return State::kWaits;
}

}  // namespace meltemi::scheduler
