#include "orchestrator/apiserver/http/watch_answer.h"

#include <utility>

namespace meltemi::apiserver {

kube::Outcome WatchResponse::Register(const WatchQuery& query) {
  kube::Result<std::unique_ptr<WatchRegistration>> registration =
      context_.shared.hub.Watch(context_.loop, query, *this);
  if (!registration.ok()) return registration.status();
  registration_ = *std::move(registration);
  return kube::Done{};
}

void WatchResponse::Start(Duration timeout) {
  timer_ = context_.loop.NewTimer([this] { Finish(); });
  timer_->Arm(timeout);
}

bool WatchResponse::Send(absl::string_view lines) {
  if (ending_ || over_) return false;
  // What one call brings is let through whatever its size: the first objects come in one.
  if (stream_.unsent_bytes() > context_.shared.options.watch_unsent_bytes_max) {
    EndSoon(true);
    return false;
  }
  Buffer data(lines);
  stream_.SendData(data, false);
  return true;
}

// Not at once: the hub may be on the stack.
void WatchResponse::EndSoon(bool broken_off) {
  if (ending_ || over_) return;
  ending_ = true;
  broken_off_ = broken_off;
  context_.loop.AtTurnEnd(this);
}

void WatchResponse::Finish() {
  if (over_) return;
  over_ = true;
  registration_.reset();
  if (timer_ != nullptr) timer_->Disarm();
  if (broken_off_) return stream_.Reset(http::ResetCause::kLimit);
  Buffer nothing;
  stream_.SendData(nothing, true);
}

}  // namespace meltemi::apiserver
