// One HTTP/2 connection (RFC 9113) over nghttp2, for either side: what the server codec and the
// client codec share.
//
// Sans-IO and loop-owned. Nothing is written and no receiver is called from within a call into a
// stream: such calls only submit to nghttp2 and ask the transport for ReceiveAgain; Receive and the
// other entry points then write (Pump) and tell receivers what is due (Attend).
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/http/codec.h"
#include "base/http/h2/fields.h"

namespace meltemi::http::h2 {

class Connection;

// Receiving: headers -> data … -> (trailers) -> recv_ended. Sending likewise. `closed` is nghttp2's
// view: it has forgotten the stream; ours lives on until its receiver has heard everything.
class Http2Stream final : public Stream {
 public:
  Http2Stream(Connection& connection, int32_t id) : connection_(connection), id_(id) {}

  void SendInformational(const HeaderMap& headers) override;
  void SendHeaders(const HeaderMap& headers, bool end_stream) override;
  void SendData(Buffer& data, bool end_stream) override;
  void SendTrailers(const HeaderMap& trailers) override;
  void Reset(ResetCause cause) override;
  void PauseReading(bool paused) override;
  void SetReceiver(StreamReceiver* receiver) override { receiver_ = receiver; }
  size_t unsent_bytes() const override { return send_buffer_.size(); }
  uint64_t id() const override { return static_cast<uint64_t>(id_); }
  Protocol protocol() const override { return Protocol::kHttp2; }

 private:
  friend class Connection;

  Connection& connection_;
  int32_t id_;        // 0 on a client until the request's headers were submitted
  size_t index_ = 0;  // in the connection's list
  StreamReceiver* receiver_ = nullptr;

  // Receiving.
  HeaderMapPtr incoming_;  // the block that is being received
  size_t incoming_bytes_ = 0;
  bool over_limit_ = false;  // … is larger than allowed
  bool headers_received_ = false;
  bool recv_ended_ = false;  // END_STREAM has arrived
  bool end_delivered_ = false;
  bool paused_ = false;
  Buffer recv_buffer_;
  HeaderMapPtr recv_trailers_;
  bool extended_connect_ = false;

  // Sending.
  bool headers_sent_ = false;
  bool send_ended_ = false;     // by the user
  bool send_complete_ = false;  // END_STREAM has been written
  bool deferred_ = false;       // nghttp2 waits for ResumeData
  bool told_blocked_ = false;
  bool drop_sends_ = false;
  std::string upgrade_as_connect_;  // the HTTP/1 Upgrade that was sent as an extended CONNECT
  bool reset_after_send_ = false;
  Buffer send_buffer_;
  HeaderMapPtr send_trailers_;

  // Ending.
  bool is_due_ = false;
  bool abandoned_ = false;  // its user has called Reset
  bool closed_ = false;
  bool finish_ = false;     // nobody waits for anything more
  bool announced_ = false;  // its user knows of it and is told of its end
  bool remote_reset_ = false;
  bool refused_ = false;
  uint32_t close_code_ = 0;
};

// What the codec on top of a Connection adds.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  virtual StreamReceiver* OnNewStream(Stream& stream) = 0;  // servers only
  virtual void OnStreamFinished(Stream& stream) = 0;
  virtual void OnGoaway() = 0;
  virtual void OnRemoteSettings() = 0;
  virtual void OnPong() = 0;
};

class Connection final {
 public:
  enum class Side : uint8_t { kServer, kClient };

  Connection(Side side, CodecTransport& transport, ConnectionEvents& events,
             const Http2Limits& limits);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  absl::Status Receive(Buffer& in, bool end_of_input);
  void OnTransportBlocked(bool blocked);
  void OnConnectionClosed(ResetCause cause, absl::string_view detail);
  void SubmitShutdownNotice();
  void SubmitGoaway();
  void SubmitPing();
  Http2Stream& NewClientStream(StreamReceiver* receiver);

  bool finished() const { return finished_; }
  bool goaway_received() const { return goaway_received_; }
  size_t open_streams() const { return streams_.size(); }
  // Client: what the peer and the stream ids still allow.
  size_t Capacity() const;
  const CodecCounters& counters() const { return counters_; }

 private:
  friend class Http2Stream;
  struct Callbacks;  // nghttp2's side

  bool is_server() const { return side_ == Side::kServer; }

  // --- Called by streams
  void Touch();                   // something was submitted
  void Due(Http2Stream& stream);  // look at it soon
  void SubmitHeaders(Http2Stream& stream, const HeaderMap& headers, bool end_stream);
  void SubmitInformational(Http2Stream& stream, const HeaderMap& headers);
  void ResumeData(Http2Stream& stream);
  void SubmitTrailers(Http2Stream& stream, const HeaderMap& trailers);
  void SubmitReset(Http2Stream& stream, uint32_t error_code);
  void Abandon(Http2Stream& stream, ResetCause cause);
  bool PeerTakesExtendedConnect() const;
  int CallbackResult() const;
  const Http2Limits& limits() const { return limits_; }

  // --- Called by nghttp2
  void OnBeginFrame(const nghttp2_frame_hd& hd);
  int OnBeginHeaders(const nghttp2_frame& frame);
  void OnHeader(const nghttp2_frame& frame, absl::string_view name, absl::string_view value);
  void OnFrame(const nghttp2_frame& frame);
  void OnHeadersFrame(const nghttp2_frame& frame);
  void OnRequest(Http2Stream& stream, bool end_stream);
  void OnResponse(Http2Stream& stream, bool end_stream);
  void OnDataFrame(const nghttp2_frame& frame);
  void OnResetFrame(const nghttp2_frame& frame);
  void OnDataChunk(int32_t stream_id, absl::string_view bytes);
  void OnFrameSent(const nghttp2_frame& frame);
  void OnFrameNotSent(const nghttp2_frame& frame);
  void OnInvalidFrame(const nghttp2_frame& frame, int lib_error);
  void OnStreamClosed(int32_t stream_id, uint32_t error_code);
  ssize_t ReadData(int32_t stream_id, size_t length, uint32_t* flags);
  int WriteData(const nghttp2_frame& frame, const uint8_t* frame_head, size_t length);

  // --- The turn
  void Pump();
  void Settle();
  void Attend(Http2Stream& stream);
  void Deliver(Http2Stream& stream);
  void TellClosed(Http2Stream& stream);
  void TellWriteBlocked(Http2Stream& stream);
  void Finish(Http2Stream& stream);
  void Consume(Http2Stream& stream, size_t bytes);
  void CloseAll(ResetCause cause, absl::string_view detail);
  void Fail(bool limit, absl::string_view detail, uint32_t error_code);
  void CountPrematureReset();
  void CheckQueues();
  void CheckStreamId(int32_t stream_id);
  void LimitPassed(const char* what);
  void FailFatally();
  void RefuseResponse(Http2Stream& stream, ResetCause cause, absl::string_view why);
  void RefuseTooLarge(Http2Stream& stream, bool end_stream);

  Http2Stream& AddStream(int32_t id);
  Http2Stream* Find(int32_t stream_id);

  const Side side_;
  CodecTransport& transport_;
  ConnectionEvents& events_;
  const Http2Limits limits_;
  nghttp2_session* session_ = nullptr;

  std::vector<std::unique_ptr<Http2Stream>> streams_;
  std::vector<Http2Stream*> due_;
  CodecCounters counters_;
  absl::Status status_;
  std::string last_error_;  // nghttp2's own words
  bool in_call_ = false;
  bool dirty_ = false;  // nghttp2 has something to write
  bool transport_blocked_ = false;
  bool held_ = false;  // nghttp2 may have more, once the transport has room again
  bool goaway_received_ = false;
  bool error_goaway_sent_ = false;
  // What ends the connection, found within a callback of nghttp2; nullptr: nothing.
  const char* fatal_ = nullptr;
  bool fatal_is_limit_ = false;
  bool finished_ = false;

  uint32_t continuations_ = 0;
  uint32_t empty_data_frames_ = 0;
  uint64_t premature_resets_ = 0;
  uint64_t completed_streams_ = 0;
  // Server: the stream ids that the peer has skipped (and so closed), the latest of them.
  int32_t last_peer_stream_id_ = -1;
  std::vector<std::pair<int32_t, int32_t>> skipped_stream_ids_;
};

}  // namespace meltemi::http::h2
