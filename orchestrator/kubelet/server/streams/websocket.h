// The server's side of the WebSocket protocol without IO (RFC 6455; no extensions).
//
// Threads: an object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"

namespace meltemi::kubelet {

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string WebSocketAccept(absl::string_view key);

// Close codes (RFC 6455 7.4.1).
inline constexpr uint16_t kWebSocketNormal = 1000;
inline constexpr uint16_t kWebSocketProtocolError = 1002;
inline constexpr uint16_t kWebSocketInternalError = 1011;

class WebSocketEvents {
 public:
  virtual ~WebSocketEvents() = default;
  // A piece of a message, text or binary alike: `begins` with its first byte, `ends` with its last;
  // messages may be of any size. Take the bytes out of `data`.
  virtual void OnMessage(Buffer& data, bool begins, bool ends) = 0;
  virtual void OnPing(absl::string_view payload) = 0;
  // The client closes; nothing follows. `code` 0: it gave none.
  virtual void OnClose(uint16_t code) = 0;
};

class WebSocketReader {
 public:
  explicit WebSocketReader(WebSocketEvents& events) : events_(events) {}

  // Takes all of `in`; what is incomplete is kept (a few bytes). Error: the client broke the
  // protocol, and nothing is taken any more. The events must not destroy the reader.
  absl::Status Receive(Buffer& in);

 private:
  // False: more bytes are needed.
  bool ReadHead(absl::Status& status);
  absl::Status CheckHead(uint8_t first, uint8_t second);
  void ReadPayload();
  bool ReadControl();
  absl::Status Fail(absl::string_view why);

  WebSocketEvents& events_;
  absl::Status failed_;
  bool closed_ = false;
  Buffer pending_;
  // The frame that is being read, and the message that it belongs to.
  bool in_frame_ = false;
  bool in_message_ = false;
  bool begins_ = false;
  bool final_ = false;
  uint8_t opcode_ = 0;
  uint64_t left_ = 0;  // bytes of its payload
  char mask_[4] = {};
  uint32_t mask_at_ = 0;
};

// ---- Frames of a server: not masked. All of `data` is taken.
void AppendWebSocketMessage(absl::string_view prefix, Buffer& data, Buffer& out);
// `data` is UTF-8.
void AppendWebSocketText(Buffer& data, Buffer& out);
void AppendWebSocketPong(absl::string_view payload, Buffer& out);
// `reason` is cut to what fits.
void AppendWebSocketClose(uint16_t code, absl::string_view reason, Buffer& out);

}  // namespace meltemi::kubelet
