#include "pilot/push/session_core.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

constexpr XdsType kOrder[] = {XdsType::kEndpoint, XdsType::kSecret, XdsType::kCluster,
                              XdsType::kListener, XdsType::kRoute};
constexpr size_t kErrorBytesMax = 4096;
constexpr char kControlPlane[] = "meltemi-pilot";

bool ByName(const ResourcePtr& a, const ResourcePtr& b) { return a->name < b->name; }

const ResourcePtr* FindIn(const std::vector<ResourcePtr>& sorted, const std::string& name) {
  const auto it = std::lower_bound(
      sorted.begin(), sorted.end(), name,
      [](const ResourcePtr& resource, const std::string& key) { return resource->name < key; });
  return it != sorted.end() && (*it)->name == name ? &*it : nullptr;
}

void SortUnique(std::vector<ResourcePtr>* resources) {
  std::stable_sort(resources->begin(), resources->end(), ByName);
  resources->erase(
      std::unique(resources->begin(), resources->end(),
                  [](const ResourcePtr& a, const ResourcePtr& b) { return a->name == b->name; }),
      resources->end());
}

template <typename T>
void Append(const std::vector<T>& more, std::vector<T>* all) {
  all->insert(all->end(), more.begin(), more.end());
}

}  // namespace

absl::string_view SyncStateName(SyncState state) {
  switch (state) {
    case SyncState::kNotAsked:
      return "NOT ASKED";
    case SyncState::kWaiting:
      return "STALE";
    case SyncState::kSynced:
      return "SYNCED";
    case SyncState::kRejected:
      return "REJECTED";
  }
  return "";
}

SessionCore::SessionCore(Wire wire, ResourceSource* source, SharedWork* work,
                         const SessionOptions& options)
    : wire_(wire), source_(source), work_(work), options_(options) {}

bool SessionCore::IsFullState(XdsType type) {
  return type == XdsType::kCluster || type == XdsType::kListener;
}

// ---- Requests

SessionEvent SessionCore::OnAnswer(XdsType type, const std::string* error) {
  Subscription& subscription = At(type);
  TypeStatus& status = subscription.status;
  subscription.waiting = false;
  if (error != nullptr) {
    status.state = SyncState::kRejected;
    status.error = error->substr(0, kErrorBytesMax);
    ++status.rejections;
    subscription.rejected_version = subscription.sent_version;
    return SessionEvent::kNack;
  }
  status.state = SyncState::kSynced;
  status.version_acked = status.version_sent;
  status.error.clear();
  subscription.acked_version = subscription.sent_version;
  return SessionEvent::kAck;
}

void SessionCore::SetNames(XdsType type, NameSetPtr names) {
  Subscription& subscription = At(type);
  if (subscription.names != names) {
    Disturb(type);
    const ResourceSet& had = *subscription.named;
    const bool dropped =
        std::any_of(had.resources.begin(), had.resources.end(),
                    [&](const ResourcePtr& resource) { return !names->Contains(resource->name); });
    if (dropped) {
      auto rest = std::make_shared<ResourceSet>();
      std::copy_if(had.resources.begin(), had.resources.end(), std::back_inserter(rest->resources),
                   [&](const ResourcePtr& resource) { return names->Contains(resource->name); });
      rest->SetHash();
      subscription.named = std::move(rest);
    }
    std::erase_if(subscription.again, [&](const std::string& name) {
      return !subscription.wildcard && !names->Contains(name);
    });
  }
  subscription.names = std::move(names);
  // What was rejected went with its name.
  if (subscription.names->names.empty() && !subscription.wildcard && !subscription.waiting &&
      subscription.status.state == SyncState::kRejected) {
    subscription.status.state = SyncState::kSynced;
    subscription.status.error.clear();
  }
  subscription.status.wildcard = subscription.wildcard;
  subscription.status.subscribed = subscription.names->names.size();
}

void SessionCore::SendAgain(XdsType type, const std::string& name) {
  Disturb(type);
  std::vector<std::string>& again = At(type).again;
  const auto at = std::lower_bound(again.begin(), again.end(), name);
  if (at == again.end() || *at != name) again.insert(at, name);
}

// ---- Planning

void SessionCore::PlanWildcard(XdsType type, Plan* plan) {
  const Subscription& subscription = At(type);
  plan->shared_set = source_->Shared(type);
  plan->own_set = source_->Own(type);
  const bool same = plan->shared_set == subscription.shared && plan->own_set == subscription.own &&
                    subscription.held.empty();
  if (same) return;
  const SetDiffPtr shared = work_->Diff(subscription.shared, plan->shared_set);
  const SetDiffPtr own = work_->Diff(subscription.own, plan->own_set);
  plan->changed = shared->changed;
  plan->own = own->changed;
  Append(subscription.held, &plan->gone);
  Append(shared->gone, &plan->gone);
  Append(own->gone, &plan->gone);
  // What comes back, or has changed sides, is not gone.
  std::erase_if(plan->gone, [&](const ResourcePtr& resource) {
    return plan->shared_set->Find(resource->name) != nullptr ||
           plan->own_set->Find(resource->name) != nullptr;
  });
}

void SessionCore::PlanNamed(XdsType type, Plan* plan) {
  const Subscription& subscription = At(type);
  plan->named_set = source_->Resolve(type, subscription.names);
  // Under a wildcard it is there already.
  if (!subscription.wildcard) plan->gone = subscription.held;
  if (plan->named_set == subscription.named) return;
  const SetDiffPtr diff = work_->Diff(subscription.named, plan->named_set);
  if (plan->changed.empty()) {
    plan->changed = diff->changed;
  } else {
    Append(diff->changed, &plan->changed);
  }
  Append(diff->absent, &plan->absent);
  // Whoever still uses endpoints or routes that are gone must keep them.
  if (IsFullState(type)) Append(diff->gone, &plan->gone);
  if (!subscription.wildcard) return;
  const auto in_wildcard = [plan](const ResourcePtr& resource) {
    return plan->shared_set->Find(resource->name) != nullptr ||
           plan->own_set->Find(resource->name) != nullptr;
  };
  std::erase_if(plan->absent, in_wildcard);
  std::erase_if(plan->gone, in_wildcard);
  SortUnique(&plan->changed);
}

void SessionCore::PlanAgain(XdsType type, Plan* plan) {
  const Subscription& subscription = At(type);
  for (const std::string& name : subscription.again) {
    ResourcePtr resource;
    if (plan->named_set != nullptr) resource = plan->named_set->Find(name);
    if ((resource == nullptr || resource->absent) && subscription.wildcard) {
      if (ResourcePtr shared = plan->shared_set->Find(name)) resource = std::move(shared);
      if (ResourcePtr own = plan->own_set->Find(name)) resource = std::move(own);
    }
    // Given up by a client that still wants everything, which does not have it.
    if (resource == nullptr && subscription.wildcard) resource = AbsentResource(name);
    if (resource != nullptr) (resource->absent ? plan->absent : plan->changed).push_back(resource);
  }
  SortUnique(&plan->changed);
  SortUnique(&plan->absent);
}

void SessionCore::DropClaimed(XdsType type, Plan* plan) {
  const Subscription& subscription = At(type);
  const auto has = [&](const ResourcePtr& resource) {
    const ResourcePtr* claimed = FindIn(subscription.claimed, resource->name);
    return claimed != nullptr && (*claimed)->hash == resource->hash;
  };
  std::erase_if(plan->changed, has);
  std::erase_if(plan->own, has);
  for (const ResourcePtr& claimed : subscription.claimed) {
    const auto there = [&](const ResourceSetPtr& set) {
      if (set == nullptr) return false;
      const ResourcePtr resource = set->Find(claimed->name);
      return resource != nullptr && !resource->absent;
    };
    if (there(plan->shared_set) || there(plan->own_set) || there(plan->named_set)) continue;
    const bool named = plan->named_set != nullptr && subscription.names->Contains(claimed->name);
    // Said to be absent already; or it keeps what hangs on something that is going away.
    if (IsFullState(type) && !named) plan->gone.push_back(claimed);
    if (!IsFullState(type)) {
      std::erase_if(plan->absent,
                    [&](const ResourcePtr& absent) { return absent->name == claimed->name; });
    }
  }
}

SessionCore::Plan SessionCore::MakePlan(XdsType type) {
  Plan plan;
  const Subscription& subscription = At(type);
  if (!subscription.active) return plan;
  if (subscription.wildcard) PlanWildcard(type, &plan);
  if (!subscription.names->names.empty()) PlanNamed(type, &plan);
  // What comes back is not gone.
  if (plan.named_set != nullptr) {
    std::erase_if(plan.gone, [&](const ResourcePtr& resource) {
      const ResourcePtr now = plan.named_set->Find(resource->name);
      return now != nullptr && !now->absent;
    });
  }
  if (!subscription.again.empty()) PlanAgain(type, &plan);
  if (!subscription.claimed.empty()) DropClaimed(type, &plan);
  plan.due = subscription.must_send || !plan.changed.empty() || !plan.own.empty();
  if (type == XdsType::kListener && !plan.gone.empty()) plan.due = true;
  // State of the world has no words for what is not there.
  if (wire_ == Wire::kDelta && !plan.absent.empty()) plan.due = true;
  return plan;
}

// ---- Sending

void SessionCore::Adopt(XdsType type, Plan* plan, bool drop_gone) {
  Subscription& subscription = At(type);
  if (plan->shared_set != nullptr) subscription.shared = plan->shared_set;
  if (plan->own_set != nullptr) subscription.own = plan->own_set;
  if (plan->named_set != nullptr) subscription.named = plan->named_set;
  subscription.held.clear();
  if (!drop_gone) subscription.held = plan->gone;
  subscription.claimed.clear();
  subscription.claimed.shrink_to_fit();
  subscription.again.clear();
}

void SessionCore::Invalidate(XdsType type, const std::vector<ResourcePtr>& resources) {
  if (!IsFullState(type)) return;
  const XdsType dependent = type == XdsType::kCluster ? XdsType::kEndpoint : XdsType::kRoute;
  Subscription& has = At(dependent);
  if (has.named->resources.empty()) return;
  for (const ResourcePtr& resource : resources) {
    for (const std::string& name : resource->needs) {
      if (has.named->Find(name) == nullptr) continue;
      SendAgain(dependent, name);
      has.acked_version = std::min(has.acked_version, snapshot_version_ - 1);
    }
  }
}

bool SessionCore::BringsNew(const Subscription& subscription, const Plan& plan) const {
  if (!subscription.again.empty()) return true;
  return std::any_of(plan.changed.begin(), plan.changed.end(), [&](const ResourcePtr& resource) {
    const ResourcePtr had = subscription.named->Find(resource->name);
    return had == nullptr || had->absent;
  });
}

Response SessionCore::Send(XdsType type, Plan* plan, bool drop_gone) {
  Subscription& subscription = At(type);
  subscription.gates = BringsNew(subscription, *plan);
  Adopt(type, plan, drop_gone);
  Invalidate(type, plan->changed);
  Invalidate(type, plan->own);
  subscription.must_send = false;
  subscription.waiting = true;
  Disturb(type);
  subscription.sent_version = snapshot_version_;

  Response response;
  response.type = type;
  response.version = VersionOf(subscription);
  response.nonce = absl::StrCat(next_nonce_++);
  Encode(type, *plan, drop_gone, &response);
  TypeStatus& status = subscription.status;
  status.state = SyncState::kWaiting;
  status.version_sent = response.version;
  status.nonce = response.nonce;
  ++status.responses;
  return response;
}

std::string SessionCore::VersionOf(const Subscription& subscription) const {
  uint64_t hash = HashBytes("", subscription.shared->hash) ^
                  HashBytes("o", subscription.own->hash) ^ HashBytes("n", subscription.named->hash);
  for (const ResourcePtr& resource : subscription.held) {
    hash = HashBytes(resource->name, hash ^ resource->hash);
  }
  return VersionText(hash);
}

void SessionCore::EncodeFullState(const Subscription& subscription, Response* response) {
  std::vector<ResourcePtr> named = subscription.held;
  for (const ResourcePtr& resource : subscription.named->resources) {
    if (resource->absent || subscription.shared->Find(resource->name) != nullptr ||
        subscription.own->Find(resource->name) != nullptr) {
      continue;
    }
    named.push_back(resource);
  }
  SortUnique(&named);
  const std::vector<ResourcePtr>& shared = subscription.shared->resources;
  if (!shared.empty()) response->message.shared.push_back(work_->Encode(wire_, shared));
  for (const ResourcePtr& resource : subscription.own->resources) {
    AppendResource(wire_, *resource, &response->message.own);
  }
  for (const ResourcePtr& resource : named) {
    AppendResource(wire_, *resource, &response->message.own);
  }
  response->resources =
      static_cast<int>(shared.size() + subscription.own->resources.size() + named.size());
}

void SessionCore::Encode(XdsType type, const Plan& plan, bool drop_gone, Response* response) {
  std::string& own = response->message.own;
  if (wire_ == Wire::kStateOfTheWorld && IsFullState(type)) {
    EncodeFullState(At(type), response);
  } else {
    if (!plan.changed.empty()) {
      response->message.shared.push_back(work_->Encode(wire_, plan.changed));
    }
    for (const ResourcePtr& resource : plan.own) AppendResource(wire_, *resource, &own);
    response->resources = static_cast<int>(plan.changed.size() + plan.own.size());
  }
  AppendField(1, response->version, &own);
  AppendField(4, XdsTypeUrl(type), &own);
  AppendField(5, response->nonce, &own);
  std::string control_plane;
  AppendField(1, kControlPlane, &control_plane);
  if (wire_ == Wire::kStateOfTheWorld) {
    AppendField(6, control_plane, &own);
    return;
  }
  for (const ResourcePtr& resource : plan.absent) AppendField(6, resource->name, &own);
  response->removed = static_cast<int>(plan.absent.size());
  if (drop_gone) {
    for (const ResourcePtr& resource : plan.gone) AppendField(6, resource->name, &own);
    response->removed += static_cast<int>(plan.gone.size());
  }
  AppendField(7, control_plane, &own);
}

// ---- Order

bool SessionCore::ClustersReady() {
  const Subscription& clusters = At(XdsType::kCluster);
  const Subscription& endpoints = At(XdsType::kEndpoint);
  if (!clusters.active) return true;
  // Endpoints that only differ are on the way before any route: no need to wait for the answer.
  if (clusters.waiting || (endpoints.waiting && endpoints.gates)) return false;
  if (!clusters.wildcard) return true;  // such a client fetches endpoints as it needs them
  return endpoints.again.empty() && work_->Covers(endpoints.named, clusters.shared) &&
         (clusters.own->resources.empty() || work_->Covers(endpoints.named, clusters.own));
}

bool SessionCore::GateOpen(XdsType type, MonotonicTime now) {
  if (type != XdsType::kListener && type != XdsType::kRoute) return true;
  if (ClustersReady()) {
    gated_since_.reset();
    return true;
  }
  if (!gated_since_.has_value()) gated_since_ = now;
  return now - *gated_since_ >= options_.gate_max;
}

bool SessionCore::RoutesPending() {
  if (At(XdsType::kEndpoint).waiting && At(XdsType::kEndpoint).gates) return true;
  for (const XdsType type : {XdsType::kListener, XdsType::kRoute}) {
    const Subscription& subscription = At(type);
    // What was rejected leaves older routes in force, which may name the clusters.
    if (subscription.waiting || subscription.status.state == SyncState::kRejected) return true;
    if (MakePlan(type).due) return true;
  }
  return false;
}

std::optional<Response> SessionCore::Next(MonotonicTime now) {
  settled_ = true;
  std::optional<XdsType> due;
  Plan due_plan;
  // All types are looked at, so that what has nothing to be sent counts as acknowledged.
  for (const XdsType type : kOrder) {
    Subscription& subscription = At(type);
    if (!subscription.active) continue;
    if (subscription.waiting) {
      settled_ = false;
      continue;
    }
    const bool quiet = subscription.quiet_version == snapshot_version_;
    Plan plan = quiet ? Plan() : MakePlan(type);
    if (plan.due) {
      settled_ = false;
      if (due.has_value() || !GateOpen(type, now)) continue;
      due = type;
      due_plan = std::move(plan);
      continue;
    }
    if (!quiet) {
      // Nothing to say: the client has what the source has under other pointers.
      Adopt(type, &plan, /*drop_gone=*/false);
      if (plan.gone.empty()) subscription.quiet_version = snapshot_version_;
    }
    settled_ = settled_ && plan.gone.empty();
    if (subscription.status.state == SyncState::kRejected) continue;
    subscription.acked_version = snapshot_version_;
    subscription.status.state = SyncState::kSynced;
  }
  if (due.has_value()) {
    const bool routes_follow = At(XdsType::kListener).active || At(XdsType::kRoute).active;
    return Send(*due, &due_plan, /*drop_gone=*/*due != XdsType::kCluster || !routes_follow);
  }
  Subscription& clusters = At(XdsType::kCluster);
  if (clusters.active && !clusters.waiting && !clusters.held.empty()) {
    Plan plan = MakePlan(XdsType::kCluster);
    if (!plan.gone.empty() && !plan.due && !RoutesPending()) {
      return Send(XdsType::kCluster, &plan, /*drop_gone=*/true);
    }
  }
  return std::nullopt;
}

std::optional<MonotonicTime> SessionCore::WakeAt(MonotonicTime now) const {
  if (!gated_since_.has_value()) return std::nullopt;
  const MonotonicTime at = *gated_since_ + options_.gate_max;
  return at > now ? std::make_optional(at) : std::nullopt;
}

TypeStatus SessionCore::Status(XdsType type) const { return At(type).status; }

uint64_t SessionCore::acked_version() const {
  uint64_t version = snapshot_version_;
  for (const Subscription& subscription : subscriptions_) {
    if (subscription.active) version = std::min(version, subscription.acked_version);
  }
  return version;
}

bool SessionCore::waiting() const {
  return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [](const Subscription& subscription) { return subscription.waiting; });
}

bool SessionCore::Settled() {
  for (const XdsType type : kOrder) {
    if (At(type).waiting) return false;
    const Plan plan = MakePlan(type);
    if (plan.due || !plan.gone.empty()) return false;
  }
  return true;
}

}  // namespace meltemi::pilot
