// A Kubernetes API server as a stream of changes of objects: Services, EndpointSlices, Pods,
// Namespaces, Secrets, and Istio's kinds at whichever version the server serves them.
//
//   (client's threads) feeds: list, watch, decode, judge -> inbox -> (loop) store -> OnChange
//
// Istio's kinds whose definitions (CRDs) are missing are told as diagnostics, and picked up when
// the definitions come. A server that is down changes nothing: what was read stays in effect.
//
// Threads: loop-owned.
#pragma once

#include <memory>

#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "pilot/ingest/kube/convert.h"
#include "pilot/ingest/kube/live_object.h"
#include "pilot/ingest/source.h"

namespace meltemi::pilot {

struct KubeSourceOptions {
  // Kinds that the server refuses to list (no rights, say) are waited for no longer than this
  // before the first OnChange. A server that does not answer is waited for without end: nothing is
  // known then.
  Duration wait_max = seconds(30);
  // How often it is looked which kinds there are, beside the watch on their definitions: while some
  // are missing, and else.
  Duration discovery_interval_missing = seconds(30);
  Duration discovery_interval = minutes(5);
  kube::InformerOptions informer = {};
};

class KubeSource : public ConfigSource, public LiveObjects {};

// `executor` outlives it, and `client` the executor: a kind that is no longer read ends there.
// Start gives no error: what can't be reached is tried until it can, and the log says what is
// waited for. The first OnChange comes when every kind that the server has is read. Destroying
// waits for calls that are under way.
std::unique_ptr<KubeSource> NewKubeSource(Loop& loop, kube::Client& client,
                                          kube::Executor& executor, KubeSourceOptions options,
                                          KubeValidator validator,
                                          ConfigSource::OnChange on_change);

}  // namespace meltemi::pilot
