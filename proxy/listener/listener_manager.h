// The listeners of one worker: sockets, accepted connections and their way to a filter chain.
//
//   accept -> original destination -> hand-over to the listener of that destination -> sniffing
//          -> filter-chain match -> HttpConnection or TcpProxy
//
// Loop-owned. Apply puts a snapshot's listeners in place at once: an address that stays keeps its
// socket, so no connection is refused or lost; connections of chains that changed or went are
// drained.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/connection/worker_context.h"
#include "proxy/listener/active_listener.h"
#include "proxy/listener/pending_connection.h"
#include "proxy/stream/stream_pool.h"

namespace meltemi::proxy {

struct Snapshot;

struct ListenersOptions {
  // Downstream connections of this worker, all listeners together; 0: no limit. What comes on top
  // is closed and counted (downstream_global_cx_overflow).
  uint32_t connections_max = 0;
  // How long the connections of a chain that is gone may go on.
  Duration drain_time = seconds(45);
  // A socket that could not be bound is tried again this often.
  Duration bind_retry_interval = seconds(1);
  // How the destination before a REDIRECT is found; tests put their own here.
  absl::StatusOr<net::Address> (*original_destination)(int fd) = &net::OriginalDestination;
};

class WorkerListeners {
 public:
  WorkerListeners(WorkerContext& worker, const ListenersOptions& options);
  ~WorkerListeners();

  // Makes `snapshot` the worker's. The listeners that could not be bound are named; the others are
  // in place, and the failed ones are tried again until they work or a later snapshot lacks them.
  struct BindFailure {
    std::string listener;
    absl::Status status;  // names the address and the cause
  };
  std::vector<BindFailure> Apply(std::shared_ptr<const Snapshot> snapshot);

  // Every answer from now on says that the connection ends (Connection: close, GOAWAY); new
  // connections are still taken (and told the same) until StopAccepting.
  void Drain();
  void StopAccepting();

  // Open ones, drained and sniffed-at ones included.
  size_t connections() const;
  // Where a listener is bound, with the port that the kernel chose; unset when it is not.
  net::Address BoundAddress(const std::string& listener) const;

 private:
  struct Socket {
    std::unique_ptr<net::Listener> listener;
    net::ListenOptions options;
    ActiveListener* owner = nullptr;
  };
  struct DrainingChain {
    std::unique_ptr<ActiveChain> chain;
    MonotonicTime deadline;
  };
  struct Sweep final : public TurnEndTask {
    explicit Sweep(WorkerListeners& owner) : owner(owner) {}
    void RunAtTurnEnd() override { owner.SweepDrained(); }
    WorkerListeners& owner;
  };

  void PlaceListeners(const Snapshot& snapshot);
  void PlaceSockets(std::vector<BindFailure>* failures);
  bool BindsHere(const net::Address& address) const;
  void RetryBinding();
  void DrainChains(std::vector<std::unique_ptr<ActiveChain>> chains);
  void OnDrainTime();
  void SweepDrained();

  void OnAccept(const net::Address& socket_address, int fd, const net::Address& remote);
  ActiveListener& Target(ActiveListener& accepted_by, const net::Address& destination);
  void Dispatch(ActiveListener& listener, int fd, const net::Address& remote,
                const net::Address& destination);
  void Match(ActiveListener& listener, std::unique_ptr<net::Connection> connection,
             const net::Address& destination, const SniffResult* sniffed, bool end_of_stream);
  void Refuse(ActiveListener& listener, std::unique_ptr<net::Connection> connection,
              const net::Address& destination);

  WorkerContext& worker_;
  const ListenersOptions options_;
  StreamPool streams_;
  std::map<std::string, std::unique_ptr<ActiveListener>> listeners_;  // by name
  absl::flat_hash_map<net::Address, ActiveListener*> by_address_;     // bound or not
  absl::flat_hash_map<net::Address, Socket> sockets_;
  ConnectionSet pending_;
  std::vector<DrainingChain> draining_;
  std::unique_ptr<Timer> drain_timer_, bind_timer_;
  Sweep sweep_{*this};
  bool accepting_ = true;
};

}  // namespace meltemi::proxy
