#include "orchestrator/apiserver/watch/follower.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kRetry = milliseconds(200);

}  // namespace

Follower::Follower(store::Store& store, std::string prefix, size_t page_size,
                   store::Revision history, FollowTarget& target)
    : store_(store),
      prefix_(std::move(prefix)),
      end_(store::PrefixEnd(prefix_)),
      page_size_(page_size),
      history_(history),
      target_(target) {}

Follower::~Follower() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Follower::Start() {
  thread_ = std::thread([this] { Loop(); });
}

bool Follower::following() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return following_;
}

void Follower::Loop() {
  bool have_state = false;
  bool gap = false;
  while (true) {
    if (!have_state || gap) {
      have_state = ReadState(gap);
      if (have_state) gap = false;
    }
    if (have_state) {
      Follow();
    } else {
      Sleep(kRetry);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    following_ = false;
    if (stopping_) return;
    if (have_state && absl::IsOutOfRange(why_)) gap = true;
  }
}

void Follower::Sleep(Duration duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, duration, [this] { return stopping_; });
}

absl::StatusOr<store::Revision> Follower::FirstRevision(bool gap) {
  const auto current = store_.CurrentRevision();
  if (!current.ok() || gap) return current;
  // The compacted revision cannot be asked for: nearer and nearer ones are tried.
  for (store::Revision back = history_; back > 0; back /= 4) {
    if (back >= *current) continue;
    const auto there = store_.Get(prefix_, *current - back);
    if (there.ok()) return *current - back;
    if (!absl::IsOutOfRange(there.status())) return there.status();
  }
  return current;
}

bool Follower::ReadState(bool gap) {
  const auto revision = FirstRevision(gap);
  if (!revision.ok()) {
    LOG(kWarn, "watch", "the store cannot be read: ", revision.status().message());
    return false;
  }
  target_.OnStateBegin();
  for (std::string first = prefix_;;) {
    auto page =
        store_.Range(first, end_, {.revision = *revision, .limit = page_size_, .count = false});
    if (!page.ok()) {
      LOG(kWarn, "watch", "the store cannot be read: ", page.status().message());
      return false;
    }
    if (page->more) first = absl::StrCat(page->kvs.back().key, absl::string_view("\0", 1));
    target_.OnStatePart(std::move(page->kvs));
    if (!page->more) break;
  }
  next_ = *revision + 1;
  return target_.OnStateEnd(*revision, gap);
}

void Follower::Follow() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = false;
    why_ = absl::OkStatus();
    following_ = true;
  }
  const auto watch = store_.Watch(prefix_, end_, next_, *this);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || ended_; });
  following_ = false;
  if (ended_) LOG(kWarn, "watch", "the store's watch has ended: ", why_.message());
  // After a loss that is no gap the next watch begins where this one ended.
  if (ended_ && !absl::IsOutOfRange(why_)) {
    changed_.wait_for(lock, kRetry, [this] { return stopping_; });
  }
  lock.unlock();
}

void Follower::OnEvents(std::vector<store::Event> events, store::Revision revision) {
  target_.OnChanges(std::move(events), revision);
  next_ = revision + 1;
}

void Follower::OnEnd(const absl::Status& why) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    why_ = why;
  }
  changed_.notify_all();
}

}  // namespace meltemi::apiserver
