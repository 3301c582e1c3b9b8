// The conversation with the control plane, and what comes of it: responses go through the Intake
// into the ConfigStore, which takes them to the workers; acknowledgements and refusals go back.
//
// Main loop only. Knows nothing of sockets: a transport (AdsTransport, or a test) calls On… and
// sends what the Send callback is given. The last good configuration stays whatever happens to the
// stream.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "proxy/config/xds/ads_state.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace meltemi::proxy {

class ConfigStore;
class Intake;

class XdsClient {
 public:
  // Takes one serialized DiscoveryRequest (DeltaDiscoveryRequest). Called only between OnConnected
  // and OnDisconnected.
  using Send = absl::AnyInvocable<void(std::string request)>;

  // All outlive the client. `scope` gets the statistics.
  XdsClient(Loop& loop, Intake& intake, ConfigStore& store,
            const envoy::config::core::v3::Node& node, metrics::Scope& scope, Send send);
  ~XdsClient();

  // State of the world if never called. Before the first connection.
  void SetProtocol(XdsProtocol protocol) { state_.SetProtocol(protocol); }
  // Whether clusters and listeners come over the stream at all (both by default). Before Advance.
  void SetDynamic(bool clusters, bool listeners);

  void OnConnected();
  void OnDisconnected(absl::string_view why);
  // One serialized DiscoveryResponse (DeltaDiscoveryResponse). Error (INVALID_ARGUMENT): these
  // bytes are none; the transport ends the stream.
  absl::Status OnMessage(absl::string_view response);

  // Moves the store forward, and the subscriptions after it. Call once at the start (static
  // resources) and when a cluster has become warm; the client itself calls it after each response
  // and when the store asked for it.
  void Advance();

  // True once all that is dynamic has come and nothing waits any more; stays true.
  bool configured() const { return configured_; }
  void OnConfigured(absl::AnyInvocable<void()> callback) { on_configured_ = std::move(callback); }

  const AdsState& state() const { return state_; }
  // What the control plane calls itself (DiscoveryResponse.control_plane.identifier).
  const std::string& control_plane() const { return control_plane_; }

 private:
  struct TypeStats {
    metrics::Counter& attempt;
    metrics::Counter& success;
    metrics::Counter& rejected;
    metrics::Gauge& version;
    metrics::Gauge& update_time;
  };
  static TypeStats NewTypeStats(metrics::Scope& scope, ResourceType type);
  absl::Status OnStateOfTheWorld(absl::string_view bytes);
  absl::Status OnDelta(absl::string_view bytes);
  // False: a type that was not asked for; it has been answered.
  bool KnowsType(const std::string& type_url, const std::string& nonce,
                 const std::string& control_plane);
  void Answer(ResourceType type, const std::string& version, const std::string& nonce,
              size_t resources, const std::vector<Rejection>& rejections);
  void FollowNames();
  std::string Serialize(const AdsRequest& from) const;
  std::string SerializeDelta(const AdsRequest& from) const;
  void SendRequests();
  bool Received(ResourceType type) const { return state_.received(type) || !state_.enabled(type); }

  Loop& loop_;
  Intake& intake_;
  ConfigStore& store_;
  const std::unique_ptr<const envoy::config::core::v3::Node> node_;
  Send send_;
  AdsState state_;
  std::unique_ptr<Timer> wake_;
  std::array<TypeStats, kResourceTypes> stats_;
  metrics::Gauge& connected_state_;
  metrics::Gauge& active_clusters_;
  metrics::Gauge& warming_clusters_;
  std::string control_plane_;
  uint64_t names_version_ = 0;  // of the store, when subscriptions last followed it
  bool configured_ = false;
  absl::AnyInvocable<void()> on_configured_;
};

}  // namespace meltemi::proxy
