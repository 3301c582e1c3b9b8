// One client's ADS stream, state of the world, without IO: requests and snapshots go in, responses
// come out. Loop-owned.
//
// Per type:   Unknown --first request--> Subscribed --Response sent--> Waiting --ACK/NACK-->
// Settled
//
// What is sent, and when ("make before break", so that no request ever meets half a change):
//  1. clusters, new ones added, those that go away kept;
//  2. endpoints of clusters that are new or changed; secrets, at any time;
//  3. listeners and routes: once 1 and 2 are acknowledged, and clusters' endpoints subscribed to;
//  4. clusters again, now without those that went away, once 3 is acknowledged.
// A rejected response counts as settled: what else is good still goes out. Waiting is bounded by
// Options::gate_max.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/translator.h"

namespace envoy::service::discovery::v3 {
class DiscoveryRequest;
}

namespace meltemi::pilot {

// A serialised DiscoveryResponse with its type, for counters.
struct Response {
  XdsType type = XdsType::kCluster;
  std::string nonce;
  std::string version;
  int resources = 0;
  std::string bytes;
};

// What became of the last response of a type.
enum class SyncState : uint8_t { kNotAsked, kWaiting, kSynced, kRejected };
absl::string_view SyncStateName(SyncState state);

struct TypeStatus {
  SyncState state = SyncState::kNotAsked;
  std::string version_sent;
  std::string version_acked;
  std::string nonce;
  std::string error;  // of the last rejection, until something newer is accepted
  uint64_t responses = 0;
  uint64_t rejections = 0;
  size_t subscribed = 0;  // names; 0 with `wildcard`
  bool wildcard = false;
};

class Session {
 public:
  struct Options {
    // Listeners and routes wait no longer than this for the clusters before them.
    Duration gate_max = seconds(2);
    // A request that names more resources than this is cut there.
    size_t names_max = 50'000;
  };
  // What a request meant.
  enum class Event : uint8_t { kSubscribe, kAck, kNack, kStale, kIgnored };

  // `source` is the client's view of the current snapshot; must outlive the session.
  Session(ResourceSource* source, Options options);

  Event OnRequest(const envoy::service::discovery::v3::DiscoveryRequest& request);
  // The source now shows another snapshot. `changed_hosts`: all that differs from the one before
  // are the endpoints of these hosts (sorted or not); null if anything may differ.
  void OnSnapshot(uint64_t version, const std::vector<std::string>* changed_hosts);

  // The next response to write, if one is due. Call again after each write, request and snapshot,
  // and at WakeAt().
  std::optional<Response> Next(MonotonicTime now);
  // When to call Next though nothing happens; none if nothing waits for time.
  std::optional<MonotonicTime> WakeAt(MonotonicTime now) const;

  TypeStatus Status(XdsType type) const;
  uint64_t snapshot_version() const { return snapshot_version_; }
  // True when everything that was asked for is sent and settled.
  bool Settled();

 private:
  struct Subscription {
    bool active = false;
    bool wildcard = false;
    std::set<std::string, std::less<>> names;
    std::map<std::string, ResourcePtr, std::less<>> sent;  // what the client has, or rejected
    uint64_t sent_set_hash = 0;  // of the full set last sent (wildcard types)
    bool holds_removed = false;  // `sent` keeps resources that are no longer in the source
    bool must_send = false;      // answer even if nothing changed (first request, new names)
    bool waiting = false;        // a response is not yet acknowledged
    // What must be compared with the source before it is known that nothing is due. For types that
    // are asked for by name: comparing each name of each client at each change costs too much.
    bool unsure = true;                     // everything
    std::vector<std::string> unsure_hosts;  // or the assignments of these hosts
    TypeStatus status;
  };
  // What a type would send now.
  struct Plan {
    std::vector<ResourcePtr> changed;  // to add or replace
    std::vector<std::string> removed;  // to take away
    bool due = false;                  // something must be sent for adding or replacing
  };

  Subscription& At(XdsType type) { return subscriptions_[static_cast<size_t>(type)]; }
  const Subscription& At(XdsType type) const { return subscriptions_[static_cast<size_t>(type)]; }
  // True for types of which every response carries the whole set (clusters, listeners).
  static bool IsFullState(XdsType type);

  void UpdateNames(const envoy::service::discovery::v3::DiscoveryRequest& request, XdsType type,
                   Subscription* subscription);
  Plan MakePlan(XdsType type);
  void PlanNamed(XdsType type, Plan* plan);
  bool ClustersReady() const;
  bool GateOpen(XdsType type, MonotonicTime now);
  bool RoutesPending();
  Response Send(XdsType type, const Plan& plan, bool drop_removed);
  // The client must fetch what hangs on `resource` again.
  void Invalidate(XdsType type, const Resource& resource);

  ResourceSource* const source_;
  const Options options_;
  std::array<Subscription, kXdsTypes> subscriptions_;
  uint64_t snapshot_version_ = 0;
  uint64_t next_nonce_ = 1;
  std::optional<MonotonicTime> gated_since_;
};

// A serialised DiscoveryResponse. `control_plane` is its identifier.
std::string EncodeResponse(XdsType type, absl::string_view version, absl::string_view nonce,
                           const std::vector<ResourcePtr>& resources);

}  // namespace meltemi::pilot
