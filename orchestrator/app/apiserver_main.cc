#include "orchestrator/app/apiserver_main.h"

#include <csignal>
#include <cstdio>
#include <memory>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "orchestrator/app/apiserver.h"
#include "orchestrator/app/apiserver_options.h"

namespace meltemi::orchestrator {
namespace {

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "meltemi-orchestrator apiserver: %s\n",
               std::string(status.message()).c_str());
  return code;
}

}  // namespace

int ApiServerMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  std::string print;
  const absl::StatusOr<ApiServerOptions> options = ParseApiServerOptions(args, &print);
  if (!options.ok()) return Fail(options.status(), 2);
  if (!print.empty()) {
    std::fputs(print.c_str(), stdout);
    return 0;
  }
  log::SetLevel("*", options->log_level);
  std::signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  // The main loop waits for signals alone; the server has threads of its own.
  const std::unique_ptr<Loop> loop = NewEventLoop(clock);
  const auto stop = [&loop] { loop->Exit(); };
  const auto on_term = loop->WatchSignal(SIGTERM, stop);
  const auto on_int = loop->WatchSignal(SIGINT, stop);
  const absl::StatusOr<std::unique_ptr<ApiServer>> server = StartApiServer(*options, clock);
  if (!server.ok()) return Fail(server.status(), 1);
  loop->Run();
  LOG(kInfo, "main", "stopping");
  (*server)->Stop();
  return 0;
}

}  // namespace meltemi::orchestrator
