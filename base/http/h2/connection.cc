#include "base/http/h2/connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::http::h2 {
namespace {

// More is not taken from nghttp2 while this much waits in the transport.
constexpr size_t kOutputHighBytes = 256 * 1024;
// Stream ids run out at 2^31; a new connection is opened well before.
constexpr uint32_t kStreamIdHigh = 0x7fff0000;
// How many ranges of skipped stream ids are remembered; no ordinary client skips any.
constexpr size_t kSkippedRangesMax = 32;
constexpr size_t kFieldOverheadBytes = 32;  // RFC 9113 6.5.2

absl::string_view ErrorName(uint32_t code) { return nghttp2_http2_strerror(code); }

}  // namespace

// ---- Entry points
// --------------------------------------------------------------------------------

absl::Status Connection::Receive(Buffer& in, bool end_of_input) {
  if (finished_) return status_;
  in_call_ = true;
  while (!in.empty() && fatal_ == nullptr) {
    const absl::string_view run = in.Front();
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(run.data()), run.size());
    if (used < 0) {
      if (fatal_ == nullptr) {
        fatal_ = nghttp2_strerror(static_cast<int>(used));
        fatal_is_limit_ = used == NGHTTP2_ERR_FLOODED;
      }
      break;
    }
    in.Drain(static_cast<size_t>(used));
    dirty_ = true;
    CheckQueues();
  }
  FailFatally();
  Settle();
  if (end_of_input && !finished_) {
    finished_ = true;
    CloseAll(ResetCause::kConnectionLost, "the peer closed the connection");
  }
  in_call_ = false;
  return status_;
}

void Connection::OnTransportBlocked(bool blocked) {
  transport_blocked_ = blocked;
  if (blocked || in_call_ || !held_) return;
  in_call_ = true;
  dirty_ = true;
  Settle();
  in_call_ = false;
}

void Connection::OnConnectionClosed(ResetCause cause, absl::string_view detail) {
  finished_ = true;
  in_call_ = true;
  CloseAll(cause, detail);
  in_call_ = false;
}

void Connection::SubmitShutdownNotice() {
  nghttp2_submit_shutdown_notice(session_);
  dirty_ = true;
  if (!in_call_) Pump();
}

void Connection::SubmitGoaway() {
  const int32_t last = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  Touch();
  if (!in_call_) Pump();
}

void Connection::SubmitPing() {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  Touch();
}

Http2Stream& Connection::NewClientStream(StreamReceiver* receiver) {
  Http2Stream& stream = AddStream(0);
  stream.receiver_ = receiver;
  stream.announced_ = true;
  return stream;
}

size_t Connection::Capacity() const {
  if (finished_ || goaway_received_) return 0;
  if (nghttp2_session_get_next_stream_id(session_) > kStreamIdHigh) return 0;
  const size_t allowed =
      nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return allowed > streams_.size() ? allowed - streams_.size() : 0;
}

// ---- Called by streams
// ---------------------------------------------------------------------------

void Connection::Touch() {
  dirty_ = true;
  if (!in_call_) transport_.ReceiveAgain();
}

void Connection::Due(Http2Stream& stream) {
  if (!stream.is_due_) {
    stream.is_due_ = true;
    due_.push_back(&stream);
  }
  if (!in_call_) transport_.ReceiveAgain();
}

bool Connection::PeerTakesExtendedConnect() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) ==
         1;
}

void Connection::SubmitReset(Http2Stream& stream, uint32_t error_code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, error_code);
  Touch();
}

void Connection::Abandon(Http2Stream& stream, ResetCause cause) {
  stream.receiver_ = nullptr;
  Consume(stream, stream.recv_buffer_.size());
  stream.recv_buffer_.Clear();
  if (stream.closed_ || stream.id_ == 0) {
    stream.finish_ = true;
    return Due(stream);
  }
  if (is_server() && stream.send_ended_) {
    // The response is complete: it goes out first, then NO_ERROR stops the rest of the request.
    if (stream.send_complete_) {
      if (!stream.recv_ended_) SubmitReset(stream, NGHTTP2_NO_ERROR);
    } else {
      stream.reset_after_send_ = true;
    }
    return;
  }
  uint32_t code = is_server() ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL;
  if (cause == ResetCause::kRemoteRefused) code = NGHTTP2_REFUSED_STREAM;
  if (cause == ResetCause::kProtocolError) code = NGHTTP2_PROTOCOL_ERROR;
  if (cause == ResetCause::kLimit) code = NGHTTP2_ENHANCE_YOUR_CALM;
  stream.send_buffer_.Clear();
  stream.finish_ = true;
  SubmitReset(stream, code);
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  Due(stream);
}

// ---- Called by nghttp2 while receiving
// -----------------------------------------------------------

void Connection::OnBeginFrame(const nghttp2_frame_hd& hd) {
  if (hd.type != NGHTTP2_CONTINUATION) {
    continuations_ = 0;
  } else if (++continuations_ > limits_.continuation_frames_max) {
    LimitPassed("too many CONTINUATION frames");
  }
  if (is_server() && hd.type == NGHTTP2_HEADERS) CheckStreamId(hd.stream_id);
}

void Connection::LimitPassed(const char* what) {
  fatal_ = what;
  fatal_is_limit_ = true;
}

// RFC 9113 5.1.1: opening a stream closes the idle ones below it for good. nghttp2 takes HEADERS
// for one of those for a late frame of a forgotten stream.
void Connection::CheckStreamId(int32_t stream_id) {
  if (stream_id % 2 == 0) return;
  if (stream_id > last_peer_stream_id_) {
    if (stream_id > last_peer_stream_id_ + 2) {
      if (skipped_stream_ids_.size() >= kSkippedRangesMax) {
        skipped_stream_ids_.erase(skipped_stream_ids_.begin());
      }
      skipped_stream_ids_.emplace_back(last_peer_stream_id_ + 2, stream_id - 2);
    }
    last_peer_stream_id_ = stream_id;
    return;
  }
  for (const auto& [first, last] : skipped_stream_ids_) {
    if (stream_id >= first && stream_id <= last)
      fatal_ = "HEADERS for a stream id that was skipped";
  }
}

int Connection::OnBeginHeaders(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return 0;
  Http2Stream* stream = Find(frame.hd.stream_id);
  if (is_server() && frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    stream = &AddStream(frame.hd.stream_id);
    nghttp2_session_set_stream_user_data(session_, frame.hd.stream_id, stream);
  }
  if (stream == nullptr) return 0;
  stream->incoming_ = HeaderMap::New();
  stream->incoming_bytes_ = 0;
  stream->over_limit_ = false;
  return 0;
}

void Connection::OnHeader(const nghttp2_frame& frame, absl::string_view name,
                          absl::string_view value) {
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr || stream->incoming_ == nullptr || stream->over_limit_) return;
  HeaderMap& headers = *stream->incoming_;
  stream->incoming_bytes_ += name.size() + value.size() + kFieldOverheadBytes;
  if (headers.size() >= limits_.headers_count_max ||
      stream->incoming_bytes_ > limits_.headers_bytes_max) {
    stream->over_limit_ = true;
    return;
  }
  AddReceivedField(name, value, &headers);
}

void Connection::OnFrame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      return OnHeadersFrame(frame);
    case NGHTTP2_DATA:
      return OnDataFrame(frame);
    case NGHTTP2_RST_STREAM:
      return OnResetFrame(frame);
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) events_.OnRemoteSettings();
      return;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) events_.OnPong();
      return;
    case NGHTTP2_GOAWAY:
      ++counters_.goaways_received;
      goaway_received_ = true;
      events_.OnGoaway();
      return;
    default:
      return;
  }
}

void Connection::OnHeadersFrame(const nghttp2_frame& frame) {
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr || stream->incoming_ == nullptr) return;
  const bool end_stream = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  empty_data_frames_ = 0;
  if (stream->headers_received_) {
    if (stream->over_limit_) {
      ++counters_.limit_errors;
      SubmitReset(*stream, NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    stream->recv_ended_ = true;
    stream->recv_trailers_ = std::move(stream->incoming_);
    return Deliver(*stream);
  }
  if (is_server()) return OnRequest(*stream, end_stream);
  OnResponse(*stream, end_stream);
}

void Connection::OnRequest(Http2Stream& stream, bool end_stream) {
  stream.recv_ended_ = end_stream;
  if (stream.over_limit_) return RefuseTooLarge(stream, end_stream);
  if (const char* wrong = FinishRequest(stream.incoming_.get())) {
    ++counters_.protocol_errors;
    last_error_ = wrong;
    CountPrematureReset();
    stream.finish_ = true;
    SubmitReset(stream, NGHTTP2_PROTOCOL_ERROR);
    Due(stream);
    return;
  }
  stream.headers_received_ = true;
  stream.end_delivered_ = end_stream;
  stream.extended_connect_ = !stream.incoming_->protocol().empty();
  stream.announced_ = true;
  stream.receiver_ = events_.OnNewStream(stream);
  if (stream.receiver_ == nullptr) return;
  stream.receiver_->OnHeaders(std::move(stream.incoming_), end_stream);
}

// The receiver never sees it: answered here with 431.
void Connection::RefuseTooLarge(Http2Stream& stream, bool end_stream) {
  ++counters_.limit_errors;
  stream.headers_received_ = stream.headers_sent_ = stream.send_ended_ = true;
  stream.end_delivered_ = end_stream;
  stream.reset_after_send_ = !end_stream;
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(431);
  headers->Add(HeaderId::kContentLength, "0");
  SubmitHeaders(stream, *headers, /*end_stream=*/true);
}

void Connection::OnResponse(Http2Stream& stream, bool end_stream) {
  if (stream.over_limit_) {
    return RefuseResponse(stream, ResetCause::kLimit, "response headers too large");
  }
  HeaderMapPtr headers = std::move(stream.incoming_);
  const int status = headers->status();
  if (status < 100 || status == 101) {
    return RefuseResponse(stream, ResetCause::kProtocolError,
                          "a :status that HTTP/2 does not have");
  }
  if (status < 200) {
    if (stream.receiver_ != nullptr) stream.receiver_->OnInformational(std::move(headers));
    return;
  }
  stream.headers_received_ = true;
  stream.recv_ended_ = stream.end_delivered_ = end_stream;
  if (!stream.upgrade_as_connect_.empty() && status >= 200 && status < 300) {
    headers->set_status(101);
    headers->Set(HeaderId::kUpgrade, stream.upgrade_as_connect_);
  }
  if (stream.receiver_ != nullptr) stream.receiver_->OnHeaders(std::move(headers), end_stream);
}

void Connection::RefuseResponse(Http2Stream& stream, ResetCause cause, absl::string_view why) {
  const bool limit = cause == ResetCause::kLimit;
  ++(limit ? counters_.limit_errors : counters_.protocol_errors);
  StreamReceiver* const receiver = std::exchange(stream.receiver_, nullptr);
  SubmitReset(stream, limit ? NGHTTP2_CANCEL : NGHTTP2_PROTOCOL_ERROR);
  if (receiver != nullptr) receiver->OnReset(cause, why);
}

void Connection::OnDataChunk(int32_t stream_id, absl::string_view bytes) {
  Http2Stream* const stream = Find(stream_id);
  if (stream == nullptr || stream->receiver_ == nullptr) {
    // Nobody waits for it, but the connection's window must not shrink.
    nghttp2_session_consume(session_, stream_id, bytes.size());
    return;
  }
  stream->recv_buffer_.Append(bytes);
}

void Connection::OnDataFrame(const nghttp2_frame& frame) {
  const bool end_stream = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame.hd.length == frame.data.padlen && !end_stream) {
    if (++empty_data_frames_ > limits_.empty_data_frames_max) {
      return LimitPassed("too many empty DATA frames");
    }
  } else {
    empty_data_frames_ = 0;
  }
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  if (end_stream) stream->recv_ended_ = true;
  Deliver(*stream);
}

void Connection::OnResetFrame(const nghttp2_frame& frame) {
  ++counters_.resets_received;
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->remote_reset_ = true;
  if (is_server() && !stream->send_complete_) CountPrematureReset();
}

void Connection::CountPrematureReset() {
  ++premature_resets_;
  if (is_server() && premature_resets_ > limits_.rapid_resets_max + completed_streams_ / 2) {
    LimitPassed("too many streams reset before their response");
  }
}

void Connection::OnInvalidFrame(const nghttp2_frame& frame, int lib_error) {
  ++counters_.protocol_errors;
  if (last_error_.empty()) last_error_ = nghttp2_strerror(lib_error);
  if (Find(frame.hd.stream_id) != nullptr) CountPrematureReset();
}

void Connection::CheckQueues() {
  const size_t waiting = nghttp2_session_get_outbound_queue_size(session_);
  // Every stream may have a frame or two of its own under way.
  if (waiting <= limits_.queued_control_frames_max + 4 * streams_.size()) return;
  LimitPassed("too many frames wait to be sent");
}

// ---- Telling receivers
// ---------------------------------------------------------------------------

void Connection::Consume(Http2Stream& stream, size_t bytes) {
  if (bytes == 0) return;
  nghttp2_session_consume(session_, stream.id_, bytes);
  dirty_ = true;
}

// Hands over what has been received, as far as the receiver wants it.
void Connection::Deliver(Http2Stream& stream) {
  if (stream.paused_ || stream.end_delivered_ || stream.receiver_ == nullptr) return;
  const bool ends = stream.recv_ended_ && stream.recv_trailers_ == nullptr;
  const size_t bytes = stream.recv_buffer_.size();
  if (bytes > 0 || ends) {
    Buffer data = std::move(stream.recv_buffer_);
    if (ends) stream.end_delivered_ = true;
    Consume(stream, bytes);
    stream.receiver_->OnData(data, ends);
  }
  if (stream.recv_trailers_ == nullptr || stream.paused_ || stream.receiver_ == nullptr) return;
  stream.end_delivered_ = true;
  stream.receiver_->OnTrailers(std::move(stream.recv_trailers_));
}

void Connection::TellWriteBlocked(Http2Stream& stream) {
  const size_t unsent = stream.send_buffer_.size();
  const bool blocked = stream.told_blocked_ ? unsent > limits_.write_high_bytes / 2
                                            : unsent > limits_.write_high_bytes;
  if (blocked == stream.told_blocked_ || stream.receiver_ == nullptr) return;
  stream.told_blocked_ = blocked;
  stream.receiver_->OnWriteBlocked(blocked);
}

// nghttp2 has closed the stream. Afterwards `finish_` is set, unless its receiver is paused and the
// rest of a complete message still waits for it.
void Connection::TellClosed(Http2Stream& stream) {
  const bool all_received = stream.recv_ended_;
  if (all_received && !stream.end_delivered_ && stream.receiver_ != nullptr) return;
  stream.finish_ = true;
  const bool complete = all_received && stream.send_complete_;
  StreamReceiver* const receiver = std::exchange(stream.receiver_, nullptr);
  if (complete || receiver == nullptr) return;
  ResetCause cause = ResetCause::kProtocolError;
  if (stream.remote_reset_) {
    cause = stream.close_code_ == NGHTTP2_REFUSED_STREAM ? ResetCause::kRemoteRefused
                                                         : ResetCause::kRemoteReset;
  } else if (stream.refused_ || stream.close_code_ == NGHTTP2_REFUSED_STREAM) {
    cause = ResetCause::kRemoteRefused;
  } else if (stream.close_code_ == NGHTTP2_ENHANCE_YOUR_CALM) {
    cause = ResetCause::kLimit;
  }
  receiver->OnReset(cause, ErrorName(stream.close_code_));
}

// Whatever is due for one stream, last of all its end.
void Connection::Attend(Http2Stream& stream) {
  Deliver(stream);
  if (!stream.finish_) TellWriteBlocked(stream);
  if (stream.closed_ && !stream.finish_) TellClosed(stream);
  if (stream.finish_) Finish(stream);
}

void Connection::Finish(Http2Stream& stream) {
  if (!stream.closed_ && stream.id_ != 0) {
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  }
  if (stream.is_due_)
    std::replace(due_.begin(), due_.end(), &stream, static_cast<Http2Stream*>(nullptr));
  const size_t index = stream.index_;
  std::unique_ptr<Http2Stream> gone = std::move(streams_[index]);
  if (index + 1 != streams_.size()) {
    streams_[index] = std::move(streams_.back());
    streams_[index]->index_ = index;
  }
  streams_.pop_back();
  // A request that was refused by the codec itself has nobody to tell.
  if (gone->announced_) events_.OnStreamFinished(*gone);
}

void Connection::CloseAll(ResetCause cause, absl::string_view detail) {
  while (!streams_.empty()) {
    Http2Stream& stream = *streams_.back();
    StreamReceiver* const receiver = std::exchange(stream.receiver_, nullptr);
    const bool complete = stream.end_delivered_ && stream.send_complete_;
    stream.finish_ = true;
    if (receiver != nullptr && !complete) receiver->OnReset(cause, detail);
    Finish(stream);
  }
}

void Connection::Fail(bool limit, absl::string_view detail, uint32_t error_code) {
  ++(limit ? counters_.limit_errors : counters_.protocol_errors);
  const std::string text(detail);
  nghttp2_session_terminate_session(session_, error_code);
  error_goaway_sent_ = true;
  dirty_ = true;
  Pump();
  finished_ = true;
  status_ = limit ? absl::ResourceExhaustedError(text) : absl::InvalidArgumentError(text);
  CloseAll(limit ? ResetCause::kLimit : ResetCause::kProtocolError, text);
}

void Connection::FailFatally() {
  if (fatal_ == nullptr || finished_) return;
  Fail(fatal_is_limit_, fatal_,
       fatal_is_limit_ ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
}

// Writes and tells until there is nothing more to do.
void Connection::Settle() {
  while (!finished_ && (dirty_ || !due_.empty())) {
    Pump();
    std::vector<Http2Stream*> due;
    due.swap(due_);
    for (Http2Stream*& stream : due) {
      if (stream == nullptr) continue;
      // Finish looks for the stream in due_, which no longer has it.
      stream->is_due_ = false;
      Attend(*stream);
    }
    FailFatally();
  }
  if (finished_) return;
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    finished_ = true;
    if (error_goaway_sent_) {
      status_ = absl::InvalidArgumentError(
          last_error_.empty() ? absl::string_view("HTTP/2 protocol error") : last_error_);
      CloseAll(ResetCause::kProtocolError, last_error_);
    } else {
      CloseAll(ResetCause::kConnectionLost, "the connection was shut down");
    }
  }
}

void Connection::Pump() {
  dirty_ = false;
  bool wrote = false;
  Buffer& output = transport_.output();
  while (true) {
    held_ = transport_blocked_ || output.size() >= kOutputHighBytes;
    if (held_) break;
    const uint8_t* bytes = nullptr;
    const size_t before = output.size();
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count > 0)
      output.Append({reinterpret_cast<const char*>(bytes), static_cast<size_t>(count)});
    if (output.size() != before) wrote = true;
    if (count <= 0) break;
  }
  if (wrote) transport_.OutputReady();
}

Http2Stream& Connection::AddStream(int32_t id) {
  streams_.push_back(std::make_unique<Http2Stream>(*this, id));
  streams_.back()->index_ = streams_.size() - 1;
  return *streams_.back();
}

Http2Stream* Connection::Find(int32_t stream_id) {
  if (stream_id == 0) return nullptr;
  return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session_, stream_id));
}

}  // namespace meltemi::http::h2
