// What both protocols of a client's stream have in common, without IO: what the client has, what it
// should have, what is sent next, and when. Loop-owned.
//
// Per type:   Unknown --first request--> Subscribed --response sent--> Waiting --ACK/NACK-->
// Settled
//
// What is sent, and when ("make before break", so that no request ever meets half a change):
//  1. endpoints of clusters that the client has; secrets: at any time, before anything else;
//  2. clusters, new ones added, those that go away kept; then endpoints of what is new or changed;
//  3. listeners and routes: once 2 is acknowledged, and clusters' endpoints subscribed to;
//  4. clusters again, now without those that went away, once 3 is acknowledged.
// A rejected response counts as settled: what else is good still goes out. Waiting is bounded by
// SessionOptions::gate_max.
//
// What a client has is told by pointers to sets that all clients share that have the same, so that
// a client costs no memory per resource, and one that is up to date costs a few comparisons.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "pilot/push/message.h"
#include "pilot/push/shared_work.h"
#include "pilot/translate/name_set.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/resource_source.h"

namespace meltemi::pilot {

struct SessionOptions {
  // Listeners and routes wait no longer than this for the clusters before them.
  Duration gate_max = seconds(2);
  // How many resources of a type a client may name.
  size_t names_max = 50'000;
};

// What a request meant.
enum class SessionEvent : uint8_t {
  kSubscribe,
  kAck,
  kNack,
  kStale,
  kIgnored,
  kTooMany,  // names: the stream cannot go on
};

// A serialised response with its type, for counters.
struct Response {
  XdsType type = XdsType::kCluster;
  std::string nonce;
  std::string version;
  int resources = 0;
  int removed = 0;
  Message message;
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
  size_t subscribed = 0;  // names
  bool wildcard = false;
};

class SessionCore {
 public:
  // What a type would send now.
  struct Plan {
    std::vector<ResourcePtr> changed;  // to add or replace, of what clients share
    std::vector<ResourcePtr> own;      // likewise, of what this client alone has
    std::vector<ResourcePtr> gone;     // to take away
    std::vector<ResourcePtr> absent;   // names behind which there is nothing
    bool due = false;                  // something must be sent for adding or replacing
    // What the client has after it.
    ResourceSetPtr shared_set, own_set, named_set;
  };

  struct Subscription {
    bool active = false;
    bool wildcard = false;
    NameSetPtr names = EmptyNameSet();  // asked for by name
    // What the client has, or has rejected: of the wildcard (in two parts), and by name.
    ResourceSetPtr shared = EmptyResourceSet();
    ResourceSetPtr own = EmptyResourceSet();
    ResourceSetPtr named = EmptyResourceSet();
    // What it has beyond that: gone from the source, not yet taken away from the client.
    std::vector<ResourcePtr> held;
    // What it said that it has when it came (sorted), until that has been looked through.
    std::vector<ResourcePtr> claimed;
    std::vector<std::string> again;  // names to be sent whatever the client has; sorted
    bool must_send = false;          // answer even if nothing changed
    bool waiting = false;            // a response is not yet acknowledged
    bool gates = false;              // and it carries what routes must wait for
    uint64_t sent_version = 0;       // of the snapshot that the last response was made from
    uint64_t acked_version = 0;      // the newest snapshot of which it has acknowledged everything
    // The newest snapshot of which there was nothing to send, unless something was asked for since.
    std::optional<uint64_t> quiet_version;
    uint64_t rejected_version = 0;  // of the snapshot whose response it rejected last
    TypeStatus status;
  };

  SessionCore(Wire wire, ResourceSource* source, SharedWork* work, const SessionOptions& options);

  // True for types of which a client may want all there are (clusters, listeners).
  static bool IsFullState(XdsType type);

  Subscription& At(XdsType type) { return subscriptions_[static_cast<size_t>(type)]; }
  const Subscription& At(XdsType type) const { return subscriptions_[static_cast<size_t>(type)]; }
  SharedWork& work() { return *work_; }
  const SessionOptions& options() const { return options_; }

  // The answer to the last response. `error`: of a NACK.
  SessionEvent OnAnswer(XdsType type, const std::string* error);
  // `names` replace those of before; what is no longer named is forgotten.
  void SetNames(XdsType type, NameSetPtr names);
  // Something else than before is asked for.
  void Disturb(XdsType type) { At(type).quiet_version.reset(); }
  // The client must be sent `name` again.
  void SendAgain(XdsType type, const std::string& name);

  void OnSnapshot(uint64_t version) { snapshot_version_ = version; }
  std::optional<Response> Next(MonotonicTime now);
  std::optional<MonotonicTime> WakeAt(MonotonicTime now) const;
  bool Settled();
  TypeStatus Status(XdsType type) const;
  uint64_t snapshot_version() const { return snapshot_version_; }
  // The newest snapshot of which everything new is acknowledged.
  uint64_t acked_version() const;
  // True while some response is not answered.
  bool waiting() const;
  // What Settled would say, as the last Next found it.
  bool settled() const { return settled_; }

 private:
  Plan MakePlan(XdsType type);
  void PlanWildcard(XdsType type, Plan* plan);
  void PlanNamed(XdsType type, Plan* plan);
  void PlanAgain(XdsType type, Plan* plan);
  void DropClaimed(XdsType type, Plan* plan);
  // The client has what `plan` says.
  void Adopt(XdsType type, Plan* plan, bool drop_gone);
  Response Send(XdsType type, Plan* plan, bool drop_gone);
  void Encode(XdsType type, const Plan& plan, bool drop_gone, Response* response);
  void EncodeFullState(const Subscription& subscription, Response* response);
  std::string VersionOf(const Subscription& subscription) const;
  // True if `plan` brings what the client did not have, or must take anew.
  bool BringsNew(const Subscription& subscription, const Plan& plan) const;
  // The client must fetch what hangs on `resources` again.
  void Invalidate(XdsType type, const std::vector<ResourcePtr>& resources);
  bool ClustersReady();
  bool GateOpen(XdsType type, MonotonicTime now);
  bool RoutesPending();

  const Wire wire_;
  ResourceSource* const source_;
  SharedWork* const work_;
  const SessionOptions options_;
  std::array<Subscription, kXdsTypes> subscriptions_;
  uint64_t snapshot_version_ = 0;
  uint64_t next_nonce_ = 1;
  bool settled_ = false;
  std::optional<MonotonicTime> gated_since_;
};

}  // namespace meltemi::pilot
