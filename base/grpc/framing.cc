#include "base/grpc/framing.h"

#include "absl/strings/str_cat.h"

namespace meltemi::http::grpc {

std::string MessagePrefix(size_t size) {
  return {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

void AppendMessage(absl::string_view message, Buffer* out) {
  out->Append(MessagePrefix(message.size()));
  out->Append(message);
}

absl::StatusOr<bool> MessageReader::Next(Buffer* message) {
  message->Clear();
  if (pending_.size() < kMessagePrefixBytes) return false;
  uint8_t prefix[kMessagePrefixBytes];
  pending_.CopyOut(0, kMessagePrefixBytes, reinterpret_cast<char*>(prefix));
  if (prefix[0] == 1) {
    return absl::UnimplementedError("a compressed message, although no encoding was offered");
  }
  if (prefix[0] != 0) return absl::InternalError("a message's first byte is neither 0 nor 1");
  const size_t size = static_cast<size_t>(prefix[1]) << 24 | static_cast<size_t>(prefix[2]) << 16 |
                      static_cast<size_t>(prefix[3]) << 8 | static_cast<size_t>(prefix[4]);
  if (size > message_bytes_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a message of ", size, " bytes is larger than ", message_bytes_max_));
  }
  if (pending_.size() - kMessagePrefixBytes < size) return false;
  pending_.Drain(kMessagePrefixBytes);
  message->MoveFrom(pending_, size);
  return true;
}

}  // namespace meltemi::http::grpc
