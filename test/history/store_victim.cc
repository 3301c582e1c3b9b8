// A process that works on an SQLite store until it is killed, and tells what it does on stdout:
//
//   store_victim FILE SEED FIRST_ID WATCH_AFTER
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/clock/clock.h"
#include "orchestrator/store/sqlite/sqlite_store.h"
#include "test/history/workload.h"

namespace meltemi::history {
namespace {

// One system call per line: a line is written whole or not at all.
void Tell(const std::string& line) {
  if (write(STDOUT_FILENO, line.data(), line.size()) < 0) _exit(3);
}

int Main(const std::vector<std::string>& args) {
  WorkloadOptions options;
  if (args.size() != 5 || !absl::SimpleAtoi(args[2], &options.seed) ||
      !absl::SimpleAtoi(args[3], &options.first_id) ||
      !absl::SimpleAtoi(args[4], &options.watch_after)) {
    std::fprintf(stderr, "usage: store_victim FILE SEED FIRST_ID WATCH_AFTER\n");
    return 2;
  }
  const SystemClock clock;
  const auto store = store::OpenSqliteStore({.path = args[1]}, clock);
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
    return 1;
  }
  const Workload workload(**store, options, &Tell);
  pause();  // until it is killed
  return 0;
}

}  // namespace
}  // namespace meltemi::history

int main(int argc, char** argv) {
  return meltemi::history::Main(std::vector<std::string>(argv, argv + argc));
}
