// What the attempts of one cluster on one worker share.
#pragma once

#include <memory>

#include "base/loop/loop.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/cluster/cluster_stats.h"
#include "proxy/upstream/cluster/cluster_view.h"

namespace meltemi::proxy {

class HttpAttempt;
class SocketAttempt;

// Node of the list of everything that still uses a cluster.
class ClusterUser {
 public:
  virtual ~ClusterUser() = default;
  // The worker's cluster is about to die: end without touching it again. Only when the worker ends.
  virtual void OnClusterGone() = 0;

  ClusterUser* next_user = nullptr;
  ClusterUser* prev_user = nullptr;
};

// The cluster as its attempts see it. Outlives them, or calls OnClusterGone.
class AttemptHome {
 public:
  virtual ~AttemptHome() = default;
  virtual Loop& loop() = 0;
  virtual ClusterStats& stats() = 0;
  virtual Breakers& breakers() = 0;
  virtual void AddUser(ClusterUser& user) = 0;
  virtual void RemoveUser(ClusterUser& user) = 0;
  // What outlier detection learns of a host: an HTTP status, or (status 0) a local failure.
  virtual void ReportOutcome(Host& host, int status, StreamError error) = 0;
};

}  // namespace meltemi::proxy
