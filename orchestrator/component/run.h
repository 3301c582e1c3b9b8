// The life of a component: options, a client, its pages, election, work, the end.
//
// A component that loses its lease begins anew in the same process (its program is executed again):
// nothing of what it had under way goes on, and nobody has to restart it.
//
// Threads: RunComponent is main(); the work is made, started and destroyed on threads of the
// executor or main's, one at a time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "base/tls/tls.h"
#include "kube/client/client.h"
#include "kube/client/kubeconfig.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/component/options.h"
#include "orchestrator/component/pages.h"

namespace meltemi::orchestrator {

// What the work is made of. All of it outlives the work.
struct Parts {
  const Clock& clock;
  const kube::ClusterAccess& access;
  kube::Client& client;
  kube::Executor& executor;
  kube::Informers& informers;
  metrics::Registry& metrics;
  Random& random;
  Pages& pages;
  // Its certificate, and whose clients' certificates are believed, and who may what: for those who
  // serve something else.
  const tls::ServerOptions& serving;
  DelegatedAccess& access_reviews;
  std::string host_name;
  // Ends the work and executes the program again, `why` in the log: with a new identity, say.
  std::function<void(absl::string_view why)> begin_anew;

  kube::EventRecorder& RecorderOf(absl::string_view component);
  // Made by RecorderOf.
  std::vector<std::unique_ptr<kube::EventRecorder>> recorders;
};

class Work {
 public:
  virtual ~Work() = default;
  // Informers that were asked for are synced.
  virtual void Start() = 0;
};

struct ComponentSpec {
  std::string name;  // "controller-manager": the program's part
  ComponentOptions options;
  size_t threads_max = 64;
  bool elects = true;
  // Objects of one kind that its informers keep unpacked (kube/informer/limits.h); 0: the usual.
  size_t messages_max = 0;
  // Called when it is this replica's turn. Error: the component ends with it.
  std::function<absl::StatusOr<std::unique_ptr<Work>>(Parts& parts)> make_work;
};

// The machine's name, as nodes are called: in lower case.
std::string HostName();

// The process's exit code. `argv`: what the program was called with, to begin anew.
int RunComponent(const ComponentSpec& spec, const std::vector<std::string>& argv);

}  // namespace meltemi::orchestrator
