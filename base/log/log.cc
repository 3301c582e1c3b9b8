#include "base/log/log.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace meltemi::log {
namespace {

constexpr absl::string_view kWords[] = {"trace", "debug", "info", "warning", "error", "off"};

struct Components {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Component>> by_name ABSL_GUARDED_BY(mutex);
  Level initial ABSL_GUARDED_BY(mutex) = kInfo;
};

Components& AllComponents() {
  static Components* const components = new Components;  // never destroyed: logging works at exit
  return *components;
}

std::atomic<bool> bugs_are_fatal{false};
std::atomic<uint64_t> bugs_total{0};

absl::string_view BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

Component& GetComponent(absl::string_view name) {
  Components& all = AllComponents();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::unique_ptr<Component>& slot = all.by_name[std::string(name)];
  if (slot == nullptr) {
    slot = std::make_unique<Component>();
    slot->name = std::string(name);
    slot->level = all.initial;
  }
  return *slot;
}

bool ParseLevel(absl::string_view word, Level* level) {
  if (word == "warn") word = "warning";
  if (word == "critical") word = "error";
  for (uint8_t i = 0; i < std::size(kWords); ++i) {
    if (kWords[i] != word) continue;
    *level = static_cast<Level>(i);
    return true;
  }
  return false;
}

absl::string_view LevelWord(Level level) { return kWords[level]; }

bool SetLevel(absl::string_view component, absl::string_view level_word) {
  Level level;
  if (!ParseLevel(level_word, &level)) return false;
  if (component != "*") {
    GetComponent(component).level = level;
    return true;
  }
  Components& all = AllComponents();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.initial = level;
  for (auto& [name, one] : all.by_name) one->level = level;
  return true;
}

std::map<std::string, Level> Levels() {
  Components& all = AllComponents();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::map<std::string, Level> levels;
  for (auto& [name, one] : all.by_name) levels[name] = static_cast<Level>(one->level.load());
  return levels;
}

void Write(Level level, absl::string_view component, absl::string_view message, const char* file,
           int line) {
  const std::string text =
      absl::StrFormat("%s %-7s %s: %s (%s:%d)\n",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()),
                      LevelWord(level), component, message, BaseName(file), line);
  // One write per line keeps lines of several threads apart. A full or closed stderr loses the
  // line.
  (void)!write(STDERR_FILENO, text.data(), text.size());
}

void Die(absl::string_view message, const char* file, int line) {
  Write(kError, "fatal", message, file, line);
  std::abort();
}

void ReportBug(absl::string_view message, const char* file, int line,
               std::atomic<uint64_t>* count) {
  bugs_total.fetch_add(1, std::memory_order_relaxed);
  if (bugs_are_fatal.load()) Die(message, file, line);
  if (count->fetch_add(1, std::memory_order_relaxed) == 0) {
    Write(kError, "bug", absl::StrCat(message, " (please report; shown once)"), file, line);
  }
}

void SetBugsAreFatal(bool fatal) { bugs_are_fatal = fatal; }
uint64_t BugCount() { return bugs_total.load(std::memory_order_relaxed); }

}  // namespace meltemi::log
