#include "orchestrator/apiserver/http/body_answer.h"

#include <algorithm>
#include <utility>

namespace meltemi::apiserver {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

}  // namespace

BodyAnswer::BodyAnswer(LoopContext& context, http::Stream& stream, std::string bytes)
    : context_(context),
      stream_(stream),
      bytes_(std::move(bytes)),
      stall_timer_(context.loop.NewTimer([this] { OnStallTimer(); })) {
  stall_timer_->Arm(context_.shared.options.answer_stall_timeout);
  context_.shared.answer_bytes.fetch_add(bytes_.size(), std::memory_order_relaxed);
}

BodyAnswer::~BodyAnswer() {
  context_.shared.answer_bytes.fetch_sub(bytes_.size(), std::memory_order_relaxed);
  if (self_ != nullptr) *self_ = nullptr;
}

void BodyAnswer::Pump() {
  if (ended_ || blocked_) return;
  const size_t count = std::min(bytes_.size() - sent_, kPieceBytes);
  Buffer piece(absl::string_view(bytes_).substr(sent_, count));
  sent_ += count;
  ended_ = sent_ == bytes_.size();
  stream_.SendData(piece, ended_);
  if (ended_) return;
  // Whether there is room for more shows once this turn has written.
  if (self_ == nullptr) self_ = std::make_shared<BodyAnswer*>(this);
  context_.loop.Post([self = self_] {
    if (*self != nullptr) (*self)->Pump();
  });
}

void BodyAnswer::OnClientBlocked(bool blocked) {
  if (blocked_ == blocked) return;
  blocked_ = blocked;
  if (!blocked) Pump();
}

void BodyAnswer::OnStallTimer() {
  const uint64_t progress = sent_ - std::min(sent_, stream_.unsent_bytes());
  if (progress == progress_) {
    ended_ = true;
    return stream_.Reset(http::ResetCause::kLimit);
  }
  progress_ = progress;
  stall_timer_->Arm(context_.shared.options.answer_stall_timeout);
}

}  // namespace meltemi::apiserver
