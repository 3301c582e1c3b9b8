// One watch on the SQLite store: a thread that hands over what is committed, from memory while it
// keeps up and from the file when it does not.
#pragma once

#include <string>
#include <thread>

#include "orchestrator/store/sqlite/readers.h"
#include "orchestrator/store/sqlite/recent_commits.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

class SqliteWatch final : public WatchHandle {
 public:
  // `from` is a revision (never 0 here).
  SqliteWatch(Readers& readers, RecentCommits& recent, absl::string_view first,
              absl::string_view end, Revision from, Watcher& watcher);
  ~SqliteWatch() override;

 private:
  void Loop();
  // OutOfRange: compacted.
  absl::Status FromFile();
  void Deliver(std::vector<CommitPtr> commits);
  bool Wanted(absl::string_view key) const;

  Readers& readers_;
  RecentCommits& recent_;
  const std::string first_, end_;
  Watcher& watcher_;
  Revision next_;      // the watch's thread alone
  bool stop_ = false;  // guarded by the mutex of `recent_`
  std::thread thread_;
};

}  // namespace meltemi::store
