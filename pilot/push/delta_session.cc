#include "pilot/push/delta_session.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::pilot {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;

DeltaSession::DeltaSession(ResourceSource* source, SessionOptions options, SharedWork* work)
    : own_work_(work == nullptr ? std::make_unique<SharedWork>() : nullptr),
      core_(Wire::kDelta, source, work == nullptr ? own_work_.get() : work, options) {}

DeltaSession::~DeltaSession() = default;

SessionEvent DeltaSession::OnRequest(const DeltaDiscoveryRequest& request) {
  XdsType type;
  if (!ParseXdsTypeUrl(request.type_url(), &type)) return SessionEvent::kIgnored;
  const size_t names_max = core_.options().names_max;
  if (static_cast<size_t>(request.resource_names_subscribe_size()) > names_max ||
      request.initial_resource_versions().size() > names_max) {
    return SessionEvent::kTooMany;
  }
  SessionCore::Subscription& subscription = core_.At(type);
  SessionEvent event = SessionEvent::kSubscribe;
  if (!subscription.active) {
    Begin(request, type);
  } else if (!request.response_nonce().empty()) {
    if (request.response_nonce() == subscription.status.nonce && subscription.waiting) {
      event = core_.OnAnswer(
          type, request.has_error_detail() ? &request.error_detail().message() : nullptr);
    } else {
      event = SessionEvent::kStale;  // what it says about names holds all the same
    }
  }
  if (TakeNames(request, type) == SessionEvent::kTooMany) return SessionEvent::kTooMany;
  return event;
}

void DeltaSession::Begin(const DeltaDiscoveryRequest& request, XdsType type) {
  SessionCore::Subscription& subscription = core_.At(type);
  subscription.active = true;
  subscription.wildcard =
      SessionCore::IsFullState(type) && request.resource_names_subscribe().empty();
  // A client that has nothing waits for an answer even if there is nothing.
  subscription.must_send =
      SessionCore::IsFullState(type) && request.initial_resource_versions().empty();
  for (const auto& [name, version] : request.initial_resource_versions()) {
    auto claimed = std::make_shared<Resource>();
    claimed->name = name;
    if (!ParseVersion(version, &claimed->hash)) claimed->hash = 0;
    subscription.claimed.push_back(std::move(claimed));
  }
  std::sort(subscription.claimed.begin(), subscription.claimed.end(),
            [](const ResourcePtr& a, const ResourcePtr& b) { return a->name < b->name; });
}

SessionEvent DeltaSession::TakeNames(const DeltaDiscoveryRequest& request, XdsType type) {
  SessionCore::Subscription& subscription = core_.At(type);
  const bool full_state = SessionCore::IsFullState(type);
  std::vector<std::string> added(request.resource_names_subscribe().begin(),
                                 request.resource_names_subscribe().end());
  std::vector<std::string> dropped(request.resource_names_unsubscribe().begin(),
                                   request.resource_names_unsubscribe().end());
  const bool star = std::erase(added, "*") > 0;
  const bool no_star = std::erase(dropped, "*") > 0;
  if (star || no_star) core_.Disturb(type);
  if (star && full_state && !subscription.wildcard) {
    subscription.wildcard = true;
    if (subscription.claimed.empty()) subscription.must_send = true;
  }
  if (no_star && !star && subscription.wildcard) {
    subscription.wildcard = false;
    subscription.shared = EmptyResourceSet();
    subscription.own = EmptyResourceSet();
    const auto forgotten = [&](const ResourcePtr& resource) {
      return !subscription.names->Contains(resource->name);
    };
    std::erase_if(subscription.held, forgotten);
    std::erase_if(subscription.claimed, forgotten);
  }
  if (added.empty() && dropped.empty()) {
    core_.SetNames(type, subscription.names);
    return SessionEvent::kSubscribe;
  }
  // Names win over their giving up in the same request. What is asked for again is sent again: the
  // client may have forgotten it.
  std::sort(added.begin(), added.end());
  std::erase_if(dropped, [&](const std::string& name) {
    return std::binary_search(added.begin(), added.end(), name);
  });
  if (!subscription.wildcard && !subscription.claimed.empty() && !dropped.empty()) {
    std::sort(dropped.begin(), dropped.end());
    std::erase_if(subscription.claimed, [&](const ResourcePtr& resource) {
      return std::binary_search(dropped.begin(), dropped.end(), resource->name);
    });
  }
  for (const std::string& name : added) {
    const bool in_wildcard =
        subscription.shared->Find(name) != nullptr || subscription.own->Find(name) != nullptr;
    if (in_wildcard || subscription.names->Contains(name)) core_.SendAgain(type, name);
  }
  NameSetPtr names = core_.work().names().Change(subscription.names, added, dropped);
  if (names->names.size() > core_.options().names_max) return SessionEvent::kTooMany;
  const NameSetPtr before = subscription.names;
  core_.SetNames(type, std::move(names));
  // Who gives up a name and still wants everything is told whether that has it.
  for (const std::string& name : dropped) {
    if (subscription.wildcard && before->Contains(name)) core_.SendAgain(type, name);
  }
  return SessionEvent::kSubscribe;
}

}  // namespace meltemi::pilot
