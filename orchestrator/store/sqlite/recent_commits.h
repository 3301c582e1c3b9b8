// The last revisions with their events in memory: what watches are served from while they keep up.
//
// Threads: all methods from any thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

struct Commit {
  Revision revision = 0;
  std::vector<Event> events;
};
using CommitPtr = std::shared_ptr<const Commit>;

class RecentCommits {
 public:
  // Nothing is known of `current` and before.
  RecentCommits(Revision current, size_t bytes_max);

  // In order, without gaps.
  void Publish(std::vector<CommitPtr> commits);
  Revision current() const;

  // Waits until revision `from` is there or `*stop` is set (by Stop). Fills `commits` with `from`
  // and what follows, about `events_max` events; false: `from` is no longer here but in the file.
  bool Next(Revision from, const bool* stop, size_t events_max, std::vector<CommitPtr>* commits);
  void Stop(bool* stop);

 private:
  const size_t bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable published_;
  std::deque<CommitPtr> commits_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Revision current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::store
