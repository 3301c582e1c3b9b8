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

#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/push/session.h"
#include "pilot/snapshot/snapshot.h"
#include "pilot/translate/translator.h"

namespace envoy::service::discovery::v3 {
class DiscoveryRequest;
}

namespace meltemi::pilot {

// One stream's transport. Owned by the transport; told to PushServer until OnClosed.
class Peer {
 public:
  virtual ~Peer() = default;
  // Sends; PushServer waits for OnWritten before it sends the next.
  virtual void Write(std::string bytes) = 0;
  // Ends the stream with an invalid-argument status; OnClosed follows.
  virtual void Refuse(absl::string_view why) = 0;
  virtual std::string address() const = 0;
};

using ClientId = uint64_t;

struct ClientStatus {
  ClientId id = 0;
  ProxyNode node;
  std::string address;
  int64_t connected_at_ms = 0;    // since the epoch
  uint64_t snapshot_version = 0;  // that the client should have
  uint64_t settled_version = 0;   // the newest of which it has acknowledged everything
  std::array<TypeStatus, kXdsTypes> types;
};

// One snapshot going out.
struct PushRecord {
  uint64_t version = 0;
  int64_t at_ms = 0;  // since the epoch
  std::string reason;
  size_t clients = 0;
  size_t settled = 0;       // clients that have acknowledged it all
  double translate_ms = 0;  // time on the loop until every client had its first response queued
  double converged_ms = 0;  // from the change to the last client settled so far
};

class PushServer {
 public:
  struct Options {
    Session::Options session;
    size_t history_max = 100;
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
  void OnRequest(ClientId id, const envoy::service::discovery::v3::DiscoveryRequest& request);
  void OnWritten(ClientId id);
  void OnClosed(ClientId id);

  // In order of connecting; clients that have not named themselves yet are left out.
  std::vector<ClientStatus> Clients() const;
  std::vector<PushRecord> History() const;  // newest last
  // The view of the client whose node id is `proxy` or has it as its name ("NAME.NS"); null if
  // none.
  ProxyView* FindView(absl::string_view proxy);
  Translator& translator() { return translator_; }

 private:
  struct Client;

  void Advance(Client* client);
  void NoteSettled(Client* client);
  bool Introduce(Client* client, const envoy::service::discovery::v3::DiscoveryRequest& request);
  void CountEvent(Session::Event event, absl::string_view type_url);
  metrics::Counter& TypeCounter(absl::string_view name, XdsType type);

  Loop* const loop_;
  metrics::Scope* const metrics_;
  const Options options_;
  Translator translator_;
  SnapshotPtr snapshot_;
  std::map<ClientId, std::unique_ptr<Client>> clients_;
  ClientId next_id_ = 1;
  std::deque<PushRecord> history_;
  MonotonicTime changed_at_;
};

}  // namespace meltemi::pilot
