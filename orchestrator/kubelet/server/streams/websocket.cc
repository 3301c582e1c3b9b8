#include "orchestrator/kubelet/server/streams/websocket.h"

#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

constexpr uint8_t kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;
constexpr uint8_t kFinal = 0x80, kReserved = 0x70, kMasked = 0x80;
constexpr size_t kControlMax = 125;

void AppendHead(uint8_t opcode, uint64_t length, Buffer& out) {
  std::string head(1, static_cast<char>(kFinal | opcode));
  int bytes = 0;
  if (length <= kControlMax) {
    head.push_back(static_cast<char>(length));
  } else if (length <= 0xffff) {
    head.push_back(126);
    bytes = 2;
  } else {
    head.push_back(127);
    bytes = 8;
  }
  for (int i = bytes - 1; i >= 0; --i) head.push_back(static_cast<char>(length >> (8 * i)));
  out.Append(head);
}

}  // namespace

std::string WebSocketAccept(absl::string_view key) {
  const std::string text = absl::StrCat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

// ---- Reading ------------------------------------------------------------------------------------

absl::Status WebSocketReader::Fail(absl::string_view why) {
  failed_ = absl::InvalidArgumentError(why);
  pending_.Clear();
  return failed_;
}

absl::Status WebSocketReader::Receive(Buffer& in) {
  if (!failed_.ok() || closed_) {
    in.Clear();
    return failed_;
  }
  pending_.MoveFrom(in);
  absl::Status status;
  while (!closed_) {
    if (!in_frame_) {
      if (!ReadHead(status)) return status;
    } else if (opcode_ >= kClose) {
      if (!ReadControl()) return absl::OkStatus();
    } else {
      if (pending_.empty() && left_ > 0) return absl::OkStatus();
      ReadPayload();
    }
  }
  pending_.Clear();
  return absl::OkStatus();
}

bool WebSocketReader::ReadHead(absl::Status& status) {
  if (pending_.size() < 2) return false;
  char head[14];
  pending_.CopyOut(0, 2, head);
  const uint8_t first = static_cast<uint8_t>(head[0]), second = static_cast<uint8_t>(head[1]);
  status = CheckHead(first, second);
  if (!status.ok()) return false;
  const uint8_t length = second & 0x7f;
  const size_t bytes = length == 127 ? 8 : length == 126 ? 2 : 0;
  if (pending_.size() < 2 + bytes + sizeof(mask_)) return false;
  pending_.CopyOut(0, 2 + bytes + sizeof(mask_), head);
  left_ = bytes == 0 ? length : 0;
  for (size_t i = 0; i < bytes; ++i) left_ = left_ << 8 | static_cast<uint8_t>(head[2 + i]);
  if (left_ >> 63 != 0) {
    status = Fail("a frame whose length is negative");
    return false;
  }
  std::copy_n(head + 2 + bytes, sizeof(mask_), mask_);
  mask_at_ = 0;
  pending_.Drain(2 + bytes + sizeof(mask_));
  in_frame_ = true;
  opcode_ = first & 0x0f;
  final_ = (first & kFinal) != 0;
  if (opcode_ == kText || opcode_ == kBinary) begins_ = in_message_ = true;
  return true;
}

absl::Status WebSocketReader::CheckHead(uint8_t first, uint8_t second) {
  const uint8_t opcode = first & 0x0f;
  if ((first & kReserved) != 0) return Fail("a frame with reserved bits");
  if ((second & kMasked) == 0) return Fail("a frame that is not masked");
  switch (opcode) {
    case kContinuation:
      if (!in_message_) return Fail("a continuation of nothing");
      return absl::OkStatus();
    case kText:
    case kBinary:
      if (in_message_) return Fail("a message within a message");
      return absl::OkStatus();
    case kClose:
    case kPing:
    case kPong:
      if ((first & kFinal) == 0 || (second & 0x7f) > kControlMax) {
        return Fail("a control frame that is too long");
      }
      return absl::OkStatus();
    default:
      return Fail(absl::StrCat("a frame of type ", opcode));
  }
}

void WebSocketReader::ReadPayload() {
  Buffer plain;
  while (left_ > 0 && !pending_.empty()) {
    const absl::string_view run = pending_.Front();
    size_t room = 0;
    char* const to = plain.Reserve(1, &room);
    const size_t count = static_cast<size_t>(std::min<uint64_t>({left_, run.size(), room}));
    for (size_t i = 0; i < count; ++i) to[i] = static_cast<char>(run[i] ^ mask_[mask_at_++ & 3]);
    plain.Commit(count);
    pending_.Drain(count);
    left_ -= count;
  }
  const bool frame_ends = left_ == 0;
  const bool ends = frame_ends && final_;
  in_frame_ = !frame_ends;
  if (ends) in_message_ = false;
  const bool begins = begins_;
  begins_ = false;
  events_.OnMessage(plain, begins, ends);
}

bool WebSocketReader::ReadControl() {
  if (pending_.size() < left_) return false;
  std::string payload(static_cast<size_t>(left_), '\0');
  pending_.CopyOut(0, payload.size(), payload.data());
  pending_.Drain(payload.size());
  for (size_t i = 0; i < payload.size(); ++i) {
    payload[i] = static_cast<char>(payload[i] ^ mask_[i & 3]);
  }
  in_frame_ = false;
  if (opcode_ == kPing) {
    events_.OnPing(payload);
  } else if (opcode_ == kClose) {
    closed_ = true;
    const bool has_code = payload.size() >= 2;
    events_.OnClose(has_code ? static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                                     static_cast<uint8_t>(payload[1]))
                             : 0);
  }
  return true;
}

// ---- Writing ------------------------------------------------------------------------------------

void AppendWebSocketMessage(absl::string_view prefix, Buffer& data, Buffer& out) {
  AppendHead(kBinary, prefix.size() + data.size(), out);
  out.Append(prefix);
  out.MoveFrom(data);
}

void AppendWebSocketText(Buffer& data, Buffer& out) {
  AppendHead(kText, data.size(), out);
  out.MoveFrom(data);
}

void AppendWebSocketPong(absl::string_view payload, Buffer& out) {
  AppendHead(kPong, payload.size(), out);
  out.Append(payload);
}

void AppendWebSocketClose(uint16_t code, absl::string_view reason, Buffer& out) {
  reason = reason.substr(0, kControlMax - 2);
  AppendHead(kClose, 2 + reason.size(), out);
  out.Append(
      absl::StrCat(std::string{static_cast<char>(code >> 8), static_cast<char>(code)}, reason));
}

}  // namespace meltemi::kubelet
