#include "proxy/config/xds/xds_client.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/protobuf/arena.h"
#include "google/rpc/status.pb.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/xds/intake.h"

namespace meltemi::proxy {
namespace {

namespace discovery_v3 = envoy::service::discovery::v3;

constexpr int kInvalidArgument = 3;  // google.rpc.Code

// Envoy's prefixes for clusters and listeners; endpoints and routes are counted in sum beside them.
absl::string_view StatPrefix(ResourceType type) {
  switch (type) {
    case ResourceType::kCluster:
      return "envoy_cluster_manager_cds_";
    case ResourceType::kEndpoints:
      return "envoy_cluster_manager_eds_";
    case ResourceType::kListener:
      return "envoy_listener_manager_lds_";
    case ResourceType::kRoutes:
      return "envoy_listener_manager_rds_";
    case ResourceType::kSecrets:
      return "envoy_sds_";
  }
  return "";
}

}  // namespace

XdsClient::TypeStats XdsClient::NewTypeStats(metrics::Scope& scope, ResourceType type) {
  const absl::string_view prefix = StatPrefix(type);
  return {scope.GetCounter(absl::StrCat(prefix, "update_attempt")),
          scope.GetCounter(absl::StrCat(prefix, "update_success")),
          scope.GetCounter(absl::StrCat(prefix, "update_rejected")),
          scope.GetGauge(absl::StrCat(prefix, "version")),
          scope.GetGauge(absl::StrCat(prefix, "update_time"))};
}

XdsClient::XdsClient(Loop& loop, Intake& intake, ConfigStore& store,
                     const envoy::config::core::v3::Node& node, metrics::Scope& scope, Send send)
    : loop_(loop),
      intake_(intake),
      store_(store),
      node_(std::make_unique<envoy::config::core::v3::Node>(node)),
      send_(std::move(send)),
      wake_(loop.NewTimer([this] { Advance(); })),
      stats_{NewTypeStats(scope, ResourceType::kCluster),
             NewTypeStats(scope, ResourceType::kEndpoints),
             NewTypeStats(scope, ResourceType::kListener),
             NewTypeStats(scope, ResourceType::kRoutes),
             NewTypeStats(scope, ResourceType::kSecrets)},
      connected_state_(scope.GetGauge("envoy_control_plane_connected_state")),
      active_clusters_(scope.GetGauge("envoy_cluster_manager_active_clusters")),
      warming_clusters_(scope.GetGauge("envoy_cluster_manager_warming_clusters")) {}

XdsClient::~XdsClient() = default;

void XdsClient::SetDynamic(bool clusters, bool listeners) {
  state_.SetEnabled(ResourceType::kCluster, clusters);
  state_.SetEnabled(ResourceType::kListener, listeners);
}

void XdsClient::OnConnected() {
  connected_state_.Set(1);
  state_.OnConnected();
  SendRequests();
}

void XdsClient::OnDisconnected(absl::string_view why) {
  if (state_.connected()) {
    LOG(kDebug, "xds", "disconnected: ", why);
  }
  connected_state_.Set(0);
  state_.OnDisconnected();
}

absl::Status XdsClient::OnMessage(absl::string_view bytes) {
  return state_.protocol() == XdsProtocol::kDelta ? OnDelta(bytes) : OnStateOfTheWorld(bytes);
}

absl::Status XdsClient::OnStateOfTheWorld(absl::string_view bytes) {
  google::protobuf::Arena arena;
  auto& response = *google::protobuf::Arena::CreateMessage<discovery_v3::DiscoveryResponse>(&arena);
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a message of the control plane is no DiscoveryResponse");
  }
  if (!KnowsType(response.type_url(), response.nonce(), response.control_plane().identifier())) {
    return absl::OkStatus();
  }
  const ResourceType type = *ResourceTypeOf(response.type_url());
  Answer(type, response.version_info(), response.nonce(),
         static_cast<size_t>(response.resources_size()),
         intake_.Accept(type, response.version_info(), response.resources(), loop_.Now()));
  return absl::OkStatus();
}

absl::Status XdsClient::OnDelta(absl::string_view bytes) {
  google::protobuf::Arena arena;
  auto& response =
      *google::protobuf::Arena::CreateMessage<discovery_v3::DeltaDiscoveryResponse>(&arena);
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(
        "a message of the control plane is no DeltaDiscoveryResponse");
  }
  if (!KnowsType(response.type_url(), response.nonce(), response.control_plane().identifier())) {
    return absl::OkStatus();
  }
  const ResourceType type = *ResourceTypeOf(response.type_url());
  Answer(type, response.system_version_info(), response.nonce(),
         static_cast<size_t>(response.resources_size()),
         intake_.AcceptDelta(type, response, loop_.Now()));
  return absl::OkStatus();
}

bool XdsClient::KnowsType(const std::string& type_url, const std::string& nonce,
                          const std::string& control_plane) {
  if (!control_plane.empty()) control_plane_ = control_plane;
  const std::optional<ResourceType> type = ResourceTypeOf(type_url);
  if (type.has_value() && state_.asked(*type)) return true;
  LOG(kWarn, "xds", "a response of type ", type_url, ", which was not asked for");
  state_.OnUnknownType(type_url, nonce);
  SendRequests();
  return false;
}

void XdsClient::Answer(ResourceType type, const std::string& version, const std::string& nonce,
                       size_t resources, const std::vector<Rejection>& rejections) {
  TypeStats& stats = stats_[IndexOf(type)];
  stats.attempt.Inc();
  state_.OnResponse(type, version, nonce, resources, rejections);
  if (rejections.empty()) {
    stats.success.Inc();
    stats.version.Set(static_cast<int64_t>(XxHash64(version) >> 1));
    stats.update_time.Set(
        std::chrono::duration_cast<milliseconds>(loop_.WallNow().time_since_epoch()).count());
  } else {
    stats.rejected.Inc();
  }
  LOG(kDebug, "xds", ShortName(type), " ", version, ": ", resources, " resources, ",
      rejections.size(), " rejected");
  Advance();
}

void XdsClient::Advance() {
  const std::optional<MonotonicTime> wake_at = store_.Advance(loop_.Now());
  if (wake_at) {
    wake_->Arm(*wake_at - loop_.Now());
  } else {
    wake_->Disarm();
  }
  FollowNames();
  active_clusters_.Set(static_cast<int64_t>(store_.active_clusters()));
  warming_clusters_.Set(static_cast<int64_t>(store_.warming_clusters()));
  SendRequests();
  if (configured_ || !store_.waiting().empty()) return;
  if (!Received(ResourceType::kCluster) || !Received(ResourceType::kListener)) return;
  configured_ = true;
  LOG(kInfo, "xds", "the first configuration is complete");
  if (on_configured_) on_configured_();
}

void XdsClient::FollowNames() {
  const std::set<std::string> secrets = intake_.SecretNames();
  intake_.Forget(ResourceType::kSecrets, secrets);
  state_.SetNames(ResourceType::kSecrets, secrets);
  // Thousands of names that hardly ever change.
  if (names_version_ == store_.names_version()) return;
  names_version_ = store_.names_version();
  const std::set<std::string> endpoints = store_.EndpointNames();
  const std::set<std::string> routes = store_.RouteNames();
  intake_.Forget(ResourceType::kEndpoints, endpoints);
  intake_.Forget(ResourceType::kRoutes, routes);
  state_.SetNames(ResourceType::kEndpoints, endpoints);
  state_.SetNames(ResourceType::kRoutes, routes);
}

// ---- Requests

std::string XdsClient::Serialize(const AdsRequest& from) const {
  discovery_v3::DiscoveryRequest request;
  request.set_type_url(from.type_url);
  request.set_version_info(from.version);
  request.set_response_nonce(from.nonce);
  for (const std::string& name : from.names) request.add_resource_names(name);
  if (from.with_node) *request.mutable_node() = *node_;
  if (!from.error.empty()) {
    request.mutable_error_detail()->set_code(kInvalidArgument);
    request.mutable_error_detail()->set_message(from.error);
  }
  return request.SerializeAsString();
}

std::string XdsClient::SerializeDelta(const AdsRequest& from) const {
  discovery_v3::DeltaDiscoveryRequest request;
  request.set_type_url(from.type_url);
  request.set_response_nonce(from.nonce);
  for (const std::string& name : from.names) request.add_resource_names_subscribe(name);
  for (const std::string& name : from.unsubscribe) request.add_resource_names_unsubscribe(name);
  if (from.with_versions) {
    for (const auto& [name, record] : intake_.records(*ResourceTypeOf(from.type_url))) {
      if (record.is_static || record.version.empty()) continue;
      (*request.mutable_initial_resource_versions())[name] = record.version;
    }
  }
  if (from.with_node) *request.mutable_node() = *node_;
  if (!from.error.empty()) {
    request.mutable_error_detail()->set_code(kInvalidArgument);
    request.mutable_error_detail()->set_message(from.error);
  }
  return request.SerializeAsString();
}

void XdsClient::SendRequests() {
  for (const AdsRequest& request : state_.TakeRequests()) {
    send_(state_.protocol() == XdsProtocol::kDelta ? SerializeDelta(request) : Serialize(request));
  }
}

}  // namespace meltemi::proxy
