// One request on one stream: its body is collected, a handler works on it, its answer is sent.
//
//   kReceiving --> kHandling --> kAnswering --> kOver
//         \____________\_____________________^  (refused, timed out, reset)
//
// Loop-owned, by its connection, which destroys it once the codec has forgotten the stream. The
// handler's thread has the request meanwhile; what it answers comes back through the loop, and is
// dropped when nobody waits for it any more.
#pragma once

#include <memory>
#include <string>

#include "base/http/stream.h"
#include "orchestrator/apiserver/http/answer.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

class Exchange final : public http::StreamReceiver {
 public:
  Exchange(LoopContext& context, std::shared_ptr<const PeerInfo> peer, http::Stream& stream);
  ~Exchange() override;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // The server is about to stop.
  void Drain();

 private:
  enum class State : uint8_t { kReceiving, kHandling, kAnswering, kOver };
  struct Job;

  // --- http::StreamReceiver
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override;
  void OnTrailers(http::HeaderMapPtr) override { OnRequestEnd(); }
  void OnReset(http::ResetCause cause, absl::string_view detail) override;
  void OnWriteBlocked(bool blocked) override;

  // False: an error has been answered.
  bool ReadHead(const http::HeaderMap& headers);
  bool ReadDeadline();
  void OnRequestEnd();
  void Dispatch();
  static void RunHandler(const std::shared_ptr<Job>& job, LoopContext& context);
  void OnReply(Reply reply, Request request);
  void AnswerBody(const Request& request, Body body);
  void AnswerWatch(Request& request, const WatchAnswer& watch);
  void AnswerStream(const Request& request, StreamAnswer stream);
  void AnswerProxy(Request& request, const ProxyAnswer& proxy);
  void OnProxyFailed(const kube::Status& status);
  void Refuse(const kube::Status& status);
  void OnDeadline();
  bool CountBody(size_t bytes);
  void Leave();

  LoopContext& context_;
  http::Stream& stream_;
  State state_ = State::kReceiving;
  bool head_only_ = false;  // HEAD
  bool request_ended_ = false;
  bool write_blocked_ = false;
  std::shared_ptr<const PeerInfo> peer_;
  std::shared_ptr<Job> job_;  // null once there is an answer
  std::unique_ptr<Timer> deadline_timer_;
  std::unique_ptr<Answer> answer_;
};

}  // namespace meltemi::apiserver
