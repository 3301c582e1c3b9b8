// A watch: events of the hub as one answer without an end of its own.
//
// Loop-owned. Thousands of them stay open, so it keeps nothing but what it needs.
#pragma once

#include <memory>

#include "base/http/stream.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/answer.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

class WatchResponse final : public Answer, private WatchSink, private TurnEndTask {
 public:
  WatchResponse(LoopContext& context, http::Stream& stream) : context_(context), stream_(stream) {}
  ~WatchResponse() override = default;

  // Registers with the hub. Error: the Status to answer instead.
  kube::Outcome Register(const WatchQuery& query);
  // The head has been sent: from now on events may follow.
  void Start(Duration timeout);

  void Drain() override { EndSoon(false); }

 private:
  // --- WatchSink
  bool Send(absl::string_view lines) override;
  size_t UnsentBytes() const override { return over_ ? 0 : stream_.unsent_bytes(); }
  void End() override { EndSoon(false); }

  void RunAtTurnEnd() override { Finish(); }
  void EndSoon(bool broken_off);
  void Finish();

  LoopContext& context_;
  http::Stream& stream_;
  std::unique_ptr<Timer> timer_;
  bool ending_ = false;
  bool broken_off_ = false;  // the client is too slow
  bool over_ = false;
  std::unique_ptr<WatchRegistration> registration_;  // last: its end comes first
};

}  // namespace meltemi::apiserver
