// What every controller is given: the seams, and nothing else. A controller is made from a Context,
// adds handlers to informers, and starts its queue; whoever made it destroys it before the Context.
//
// Threads: see the parts. All of them outlive the controllers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::controllers {

struct Context {
  kube::Client& client;
  kube::Informers& informers;
  kube::Executor& executor;
  // A recorder whose events have this component as their source; the maker keeps it alive.
  std::function<kube::EventRecorder&(absl::string_view component)> recorder;
  // A thread-safe one (base/random/locked_random.h).
  Random& random;
  metrics::Registry* metrics = nullptr;  // may be null

  WallTime WallNow() const { return executor.clock().WallNow(); }
};

// One controller: runs from its making to its destruction. Informers have been asked for before the
// call of Start, which comes after the first synced moment of all informers.
class Running {
 public:
  virtual ~Running() = default;
  virtual void Start() = 0;
};

}  // namespace meltemi::controllers
