// The connections of one worker to one host with one protocol, and the requests that wait for one.
//
// Loop-owned. A request that finds a connection with room is attached at once; else it queues,
// within the breakers' limits, and connections are opened as they allow. HTTP/1 connections are
// reused last in first out, so that superfluous ones grow old and are closed.
//
//   Submit ──room──▶ attached ──stream ends──▶ room again ─┐
//      └──none──▶ queued ◀─────────────────────────────────┘
//                   └─ connect failed: all that are queued fail
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/transport/host_transport.h"
#include "proxy/upstream/cluster/breakers.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/cluster_stats.h"
#include "proxy/upstream/cluster/host.h"
#include "proxy/upstream/pool/connector.h"

namespace meltemi::proxy {

class Pool;
class PooledConnection;

// What a worker's pools of one cluster share. Outlives them.
struct PoolContext {
  Loop& loop;
  const Connector& connector;
  ClusterStats& stats;
  std::shared_ptr<Breakers> breakers;
};

// A request as the pool sees it; a node of the pool's queue. Its owner withdraws it before it dies.
class PoolRequest {
 public:
  virtual ~PoolRequest() = default;
  // There is room: open the stream (connection.NewStream) now. Called from within Submit or later.
  virtual void OnPoolReady(PooledConnection& connection) = 0;
  // Never from within Submit. The request has left the queue.
  virtual void OnPoolFailed(StreamError error, absl::string_view detail) = 0;

  bool high_priority = false;
  bool fresh_connection = false;  // don't use one that is idle now (it may be stale)
  bool queued() const { return pool_ != nullptr; }

 private:
  friend class Pool;
  Pool* pool_ = nullptr;
  PoolRequest* next_ = nullptr;
  PoolRequest* prev_ = nullptr;
};

// What tells the pools of one host apart.
struct PoolKind {
  http::Protocol protocol = http::Protocol::kHttp11;
  bool by_alpn = false;  // the handshake decides between the protocols
  // Over TLS.
  std::string name;  // of the server, from the request; "": as configured
  std::shared_ptr<const AlpnOverride> alpn;
};

class Pool final : public Deferrable {
 public:
  Pool(PoolContext& context, std::shared_ptr<const ClusterConfig> config,
       std::shared_ptr<Host> host, PoolKind kind);
  ~Pool() override;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // kNone: attached or queued. kOverflow: a breaker is open (counted).
  StreamError Submit(PoolRequest& request);
  void Withdraw(PoolRequest& request);

  // Called from the loop when a draining pool has nothing left (delete it deferred).
  void SetOnEmpty(Loop::Callback on_empty) { on_empty_ = std::move(on_empty); }
  // Idle connections close now, busy ones after their last stream; what is queued is still served.
  void StartDrain();
  bool draining() const { return draining_; }
  bool empty() const { return connections_.empty() && queue_head_ == nullptr; }

  const PoolKind& kind() const { return kind_; }
  // What its connections speak, as far as that is known.
  http::Protocol protocol() const { return protocol_; }
  const Host& host() const { return *host_; }
  size_t connections() const { return connections_.size(); }
  size_t queued() const { return queue_size_; }

 private:
  friend class PooledConnection;
  // Hands queued requests to connections with room, opens new ones, reports emptiness. At turn end.
  class AssignTask final : public TurnEndTask {
   public:
    explicit AssignTask(Pool& pool) : pool_(pool) {}
    void RunAtTurnEnd() override { pool_.Assign(); }

   private:
    Pool& pool_;
  };

  // --- called by its connections, from the loop
  void OnRoom(PooledConnection& connection);
  void OnNoRoom(PooledConnection& connection);
  void OnConnectFailed(PooledConnection& connection, StreamError error, absl::string_view detail);
  // The connection is over; it is deleted at the end of the turn.
  void OnGone(PooledConnection& connection);

  StreamError Attach(PoolRequest& request, PooledConnection& connection);
  void Assign();
  void Enqueue(PoolRequest& request);
  void Unlink(PoolRequest& request);
  bool WantsConnection() const;
  // False when the breaker forbids.
  bool OpenConnection();
  void FailQueued(StreamError error, absl::string_view detail);

  PoolContext& context_;
  const std::shared_ptr<const ClusterConfig> config_;
  // Mutable counters of a shared object: see Host.
  const std::shared_ptr<Host> host_;
  const PoolKind kind_;
  http::Protocol protocol_;
  Loop::Callback on_empty_;
  AssignTask assign_task_;
  bool draining_ = false;

  std::vector<std::unique_ptr<PooledConnection>> connections_;
  std::vector<PooledConnection*> with_room_;  // the last one is used next
  size_t connecting_ = 0;
  PoolRequest* queue_head_ = nullptr;
  PoolRequest* queue_tail_ = nullptr;
  size_t queue_size_ = 0;
};

}  // namespace meltemi::proxy
