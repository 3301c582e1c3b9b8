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

constexpr uint32_t kInformationalMax = 32;

// One connection to a server; at any time at most one exchange, whose Stream this is too.
//
// Reading:  kIdle -> kHead -> kBody -> kComplete -> kIdle …
//                    kHead -> kTunnel (101, or 2xx to CONNECT) -> kComplete
//           any   -> kStopped
class ClientConnection final : public ClientCodec, private Stream {
 public:
  ClientConnection(CodecTransport& transport, ClientCodecEvents& events, const Http1Limits& limits)
      : transport_(transport), events_(events), limits_(limits), body_(limits_) {}

  // --- ClientCodec
  absl::Status Receive(Buffer& in, bool end_of_input) override {
    in_receive_ = true;
    absl::Status status = absl::OkStatus();
    while (Step(in, end_of_input, &status)) {
    }
    in_receive_ = false;
    return status;
  }

  bool wants_input() const override {
    return !finished_ && read_ != Read::kStopped && !(open_ && paused_);
  }

  void OnTransportBlocked(bool blocked) override {
    transport_blocked_ = blocked;
    TellWriteBlocked();
  }

  void OnConnectionClosed(ResetCause cause, absl::string_view detail) override {
    finished_ = true;
    read_ = Read::kStopped;
    EndExchange(cause, detail);
  }

  size_t capacity() const override { return !finished_ && !open_ && !close_after_ ? 1 : 0; }

  Stream& NewStream(StreamReceiver* receiver) override {
    ++id_;
    open_ = true;
    paused_ = headers_sent_ = request_done_ = response_done_ = finish_due_ = false;
    told_blocked_ = tunnel_open_ = false;
    informational_count_ = 0;
    receiver_ = receiver;
    read_ = Read::kHead;
    if (transport_blocked_) transport_.ReceiveAgain();
    return *this;
  }

  bool finished() const override { return finished_; }
  size_t open_streams() const override { return open_ ? 1 : 0; }
  Protocol protocol() const override { return info_.protocol; }
  const CodecCounters& counters() const override { return counters_; }

 private:
  enum class Read : uint8_t { kIdle, kHead, kBody, kTunnel, kComplete, kStopped };

  // --- Stream
  void SendInformational(const HeaderMap&) override {}  // servers only

  void SendHeaders(const HeaderMap& headers, bool end_stream) override {
    if (!open_ || headers_sent_) return;
    headers_sent_ = true;
    request_ = WriteRequestHead(headers, end_stream, limits_.upgrade_any_method,
                                transport_.output(), &writer_);
    transport_.OutputReady();
    if (end_stream && writer_.kind() != BodyKind::kTunnel) EndRequest(nullptr);
  }

  void SendData(Buffer& data, bool end_stream) override {
    if (!open_ || request_done_) return data.Clear();
    if (writer_.kind() == BodyKind::kTunnel && !tunnel_open_) {
      // Nothing goes into a tunnel before the server has opened it.
      tunnel_queue_.MoveFrom(data);
      tunnel_queue_ended_ = end_stream;
      if (!tunnel_queue_.empty() && !told_blocked_) transport_.ReceiveAgain();
      return;
    }
    if (response_done_ && writer_.kind() != BodyKind::kTunnel) {
      data.Clear();
    } else {
      writer_.Write(data, transport_.output());
      transport_.OutputReady();
    }
    if (end_stream) EndRequest(nullptr);
  }

  void SendTrailers(const HeaderMap& trailers) override {
    if (open_ && !request_done_) EndRequest(&trailers);
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
  size_t unsent_bytes() const override { return transport_.output().size() + tunnel_queue_.size(); }
  uint64_t id() const override { return id_; }

  // --- Reading
  // One step of the machine; false when nothing more can be done now.
  bool Step(Buffer& in, bool end_of_input, absl::Status* status) {
    if (finish_due_) {
      EndExchange(ResetCause::kLocal, "");
      return true;
    }
    if (finished_) return false;
    TellWriteBlocked();
    switch (read_) {
      case Read::kIdle:
        if (!in.empty()) return Fail("bytes without a request", status);
        if (end_of_input) Close();
        return false;
      case Read::kHead:
        return ReadHead(in, end_of_input, status);
      case Read::kBody:
        return ReadBody(in, end_of_input, status);
      case Read::kTunnel:
        return ReadTunnel(in, end_of_input);
      case Read::kComplete:
        // The rest of the request is still to be ended by its user.
      case Read::kStopped:
        return false;
    }
    return false;
  }

  bool ReadHead(Buffer& in, bool end_of_input, absl::Status* status) {
    if (in.empty()) {
      if (!end_of_input) return false;
      finished_ = true;
      EndExchange(ResetCause::kConnectionLost, "the server closed before its response");
      return false;
    }
    if (!headers_sent_) return Fail("a response without a request", status);
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
        if (end_of_input) return Fail("the connection ended within a response head", status);
        return false;
      case ScanResult::kError:
        return Fail(error, status);
      case ScanResult::kComplete:
        break;
    }
    scan_ = HeadScan();
    if (ends.count == 0) return Fail("an empty line instead of a status line", status);
    HeaderMapPtr headers = HeaderMap::New();
    info_ = MessageInfo();
    error = ParseResponseHead(bytes.substr(0, head_bytes), ends, headers.get(), &info_);
    if (error) return Fail(error, status);
    in.Drain(head_bytes);
    return TakeResponse(std::move(headers), status);
  }

  bool TakeResponse(HeaderMapPtr headers, absl::Status* status) {
    const int code = headers->status();
    if (code < 200 && code != 101) {
      if (++informational_count_ > kInformationalMax) {
        return Fail({431, "too many informational responses"}, status);
      }
      if (receiver_ != nullptr) receiver_->OnInformational(std::move(headers));
      return true;
    }
    const bool tunnel =
        (code == 101 && request_.wants_upgrade) || (request_.is_connect && code < 300);
    if (code == 101 && !(tunnel && info_.upgrade)) {
      return Fail("101 to a request that did not ask for an upgrade", status);
    }
    if (tunnel) return OpenTunnel(std::move(headers));
    DropTunnelQueue();
    StartBody(code);
    if (!info_.keep_alive || body_.kind() == BodyKind::kUntilClose) {
      close_after_ = true;
      events_.OnPeerDraining();
    }
    const bool end_stream = body_.kind() == BodyKind::kNone;
    read_ = end_stream ? Read::kComplete : Read::kBody;
    response_done_ = end_stream;
    if (receiver_ != nullptr) receiver_->OnHeaders(std::move(headers), end_stream);
    if (end_stream) EndResponse();
    return true;
  }

  // RFC 9112 6.3.
  void StartBody(int code) {
    BodyKind kind = info_.body;
    if (request_.is_head || code == 204 || code == 304) {
      kind = BodyKind::kNone;
    } else if (kind == BodyKind::kNone && !info_.has_content_length) {
      kind = BodyKind::kUntilClose;
    }
    body_.Start(kind, info_.content_length);
  }

  bool OpenTunnel(HeaderMapPtr headers) {
    close_after_ = tunnel_open_ = true;
    read_ = Read::kTunnel;
    if (request_.from_extended_connect) {
      headers->set_status(200);
      headers->Remove(HeaderId::kUpgrade);
      if (request_.own_websocket_key) headers->Remove("sec-websocket-accept");
    }
    headers->Remove(HeaderId::kContentLength);
    events_.OnPeerDraining();
    if (receiver_ != nullptr) receiver_->OnHeaders(std::move(headers), false);
    if (!open_ || finish_due_) return true;
    if (!tunnel_queue_.empty() || tunnel_queue_ended_) {
      Buffer queued = std::move(tunnel_queue_);
      const bool ended = std::exchange(tunnel_queue_ended_, false);
      SendData(queued, ended);
    }
    return true;
  }

  // The server wants no tunnel: the request was an ordinary one without a body.
  void DropTunnelQueue() {
    if (writer_.kind() != BodyKind::kTunnel) return;
    tunnel_queue_.Clear();
    tunnel_queue_ended_ = false;
    request_done_ = true;
    if (request_.is_connect) close_after_ = true;
  }

  bool ReadBody(Buffer& in, bool end_of_input, absl::Status* status) {
    if (paused_) return false;
    if (trailers_ != nullptr) return DeliverTrailers();
    Buffer data;
    BodyReader::Result result = body_.Read(in, data);
    if (result == BodyReader::Result::kError) return Fail(body_.error(), status);
    if (result == BodyReader::Result::kMore && end_of_input &&
        body_.kind() == BodyKind::kUntilClose) {
      result = BodyReader::Result::kDone;
    }
    if (result == BodyReader::Result::kMore) {
      if (!data.empty() && receiver_ != nullptr) receiver_->OnData(data, false);
      if (!end_of_input || paused_ || finish_due_) return finish_due_;
      finished_ = true;
      EndExchange(ResetCause::kConnectionLost, "the server closed within its response");
      return false;
    }
    trailers_ = body_.TakeTrailers();
    if (trailers_ == nullptr) {
      read_ = Read::kComplete;
      response_done_ = true;
      if (receiver_ != nullptr) receiver_->OnData(data, true);
      EndResponse();
      return true;
    }
    if (!data.empty() && receiver_ != nullptr) receiver_->OnData(data, false);
    // The receiver may have had enough for now, or for good.
    if (finish_due_) return true;
    return paused_ ? false : DeliverTrailers();
  }

  bool DeliverTrailers() {
    read_ = Read::kComplete;
    response_done_ = true;
    if (receiver_ != nullptr) receiver_->OnTrailers(std::move(trailers_));
    trailers_.reset();
    EndResponse();
    return true;
  }

  bool ReadTunnel(Buffer& in, bool end_of_input) {
    if (paused_ || (in.empty() && !end_of_input)) return false;
    if (end_of_input) {
      read_ = Read::kComplete;
      response_done_ = true;
    }
    if (receiver_ != nullptr) receiver_->OnData(in, end_of_input);
    in.Clear();
    if (end_of_input) EndResponse();
    return finish_due_;
  }

  bool Fail(const char* what, absl::Status* status) { return Fail({400, what}, status); }

  bool Fail(ParseError error, absl::Status* status) {
    const bool limit = error.status == 431 || error.status == 414;
    ++(limit ? counters_.limit_errors : counters_.protocol_errors);
    *status =
        limit ? absl::ResourceExhaustedError(error.what) : absl::InvalidArgumentError(error.what);
    finished_ = true;
    read_ = Read::kStopped;
    EndExchange(limit ? ResetCause::kLimit : ResetCause::kProtocolError, error.what);
    return false;
  }

  // --- Ending
  void Close() {
    finished_ = true;
    events_.OnPeerDraining();
  }

  void TellWriteBlocked() {
    if (!open_ || finish_due_ || receiver_ == nullptr) return;
    const bool blocked = transport_blocked_ || !tunnel_queue_.empty();
    if (blocked == told_blocked_) return;
    told_blocked_ = blocked;
    receiver_->OnWriteBlocked(blocked);
  }

  void EndRequest(const HeaderMap* trailers) {
    request_done_ = true;
    if (writer_.kind() == BodyKind::kTunnel) {
      if (response_done_) return FinishSoon();
      return transport_.CloseWrite();
    }
    if (!response_done_) {
      if (!writer_.Finish(trailers, transport_.output())) close_after_ = true;
      transport_.OutputReady();
    }
    if (response_done_) FinishSoon();
  }

  void EndResponse() {
    if (finish_due_) return;
    if (request_done_) return FinishSoon();
    // What is left of the request goes nowhere, and the connection can't be used again.
    close_after_ = true;
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
    tunnel_queue_.Clear();
    tunnel_queue_ended_ = false;
    if (close_after_) finished_ = true;
    read_ = finished_ ? Read::kStopped : Read::kIdle;
    if (receiver != nullptr) receiver->OnReset(cause, detail);
    events_.OnStreamFinished(*this);
  }

  CodecTransport& transport_;
  ClientCodecEvents& events_;
  const Http1Limits limits_;

  // The connection.
  CodecCounters counters_;
  bool in_receive_ = false;
  bool transport_blocked_ = false;
  bool finished_ = false;
  bool close_after_ = false;
  Read read_ = Read::kIdle;
  HeadScan scan_;

  // The exchange.
  uint64_t id_ = 0;
  StreamReceiver* receiver_ = nullptr;
  bool open_ = false;
  bool paused_ = false;
  bool headers_sent_ = false;
  bool request_done_ = false;
  bool response_done_ = false;
  bool finish_due_ = false;  // both sides are done: to be ended by the next step
  bool told_blocked_ = false;
  bool tunnel_open_ = false;
  uint32_t informational_count_ = 0;
  RequestHeadInfo request_;
  MessageInfo info_;
  BodyReader body_;
  HeaderMapPtr trailers_;  // received, and not told yet
  BodyWriter writer_;
  // What came for a tunnel before the server's answer.
  Buffer tunnel_queue_;
  bool tunnel_queue_ended_ = false;
};

}  // namespace
}  // namespace h1

std::unique_ptr<ClientCodec> NewHttp1ClientCodec(CodecTransport& transport,
                                                 ClientCodecEvents& events,
                                                 const Http1Limits& limits) {
  return std::make_unique<h1::ClientConnection>(transport, events, limits);
}

}  // namespace meltemi::http
