#include "proxy/upstream/outlier/record.h"

namespace meltemi::proxy {
namespace {

// True for the one who makes it reach the limit.
bool Raise(std::atomic<uint32_t>& counter, uint32_t limit) {
  return counter.fetch_add(1, std::memory_order_relaxed) + 1 == limit;
}

// Spares the write that would take the cache line from other workers.
void Reset(std::atomic<uint32_t>& counter) {
  if (counter.load(std::memory_order_relaxed) != 0) counter.store(0, std::memory_order_relaxed);
}

}  // namespace

OutlierAlarms RecordOutcome(OutlierCounters& counters, const OutlierDetection& config, int status,
                            StreamError error) {
  OutlierAlarms alarms;
  if (status == 0) {
    if (config.split_external_local_origin_errors) {
      alarms.consecutive_local_origin =
          Raise(counters.consecutive_local_origin_failure, config.consecutive_local_origin_failure);
      return alarms;
    }
    const bool timed_out = error == StreamError::kPerTryTimeout ||
                           error == StreamError::kPerTryIdleTimeout ||
                           error == StreamError::kRequestTimeout;
    status = timed_out ? 504 : 503;
  } else if (config.split_external_local_origin_errors) {
    Reset(counters.consecutive_local_origin_failure);
  }
  counters.requests.fetch_add(1, std::memory_order_relaxed);
  if (status < 500) {
    counters.successes.fetch_add(1, std::memory_order_relaxed);
    Reset(counters.consecutive_5xx);
    Reset(counters.consecutive_gateway_failure);
    return alarms;
  }
  if (status >= 502 && status <= 504) {
    alarms.consecutive_gateway =
        Raise(counters.consecutive_gateway_failure, config.consecutive_gateway_failure);
  } else {
    Reset(counters.consecutive_gateway_failure);
  }
  alarms.consecutive_5xx = Raise(counters.consecutive_5xx, config.consecutive_5xx);
  return alarms;
}

}  // namespace meltemi::proxy
