// What becomes of an event in view of those before it: a new one, one that is counted up, or none.
//
// Threads: one; time is handed in. Source: client-go's EventCorrelator (same keys and bounds).
#pragma once

#include <set>
#include <string>

#include "base/clock/clock.h"
#include "kube/core/v1/event.pb.h"
#include "kube/events/lru.h"

namespace meltemi::kube {

// How the event is written.
struct CorrelatedEvent {
  enum class Action : uint8_t { kDrop, kCreate, kPatch };
  Action action = Action::kDrop;
  core::v1::Event event;
  std::string patch_json;  // for kPatch
  std::string key;         // for Stored
};

class EventCorrelator {
 public:
  CorrelatedEvent Correlate(core::v1::Event event, WallTime now);
  // What the server made of it: later ones of the key count it up.
  void Stored(const std::string& key, const core::v1::Event& event);
  // It is no longer there.
  void Forget(const std::string& key);

 private:
  // Similar ones, which differ by their messages.
  struct Similar {
    std::set<std::string> messages;
    WallTime last{};
  };
  struct Seen {
    int count = 0;
    std::string name;
    int64_t first_seconds = 0;
  };
  struct Bucket {
    double tokens = -1;  // negative: not yet used
    WallTime at{};
  };
  // Gives the key by which it is counted, and changes it to the combination of its like where there
  // are too many of them.
  std::string Combine(core::v1::Event* event, WallTime now);
  bool IsFlood(const core::v1::Event& event, WallTime now);

  static constexpr size_t kEntriesMax = 4096;
  Lru<Similar> similar_{kEntriesMax};
  Lru<Seen> seen_{kEntriesMax};
  Lru<Bucket> buckets_{kEntriesMax};
};

}  // namespace meltemi::kube
