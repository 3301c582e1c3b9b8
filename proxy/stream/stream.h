// One request on its way down and its response on the way back up.
//
//                 OnHeaders
//      kFree ----------------> kFilters <------> kPaused      a filter waits (fault delay)
//                                 |     |
//            all filters passed   |     |  a filter, a check or the route answers
//                                 v     v
//                            kForwarding --> kResponding --> kOver
//                                 |               |            ^
//                                 +---------------+------------+  resets, time-outs
//
// kForwarding: the exchange with the cluster is under way (proxy/stream/exchange.h). kResponding:
// the response's headers have gone downstream. kOver: both directions are done, or the stream was
// reset; what still comes is ignored. Then the codec forgets its stream, and End() writes the log
// and counts: exactly once, whatever the way to the end.
//
// Loop-owned; comes from a StreamPool and goes back to it. Per request it allocates nothing itself.
//
// The stages: stream_request.cc (down), stream_response.cc (up), stream_end.cc (time-outs, resets,
// the account).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "proxy/filters/filter.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/exchange.h"
#include "proxy/stream/http_runtime.h"
#include "proxy/stream/reply/reply.h"
#include "proxy/upstream/attempt/mirror.h"

namespace meltemi::proxy {

class StreamPool;

class Stream final : public http::StreamReceiver, private ExchangeEvents {
 public:
  Stream(WorkerContext& worker, StreamPool& pool);
  ~Stream() override;

  // `downstream` is the codec's; `peer` outlives the stream's use.
  void Begin(const std::shared_ptr<HttpRuntime>& runtime, const DownstreamPeer& peer,
             http::Stream& downstream);
  // The codec has forgotten the stream (or the connection is gone): logs, counts. The caller then
  // releases it to the pool.
  void End();
  // By the pool.
  void Recycle();

  bool tunnel() const { return tunnel_open_; }
  const StreamInfo& info() const { return info_; }

 private:
  enum class State : uint8_t { kFree, kFilters, kPaused, kForwarding, kResponding, kOver };

  // A filter's place in the chain: an object, or a factory that judges without one.
  struct FilterSlot {
    std::unique_ptr<Filter> filter;
    FilterFactory* judge;
  };

  // What filters see of the stream.
  struct FilterSide final : public FilterStream {
    explicit FilterSide(Stream& stream) : stream(stream) {}
    Loop& loop() override;
    Random& random() override;
    StreamInfo& info() override;
    const Route* route() const override;
    const FilterOverrides* overrides() const override;
    absl::string_view cluster_name() const override;
    void Continue() override;
    void Answer(LocalReply reply) override;
    Stream& stream;
  };

  // --- http::StreamReceiver: what comes from downstream
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override;
  void OnTrailers(http::HeaderMapPtr trailers) override;
  void OnReset(http::ResetCause cause, absl::string_view detail) override;
  void OnWriteBlocked(bool blocked) override;

  // --- ExchangeEvents: what comes from upstream
  void OnUpstreamInformational(http::HeaderMapPtr headers) override;
  void OnUpstreamHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnUpstreamData(Buffer& data, bool end_stream) override;
  void OnUpstreamTrailers(http::HeaderMapPtr trailers) override;
  void OnUpstreamFailed(StreamError error, absl::string_view detail) override;
  void OnUpstreamBlocked(bool blocked) override;

  // --- Down (stream_request.cc)
  void BeginInfo();
  bool CheckHeaders();
  void FindRoute();
  bool CheckUpgrade();
  bool RedirectToTls();
  void MakeFilters();
  void RunFilters();
  void ContinueAfterPause();
  void AnswerFromFilter(LocalReply reply);
  void Dispatch();
  void Forward();
  ExchangeOptions MakeExchange(absl::string_view cluster);
  void StartMirrors(const BalanceContext& balance, Duration timeout);
  void SendHeldBody();
  void SendBody(Buffer& data, bool end_stream);
  void ExpectContinue();
  void RequestEnded();
  void PauseDownstream(bool paused, uint8_t reason);

  // --- Up (stream_response.cc)
  void Fail(StreamError error, absl::string_view detail = {}, int cluster_not_found_status = 503);
  void AnswerLocally(int status, int grpc_status, absl::string_view body, absl::string_view details,
                     const http::HeaderMap* extra = nullptr);
  void SendLocal(LocalAnswer answer);
  void SendDirect();
  void SendRedirect(int status, absl::string_view location, absl::string_view details);
  void FinishUpstreamHeaders(http::HeaderMap& headers);
  void SendHeadersDown(bool end_stream);
  void ResponseEnded();

  // --- The end (stream_end.cc)
  void ResetDownstream(http::ResetCause cause);
  void Over();
  void EndFilters();
  void ArmTimers();
  void ArmMaxDuration(Duration after);
  void Touch();
  void OnIdle();
  void OnMaxDuration();
  void OnRequestTimeout();
  void StopTimers();
  void CountEnd();

  Loop& loop() { return worker_.loop; }
  MonotonicTime Now() const { return worker_.loop.Now(); }

  // --- Constant after construction
  WorkerContext& worker_;
  StreamPool& pool_;
  FilterSide filter_side_{*this};

  // --- Of the current use
  State state_ = State::kFree;
  std::shared_ptr<HttpRuntime> runtime_;
  const DownstreamPeer* peer_ = nullptr;
  http::Stream* downstream_ = nullptr;  // null once it must not be used any more
  StreamInfo info_;
  Exchange exchange_;
  http::HeaderMapPtr request_, response_, response_trailers_;

  RouteTableHold routes_;  // keeps route_ and what it points to alive
  const Route* route_ = nullptr;
  const VirtualHost* virtual_host_ = nullptr;
  const WeightedCluster* picked_ = nullptr;
  uint64_t random_ = 0;
  std::string upgrade_;                   // "websocket", "connect" …; "" for none
  std::vector<std::string> set_cookies_;  // made by the hash policies

  std::vector<FilterSlot> filters_;
  size_t next_filter_ = 0;
  bool in_filter_ = false;  // a filter's OnRequestHeaders is on the stack
  std::unique_ptr<LocalReply> filter_reply_;
  Buffer held_body_;  // came before the exchange began
  http::HeaderMapPtr held_trailers_;
  std::vector<std::unique_ptr<Mirror>> mirrors_;

  bool grpc_ = false;
  bool request_ended_ = false;  // downstream's direction
  bool response_started_ = false;
  bool response_ended_ = false;
  bool tunnel_open_ = false;
  bool downstream_blocked_ = false;  // the client takes no more just now
  bool ended_ = true;                // End() has run
  uint8_t paused_for_ = 0;           // reasons to pause downstream
  Duration idle_timeout_{0};

  // Made at first use, kept over recycling.
  std::unique_ptr<Timer> idle_timer_, max_timer_, request_timer_;
};

}  // namespace meltemi::proxy
