// The side of a Connection that faces nghttp2: set-up, callbacks, and what is submitted.

#include <algorithm>
#include <utility>

#include "base/http/h2/connection.h"

namespace meltemi::http::h2 {
namespace {

// nghttp2's own guard against resets, behind ours.
constexpr uint64_t kResetBurst = 10000;
constexpr uint64_t kResetRatePerSecond = 1000;

absl::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

std::vector<nghttp2_settings_entry> Settings(bool server, const Http2Limits& limits) {
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits.frame_bytes_max},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.headers_bytes_max)},
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, limits.header_table_bytes},
  };
  if (server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrent_streams_max});
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  return settings;
}

}  // namespace

struct Connection::Callbacks {
  static Connection& Self(void* user_data) { return *static_cast<Connection*>(user_data); }

  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* hd, void* self) {
    Self(self).OnBeginFrame(*hd);
    return Self(self).CallbackResult();
  }
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Self(self).OnBeginHeaders(*frame);
    return 0;
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    Self(self).OnHeader(*frame, View(name, name_size), View(value, value_size));
    return 0;
  }
  // A field that RFC 9113 calls malformed makes the whole message malformed.
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                             const uint8_t*, size_t, uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Self(self).OnFrame(*frame);
    return Self(self).CallbackResult();
  }
  static int OnDataChunk(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data,
                         size_t size, void* self) {
    Self(self).OnDataChunk(stream_id, View(data, size));
    return 0;
  }
  static int OnStreamClosed(nghttp2_session*, int32_t stream_id, uint32_t code, void* self) {
    Self(self).OnStreamClosed(stream_id, code);
    return 0;
  }
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Self(self).OnFrameSent(*frame);
    return 0;
  }
  static int OnFrameNotSent(nghttp2_session*, const nghttp2_frame* frame, int, void* self) {
    Self(self).OnFrameNotSent(*frame);
    return 0;
  }
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int error, void* self) {
    Self(self).OnInvalidFrame(*frame, error);
    return Self(self).CallbackResult();
  }
  static int OnError(nghttp2_session*, int, const char* message, size_t size, void* self) {
    Self(self).last_error_.assign(message, size);
    return 0;
  }
  static ssize_t Read(nghttp2_session*, int32_t stream_id, uint8_t*, size_t size, uint32_t* flags,
                      nghttp2_data_source*, void* self) {
    return Self(self).ReadData(stream_id, size, flags);
  }
  static int Write(nghttp2_session*, nghttp2_frame* frame, const uint8_t* head, size_t size,
                   nghttp2_data_source*, void* self) {
    return Self(self).WriteData(*frame, head, size);
  }
};

Connection::Connection(Side side, CodecTransport& transport, ConnectionEvents& events,
                       const Http2Limits& limits)
    : side_(side), transport_(transport), events_(events), limits_(limits) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, Callbacks::OnBeginFrame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, Callbacks::OnInvalidHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnDataChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClosed);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::OnFrameSent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, Callbacks::OnFrameNotSent);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks,
                                                               Callbacks::OnInvalidFrame);
  nghttp2_session_callbacks_set_error_callback2(callbacks, Callbacks::OnError);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, Callbacks::Write);

  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_max_outbound_ack(option, limits_.queued_control_frames_max);
  nghttp2_option_set_max_deflate_dynamic_table_size(option, limits_.header_table_bytes);
  nghttp2_option_set_max_send_header_block_length(option, 4 * limits_.headers_bytes_max);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetBurst, kResetRatePerSecond);
  nghttp2_option_set_max_continuations(option, limits_.continuation_frames_max + 1);
  if (is_server()) {
    nghttp2_session_server_new2(&session_, callbacks, this, option);
  } else {
    nghttp2_session_client_new2(&session_, callbacks, this, option);
  }
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);

  const std::vector<nghttp2_settings_entry> settings = Settings(is_server(), limits_);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits_.connection_window_bytes));
  Pump();
}

Connection::~Connection() { nghttp2_session_del(session_); }

// Ends nghttp2's processing of input once a limit has been passed.
int Connection::CallbackResult() const {
  return fatal_ != nullptr ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

// ---- Submitting
// ----------------------------------------------------------------------------------

void Connection::SubmitInformational(Http2Stream& stream, const HeaderMap& headers) {
  char status_text[3];
  const NvList list = ResponseFields(headers, status_text);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, list.data(), list.size(),
                         nullptr);
  Touch();
}

void Connection::SubmitHeaders(Http2Stream& stream, const HeaderMap& headers, bool end_stream) {
  nghttp2_data_provider provider = {};
  provider.read_callback = Callbacks::Read;
  if (is_server()) {
    char status_text[3];
    NvList list = ResponseFields(headers, status_text);
    // What accepts an upgrade in HTTP/1 accepts an extended CONNECT here (RFC 8441 5).
    if (stream.extended_connect_ && headers.status() == 101) std::copy_n("200", 3, status_text);
    nghttp2_submit_response(session_, stream.id_, list.data(), list.size(),
                            end_stream ? nullptr : &provider);
    return Touch();
  }
  NvList list;
  HeaderMapPtr rewritten;
  if (headers.Has(HeaderId::kUpgrade) && !end_stream && headers.method() == "GET") {
    rewritten = AsExtendedConnect(headers);
    if (PeerTakesExtendedConnect()) stream.upgrade_as_connect_ = std::string(rewritten->protocol());
  }
  if (!stream.upgrade_as_connect_.empty()) {
    list = RequestFields(*rewritten);
  } else {
    list = RequestFields(headers);
    // An upgrade that this peer can't do: an ordinary request without a body.
    if (rewritten != nullptr) end_stream = stream.drop_sends_ = stream.send_ended_ = true;
  }
  const int32_t id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                            end_stream ? nullptr : &provider, &stream);
  if (id < 0) {
    stream.refused_ = stream.closed_ = true;
    return Due(stream);
  }
  stream.id_ = id;
  Touch();
}

void Connection::ResumeData(Http2Stream& stream) {
  if (stream.deferred_) {
    stream.deferred_ = false;
    nghttp2_session_resume_data(session_, stream.id_);
  }
  Touch();
}

void Connection::SubmitTrailers(Http2Stream& stream, const HeaderMap& trailers) {
  const NvList list = TrailerFields(trailers);
  if (list.empty()) return ResumeData(stream);
  if (!stream.deferred_ || !stream.send_buffer_.empty()) {
    stream.send_trailers_ = trailers.Clone();  // they follow the data
    return ResumeData(stream);
  }
  nghttp2_submit_trailer(session_, stream.id_, list.data(), list.size());
  Touch();
}

// ---- Sending
// -------------------------------------------------------------------------------------

ssize_t Connection::ReadData(int32_t stream_id, size_t length, uint32_t* flags) {
  Http2Stream* const stream = Find(stream_id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;
  const size_t count = std::min(length, stream->send_buffer_.size());
  if (count == 0 && !stream->send_ended_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (count == stream->send_buffer_.size() && stream->send_ended_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->send_trailers_ != nullptr) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const NvList list = TrailerFields(*stream->send_trailers_);
      nghttp2_submit_trailer(session_, stream_id, list.data(), list.size());
      stream->send_trailers_.reset();
    }
  }
  if (count > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  return static_cast<ssize_t>(count);
}

int Connection::WriteData(const nghttp2_frame& frame, const uint8_t* frame_head, size_t length) {
  constexpr size_t kFrameHeadBytes = 9;
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  Buffer& output = transport_.output();
  output.Append(View(frame_head, kFrameHeadBytes));
  output.MoveFrom(stream->send_buffer_, length);
  if (stream->told_blocked_ && stream->send_buffer_.size() <= limits_.write_high_bytes / 2) {
    Due(*stream);
  }
  return 0;
}

void Connection::OnFrameSent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      ++counters_.resets_sent;
      return;
    case NGHTTP2_GOAWAY:
      if (frame.goaway.error_code != NGHTTP2_NO_ERROR) error_goaway_sent_ = true;
      return;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
      break;
    default:
      return;
  }
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  Http2Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->send_complete_ = true;
  if (stream->reset_after_send_ && !stream->recv_ended_) {
    SubmitReset(*stream, NGHTTP2_NO_ERROR);
  }
}

void Connection::OnFrameNotSent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return;
  if (Http2Stream* const stream = Find(frame.hd.stream_id)) stream->refused_ = true;
}

void Connection::OnStreamClosed(int32_t stream_id, uint32_t error_code) {
  Http2Stream* const stream = Find(stream_id);
  if (stream == nullptr) return;
  stream->closed_ = true;
  stream->close_code_ = error_code;
  if (stream->send_complete_) ++completed_streams_;
  Due(*stream);
}

}  // namespace meltemi::http::h2
