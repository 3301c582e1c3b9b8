// Load on a URL, and what it cost processes: read from the tools' reports and from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::machine {
class Pod;
}

namespace meltemi::bench {

// Both sidecars of a pair run on the one, client and server on the other.
inline constexpr char kProxyCore[] = "0";
inline constexpr char kLoadCore[] = "1";

struct Latency {
  double p50_ms = 0, p99_ms = 0, rate = 0;
  int64_t requests = 0, failed = 0;
};

// At a constant rate, over connections that are kept; latency is counted from when a request was
// sent, and what was missed is caught up with. Error: what the tool said.
absl::StatusOr<Latency> ConstantRate(const machine::Pod& client, const std::string& fortio,
                                     const std::string& url, uint32_t seconds, uint32_t rate,
                                     uint32_t connections);
// The same from fortio's report.
absl::StatusOr<Latency> ParseFortio(absl::string_view json);

struct Saturation {
  int64_t requests = 0, failed = 0;
};
// As much as goes.
Saturation AsMuchAsGoes(const machine::Pod& client, const std::string& url, uint32_t seconds,
                        uint32_t connections);

// Of all threads that are alive, in seconds.
double CpuSeconds(const std::vector<pid_t>& processes);

struct Memory {
  int64_t resident_kb = 0;
  int64_t proportional_kb = 0;  // a page that n processes share counts 1/n
};
Memory MemoryOf(const std::vector<pid_t>& processes);

double Median(std::vector<double> values);

}  // namespace meltemi::bench
