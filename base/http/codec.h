// HTTP connection state without sockets: bytes in, events out, bytes to send appended to a buffer.
//
// Loop-owned. A driver owns the codec and the transport: it feeds Receive with what arrives, sends
// what the codec has appended to the transport's output, and ends the connection when the codec
// says so.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "base/bytes/buffer.h"
#include "base/clock/clock.h"
#include "base/http/stream.h"

namespace meltemi::http {

// What a codec needs from whoever carries its bytes. None of these calls back into the codec.
class CodecTransport {
 public:
  virtual ~CodecTransport() = default;
  // The codec appends here; after each append it calls OutputReady (cheap, idempotent).
  virtual Buffer& output() = 0;
  virtual void OutputReady() = 0;
  // Asks to be given Receive again from the loop (end of this turn) although nothing new has
  // arrived, with whatever input there is, also none: a paused stream was resumed, a stream has
  // ended and OnStreamFinished is due, the next pipelined request may be looked at. Idempotent
  // within a turn.
  virtual void ReceiveAgain() = 0;
  // Half-close after what is in output(): an HTTP/1 tunnel's sending direction has ended.
  virtual void CloseWrite() = 0;
};

struct Http1Limits {
  size_t headers_bytes_max = 60 * 1024;  // start line and all fields
  uint32_t headers_count_max = 100;
  size_t chunk_extension_bytes_max = 256;  // per message, all chunks together
  bool accept_http10 = true;               // else 426
  // Upgrade opens a tunnel for every method, not for GET alone (SPDY's exec comes as a POST).
  bool upgrade_any_method = false;
  // OnWriteBlocked follows the transport's own watermarks (OnTransportBlocked).
};

struct Http2Limits {
  uint32_t concurrent_streams_max =
      1024;  // Istio's proxies: effectively unlimited by default; ours is a limit
  uint32_t stream_window_bytes = 256 * 1024;
  uint32_t connection_window_bytes = 1024 * 1024;
  uint32_t frame_bytes_max = 16 * 1024;
  size_t headers_bytes_max = 60 * 1024;
  uint32_t headers_count_max = 100;
  uint32_t header_table_bytes = 4096;
  size_t write_high_bytes = 256 * 1024;  // per stream; OnWriteBlocked(true) above
  // Against floods; the connection ends with GOAWAY(ENHANCE_YOUR_CALM) when one is passed.
  uint32_t queued_control_frames_max = 1000;  // PING and SETTINGS answers waiting to be sent
  uint32_t continuation_frames_max = 32;      // per header block
  uint32_t empty_data_frames_max = 100;       // in a row
  // Streams that the peer reset before their response ended: more than this many above one for each
  // two streams completed (CVE-2023-44487).
  uint32_t rapid_resets_max = 200;
};

// Counted by the codec; read by the driver for statistics.
struct CodecCounters {
  uint64_t protocol_errors = 0;
  uint64_t limit_errors = 0;
  uint64_t resets_received = 0;
  uint64_t resets_sent = 0;
  uint64_t goaways_received = 0;
};

class ServerCodecEvents {
 public:
  virtual ~ServerCodecEvents() = default;
  // A request begins: its OnHeaders follows at once. The receiver must live until the stream's end.
  virtual StreamReceiver* OnNewStream(Stream& stream) = 0;
  // The codec has forgotten the stream (ended, or reset from either side). Called once for each
  // OnNewStream, never from within a call into that stream by its user.
  virtual void OnStreamFinished(Stream& stream) = 0;
};

class ServerCodec {
 public:
  virtual ~ServerCodec() = default;
  // Takes what it can use of `in` (which may be empty: see ReceiveAgain); what it leaves must be
  // offered again. After each call the driver looks at finished() and wants_input(). The end of
  // input while a response is still due means that the client has gone, except in a tunnel, where
  // it is a half-close. Error: the peer broke the protocol: the codec has already appended its
  // answer (400/431/…, GOAWAY); the driver flushes and closes. The status message names what was
  // wrong (for logs; never sent to the peer).
  virtual absl::Status Receive(Buffer& in, bool end_of_input) = 0;
  // False while the codec can't use more bytes (HTTP/1: a request is being answered, or its stream
  // is paused): the driver pauses reading.
  virtual bool wants_input() const = 0;
  // The transport's output went above its high watermark (true), or below its low one, or became
  // empty (false: each time; a codec that has held something back waits for exactly this).
  // Idempotent.
  virtual void OnTransportBlocked(bool blocked) = 0;
  // Begins an orderly end: HTTP/1 answers the current request with Connection: close; HTTP/2 sends
  // GOAWAY with the highest id first (notice), and FinishDrain() sends the final one.
  virtual void StartDrain() = 0;
  virtual void FinishDrain() = 0;
  // The connection is gone: every open stream gets OnReset(cause).
  virtual void OnConnectionClosed(ResetCause cause, absl::string_view detail) = 0;
  // True once the codec wants the connection closed after flushing what it has appended.
  virtual bool finished() const = 0;
  virtual size_t open_streams() const = 0;
  virtual Protocol protocol() const = 0;
  virtual const CodecCounters& counters() const = 0;
};

class ClientCodecEvents {
 public:
  virtual ~ClientCodecEvents() = default;
  virtual void OnStreamFinished(Stream& stream) = 0;
  // The peer takes no new streams (GOAWAY, or Connection: close): use another connection.
  virtual void OnPeerDraining() = 0;
  // HTTP/2 SETTINGS_MAX_CONCURRENT_STREAMS has changed what capacity() says.
  virtual void OnCapacityChanged() {}
  // The answer to SendPing.
  virtual void OnPong() {}
};

class ClientCodec {
 public:
  virtual ~ClientCodec() = default;
  virtual absl::Status Receive(Buffer& in, bool end_of_input) = 0;
  virtual bool wants_input() const = 0;
  virtual void OnTransportBlocked(bool blocked) = 0;
  virtual void OnConnectionClosed(ResetCause cause, absl::string_view detail) = 0;
  // How many more streams may be opened now (HTTP/1: 1 or 0). 0 once draining or finished.
  virtual size_t capacity() const = 0;
  // capacity() must be above 0. The stream is owned by the codec.
  virtual Stream& NewStream(StreamReceiver* receiver) = 0;
  // HTTP/2 PING, answered by OnPong. False: the protocol has none.
  virtual bool SendPing() { return false; }
  // True once nothing more can be done on this connection: close it after flushing.
  virtual bool finished() const = 0;
  virtual size_t open_streams() const = 0;
  virtual Protocol protocol() const = 0;
  virtual const CodecCounters& counters() const = 0;
};

// base/http/h1 and base/http/h2 implement these.
std::unique_ptr<ServerCodec> NewHttp1ServerCodec(CodecTransport& transport,
                                                 ServerCodecEvents& events,
                                                 const Http1Limits& limits);
std::unique_ptr<ClientCodec> NewHttp1ClientCodec(CodecTransport& transport,
                                                 ClientCodecEvents& events,
                                                 const Http1Limits& limits);
std::unique_ptr<ServerCodec> NewHttp2ServerCodec(CodecTransport& transport,
                                                 ServerCodecEvents& events,
                                                 const Http2Limits& limits);
std::unique_ptr<ClientCodec> NewHttp2ClientCodec(CodecTransport& transport,
                                                 ClientCodecEvents& events,
                                                 const Http2Limits& limits);

}  // namespace meltemi::http
