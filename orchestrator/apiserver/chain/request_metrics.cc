#include "orchestrator/apiserver/chain/request_metrics.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

constexpr std::array<double, 14> kSecondBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4,
                                                  0.6,   0.8,  1,     2,    5,   15,  60};

bool IsWrite(const RequestInfo& info) {
  return info.verb != "get" && info.verb != "list" && info.verb != "watch" && info.verb != "head";
}

// Group, version and resource come from the path: only what is served may make a series, and that
// was decided by the handler, whose 404 is counted without them.
bool Known(const RequestInfo& info, int code) { return info.is_resource && code != 404; }

}  // namespace

RequestMetrics::RequestMetrics(metrics::Registry& registry) : shard_(registry.NewShard()) {
  registry.Describe("apiserver_request_total", "Requests by verb, resource and code of the answer");
  registry.Describe("apiserver_request_duration_seconds", "Time until the answer was made");
  registry.Describe("apiserver_current_inflight_requests", "Requests that are being handled");
}

void RequestMetrics::Started(const RequestInfo& info) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shard_.root()
      .GetGauge("apiserver_current_inflight_requests",
                {{"request_kind", IsWrite(info) ? "mutating" : "readOnly"}})
      .Inc();
}

void RequestMetrics::Finished(const RequestInfo& info, int code, Duration took) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shard_.root()
      .GetGauge("apiserver_current_inflight_requests",
                {{"request_kind", IsWrite(info) ? "mutating" : "readOnly"}})
      .Dec();
  Series& series = SeriesOf(info, code);
  series.total->Inc();
  series.seconds->Record(std::chrono::duration<double>(took).count());
}

RequestMetrics::Series& RequestMetrics::SeriesOf(const RequestInfo& info, int code) {
  const bool known = Known(info, code);
  const std::string key = known ? absl::StrCat(info.verb, " ", info.group, "/", info.version, "/",
                                               info.resource, "/", info.subresource, " ", code)
                                : absl::StrCat("- ", code);
  const auto [it, added] = series_.try_emplace(key);
  if (!added) return it->second;
  metrics::Labels labels = {{"verb", known ? info.verb : ""},
                            {"group", known ? info.group : ""},
                            {"version", known ? info.version : ""},
                            {"resource", known ? info.resource : ""},
                            {"subresource", known ? info.subresource : ""}};
  it->second.seconds = &shard_.root().GetHistogram("apiserver_request_duration_seconds",
                                                   absl::MakeConstSpan(kSecondBounds), labels);
  labels.emplace_back("code", absl::StrCat(code));
  it->second.total = &shard_.root().GetCounter("apiserver_request_total", labels);
  return it->second;
}

}  // namespace meltemi::apiserver
