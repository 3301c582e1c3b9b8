// meltemi-proxy: sidecar, gateway, reverse proxy.
#include <malloc.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/log/log.h"
#include "proxy/app/commands.h"
#include "proxy/app/options.h"
#include "proxy/app/server.h"
#include "proxy/intercept/intercept.h"

namespace meltemi::proxy {
namespace {

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "meltemi-proxy: %s\n", std::string(status.message()).c_str());
  return code;
}

// A proxy holds many small things for long and few large ones briefly: what is large goes back to
// the kernel at once, and threads that mostly wait do not need an arena each.
void TuneMalloc() {
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  mallopt(M_TRIM_THRESHOLD, 512 * 1024);
}

void SetLogLevels(const Options& options) {
  log::SetLevel("*", options.log_level);
  for (absl::string_view item :
       absl::StrSplit(options.component_log_levels, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(item, ':');
    log::SetLevel(pair.first, pair.second);
  }
}

int Main(const std::vector<std::string>& args) {
  if (!args.empty() && args[0] == "intercept") {
    return InterceptMain({args.begin() + 1, args.end()});
  }
  if (!args.empty() && IsPodCommand(args[0])) return RunPodCommand(args);
  TuneMalloc();
  std::string print;
  absl::StatusOr<Options> options = ParseOptions(args, &print);
  if (!options.ok()) return Fail(options.status(), 2);
  if (!print.empty()) {
    std::fputs(print.c_str(), stdout);
    return 0;
  }
  SetLogLevels(*options);
  std::vector<std::string> notes;
  absl::StatusOr<Bootstrap> bootstrap = BootstrapFor(*options, &notes);
  if (!bootstrap.ok()) return Fail(bootstrap.status(), 1);
  for (const std::string& note : notes) LOG(kWarn, "main", note);
  absl::StatusOr<std::unique_ptr<Server>> server = Server::New(*options, *std::move(bootstrap));
  if (!server.ok()) return Fail(server.status(), 1);
  if (options->validate_only) {
    std::printf("configuration OK\n");
    return 0;
  }
  return (*server)->Run();
}

}  // namespace
}  // namespace meltemi::proxy

int main(int argc, char** argv) {
  return meltemi::proxy::Main(std::vector<std::string>(argv + 1, argv + argc));
}
