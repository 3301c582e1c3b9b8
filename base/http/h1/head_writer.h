// Writes the head of an HTTP/1 message straight into the output, and frames its body.
//
// Stateless but for BodyWriter (loop-owned). Fields that belong to one hop are left out; whatever
// framing the message needs is added (RFC 9112 6). A control character in a value, which no codec
// lets in, is written as a blank, so that no value can ever begin a line of its own.
#pragma once

#include <cstdint>

#include "base/bytes/buffer.h"
#include "base/http/h1/head_parser.h"
#include "base/http/header_map.h"

namespace meltemi::http::h1 {

struct RequestHeadInfo {
  bool is_head = false;
  bool is_connect = false;
  bool wants_upgrade = false;
  // An RFC 8441 CONNECT, written as a GET that asks for an upgrade.
  bool from_extended_connect = false;
  // … whose peer had no need of a WebSocket key: nor has it of what answers ours.
  bool own_websocket_key = false;
};

struct ResponseContext {
  bool to_head = false;
  bool to_connect = false;
  bool to_upgrade = false;
  Protocol peer = Protocol::kHttp11;
  // Whether the connection goes on afterwards; says so where the peer could think otherwise.
  bool keep_alive = true;
};

// How the body that follows a written head is framed.
class BodyWriter {
 public:
  void Start(BodyKind kind, uint64_t length) {
    kind_ = kind;
    left_ = length;
  }
  // Takes all of `data`. What is more than the announced length is dropped: see Finish.
  void Write(Buffer& data, Buffer& out);
  // Ends the body; `trailers` may be nullptr. False: fewer or more bytes were written than
  // announced, so the peer can only be told by closing the connection.
  bool Finish(const HeaderMap* trailers, Buffer& out);
  BodyKind kind() const { return kind_; }

 private:
  BodyKind kind_ = BodyKind::kNone;
  uint64_t left_ = 0;
  bool overrun_ = false;
};

// Sets `body` up for what follows: kTunnel when `info` says CONNECT or upgrade.
RequestHeadInfo WriteRequestHead(const HeaderMap& headers, bool end_stream, bool upgrade_any_method,
                                 Buffer& out, BodyWriter* body);
// kUntilClose means that the connection has to be closed to end the message, whatever
// context.keep_alive said.
void WriteResponseHead(const HeaderMap& headers, const ResponseContext& context, bool end_stream,
                       Buffer& out, BodyWriter* body);
// 100, 103 …
void WriteInformational(const HeaderMap& headers, Buffer& out);
// A whole response of the codec's own: no body, connection: close.
void WriteErrorResponse(int status, Buffer& out);

}  // namespace meltemi::http::h1
