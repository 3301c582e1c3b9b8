// meltemi-pilot: see README.md.
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/app/options.h"
#include "pilot/app/pilot.h"

namespace meltemi::pilot {
namespace {

int Fail(const absl::Status& status) {
  const absl::string_view message = status.message();
  std::fprintf(stderr, "meltemi-pilot: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}

int Run(const Options& options) {
  log::SetLevel("*", options.log_level);
  const SystemClock clock;
  metrics::Registry registry;
  const std::unique_ptr<Loop> loop = NewEventLoop(clock);
  const auto stop = [&loop] { loop->Exit(); };
  const auto on_term = loop->WatchSignal(SIGTERM, stop);
  const auto on_int = loop->WatchSignal(SIGINT, stop);
  Pilot pilot(loop.get(), &registry, options);
  if (absl::Status status = pilot.Start(); !status.ok()) return Fail(status);
  loop->Run();
  LOG(kInfo, "pilot", "shutting down; proxies keep their configuration");
  return 0;
}

}  // namespace
}  // namespace meltemi::pilot

int main(int argc, char** argv) {
  using meltemi::pilot::ParseOptions;
  const absl::StatusOr<meltemi::pilot::Options> options =
      ParseOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) {
    meltemi::pilot::Fail(options.status());
    return 2;
  }
  if (!options->help.empty()) {
    std::fputs(options->help.c_str(), stdout);
    return 0;
  }
  if (options->version) {
    std::puts("meltemi-pilot 0.1.0");
    return 0;
  }
  return meltemi::pilot::Run(*options);
}
