// `./meltemi bench mtls`: what two sidecars with mutual TLS between them add to a request, for a
// pair of meltemi-proxy and a pair of Envoys, beside the same request without any.
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/flags/flags.h"
#include "base/json/write.h"
#include "test/machine/pods.h"
#include "test/perf/mtls/measure.h"
#include "test/perf/mtls/pairs.h"
#include "test/scenarios/programs.h"

namespace meltemi::bench {
namespace {

struct Options {
  uint32_t seconds = 8, rounds = 5, rate = 1000, connections = 16;
  uint32_t other_seconds = 4;  // of the two loads that are not held to a rate
  PairOptions pairs;
  std::string envoy, fortio, json;
  bool quick = false;
};

constexpr double kBar = 0.5;
constexpr double kReached = 0.95;  // of the rate

void Say(const std::string& text) { std::fprintf(stderr, "bench: %s\n", text.c_str()); }

// What one pair gave in each round; figures by their name.
using Samples = std::map<std::string, std::vector<double>>;

struct Row {
  const char* figure;
  const char* unit;
  bool barred;  // held to half of Envoy's
};

constexpr Row kRows[] = {
    {"requests per second reached", "", false},
    {"p50", "ms", false},
    {"p99", "ms", false},
    {"added p50", "ms", true},
    {"added p99", "ms", true},
    {"CPU of both per 1,000 requests", "ms", true},
    {"memory of both, resident", "MB", true},
    {"memory of both, proportional", "MB", true},
    {"requests per CPU-second of both, saturated", "", false},
    {"CPU of both per new connection and handshake", "ms", false},
    {"failed", "", false},
};

class Bench {
 public:
  Bench(const Options& options, Pairs& pairs) : options_(options), pairs_(pairs) {}

  absl::Status Run() {
    for (uint32_t round = 0; round < options_.rounds; ++round) {
      // Each in turn begins.
      std::rotate(pairs_.all().begin(), pairs_.all().begin() + 1, pairs_.all().end());
      if (absl::Status status = RateRound(round); !status.ok()) return status;
    }
    for (const Pair& pair : pairs_.all()) {
      if (pair.sidecars.empty()) continue;
      const Memory memory = MemoryOf(pair.sidecars);
      Add(pair, "memory of both, resident", static_cast<double>(memory.resident_kb) / 1024);
      Add(pair, "memory of both, proportional", static_cast<double>(memory.proportional_kb) / 1024);
    }
    for (uint32_t round = 0; round < std::min(options_.rounds, 3U); ++round) OthersRound(round);
    return absl::OkStatus();
  }

  // True when every bar is met.
  bool Print() {
    std::printf("\n| | direct | meltemi | envoy | meltemi is | at most %.1f |\n", kBar);
    std::printf("|---|---|---|---|---|---|\n");
    bool met = true;
    for (const Row& row : kRows) met = PrintRow(row) && met;
    for (const auto& [pair, samples] : samples_) {
      if (*Figure(pair, "requests per second reached") > kReached * options_.rate) continue;
      std::printf(
          "\n%s did not keep up with %u requests/s: its latency is that of a queue, and who "
          "does several requests at once needs less CPU for each.\n",
          pair.c_str(), options_.rate);
    }
    return met;
  }

  void WriteJson(const std::string& path) const {
    std::string out;
    json::Writer writer(&out, 1);
    writer.BeginObject();
    writer.Key("seconds").Uint(options_.seconds).Key("rounds").Uint(options_.rounds);
    writer.Key("rate").Uint(options_.rate).Key("connections").Uint(options_.connections);
    for (const auto& [pair, samples] : samples_) {
      writer.Key(pair).BeginObject();
      for (const auto& [figure, values] : samples) {
        writer.Key(figure).BeginArray();
        for (const double value : values) writer.Double(value);
        writer.EndArray();
      }
      writer.EndObject();
    }
    writer.EndObject();
    machine::WriteFile(path, out + "\n");
  }

 private:
  void Add(const Pair& pair, const std::string& figure, double value) {
    samples_[pair.name][figure].push_back(value);
  }

  absl::Status RateRound(uint32_t round) {
    std::map<std::string, Latency> measured;
    for (const Pair& pair : pairs_.all()) {
      const auto ask = [&](uint32_t seconds) {
        return ConstantRate(*pair.client, options_.fortio, pair.url, seconds, options_.rate,
                            options_.connections);
      };
      if (round == 0) ask(1).IgnoreError();  // connections, caches
      const double cpu_s = CpuSeconds(pair.sidecars);
      const absl::StatusOr<Latency> latency = ask(options_.seconds);
      if (!latency.ok()) return latency.status();
      const double spent_ms = (CpuSeconds(pair.sidecars) - cpu_s) * 1000;
      Say(absl::StrFormat("round %u: %s: p50 %.3f ms, p99 %.3f ms, %.0f/s, CPU %.0f ms", round + 1,
                          pair.name, latency->p50_ms, latency->p99_ms, latency->rate, spent_ms));
      measured[pair.name] = *latency;
      Add(pair, "requests per second reached", latency->rate);
      Add(pair, "p50", latency->p50_ms);
      Add(pair, "p99", latency->p99_ms);
      Add(pair, "failed", static_cast<double>(latency->failed));
      if (pair.sidecars.empty() || latency->requests == 0) continue;
      Add(pair, "CPU of both per 1,000 requests",
          spent_ms * 1000 / static_cast<double>(latency->requests));
    }
    for (const Pair& pair : pairs_.all()) {
      if (pair.sidecars.empty()) continue;
      Add(pair, "added p50", measured[pair.name].p50_ms - measured["direct"].p50_ms);
      Add(pair, "added p99", measured[pair.name].p99_ms - measured["direct"].p99_ms);
    }
    return absl::OkStatus();
  }

  void OthersRound(uint32_t round) {
    for (const Pair& pair : pairs_.all()) {
      if (pair.sidecars.empty()) continue;
      for (const std::string& url : {pair.url, pair.url_new_connections}) {
        const bool saturated = url == pair.url;
        const double cpu_s = CpuSeconds(pair.sidecars);
        const Saturation load =
            AsMuchAsGoes(*pair.client, url, options_.other_seconds, saturated ? 32 : 8);
        const double spent_s = CpuSeconds(pair.sidecars) - cpu_s;
        Say(absl::StrFormat("round %u: %s: %d requests%s, CPU %.1f s", round + 1, pair.name,
                            load.requests, saturated ? "" : ", each over a new connection",
                            spent_s));
        Add(pair, "failed", static_cast<double>(load.failed));
        if (load.requests == 0 || spent_s <= 0) continue;
        const auto requests = static_cast<double>(load.requests);
        saturated
            ? Add(pair, "requests per CPU-second of both, saturated", requests / spent_s)
            : Add(pair, "CPU of both per new connection and handshake", spent_s * 1000 / requests);
      }
    }
  }

  // Unset where nothing was measured. Failures count together, everything else by its median.
  std::optional<double> Figure(const std::string& pair, const std::string& figure) const {
    const auto samples = samples_.find(pair);
    if (samples == samples_.end()) return std::nullopt;
    const auto values = samples->second.find(figure);
    if (values == samples->second.end()) return std::nullopt;
    if (figure != "failed") return Median(values->second);
    double sum = 0;
    for (const double value : values->second) sum += value;
    return sum;
  }

  bool PrintRow(const Row& row) const {
    std::string line = absl::StrCat("| ", row.figure, " |");
    for (const char* pair : {"direct", "meltemi", "envoy"}) {
      const std::optional<double> value = Figure(pair, row.figure);
      if (!value) {
        line += " - |";
      } else if (*value >= 100 || row.unit[0] == '\0') {
        absl::StrAppend(&line, absl::StrFormat(" %.0f %s |", *value, row.unit));
      } else {
        absl::StrAppend(&line,
                        absl::StrFormat(" %.*f %s |", *value < 10 ? 3 : 1, *value, row.unit));
      }
    }
    const double ours = Figure("meltemi", row.figure).value_or(0);
    const double theirs = Figure("envoy", row.figure).value_or(0);
    const double ratio = theirs > 0 ? ours / theirs : 0;
    const bool met = !row.barred || (theirs > 0 && ratio <= kBar);
    std::printf("%s %s | %s |\n", line.c_str(),
                theirs > 0 ? absl::StrFormat("%.2f ×", ratio).c_str() : "-",
                !row.barred ? ""
                : met       ? "yes"
                            : "MISSED");
    return met;
  }

  const Options options_;
  Pairs& pairs_;
  std::map<std::string, Samples> samples_;
};

absl::Status Parse(const std::vector<std::string>& args, Options* options, std::string* help) {
  Flags flags("./meltemi bench mtls [options]");
  flags.Number("seconds", {}, &options->seconds, 1, 600, "length of each run at the constant rate");
  flags.Number("rounds", {}, &options->rounds, 1, 100, "runs of each pair");
  flags.Number("rate", {}, &options->rate, 1, 20'000, "requests per second");
  flags.Number("connections", {}, &options->connections, 1, 1000, "that the load keeps");
  flags.Number("concurrency", {}, &options->pairs.concurrency, 1, 64, "workers of each proxy");
  flags.Number("services", {}, &options->pairs.services, 0, 10'000, "that each sidecar knows");
  flags.Switch("quick", {}, &options->quick, "one round of two seconds: whether it runs at all");
  flags.Text("json", {}, &options->json, "FILE", "also write every sample to this file");
  flags.Text("envoy", {}, &options->envoy, "FILE", "an Envoy; default: fetched");
  flags.Text("fortio", {}, &options->fortio, "FILE", "fortio; default: fetched");
  const absl::Status status = flags.Parse(args);
  if (!status.ok() || flags.help_wanted()) *help = flags.Help();
  if (options->quick) options->seconds = options->other_seconds = 2, options->rounds = 1;
  return status;
}

// "" when all is there, or what is missing and why.
std::string FindPeers(Options* options) {
  for (const auto& [name, path] : {std::pair<const char*, std::string*>{"envoy", &options->envoy},
                                   {"fortio", &options->fortio}}) {
    std::string why_not;
    if (path->empty()) *path = scenarios::FetchPeer(name, &why_not);
    if (path->empty()) return absl::StrCat("without ", name, " there is no comparison: ", why_not);
  }
  return "";
}

void PrintMachine(const Options& options) {
  std::string cpu = "?";
  const std::string info = machine::ReadFile("/proc/cpuinfo");
  if (const size_t at = info.find("model name"); at != std::string::npos) {
    const size_t colon = info.find(": ", at);
    cpu = info.substr(colon + 2, info.find('\n', colon) - colon - 2);
  }
  utsname system{};
  uname(&system);
  std::printf("machine: %s, %ld cores, Linux %s\n", cpu.c_str(), sysconf(_SC_NPROCESSORS_ONLN),
              system.release);
  std::printf("%u requests/s over %u connections, %u rounds of %u s; %u workers, %u services\n",
              options.rate, options.connections, options.rounds, options.seconds,
              options.pairs.concurrency, options.pairs.services);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  Options options;
  std::string help;
  const absl::Status parsed = Parse({argv + 1, argv + argc}, &options, &help);
  if (!help.empty()) {
    std::printf("%s\n%s", std::string(parsed.message()).c_str(), help.c_str());
    return parsed.ok() ? 0 : 2;
  }
  std::string wrong = machine::WhyNoNamespaces();
  if (wrong.empty() && sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    wrong = "two cores are needed: one for the proxies, one for the load";
  }
  if (wrong.empty()) wrong = FindPeers(&options);
  if (!wrong.empty()) {
    Say(wrong);
    return 1;
  }
  machine::Programs programs = scenarios::BuiltPrograms();
  programs.envoy = options.envoy;
  PrintMachine(options);
  const std::string folder = scenarios::FreshFolder("meltemi-bench-mtls");
  int status = 1;
  {
    const auto pairs = Pairs::Start(programs, folder, options.pairs);
    absl::Status done = pairs.status();
    if (pairs.ok()) {
      Bench bench(options, **pairs);
      done = bench.Run();
      if (done.ok()) status = bench.Print() ? 0 : 1;
      if (done.ok() && !options.json.empty()) bench.WriteJson(options.json);
    }
    if (!done.ok()) Say(std::string(done.message()));
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}

}  // namespace
}  // namespace meltemi::bench

int main(int argc, char** argv) { return meltemi::bench::Main(argc, argv); }
