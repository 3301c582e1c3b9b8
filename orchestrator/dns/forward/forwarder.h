// Asks upstream servers what the cluster does not know: one after the other until one answers, each
// question once however many ask it, with a cache.
//
// Loop-owned. UDP first, from a port of its own each; TCP where an answer is truncated. Source: RFC
// 1035 7, RFC 5452 (ports and ids), RFC 7766, RFC 2308.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "base/random/random.h"
#include "orchestrator/dns/forward/cache.h"
#include "orchestrator/dns/forward/upstreams.h"

namespace meltemi::dns {

struct ForwarderOptions {
  Duration timeout = seconds(2);  // of one server
  Duration cache_ttl_max = seconds(30);
  size_t cache_bytes_max = 16 * 1024 * 1024;
  size_t forwards_max = 1000;  // questions under way
  size_t waiters_max = 200;    // of one question
};

class Forward;

class Forwarder final {
 public:
  // `random` and `metrics` (may be null) outlive it.
  Forwarder(Loop& loop, const ForwarderOptions& options, Random& random, metrics::Scope* metrics);
  // Those that still wait hear nothing.
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Each new one is asked once whether it leads back here.
  void SetUpstreams(const std::vector<net::Address>& addresses);
  // The name of our own question about loops has come back: its server is not asked any more.
  // False: it is not of that kind.
  bool NoticeLoop(absl::string_view name);

  // Null: unknown or no longer valid.
  UpstreamAnswerPtr Cached(const ForwardKey& key);
  // `done` is called later from the loop, exactly once unless this is destroyed before: null when
  // no server gave an answer, or too many questions are under way.
  using Done = std::function<void(const UpstreamAnswerPtr& answer)>;
  void Ask(const ForwardKey& key, Done done);

  size_t under_way() const { return forwards_.size(); }
  const AnswerCache& cache() const { return cache_; }

 private:
  friend class Forward;
  void Finish(const ForwardKey& key, UpstreamAnswerPtr answer);
  void Probe(size_t index, const net::Address& address);
  Name ProbeName(size_t index) const;
  metrics::Counter* CounterOf(const char* name, const net::Address& to, const char* rcode);

  Loop& loop_;
  const ForwarderOptions options_;
  Random& random_;
  metrics::Scope* const metrics_;
  const uint64_t probe_id_;
  Upstreams upstreams_;
  AnswerCache cache_;
  std::vector<net::Address> probed_;
  absl::flat_hash_map<ForwardKey, std::unique_ptr<Forward>> forwards_;
};

}  // namespace meltemi::dns
