// The length-prefixed messages inside a gRPC stream: one flag byte, four bytes of length, the
// message.
//
// Loop-owned and sans-IO. Messages may be cut into DATA frames anywhere.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"

namespace meltemi::http::grpc {

constexpr size_t kMessagePrefixBytes = 5;

// What goes before an uncompressed message of `size` bytes; size < 2^32.
std::string MessagePrefix(size_t size);
// Appends one uncompressed message. message.size() < 2^32.
void AppendMessage(absl::string_view message, Buffer* out);

class MessageReader {
 public:
  explicit MessageReader(size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  // Takes all of `in`.
  void Append(Buffer& in) { pending_.MoveFrom(in); }
  // True: `*message` holds the next one (what was in it is dropped). False: it has not arrived yet.
  // Error: RESOURCE_EXHAUSTED (too large), UNIMPLEMENTED (compressed), INTERNAL (bad flag); after
  // it nothing more can be read.
  absl::StatusOr<bool> Next(Buffer* message);
  // Whether the stream may end here.
  bool at_boundary() const { return pending_.empty(); }

 private:
  const size_t message_bytes_max_;
  Buffer pending_;
};

}  // namespace meltemi::http::grpc
