// A whole answer, handed to the stream in pieces as the client takes them.
//
// Loop-owned.
#pragma once

#include <memory>
#include <string>

#include "base/http/stream.h"
#include "orchestrator/apiserver/http/answer.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

class BodyAnswer final : public Answer {
 public:
  // The head has been sent. `bytes` is not empty.
  BodyAnswer(LoopContext& context, http::Stream& stream, std::string bytes);
  ~BodyAnswer() override;

  // The first pieces. Small answers are over with it.
  void Start() { Pump(); }
  // Everything has been handed over.
  bool ended() const { return ended_; }
  void OnClientBlocked(bool blocked) override;

 private:
  void Pump();
  void OnStallTimer();

  LoopContext& context_;
  http::Stream& stream_;
  const std::string bytes_;
  const std::unique_ptr<Timer> stall_timer_;
  size_t sent_ = 0;
  bool blocked_ = false;
  bool ended_ = false;
  uint64_t progress_ = 0;  // when the timer looked last
  // Points here while this lives: for work that is posted.
  std::shared_ptr<BodyAnswer*> self_;
};

}  // namespace meltemi::apiserver
