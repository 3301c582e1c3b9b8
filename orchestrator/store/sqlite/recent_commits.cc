#include "orchestrator/store/sqlite/recent_commits.h"

#include <utility>

namespace meltemi::store {
namespace {

size_t BytesOf(const Commit& commit) {
  size_t bytes = sizeof(Commit);
  for (const Event& event : commit.events) {
    bytes += sizeof(Event) + event.kv.key.size() + event.kv.value.size();
    if (event.previous.has_value())
      bytes += event.previous->key.size() + event.previous->value.size();
  }
  return bytes;
}

}  // namespace

RecentCommits::RecentCommits(Revision current, size_t bytes_max)
    : bytes_max_(bytes_max), current_(current) {}

void RecentCommits::Publish(std::vector<CommitPtr> commits) {
  if (commits.empty()) return;
  std::vector<CommitPtr> dropped;  // freed without the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    current_ = commits.back()->revision;
    for (CommitPtr& commit : commits) {
      bytes_ += BytesOf(*commit);
      commits_.push_back(std::move(commit));
    }
    while (bytes_ > bytes_max_ && !commits_.empty()) {
      bytes_ -= BytesOf(*commits_.front());
      dropped.push_back(std::move(commits_.front()));
      commits_.pop_front();
    }
  }
  published_.notify_all();
}

Revision RecentCommits::current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

bool RecentCommits::Next(Revision from, const bool* stop, size_t events_max,
                         std::vector<CommitPtr>* commits) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!*stop && current_ < from) published_.wait(lock);
  if (*stop) return true;
  if (commits_.empty() || commits_.front()->revision > from) return false;
  size_t events = 0;
  // Revisions have no gaps.
  for (size_t i = static_cast<size_t>(from - commits_.front()->revision);
       i < commits_.size() && events < events_max; ++i) {
    events += commits_[i]->events.size();
    commits->push_back(commits_[i]);
  }
  return true;
}

void RecentCommits::Stop(bool* stop) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    *stop = true;
  }
  published_.notify_all();
}

}  // namespace meltemi::store
