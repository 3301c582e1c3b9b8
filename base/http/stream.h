// One request/response exchange on one connection, whatever the protocol underneath.
//
// Loop-owned. A codec owns the Stream; the user of the exchange implements StreamReceiver. The same
// two interfaces serve both sides: on a server the receiver hears the request and the Stream sends
// the response; on a client it is the other way round.
//
// Lifetime: a Stream may be used until OnReset has been called, until the user called Reset, or
// until both directions have ended, whichever is first; then the codec forgets it. The codec never
// calls the receiver from within a call that the user makes into the Stream.
//
// A response that ends before its request: an HTTP/1 server stops reading and closes the connection
// (OnStreamFinished follows, no OnReset); on HTTP/2 the request goes on until the user calls Reset.
// On a client what is still sent of the request is dropped (HTTP/1) until its end or Reset.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/http/header_map.h"

namespace meltemi::http {

enum class Protocol : uint8_t { kHttp10, kHttp11, kHttp2 };
absl::string_view ProtocolName(Protocol protocol);  // "HTTP/1.1" …

// Why a stream ended before both directions did.
enum class ResetCause : uint8_t {
  kRemoteReset,     // the peer reset this stream
  kRemoteRefused,   // REFUSED_STREAM, or GOAWAY says it was never looked at: safe to retry
  kConnectionLost,  // the connection ended below it
  kProtocolError,   // the peer broke the protocol on this stream or connection
  kLimit,           // a limit of ours was passed (headers too large, flood)
  kLocal,           // Reset() by this side: refused work, timeout, cancelled
};
absl::string_view ResetCauseName(ResetCause cause);  // "remote reset" …

class StreamReceiver {
 public:
  virtual ~StreamReceiver() = default;
  // 1xx other than 101; clients only. 101 comes through OnHeaders and makes the stream a tunnel.
  virtual void OnInformational(HeaderMapPtr headers) {}
  // Exactly once, first.
  virtual void OnHeaders(HeaderMapPtr headers, bool end_stream) = 0;
  // Take the bytes out of `data` (MoveFrom): what is left is dropped.
  virtual void OnData(Buffer& data, bool end_stream) = 0;
  // Ends the direction.
  virtual void OnTrailers(HeaderMapPtr trailers) = 0;
  // Last call. Also before OnHeaders (client), or on a server after the headers.
  virtual void OnReset(ResetCause cause, absl::string_view detail) = 0;
  // The sending direction of this stream is over its high watermark (true): stop reading whatever
  // feeds it; or under its low one again (false).
  virtual void OnWriteBlocked(bool blocked) = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  // Servers only: 100, 103 …; before SendHeaders.
  virtual void SendInformational(const HeaderMap& headers) = 0;
  // Message framing (Content-Length, Transfer-Encoding, Connection in HTTP/1) is the codec's: hop
  // by hop fields in `headers` are left out, except Upgrade (which makes an HTTP/1.1 GET ask for a
  // tunnel: it comes in with end_stream false, and a 101 opens the tunnel) and `te: trailers`. A
  // Content-Length in `headers` is believed; without it HTTP/1 bodies are chunked (or end with the
  // connection for an HTTP/1.0 peer).
  virtual void SendHeaders(const HeaderMap& headers, bool end_stream) = 0;
  // Takes all of `data`. Always accepted; look at OnWriteBlocked.
  virtual void SendData(Buffer& data, bool end_stream) = 0;
  // Ends the direction. HTTP/1 sends them only in chunked messages.
  virtual void SendTrailers(const HeaderMap& trailers) = 0;
  // HTTP/2: RST_STREAM (kRemoteRefused: REFUSED_STREAM, kProtocolError, kLimit: ENHANCE_YOUR_CALM,
  // else: on a server INTERNAL_ERROR, or NO_ERROR once the response is complete; on a client
  // CANCEL). HTTP/1: the connection is closed after what has been sent. No OnReset follows.
  virtual void Reset(ResetCause cause) = 0;
  // Stops or resumes OnData (counted by the caller, not here). What arrives meanwhile is bounded by
  // the stream's window (HTTP/2) or stays in the socket (HTTP/1).
  virtual void PauseReading(bool paused) = 0;
  // Whoever will receive from now on (a pool hands its stream over). Must be set within the same
  // turn.
  virtual void SetReceiver(StreamReceiver* receiver) = 0;
  // Bytes sent that still wait for the peer's window or the socket.
  virtual size_t unsent_bytes() const = 0;
  virtual uint64_t id() const = 0;  // HTTP/2 stream id; HTTP/1: 1, 2, 3 … per connection
  virtual Protocol protocol() const = 0;
};

}  // namespace meltemi::http
