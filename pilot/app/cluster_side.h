// What pilot is to a Kubernetes cluster, beside serving configuration: it reads the API server,
// answers its webhooks, is the mesh's certificate authority, and (one replica at a time) writes
// what others read.
//
//   KubeSource -> (Pilot) -> PushServer -> AdsServer over TLS, tokens by TokenReview
//   leader: ConfigMaps with the mesh's root, webhooks' CA, status conditions
//
// Loop-owned.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/app/options.h"
#include "pilot/ingest/source.h"

namespace meltemi::pilot {

class ProgrammedSource;
class PushServer;

class ClusterSide {
 public:
  // Reads the kubeconfig (or the pod's own account), takes or makes the authority's keys; waits for
  // the API server up to a minute. Error: what is missing, where, and what to do.
  static absl::StatusOr<std::unique_ptr<ClusterSide>> Connect(Loop& loop, metrics::Scope& metrics,
                                                              const Options& options);
  virtual ~ClusterSide() = default;

  // Begins to read the configuration; once. The source lives as long as this.
  virtual ConfigSource& Read(ConfigSource::OnChange on_change) = 0;
  // xDS and certificates over TLS, webhooks, the race for leadership. After Read; `push` and
  // `programmed` outlive it. Error: which address could not be bound.
  virtual absl::Status Serve(PushServer* push, ProgrammedSource* programmed) = 0;

  virtual int secure_port() const = 0;
  virtual int webhook_port() const = 0;
};

}  // namespace meltemi::pilot
