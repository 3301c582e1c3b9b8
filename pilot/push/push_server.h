// All clients and the snapshot that they should have: each change reaches each client as one
// merged, pending push. The transport (serve/) is a Peer per stream. Loop-owned.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/push/message.h"
#include "pilot/push/session_core.h"
#include "pilot/push/shared_work.h"
#include "pilot/snapshot/snapshot.h"
#include "pilot/translate/translator.h"

namespace envoy::config::core::v3 {
class Node;
}
namespace envoy::service::discovery::v3 {
class DeltaDiscoveryRequest;
class DiscoveryRequest;
}  // namespace envoy::service::discovery::v3

namespace meltemi::pilot {

struct Caller;  // pilot/push/caller.h

// One stream's transport. Owned by the transport; told to PushServer until OnClosed.
class Peer {
 public:
  virtual ~Peer() = default;
  // Sends; PushServer waits for OnWritten before it sends the next.
  virtual void Write(Message message) = 0;
  // Ends the stream with this status, whatever is being written; OnClosed follows later.
  virtual void Refuse(const absl::Status& why) = 0;
  virtual std::string address() const = 0;
  // Null: nobody has asked who it is.
  virtual const Caller* caller() const { return nullptr; }
};

using ClientId = uint64_t;

struct ClientStatus {
  ClientId id = 0;
  ProxyNode node;
  std::string address;
  bool delta = false;             // speaks the incremental protocol
  int64_t connected_at_ms = 0;    // since the epoch
  uint64_t snapshot_version = 0;  // that the client should have
  uint64_t acked_version = 0;     // the newest of which it has acknowledged all that is new
  uint64_t settled_version = 0;   // likewise, and all that is gone
  std::array<TypeStatus, kXdsTypes> types;
};

// How far a client has come, for who counts them.
struct ClientProgress {
  const ProxyView* view = nullptr;
  uint64_t acked_version = 0;
  bool served = false;  // has had all that it asked for once
  // What it has rejected and still does not have; empty: nothing. And since which snapshot.
  absl::string_view rejection;
  uint64_t rejected_version = 0;
};

// One snapshot going out.
struct PushRecord {
  uint64_t version = 0;
  int64_t at_ms = 0;  // since the epoch
  std::string reason;
  size_t clients = 0;
  size_t settled = 0;       // clients that have acknowledged it, or a later one
  double translate_ms = 0;  // time on the loop for what was sent while it was the newest
  double converged_ms = 0;  // from the change to the last client settled so far
  MonotonicTime changed_at;
};

class PushServer {
 public:
  struct Options {
    SessionOptions session;
    size_t history_max = 100;
    size_t clients_max = 20'000;
    // A client that takes longer to take what is written to it is cut off.
    Duration write_max = seconds(30);
    // Work for clients goes on in the next turn of the loop when it has taken so long in this one.
    Duration turn_max = milliseconds(5);
    // A client that has not said by then who it is is cut off.
    Duration hello_max = seconds(30);
    // A client that leaves a response unanswered for longer is counted and logged; it keeps what it
    // has, and its stream.
    Duration answer_max = seconds(30);
    // Requests of one client are read no faster than this; one with many names counts as several.
    uint32_t requests_per_second = 500;
    uint32_t requests_burst = 500;
    uint32_t names_per_request = 100;
    // What a client tells of itself, as far as it is kept.
    size_t node_bytes_max = 64 * 1024;
  };

  PushServer(Loop* loop, metrics::Scope* metrics, Options options);
  ~PushServer();
  PushServer(const PushServer&) = delete;
  PushServer& operator=(const PushServer&) = delete;

  // `changed_at`: when the change that led to the snapshot was noticed.
  void SetSnapshot(SnapshotPtr snapshot, std::string reason, MonotonicTime changed_at);
  const SnapshotPtr& snapshot() const { return snapshot_; }

  // A stream has begun; `peer` must live until OnClosed.
  ClientId OnConnected(Peer* peer);
  // A stream keeps to the protocol of its first request. Returns how long the transport should wait
  // before it reads the next.
  Duration OnRequest(ClientId id, const envoy::service::discovery::v3::DiscoveryRequest& request);
  Duration OnRequest(ClientId id,
                     const envoy::service::discovery::v3::DeltaDiscoveryRequest& request);
  void OnWritten(ClientId id);
  void OnClosed(ClientId id);

  // In order of connecting; clients that have not named themselves yet are left out.
  std::vector<ClientStatus> Clients() const;
  void ForEachClient(absl::FunctionRef<void(const ClientProgress&)> visit) const;
  // Called when a client has come further, has rejected something, has come or gone; several times
  // in a turn. One listener.
  void SetOnProgress(absl::AnyInvocable<void()> on_progress) {
    on_progress_ = std::move(on_progress);
  }
  std::vector<PushRecord> History() const;  // newest last
  // The view of the client whose node id is `proxy` or has it as its name ("NAME.NS"); null if
  // none.
  ProxyView* FindView(absl::string_view proxy);
  Translator& translator() { return translator_; }
  const SharedWork& work() const { return work_; }
  // How long it took lately to bring a snapshot to all clients, on the loop.
  Duration push_cost() const { return push_cost_; }

 private:
  struct Client;
  class Drainer;
  struct TypeMetrics {
    metrics::Counter* pushes;
    metrics::Counter* bytes;
    metrics::Counter* rejects;
    metrics::Counter* stale;
  };

  template <typename Request>
  Duration HandleRequest(ClientId id, const Request& request);
  bool Introduce(Client* client, const envoy::config::core::v3::Node& node, bool delta);
  void Refuse(Client* client, const absl::Status& why);
  Duration TakeTokens(Client* client, size_t names);
  void NoteAnswer(Client* client, SessionEvent event);
  void CountEvent(SessionEvent event, absl::string_view type_url);
  // Looks after the client soon: in order, no client twice.
  void Schedule(Client* client);
  void Drain();
  void Advance(Client* client);
  void NoteProgress(Client* client);
  void CheckSlow();
  void CutOff(Client* client, std::string why);
  // Returns whether `client` leaves something unanswered for too long.
  bool CheckAnswer(Client* client);

  Loop* const loop_;
  metrics::Scope* const metrics_;
  const Options options_;
  std::array<TypeMetrics, kXdsTypes> type_metrics_;
  SharedWork work_;
  Translator translator_;
  SnapshotPtr snapshot_;
  std::map<ClientId, std::unique_ptr<Client>> clients_;
  ClientId next_id_ = 1;
  std::deque<ClientId> ready_;
  const std::unique_ptr<Drainer> drainer_;
  std::unique_ptr<Timer> slow_timer_;
  std::deque<PushRecord> history_;
  Duration push_cost_ = Duration::zero();
  absl::AnyInvocable<void()> on_progress_;
};

}  // namespace meltemi::pilot
