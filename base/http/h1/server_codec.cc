#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/http/codec.h"
#include "base/http/h1/body_reader.h"
#include "base/http/h1/head_parser.h"
#include "base/http/h1/head_writer.h"

namespace meltemi::http {
namespace h1 {
namespace {

// Requests are not looked at while this much of the answers to earlier ones waits to be sent.
constexpr size_t kPipelineOutputMax = 256 * 1024;
// Empty lines before a request line (RFC 9112 2.2 asks for at least one to be ignored).
constexpr uint32_t kEmptyLinesMax = 8;

// One connection; at any time at most one exchange, whose Stream this is too.
//
// Reading:  kHead -> kBody -> kComplete -> kHead …       a request, its answer, the next one
//           kHead -> kTunnelPending -> kTunnel           CONNECT or Upgrade, accepted
//                                   \-> kBody (empty)    or not
//           any   -> kStopped                            nothing more is read
class ServerConnection final : public ServerCodec, private Stream {
 public:
  ServerConnection(CodecTransport& transport, ServerCodecEvents& events, const Http1Limits& limits)
      : transport_(transport), events_(events), limits_(limits), body_(limits_) {}

  // --- ServerCodec
  absl::Status Receive(Buffer& in, bool end_of_input) override {
    in_receive_ = true;
    absl::Status status = absl::OkStatus();
    while (Step(in, end_of_input, &status)) {
    }
    in_receive_ = false;
    input_waits_ = !in.empty();
    return status;
  }

  bool wants_input() const override {
    if (finished_ || held_ || read_ == Read::kStopped) return false;
    if (open_ && paused_) return false;
    // Bytes that can't be used yet were left: more of them would only pile up. With none left, the
    // peer's end should still be noticed.
    return !input_waits_ || read_ == Read::kHead || read_ == Read::kBody || read_ == Read::kTunnel;
  }

  void OnTransportBlocked(bool blocked) override {
    if (!blocked && held_) transport_.ReceiveAgain();
    if (blocked == transport_blocked_) return;
    transport_blocked_ = blocked;
    if (open_ && !finish_due_ && receiver_ != nullptr) receiver_->OnWriteBlocked(blocked);
  }

  void StartDrain() override {
    draining_ = true;
    if (!open_ && !finish_due_) finished_ = true;
  }
  void FinishDrain() override { StartDrain(); }

  void OnConnectionClosed(ResetCause cause, absl::string_view detail) override {
    finished_ = true;
    read_ = Read::kStopped;
    EndExchange(cause, detail);
  }

  bool finished() const override { return finished_; }
  size_t open_streams() const override { return open_ ? 1 : 0; }
  Protocol protocol() const override { return info_.protocol; }
  const CodecCounters& counters() const override { return counters_; }

 private:
  enum class Read : uint8_t { kHead, kBody, kTunnelPending, kTunnel, kComplete, kStopped };

  // --- Stream
  void SendInformational(const HeaderMap& headers) override {
    if (!open_ || headers_sent_ || info_.protocol == Protocol::kHttp10) return;
    WriteInformational(headers, transport_.output());
    transport_.OutputReady();
  }

  void SendHeaders(const HeaderMap& headers, bool end_stream) override {
    if (!open_ || headers_sent_) return;
    headers_sent_ = true;
    // An answer that is over before its request ends the connection: what comes is not read.
    if (draining_ || !info_.keep_alive || (end_stream && RequestIsIncomplete()))
      close_after_ = true;
    ResponseContext context;
    context.to_head = is_head_;
    context.to_connect = is_connect_;
    context.to_upgrade = info_.upgrade;
    context.peer = info_.protocol;
    if (read_ == Read::kTunnelPending && is_connect_ &&
        (headers.status() < 200 || headers.status() > 299)) {
      close_after_ = true;  // bytes for the tunnel may be under way: never read them as a request
    }
    context.keep_alive = !close_after_;
    WriteResponseHead(headers, context, end_stream, transport_.output(), &writer_);
    if (writer_.kind() == BodyKind::kUntilClose) close_after_ = true;
    if (read_ == Read::kTunnelPending) LeaveTunnelPending();
    transport_.OutputReady();
    if (end_stream) EndResponse(nullptr);
  }

  void SendData(Buffer& data, bool end_stream) override {
    if (!open_ || write_done_) return data.Clear();
    writer_.Write(data, transport_.output());
    if (end_stream) return EndResponse(nullptr);
    transport_.OutputReady();
  }

  void SendTrailers(const HeaderMap& trailers) override {
    if (open_ && !write_done_) EndResponse(&trailers);
  }

  void Reset(ResetCause cause) override {
    if (!open_) return;
    ++counters_.resets_sent;
    receiver_ = nullptr;
    read_ = Read::kStopped;
    close_after_ = true;
    FinishSoon();
  }

  void PauseReading(bool paused) override {
    if (paused_ == paused) return;
    paused_ = paused;
    if (!paused && !in_receive_) transport_.ReceiveAgain();
  }

  void SetReceiver(StreamReceiver* receiver) override { receiver_ = receiver; }
  size_t unsent_bytes() const override { return transport_.output().size(); }
  uint64_t id() const override { return id_; }

  // --- Reading
  // One step of the machine; false when nothing more can be done now.
  bool Step(Buffer& in, bool end_of_input, absl::Status* status) {
    if (finish_due_) {
      EndExchange(ResetCause::kLocal, "");
      return true;
    }
    if (finished_) return false;
    switch (read_) {
      case Read::kHead:
        return ReadHead(in, end_of_input, status);
      case Read::kBody:
        return ReadBody(in, end_of_input, status);
      case Read::kTunnel:
        return ReadTunnel(in, end_of_input);
      case Read::kTunnelPending:
      case Read::kComplete:
        if (end_of_input && open_ && writer_.kind() != BodyKind::kTunnel) {
          finished_ = true;
          EndExchange(ResetCause::kConnectionLost, "the client closed before its response ended");
        }
        return false;
      case Read::kStopped:
        return false;
    }
    return false;
  }

  bool ReadHead(Buffer& in, bool end_of_input, absl::Status* status) {
    if (draining_ || (end_of_input && in.empty())) {
      finished_ = true;
      return false;
    }
    held_ = transport_blocked_ || transport_.output().size() > kPipelineOutputMax;
    if (held_) return false;
    if (!SkipEmptyLines(in)) return Fail({400, "empty lines instead of a request"}, status);
    if (in.empty()) return false;
    absl::string_view bytes = in.Front();
    if (bytes.size() < in.size() && bytes.size() <= limits_.headers_bytes_max) {
      bytes = in.Linearize(std::min(in.size(), limits_.headers_bytes_max + 1));
    }
    LineEnds ends;
    size_t head_bytes = 0;
    ParseError error;
    const HeadLimits limits = {limits_.headers_bytes_max, limits_.headers_count_max};
    switch (ScanHead(bytes, limits, &scan_, &ends, &head_bytes, &error)) {
      case ScanResult::kIncomplete:
        if (end_of_input) return Fail({400, "the connection ended within a request head"}, status);
        return false;
      case ScanResult::kError:
        return Fail(error, status);
      case ScanResult::kComplete:
        break;
    }
    HeaderMapPtr headers = HeaderMap::New();
    info_ = MessageInfo();
    error = ParseRequestHead(bytes.substr(0, head_bytes), ends, limits_.upgrade_any_method,
                             headers.get(), &info_);
    if (!error && info_.protocol == Protocol::kHttp10 && !limits_.accept_http10) {
      error = {426, "HTTP/1.0 is not accepted"};
    }
    if (error) return Fail(error, status);
    in.Drain(head_bytes);
    BeginExchange(std::move(headers));
    return true;
  }

  // False when there are too many.
  bool SkipEmptyLines(Buffer& in) {
    if (scan_.at != 0) return true;
    while (in.size() >= 2) {
      char start[2];
      in.CopyOut(0, 2, start);
      if (start[0] != '\r' || start[1] != '\n') break;
      if (++empty_lines_ > kEmptyLinesMax) return false;
      in.Drain(2);
    }
    return true;
  }

  void BeginExchange(HeaderMapPtr headers) {
    ++id_;
    scan_ = HeadScan();
    empty_lines_ = 0;
    open_ = true;
    paused_ = headers_sent_ = write_done_ = close_after_ = false;
    is_head_ = headers->method() == "HEAD";
    is_connect_ = headers->method() == "CONNECT";
    writer_.Start(BodyKind::kNone, 0);
    body_.Start(info_.body, info_.content_length);
    const bool tunnel = is_connect_ || info_.upgrade;
    read_ = tunnel                          ? Read::kTunnelPending
            : info_.body == BodyKind::kNone ? Read::kComplete
                                            : Read::kBody;
    receiver_ = events_.OnNewStream(*this);
    if (receiver_ != nullptr) receiver_->OnHeaders(std::move(headers), read_ == Read::kComplete);
    if (transport_blocked_ && !finish_due_ && receiver_ != nullptr) receiver_->OnWriteBlocked(true);
  }

  bool ReadBody(Buffer& in, bool end_of_input, absl::Status* status) {
    if (paused_) return false;
    if (trailers_ != nullptr) return DeliverTrailers();
    Buffer data;
    const BodyReader::Result result = body_.Read(in, data);
    if (result == BodyReader::Result::kError) return Fail(body_.error(), status);
    if (result == BodyReader::Result::kMore) {
      if (!data.empty() && receiver_ != nullptr) receiver_->OnData(data, false);
      if (!end_of_input || paused_ || finish_due_) return finish_due_;
      ++counters_.protocol_errors;
      finished_ = true;
      read_ = Read::kStopped;
      EndExchange(ResetCause::kConnectionLost, "the client closed within its request");
      return false;
    }
    trailers_ = body_.TakeTrailers();
    if (trailers_ == nullptr) {
      read_ = Read::kComplete;
      if (receiver_ != nullptr) receiver_->OnData(data, true);
      return true;
    }
    if (!data.empty() && receiver_ != nullptr) receiver_->OnData(data, false);
    // The receiver may have had enough for now, or for good.
    if (finish_due_) return true;
    return paused_ ? false : DeliverTrailers();
  }

  bool DeliverTrailers() {
    read_ = Read::kComplete;
    if (receiver_ != nullptr) receiver_->OnTrailers(std::move(trailers_));
    trailers_.reset();
    return true;
  }

  bool ReadTunnel(Buffer& in, bool end_of_input) {
    if (paused_) return false;
    if (in.empty() && !end_of_input) return false;
    if (end_of_input) read_ = Read::kComplete;
    if (receiver_ != nullptr) receiver_->OnData(in, end_of_input);
    in.Clear();
    if (end_of_input && write_done_) {
      close_after_ = true;
      FinishSoon();
    }
    return finish_due_;
  }

  // The bytes break the protocol: answers if that is still possible, and gives up the connection.
  bool Fail(ParseError error, absl::Status* status) {
    const bool limit = error.status == 431 || error.status == 414;
    ++(limit ? counters_.limit_errors : counters_.protocol_errors);
    if (!open_ || !headers_sent_) {
      WriteErrorResponse(error.status, transport_.output());
      transport_.OutputReady();
    }
    finished_ = true;
    read_ = Read::kStopped;
    *status =
        limit ? absl::ResourceExhaustedError(error.what) : absl::InvalidArgumentError(error.what);
    EndExchange(limit ? ResetCause::kLimit : ResetCause::kProtocolError, error.what);
    return false;
  }

  // --- Ending
  bool RequestIsIncomplete() const {
    return read_ == Read::kBody && body_.kind() != BodyKind::kNone && trailers_ == nullptr;
  }

  // The response to CONNECT or Upgrade has been written: either there is a tunnel, or the request
  // was an ordinary one without a body.
  void LeaveTunnelPending() {
    if (writer_.kind() == BodyKind::kTunnel) {
      read_ = Read::kTunnel;
    } else {
      body_.Start(BodyKind::kNone, 0);
      read_ = Read::kBody;
    }
    if (!in_receive_) transport_.ReceiveAgain();
  }

  void EndResponse(const HeaderMap* trailers) {
    write_done_ = true;
    if (writer_.kind() == BodyKind::kTunnel) {
      transport_.CloseWrite();
      if (read_ != Read::kComplete) return;
      close_after_ = true;
      return FinishSoon();
    }
    if (!writer_.Finish(trailers, transport_.output())) close_after_ = true;
    transport_.OutputReady();
    if (RequestIsIncomplete()) close_after_ = true;
    FinishSoon();
  }

  void FinishSoon() {
    finish_due_ = true;
    if (!in_receive_) transport_.ReceiveAgain();
  }

  // Forgets the exchange. When it has not finished by itself, the receiver is told why.
  void EndExchange(ResetCause cause, absl::string_view detail) {
    if (!open_) return;
    StreamReceiver* const receiver = finish_due_ ? nullptr : receiver_;
    open_ = finish_due_ = false;
    receiver_ = nullptr;
    trailers_.reset();
    if (close_after_ || draining_) finished_ = true;
    read_ = finished_ ? Read::kStopped : Read::kHead;
    if (receiver != nullptr) receiver->OnReset(cause, detail);
    events_.OnStreamFinished(*this);
  }

  CodecTransport& transport_;
  ServerCodecEvents& events_;
  const Http1Limits limits_;

  // The connection.
  CodecCounters counters_;
  bool in_receive_ = false;
  bool input_waits_ = false;
  bool transport_blocked_ = false;
  bool held_ = false;  // requests wait until the answers before them have gone out
  bool draining_ = false;
  bool finished_ = false;
  Read read_ = Read::kHead;
  HeadScan scan_;
  uint32_t empty_lines_ = 0;

  // The exchange.
  uint64_t id_ = 0;
  StreamReceiver* receiver_ = nullptr;
  bool open_ = false;
  bool paused_ = false;
  bool is_head_ = false;
  bool is_connect_ = false;
  bool headers_sent_ = false;
  bool write_done_ = false;
  bool close_after_ = false;
  bool finish_due_ = false;  // both sides are done: to be ended by the next step
  MessageInfo info_;
  BodyReader body_;
  HeaderMapPtr trailers_;  // received, and not told yet
  BodyWriter writer_;
};

}  // namespace
}  // namespace h1

std::unique_ptr<ServerCodec> NewHttp1ServerCodec(CodecTransport& transport,
                                                 ServerCodecEvents& events,
                                                 const Http1Limits& limits) {
  return std::make_unique<h1::ServerConnection>(transport, events, limits);
}

}  // namespace meltemi::http
