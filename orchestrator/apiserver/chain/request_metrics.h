// What /metrics says of requests, under kube-apiserver's names: apiserver_request_total,
// apiserver_request_duration_seconds, apiserver_current_inflight_requests,
// apiserver_longrunning_requests.
//
// Threads: thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

class RequestMetrics {
 public:
  explicit RequestMetrics(metrics::Registry& registry);
  RequestMetrics(const RequestMetrics&) = delete;
  RequestMetrics& operator=(const RequestMetrics&) = delete;

  void Started(const RequestInfo& info);
  // `code` of the answer; a watch has ended its part here when it has begun.
  void Finished(const RequestInfo& info, int code, Duration took);

 private:
  struct Series {
    metrics::Counter* total;
    metrics::Histogram* seconds;
  };
  Series& SeriesOf(const RequestInfo& info, int code);

  std::mutex mutex_;
  metrics::Shard& shard_;                 // written under mutex_
  std::map<std::string, Series> series_;  // bounded: paths that are no resources share one
};

}  // namespace meltemi::apiserver
