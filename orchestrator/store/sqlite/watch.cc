#include "orchestrator/store/sqlite/watch.h"

#include <utility>

#include "orchestrator/store/errors.h"

namespace meltemi::store {
namespace {

constexpr size_t kEventsPerCallMax = 1000;

}  // namespace

SqliteWatch::SqliteWatch(Readers& readers, RecentCommits& recent, absl::string_view first,
                         absl::string_view end, Revision from, Watcher& watcher)
    : readers_(readers), recent_(recent), first_(first), end_(end), watcher_(watcher), next_(from) {
  thread_ = std::thread([this] { Loop(); });
}

SqliteWatch::~SqliteWatch() {
  recent_.Stop(&stop_);
  thread_.join();
}

void SqliteWatch::Loop() {
  // A watch from a compacted revision ends at once, also while nothing is written.
  absl::Status status = FromFile();
  while (status.ok()) {
    std::vector<CommitPtr> commits;
    const bool in_memory = recent_.Next(next_, &stop_, kEventsPerCallMax, &commits);
    if (in_memory && commits.empty()) return;  // stopped
    if (in_memory) {
      Deliver(std::move(commits));
    } else {
      status = FromFile();
    }
  }
  watcher_.OnEnd(status);
}

void SqliteWatch::Deliver(std::vector<CommitPtr> commits) {
  std::vector<Event> events;
  for (const CommitPtr& commit : commits) {
    for (const Event& event : commit->events) {
      if (Wanted(event.kv.key)) events.push_back(event);
    }
  }
  const Revision last = commits.back()->revision;
  next_ = last + 1;
  watcher_.OnEvents(std::move(events), last);
}

absl::Status SqliteWatch::FromFile() {
  std::vector<Event> events;
  Revision last = 0;
  const absl::Status status = readers_.Run([&](Snapshot& snapshot) {
    if (next_ < snapshot.compacted) return Compacted();
    return snapshot.log.Events(next_, first_, end_, kEventsPerCallMax, &events, &last);
  });
  if (!status.ok() || last == 0) return status;
  next_ = last + 1;
  watcher_.OnEvents(std::move(events), last);
  return absl::OkStatus();
}

bool SqliteWatch::Wanted(absl::string_view key) const {
  return end_.empty() ? key == first_ : key >= first_ && key < end_;
}

}  // namespace meltemi::store
