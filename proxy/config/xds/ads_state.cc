#include "proxy/config/xds/ads_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

constexpr size_t kErrorBytesMax = 4096;  // gRPC peers limit headers and log lines, not us

constexpr std::array<absl::string_view, kResourceTypes> kTypeUrls = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
};
constexpr std::array<absl::string_view, kResourceTypes> kShortNames = {"cds", "eds", "lds", "rds",
                                                                       "sds"};
constexpr std::array<absl::string_view, kResourceTypes> kNouns = {"cluster", "endpoints",
                                                                  "listener", "routes", "secret"};

}  // namespace

absl::string_view TypeUrl(ResourceType type) { return kTypeUrls[IndexOf(type)]; }

absl::string_view ShortName(ResourceType type) { return kShortNames[IndexOf(type)]; }

std::optional<ResourceType> ResourceTypeOf(absl::string_view type_url) {
  for (ResourceType type : kAllResourceTypes) {
    if (TypeUrl(type) == type_url) return type;
  }
  return std::nullopt;
}

std::string RejectionText(ResourceType type, size_t resources,
                          const std::vector<Rejection>& rejections) {
  std::string text = absl::StrCat(rejections.size(), " of ", resources, " resources rejected: ");
  for (size_t i = 0; i < rejections.size(); ++i) {
    if (text.size() > kErrorBytesMax) {
      absl::StrAppend(&text, " … and ", rejections.size() - i, " more");
      break;
    }
    const auto& [name, reason] = rejections[i];
    if (i > 0) absl::StrAppend(&text, "; ");
    // Most reasons begin with the resource already: "cluster 'x': …".
    if (name.empty() || !absl::StrContains(reason, absl::StrCat("'", name, "'"))) {
      absl::StrAppend(&text, kNouns[IndexOf(type)], " '", name, "': ");
    }
    absl::StrAppend(&text, reason);
  }
  return text;
}

void AdsState::OnConnected() {
  connected_ = true;
  node_sent_ = false;
  requests_.clear();
  for (ResourceType type : kAllResourceTypes) {
    Subscription& subscription = Of(type);
    subscription.nonce.clear();
    subscription.told.clear();
    subscription.asked = false;
    const bool wanted = IsWildcard(type) ? subscription.enabled : !subscription.names.empty();
    if (wanted) Ask(type, "");
  }
}

void AdsState::OnDisconnected() {
  connected_ = false;
  requests_.clear();
}

void AdsState::OnResponse(ResourceType type, const std::string& version, const std::string& nonce,
                          size_t resources, const std::vector<Rejection>& rejections) {
  Subscription& subscription = Of(type);
  subscription.nonce = nonce;
  if (rejections.size() < resources || rejections.empty()) subscription.received = true;
  if (rejections.empty()) {
    subscription.version = version;
    subscription.last_error.clear();
    Ask(type, "");
    return;
  }
  subscription.last_error = RejectionText(type, resources, rejections);
  Ask(type, subscription.last_error);
}

void AdsState::OnUnknownType(const std::string& type_url, const std::string& nonce) {
  if (!connected_) return;
  AdsRequest request;
  request.type_url = type_url;
  request.nonce = nonce;
  request.error = absl::StrCat("type ", type_url, " was not asked for");
  requests_.push_back(std::move(request));
}

void AdsState::SetNames(ResourceType type, std::set<std::string> names) {
  Subscription& subscription = Of(type);
  if (subscription.names == names) return;
  subscription.names = std::move(names);
  // An empty list as the first request of a type would ask for everything.
  if (subscription.names.empty() && !subscription.asked) return;
  if (protocol_ == XdsProtocol::kDelta && subscription.asked) return AskForDifference(type);
  Ask(type, "");
}

AdsRequest& AdsState::NewRequest(ResourceType type, std::string error) {
  AdsRequest& request = requests_.emplace_back();
  request.type_url = std::string(TypeUrl(type));
  request.error = std::move(error);
  request.with_node = !node_sent_;
  node_sent_ = true;
  return request;
}

void AdsState::Ask(ResourceType type, std::string error) {
  if (!connected_) return;
  Subscription& subscription = Of(type);
  const bool first = !std::exchange(subscription.asked, true);
  AdsRequest& request = NewRequest(type, std::move(error));
  request.nonce = subscription.nonce;
  if (protocol_ == XdsProtocol::kStateOfTheWorld || first) {
    request.names.assign(subscription.names.begin(), subscription.names.end());
  }
  if (protocol_ == XdsProtocol::kStateOfTheWorld) {
    request.version = subscription.version;
  } else if (first) {
    request.with_versions = true;
    subscription.told = subscription.names;
  }
}

void AdsState::AskForDifference(ResourceType type) {
  if (!connected_) return;
  Subscription& subscription = Of(type);
  AdsRequest& request = NewRequest(type, "");
  std::set_difference(subscription.names.begin(), subscription.names.end(),
                      subscription.told.begin(), subscription.told.end(),
                      std::back_inserter(request.names));
  std::set_difference(subscription.told.begin(), subscription.told.end(),
                      subscription.names.begin(), subscription.names.end(),
                      std::back_inserter(request.unsubscribe));
  subscription.told = subscription.names;
}

std::vector<AdsRequest> AdsState::TakeRequests() { return std::exchange(requests_, {}); }

Duration AdsRetry::NextDelay(Random& random) {
  Duration delay = backoff_.first;
  for (uint32_t i = 0; i < failures_ && delay < backoff_.max; ++i) delay *= 2;
  delay = std::min(delay, backoff_.max);
  if (failures_ < 32) ++failures_;
  const uint64_t half = static_cast<uint64_t>(delay.count()) / 2;
  return Duration(static_cast<int64_t>(half + random.Below(half + 1)));
}

}  // namespace meltemi::proxy
