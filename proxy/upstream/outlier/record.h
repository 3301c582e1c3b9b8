// What a worker notes of each outcome for outlier detection.
//
// Thread-safe: relaxed atomics of the host. Semantics: Envoy, "Outlier detection".
#pragma once

#include <optional>

#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

// At most one alarm for each counter: it is raised by the outcome that reaches the limit.
struct OutlierAlarms {
  bool consecutive_5xx = false;
  bool consecutive_gateway = false;
  bool consecutive_local_origin = false;
};

// `status` 0: there was no answer, because of `error`. Without split mode that counts as a 503, or
// as a 504 for a time-out; with it, it is of local origin and counts on its own.
OutlierAlarms RecordOutcome(OutlierCounters& counters, const OutlierDetection& config, int status,
                            StreamError error);

}  // namespace meltemi::proxy
