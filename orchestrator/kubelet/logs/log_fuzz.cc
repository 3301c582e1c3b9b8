// Any file: readers neither crash nor hang; however it is cut into pieces, the same comes out; a
// tail is the end of the whole.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "orchestrator/kubelet/logs/log_line.h"
#include "orchestrator/kubelet/logs/logs.h"

namespace {

std::string ReadAll(const std::string& path, const meltemi::kubelet::LogOptions& options,
                    size_t piece) {
  auto reader = meltemi::kubelet::OpenLog(path, options);
  if (!reader.ok()) std::abort();
  std::string out;
  while (!(*reader)->done()) {
    const absl::StatusOr<std::string> read = (*reader)->Read(piece);
    if (!read.ok() || read->size() > piece) std::abort();
    out += *read;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  (void)meltemi::kubelet::ParseLogLine(text);
  if (meltemi::kubelet::ParseLogTime(text).has_value()) {
    const std::string fixed = meltemi::kubelet::FixedWidthTime(text);
    if (!meltemi::kubelet::ParseLogTime(fixed).has_value()) std::abort();
  }
  const int fd = memfd_create("log", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) return 0;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const std::string all = ReadAll(path, {}, 1 << 20);
  if (ReadAll(path, {}, 7) != all) std::abort();
  const std::string tail = ReadAll(path, {.tail_lines = 2}, 100);
  if (tail.size() > all.size() || all.compare(all.size() - tail.size(), tail.size(), tail) != 0) {
    std::abort();
  }
  if (ReadAll(path, {.limit_bytes = 5}, 100) != all.substr(0, 5)) std::abort();
  (void)ReadAll(path, {.timestamps = true, .since = meltemi::WallTime()}, 100);
  close(fd);
  return 0;
}
