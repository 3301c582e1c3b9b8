#include "pilot/push/session.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::pilot {
namespace {

using envoy::service::discovery::v3::DiscoveryRequest;

constexpr XdsType kOrder[] = {XdsType::kCluster, XdsType::kEndpoint, XdsType::kSecret,
                              XdsType::kListener, XdsType::kRoute};
constexpr size_t kErrorBytesMax = 4096;

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// A length-delimited protobuf field.
void AppendField(int number, absl::string_view value, std::string* out) {
  AppendVarint(static_cast<uint64_t>(number) << 3 | 2, out);
  AppendVarint(value.size(), out);
  out->append(value.data(), value.size());
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

std::string EncodeResponse(XdsType type, absl::string_view version, absl::string_view nonce,
                           const std::vector<ResourcePtr>& resources) {
  size_t size = 256;
  for (const ResourcePtr& resource : resources) size += resource->any.size() + 8;
  std::string out;
  out.reserve(size);
  AppendField(1, version, &out);
  for (const ResourcePtr& resource : resources) AppendField(2, resource->any, &out);
  AppendField(4, XdsTypeUrl(type), &out);
  AppendField(5, nonce, &out);
  std::string control_plane;
  AppendField(1, "meltemi-pilot", &control_plane);
  AppendField(6, control_plane, &out);
  return out;
}

Session::Session(ResourceSource* source, Options options) : source_(source), options_(options) {}

bool Session::IsFullState(XdsType type) {
  return type == XdsType::kCluster || type == XdsType::kListener;
}

Session::Event Session::OnRequest(const DiscoveryRequest& request) {
  XdsType type;
  if (!ParseXdsTypeUrl(request.type_url(), &type)) return Event::kIgnored;
  Subscription& subscription = At(type);
  TypeStatus& status = subscription.status;
  if (request.response_nonce().empty() || !subscription.active) {
    // The first request of a stream, or of a client that starts again.
    subscription.sent.clear();
    subscription.names.clear();
    subscription.sent_set_hash = 0;
    subscription.wildcard = IsFullState(type) && request.resource_names().empty();
    subscription.active = true;
    subscription.must_send = true;
    subscription.unsure = true;
    subscription.waiting = false;
    UpdateNames(request, type, &subscription);
    return Event::kSubscribe;
  }
  if (request.response_nonce() != status.nonce) return Event::kStale;
  subscription.waiting = false;
  Event event = Event::kAck;
  if (request.has_error_detail()) {
    event = Event::kNack;
    status.state = SyncState::kRejected;
    status.error = request.error_detail().message().substr(0, kErrorBytesMax);
    ++status.rejections;
  } else {
    status.state = SyncState::kSynced;
    status.version_acked = status.version_sent;
    status.error.clear();
  }
  UpdateNames(request, type, &subscription);
  return event;
}

void Session::UpdateNames(const DiscoveryRequest& request, XdsType type,
                          Subscription* subscription) {
  std::set<std::string, std::less<>> names;
  for (const std::string& name : request.resource_names()) {
    if (name == "*" && IsFullState(type)) {
      subscription->wildcard = true;
    } else if (names.size() < options_.names_max) {
      names.insert(name);
    }
  }
  if (!names.empty() && subscription->wildcard && subscription->names.empty() &&
      std::find(request.resource_names().begin(), request.resource_names().end(), "*") ==
          request.resource_names().end()) {
    subscription->wildcard = false;  // went over to naming what it wants
  }
  for (const std::string& name : names) {
    if (!subscription->names.contains(name) && IsFullState(type)) subscription->must_send = true;
  }
  if (subscription->names != names) subscription->unsure = true;
  subscription->names = std::move(names);
  if (!subscription->wildcard) {
    std::erase_if(subscription->sent,
                  [&](const auto& entry) { return !subscription->names.contains(entry.first); });
  }
  subscription->status.wildcard = subscription->wildcard;
  subscription->status.subscribed = subscription->names.size();
}

void Session::OnSnapshot(uint64_t version, const std::vector<std::string>* changed_hosts) {
  snapshot_version_ = version;
  for (const XdsType type : kOrder) {
    Subscription& subscription = At(type);
    if (changed_hosts == nullptr) {
      subscription.unsure = true;
      subscription.unsure_hosts.clear();
    } else if (type == XdsType::kEndpoint && !subscription.unsure) {
      subscription.unsure_hosts.insert(subscription.unsure_hosts.end(), changed_hosts->begin(),
                                       changed_hosts->end());
    }
  }
}

void Session::PlanNamed(XdsType type, Plan* plan) {
  Subscription& subscription = At(type);
  if (!subscription.unsure && subscription.unsure_hosts.empty()) return;
  for (const std::string& name : subscription.names) {
    // "outbound|PORT|SUBSET|HOST"
    if (!subscription.unsure &&
        std::none_of(subscription.unsure_hosts.begin(), subscription.unsure_hosts.end(),
                     [&](const std::string& host) { return absl::EndsWith(name, host); })) {
      continue;
    }
    ResourcePtr resource = source_->Find(type, name);
    const auto sent = subscription.sent.find(name);
    if (resource == nullptr) {
      if (IsFullState(type) && sent != subscription.sent.end()) plan->removed.push_back(name);
    } else if (sent == subscription.sent.end() || sent->second->hash != resource->hash) {
      plan->changed.push_back(std::move(resource));
    }
  }
  // Only what is found to be the same is sure; the rest stays to be sent.
  if (!plan->changed.empty() || !plan->removed.empty()) return;
  subscription.unsure = false;
  subscription.unsure_hosts.clear();
}

Session::Plan Session::MakePlan(XdsType type) {
  Plan plan;
  Subscription& subscription = At(type);
  if (!subscription.active) return plan;
  plan.due = subscription.must_send && IsFullState(type);
  if (subscription.wildcard) {
    const ResourceSetPtr all = source_->All(type);
    if (all->hash == subscription.sent_set_hash && !subscription.holds_removed && !plan.due) {
      return plan;
    }
    for (const ResourcePtr& resource : all->resources) {
      const auto sent = subscription.sent.find(resource->name);
      if (sent == subscription.sent.end() || sent->second->hash != resource->hash) {
        plan.changed.push_back(resource);
      }
    }
    for (const auto& [name, resource] : subscription.sent) {
      if (all->Find(name) == nullptr) plan.removed.push_back(name);
    }
  } else {
    PlanNamed(type, &plan);
  }
  plan.due =
      plan.due || !plan.changed.empty() || (type == XdsType::kListener && !plan.removed.empty());
  return plan;
}

void Session::Invalidate(XdsType type, const Resource& resource) {
  if (!IsFullState(type)) return;
  Subscription& dependent = At(type == XdsType::kCluster ? XdsType::kEndpoint : XdsType::kRoute);
  for (const std::string& name : resource.needs) {
    const auto it = dependent.sent.find(name);
    if (it == dependent.sent.end()) continue;
    dependent.sent.erase(it);
    dependent.unsure = true;
  }
}

Response Session::Send(XdsType type, const Plan& plan, bool drop_removed) {
  Subscription& subscription = At(type);
  for (const ResourcePtr& resource : plan.changed) {
    subscription.sent.insert_or_assign(resource->name, resource);
    Invalidate(type, *resource);
  }
  if (drop_removed) {
    for (const std::string& name : plan.removed) subscription.sent.erase(name);
  }
  subscription.holds_removed = !drop_removed && !plan.removed.empty();
  std::vector<ResourcePtr> resources;
  uint64_t hash = 0;
  for (const auto& [name, resource] : subscription.sent) {
    hash = HashBytes(name, hash ^ resource->hash);
    if (IsFullState(type)) resources.push_back(resource);
  }
  if (!IsFullState(type)) resources = plan.changed;
  if (subscription.wildcard) subscription.sent_set_hash = source_->All(type)->hash;
  subscription.must_send = false;
  subscription.waiting = true;
  // All that was unsure went into the plan.
  subscription.unsure = false;
  subscription.unsure_hosts.clear();

  Response response;
  response.type = type;
  response.version = absl::StrFormat("%016x", hash);
  response.nonce = absl::StrCat(next_nonce_++);
  response.resources = static_cast<int>(resources.size());
  response.bytes = EncodeResponse(type, response.version, response.nonce, resources);
  TypeStatus& status = subscription.status;
  status.state = SyncState::kWaiting;
  status.version_sent = response.version;
  status.nonce = response.nonce;
  ++status.responses;
  return response;
}

bool Session::ClustersReady() const {
  const Subscription& clusters = At(XdsType::kCluster);
  const Subscription& endpoints = At(XdsType::kEndpoint);
  if (!clusters.active) return true;
  if (clusters.waiting || endpoints.waiting) return false;
  if (!clusters.wildcard) return true;  // such a client fetches endpoints as it needs them
  for (const auto& [name, cluster] : clusters.sent) {
    for (const std::string& needed : cluster->needs) {
      if (!endpoints.sent.contains(needed)) return false;
    }
  }
  return true;
}

bool Session::GateOpen(XdsType type, MonotonicTime now) {
  if (type != XdsType::kListener && type != XdsType::kRoute) return true;
  if (ClustersReady()) {
    gated_since_.reset();
    return true;
  }
  if (!gated_since_.has_value()) gated_since_ = now;
  return now - *gated_since_ >= options_.gate_max;
}

bool Session::RoutesPending() {
  if (At(XdsType::kEndpoint).waiting) return true;
  for (const XdsType type : {XdsType::kListener, XdsType::kRoute}) {
    const Subscription& subscription = At(type);
    // What was rejected leaves older routes in force, which may name the clusters.
    if (subscription.waiting || subscription.status.state == SyncState::kRejected) return true;
    if (MakePlan(type).due) return true;
  }
  return false;
}

std::optional<Response> Session::Next(MonotonicTime now) {
  for (const XdsType type : kOrder) {
    if (!At(type).active || At(type).waiting) continue;
    const Plan plan = MakePlan(type);
    if (!plan.due) continue;
    if (!GateOpen(type, now)) break;
    const bool routes_follow = At(XdsType::kListener).active || At(XdsType::kRoute).active;
    return Send(type, plan, /*drop_removed=*/type != XdsType::kCluster || !routes_follow);
  }
  Subscription& clusters = At(XdsType::kCluster);
  if (clusters.active && !clusters.waiting) {
    const Plan plan = MakePlan(XdsType::kCluster);
    if (!plan.removed.empty() && !plan.due && !RoutesPending()) {
      return Send(XdsType::kCluster, plan, /*drop_removed=*/true);
    }
  }
  return std::nullopt;
}

std::optional<MonotonicTime> Session::WakeAt(MonotonicTime now) const {
  if (!gated_since_.has_value()) return std::nullopt;
  const MonotonicTime at = *gated_since_ + options_.gate_max;
  return at > now ? std::make_optional(at) : std::nullopt;
}

TypeStatus Session::Status(XdsType type) const { return At(type).status; }

bool Session::Settled() {
  for (const XdsType type : kOrder) {
    if (At(type).waiting) return false;
    const Plan plan = MakePlan(type);
    if (plan.due || !plan.removed.empty()) return false;
  }
  return true;
}

}  // namespace meltemi::pilot
