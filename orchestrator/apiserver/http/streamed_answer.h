// An answer whose body is read piece by piece from its source, on threads of the pool.
//
// Loop-owned; what is being read meanwhile belongs to a thread of the pool and is dropped when the
// answer is over. At most one piece waits for the client, and no thread waits for it or for the
// source. Where the source brings a translator (logs over a WebSocket), the client is heard too.
// There is no time-out for a client that takes nothing (`kubectl logs -f | less`): what it
// costs is bounded, and TCP's keepalive finds those that are gone.
#pragma once

#include <memory>

#include "base/http/stream.h"
#include "orchestrator/apiserver/http/answer.h"
#include "orchestrator/apiserver/http/body_source.h"
#include "orchestrator/apiserver/http/server_context.h"
#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::apiserver {

class StreamedAnswer final : public Answer {
 public:
  StreamedAnswer(LoopContext& context, http::Stream& stream, std::shared_ptr<BodySource> source);
  ~StreamedAnswer() override;

  // The head has been sent.
  void Start();
  void OnClientData(Buffer& data, bool end_stream) override;
  void OnClientBlocked(bool blocked) override;
  void Drain() override { BreakOff(); }

 private:
  struct Shared;

  void ReadOn();
  void OnPiece(BodySource::Next next, std::string piece);
  void OnWake();
  // The end is the client's to answer, where there is a translator.
  void Send(Buffer& data, bool end);
  void SendOut(Translator::Out& out);
  void OnTimer();
  void BreakOff();

  LoopContext& context_;
  http::Stream& stream_;
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<Translator> translator_;  // may be null
  const std::unique_ptr<Timer> timer_;
  bool blocked_ = false;
  bool reading_ = false;
  bool waiting_ = false;  // for the source
  bool woken_ = false;    // while it was read
  bool over_ = false;
};

}  // namespace meltemi::apiserver
