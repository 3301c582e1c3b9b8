// The API server in memory, without sockets, threads or a clock of its own: the real resource
// handler (decoding, defaults, strategies, validation, admission, patches, managed fields, binding,
// eviction, scale …) on a store in memory, as a kube::Client. For tests of controllers and for
// simulations: what they learn here holds for the real server, because it is the same code.
//
// Watches deliver when the owner says so (Deliver…), each at its own pace, so that what informers
// show lags behind in any way that a seed decides. Calls can be made to fail.
//
// Threads: one. Calls come back at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/json/value.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/status/status.h"

namespace meltemi::apiserver {

// One committed write, in order of revisions: the watch history that invariants are checked from.
struct HistoryEntry {
  int64_t revision = 0;
  std::string type;      // "ADDED", "MODIFIED", "DELETED"
  std::string resource;  // "deployments.apps"
  std::string ns, name;
  std::string json;  // as watches tell it, in the stored version
  std::string user;  // who wrote it: "system:apiserver" for the server itself
};

// What becomes of a call before it reaches the server (and whether its answer comes back).
enum class Fate : uint8_t {
  kPass,
  kRefuse,      // 500 or 429: nothing was written
  kLoseCall,    // code 0, nothing was written
  kLoseAnswer,  // code 0, but it took place
};

class MemoryApi {
 public:
  virtual ~MemoryApi() = default;

  // A client of its own, for one process: `user` is who it is ("system:kube-scheduler"; RBAC is not
  // asked: everything is allowed). After Disconnect it is as dead: its watches are over (their
  // sinks hear nothing of it), its calls fail with code 0. May be called from within a fate.
  class Process {
   public:
    virtual ~Process() = default;
    virtual kube::Client& client() = 0;
    virtual void Disconnect() = 0;
    // Asked before each call; empty: all pass.
    virtual void SetFate(std::function<Fate(const kube::ApiCall&)> fate) = 0;
  };
  virtual std::unique_ptr<Process> NewProcess(absl::string_view user) = 0;

  // Watch events that are not delivered yet, over all watches.
  virtual size_t undelivered() const = 0;
  // Delivers the next event of one watch; `pick` chooses among those that have some (0 … n-1).
  virtual void DeliverOne(uint64_t pick) = 0;
  virtual void DeliverAll() = 0;
  // Ends one watch (of those open, chosen by `pick`): with 200, or with 410 after forgetting what
  // is older than now.
  virtual void EndWatch(uint64_t pick, bool forget_history) = 0;

  virtual const std::vector<HistoryEntry>& history() const = 0;
  virtual int64_t revision() const = 0;
};

// `clock` (for creationTimestamps and the like) and `random` (for uids and generated names) outlive
// it. Namespaces default, kube-system, kube-public and kube-node-lease are there, as are the system
// priority classes.
std::unique_ptr<MemoryApi> NewMemoryApi(const Clock& clock, Random& random);

}  // namespace meltemi::apiserver
