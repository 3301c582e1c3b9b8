#include "pilot/push/session.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::pilot {

using envoy::service::discovery::v3::DiscoveryRequest;

Session::Session(ResourceSource* source, Options options, SharedWork* work)
    : own_work_(work == nullptr ? std::make_unique<SharedWork>() : nullptr),
      core_(Wire::kStateOfTheWorld, source, work == nullptr ? own_work_.get() : work, options) {}

Session::~Session() = default;

Session::Event Session::OnRequest(const DiscoveryRequest& request) {
  XdsType type;
  if (!ParseXdsTypeUrl(request.type_url(), &type)) return Event::kIgnored;
  if (static_cast<size_t>(request.resource_names_size()) > core_.options().names_max) {
    return Event::kTooMany;
  }
  SessionCore::Subscription& subscription = core_.At(type);
  if (request.response_nonce().empty() || !subscription.active) {
    // The first request of a stream, or of a client that starts again.
    TypeStatus status = std::move(subscription.status);
    subscription = SessionCore::Subscription();
    subscription.status = std::move(status);
    subscription.wildcard = SessionCore::IsFullState(type) && request.resource_names().empty();
    subscription.active = true;
    subscription.must_send = SessionCore::IsFullState(type);
    TakeNames(request, type);
    return Event::kSubscribe;
  }
  if (request.response_nonce() != subscription.status.nonce) return Event::kStale;
  const Event event = core_.OnAnswer(
      type, request.has_error_detail() ? &request.error_detail().message() : nullptr);
  TakeNames(request, type);
  return event;
}

void Session::TakeNames(const DiscoveryRequest& request, XdsType type) {
  SessionCore::Subscription& subscription = core_.At(type);
  const bool full_state = SessionCore::IsFullState(type);
  std::vector<std::string> names(request.resource_names().begin(), request.resource_names().end());
  const bool star = full_state && std::erase(names, "*") > 0;
  if (star) {
    if (!subscription.wildcard) core_.Disturb(type);
    subscription.wildcard = true;
  }
  if (!star && !names.empty() && subscription.names->names.empty()) {
    subscription.wildcard = false;  // goes over to naming what it wants
    subscription.shared = EmptyResourceSet();
    subscription.own = EmptyResourceSet();
  }
  if (names.empty() && subscription.names->names.empty()) {
    return core_.SetNames(type, subscription.names);
  }
  // Almost every request repeats the names of the one before.
  const std::vector<std::string>& before = subscription.names->names;
  if (std::equal(names.begin(), names.end(), before.begin(), before.end())) {
    return core_.SetNames(type, subscription.names);
  }
  NameSetPtr now = core_.work().names().Make(std::move(names));
  if (full_state) {
    subscription.must_send =
        subscription.must_send ||
        !std::includes(before.begin(), before.end(), now->names.begin(), now->names.end());
  }
  core_.SetNames(type, std::move(now));
}

}  // namespace meltemi::pilot
