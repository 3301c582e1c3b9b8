#include "orchestrator/app/background.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::orchestrator {

Background::Background(Options options, std::function<absl::Status()> task)
    : options_(std::move(options)),
      task_(std::move(task)),
      last_(absl::UnavailableError(absl::StrCat(options_.name, " has not run yet"))),
      thread_([this] { Run(); }) {}

Background::~Background() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status Background::last() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_;
}

void Background::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto wait = [&] {
    return changed_.wait_for(lock, options_.interval, [this] { return stopping_; });
  };
  if (!options_.at_once && wait()) return;
  while (!stopping_) {
    lock.unlock();
    absl::Status status = task_();
    lock.lock();
    if (!status.ok() && status != last_) {
      LOG(kWarn, "main", options_.name, ": ", status.message());
    }
    last_ = std::move(status);
    if (options_.until_ok && last_.ok()) return;
    if (wait()) return;
  }
}

}  // namespace meltemi::orchestrator
