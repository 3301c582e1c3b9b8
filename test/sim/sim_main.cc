// Runs simulated clusters: so many seeds from a base, or one seed with a trace of all that happens.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/log/log.h"
#include "base/random/random.h"
#include "test/sim/simulation.h"

namespace {

constexpr char kUsage[] =
    "sim [OPTIONS]\n\n"
    "Simulates clusters under faults and checks that all that happens in them is right.";

// Whether all was well.
bool RunOne(uint64_t seed, bool trace) {
  meltemi::sim::SimulationOptions options{.seed = seed};
  if (trace) {
    options.trace = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  }
  const meltemi::sim::SimulationResult result = meltemi::sim::Simulate(options);
  for (const std::string& finding : result.findings) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), finding.c_str());
  }
  if (trace) {
    std::printf("seed %llu: %zu writes, %zu steps, history %016llx\n",
                static_cast<unsigned long long>(seed), result.writes, result.steps,
                static_cast<unsigned long long>(result.history_hash));
  }
  return result.findings.empty();
}

}  // namespace

int main(int argc, char** argv) {
  uint32_t count = 300;
  std::string base, seed;
  meltemi::Flags flags(kUsage);
  flags.Number("count", {}, &count, 1, 100'000'000, "how many seeds");
  flags.Text("base", {}, &base, "NUMBER", "the first of them; default: at random");
  flags.Text("seed", {}, &seed, "NUMBER", "only this one, with a trace");
  const absl::Status parsed = flags.Parse(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed.ok() || flags.help_wanted()) {
    std::fputs(flags.help_wanted() ? flags.Help().c_str() : std::string(parsed.message()).c_str(),
               stdout);
    return flags.help_wanted() ? 0 : 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  meltemi::log::SetLevel("*", "off");
  if (!seed.empty()) return RunOne(std::stoull(seed), true) ? 0 : 1;
  const uint64_t first =
      base.empty() ? meltemi::FastRandom().Below(1'000'000'000) : std::stoull(base);
  std::printf("sim: %u seeds from %llu\n", count, static_cast<unsigned long long>(first));
  uint32_t failed = 0;
  for (uint32_t i = 0; i < count; ++i) failed += RunOne(first + i, false) ? 0 : 1;
  std::printf("sim: %u of %u seeds are well\n", count - failed, count);
  return failed == 0 ? 0 : 1;
}
