#include "test/perf/mtls/measure.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "test/machine/load.h"
#include "test/machine/pods.h"

namespace meltemi::bench {
namespace {

std::chrono::milliseconds Patience(uint32_t seconds) { return std::chrono::seconds(seconds + 60); }

double NumberAt(const json::Value* value) {
  return value == nullptr ? 0 : value->AsDouble().value_or(0);
}

// "Rss:   1234 kB"
int64_t KbAfter(absl::string_view name, const std::string& text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, name)) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kb = 0;
    if (words.size() > 1 && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  return 0;
}

}  // namespace

absl::StatusOr<Latency> ParseFortio(absl::string_view text) {
  const absl::StatusOr<json::Value> report = json::Parse(text);
  if (!report.ok()) return report.status();
  Latency latency;
  const json::Value* const percentiles = report->Find("DurationHistogram", "Percentiles");
  if (percentiles == nullptr) return absl::DataLossError("no percentiles in fortio's report");
  for (const json::Value& entry : percentiles->items()) {
    const double ms = NumberAt(entry.Find("Value")) * 1000;
    (NumberAt(entry.Find("Percentile")) < 90 ? latency.p50_ms : latency.p99_ms) = ms;
  }
  latency.rate = NumberAt(report->Find("ActualQPS"));
  latency.requests = static_cast<int64_t>(NumberAt(report->Find("DurationHistogram", "Count")));
  latency.failed =
      latency.requests - static_cast<int64_t>(NumberAt(report->Find("RetCodes", "200")));
  return latency;
}

absl::StatusOr<Latency> ConstantRate(const machine::Pod& client, const std::string& fortio,
                                     const std::string& url, uint32_t seconds, uint32_t rate,
                                     uint32_t connections) {
  const std::string report = client.LogPath("fortio");
  const machine::Finished finished = client.Exec({"taskset",  "-c",
                                                  kLoadCore,  fortio,
                                                  "load",     "-quiet",
                                                  "-c",       absl::StrCat(connections),
                                                  "-qps",     absl::StrCat(rate),
                                                  "-t",       absl::StrCat(seconds, "s"),
                                                  "-uniform", "-nocatchup=false",
                                                  "-p",       "50,99",
                                                  "-r",       "0.00001",
                                                  "-json",    report,
                                                  url},
                                                 Patience(seconds));
  if (finished.exit_status != 0) return absl::UnavailableError(finished.output);
  return ParseFortio(machine::ReadFile(report));
}

Saturation AsMuchAsGoes(const machine::Pod& client, const std::string& url, uint32_t seconds,
                        uint32_t connections) {
  const machine::LoadResult result = machine::ParseWrk(
      client
          .Exec({"taskset", "-c", kLoadCore, "wrk", "-t", "1", "-c", absl::StrCat(connections),
                 "-d", absl::StrCat(seconds, "s"), url},
                Patience(seconds))
          .output);
  return {result.requests, result.failed()};
}

double CpuSeconds(const std::vector<pid_t>& processes) {
  double total_ns = 0;
  for (const pid_t process : processes) {
    std::error_code gone;
    for (const auto& thread :
         std::filesystem::directory_iterator(absl::StrCat("/proc/", process, "/task"), gone)) {
      double on_cpu_ns = 0;
      std::ifstream(thread.path() / "schedstat") >> on_cpu_ns;
      total_ns += on_cpu_ns;
    }
  }
  return total_ns / 1e9;
}

Memory MemoryOf(const std::vector<pid_t>& processes) {
  Memory total;
  for (const pid_t process : processes) {
    const std::string text = machine::ReadFile(absl::StrCat("/proc/", process, "/smaps_rollup"));
    total.resident_kb += KbAfter("Rss:", text);
    total.proportional_kb += KbAfter("Pss:", text);
  }
  return total;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace meltemi::bench
