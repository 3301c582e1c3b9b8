// Leveled logging to stderr, with levels per component that can be changed while running.
//
//   LOG(kInfo, "upstream", "cluster ", name, " removed");
//
// The arguments are those of absl::StrCat and are evaluated only when the level is on. Thread-safe.
// This and the fatal hook are the only process-wide state of the project: a log line must be
// possible from anywhere, and what it prints never steers behaviour (docs/decisions/logging.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::log {

enum Level : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };

// A component's level; created at first use, never destroyed.
struct Component {
  std::string name;
  std::atomic<uint8_t> level;
};
Component& GetComponent(absl::string_view name);

// "*" sets all, also those still to come. False when the level's word is unknown.
bool SetLevel(absl::string_view component, absl::string_view level_word);
bool ParseLevel(absl::string_view word, Level* level);
absl::string_view LevelWord(Level level);
std::map<std::string, Level> Levels();

void Write(Level level, absl::string_view component, absl::string_view message, const char* file,
           int line);
// Prints, flushes, aborts.
[[noreturn]] void Die(absl::string_view message, const char* file, int line);
// Counts and logs the first occurrence at this place; aborts when fatal-bugs is on (tests).
void ReportBug(absl::string_view message, const char* file, int line, std::atomic<uint64_t>* count);
void SetBugsAreFatal(bool fatal);
uint64_t BugCount();

}  // namespace meltemi::log

#define LOG(level_, component_, ...)                                                            \
  do {                                                                                          \
    static ::meltemi::log::Component& log_component = ::meltemi::log::GetComponent(component_); \
    if (::meltemi::log::level_ >= log_component.level.load(std::memory_order_relaxed)) {        \
      ::meltemi::log::Write(::meltemi::log::level_, component_, ::absl::StrCat(__VA_ARGS__),    \
                            __FILE__, __LINE__);                                                \
    }                                                                                           \
  } while (false)

// Three grades of assertion (docs/style). Nothing that a peer sends may reach a CHECK.
#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::meltemi::log::Die("CHECK failed: " #condition, __FILE__, __LINE__); \
  } while (false)

// A bug that can be survived: counted, logged once per place, fatal in tests.
#define BUG_ONCE(message)                                                 \
  do {                                                                    \
    static std::atomic<uint64_t> bug_count{0};                            \
    ::meltemi::log::ReportBug((message), __FILE__, __LINE__, &bug_count); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition) \
  do {                    \
  } while (false && (condition))
#else
#define DCHECK(condition) CHECK(condition)
#endif
