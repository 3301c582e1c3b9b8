// What the connections of one server share.
//
// Threads: ServerShared is used by every loop and by the pool; a LoopContext belongs to its loop,
// but for the count of its connections.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "orchestrator/apiserver/http/handler_pool.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

struct ServerShared {
  const ServerOptions options;
  const Clock& clock;
  Handler& handler;
  WatchHub& hub;
  std::shared_ptr<const tls::Context> tls;
  std::unique_ptr<HandlerPool> pool;
  std::atomic<uint64_t> next_request_id{1};
  std::atomic<size_t> body_bytes{0};
  std::atomic<size_t> answer_bytes{0};
  std::atomic<size_t> connections{0};
  // Told when there are no connections any more: for who stops the server.
  std::mutex mutex;
  std::condition_variable no_connections;
};

struct LoopContext {
  ServerShared& shared;
  Loop& loop;
  FastRandom random;
  std::atomic<size_t> connections{0};
  bool draining = false;
  // Made when the first name has to be looked up: kubelets mostly have addresses.
  std::unique_ptr<net::DnsResolver> dns;
  // The Date field, made once per second.
  int64_t date_second = 0;
  std::string date;
};

// What a connection's exchanges know of their peer.
struct PeerInfo {
  std::string remote_address;
  std::optional<ClientCertificate> certificate;
};

}  // namespace meltemi::apiserver
