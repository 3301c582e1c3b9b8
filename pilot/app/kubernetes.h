// Pilot's ties to a Kubernetes cluster, made and ended in the right order: the client, the threads
// that its calls block, the source of configuration, leadership, the writer of conditions.
//
// Threads: loop-owned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "kube/client/client.h"
#include "kube/client/kubeconfig.h"
#include "kube/executor/executor.h"
#include "pilot/ingest/kube/kube_source.h"
#include "pilot/leader/leadership.h"
#include "pilot/status/conditions.h"
#include "pilot/status/programmed.h"

namespace meltemi::pilot {

struct KubernetesOptions {
  kube::ClusterAccess access;  // kube::ReadKubeconfig or kube::InCluster
  std::string identity;        // of this replica: the pod's name
  std::string root_namespace = "istio-system";
  KubeSourceOptions source = {};
};

class Kubernetes {
 public:
  // Error: what is wrong with the access. A server that does not answer is no error: it is tried
  // until it does. `loop` and `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<Kubernetes>> Connect(Loop& loop, const Clock& clock,
                                                             KubernetesOptions options);
  ~Kubernetes();

  kube::Client& client() { return *client_; }
  kube::Executor& executor() { return *executor_; }

  // Begins to read; once. The source lives as long as this.
  KubeSource& Read(KubeValidator validator, ConfigSource::OnChange on_change);
  // Takes part in the election, and writes conditions while it leads; after Read, once.
  // `programmed` outlives this. `on_leading` (may be empty) is for other writers.
  void StartWriting(ProgrammedSource& programmed, std::function<void(bool)> on_leading = {});

  bool leading() const { return leadership_ != nullptr && leadership_->leading(); }

 private:
  Kubernetes(Loop& loop, KubernetesOptions options) : loop_(loop), options_(std::move(options)) {}

  Loop& loop_;
  const KubernetesOptions options_;
  // In the order in which they are made: what is later uses what is earlier.
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::Executor> executor_;
  std::unique_ptr<KubeSource> source_;
  std::unique_ptr<Conditions> conditions_;
  std::unique_ptr<Leadership> leadership_;
};

}  // namespace meltemi::pilot
