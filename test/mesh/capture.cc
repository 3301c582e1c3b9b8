#include "test/mesh/capture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::mesh {
namespace {

constexpr int64_t kPacketsMax = 200'000;
constexpr size_t kPacketBytesMax = 65'536;
constexpr int kPollMillis = 50;
constexpr uint8_t kTcp = 6;

uint8_t ByteAt(absl::string_view bytes, size_t at) {
  return at < bytes.size() ? static_cast<uint8_t>(bytes[at]) : 0;
}
uint16_t WordAt(absl::string_view bytes, size_t at) {
  return static_cast<uint16_t>(ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1));
}

// The version that a ServerHello has chosen (RFC 8446 4.1.3, 4.2.1); "": it is none.
std::string ChosenVersion(absl::string_view record) {
  constexpr size_t kHandshake = 5, kRandomEnd = kHandshake + 4 + 2 + 32;
  if (ByteAt(record, kHandshake) != 2) return "";
  size_t at = kRandomEnd + 1 + ByteAt(record, kRandomEnd) + 3;  // session id, cipher, compression
  const size_t end = at + 2 + WordAt(record, at);
  for (at += 2; at + 4 <= end && at + 4 <= record.size(); at += 4 + WordAt(record, at + 2)) {
    if (WordAt(record, at) == 43 && WordAt(record, at + 4) == 0x0304) return "TLSv1.3";
  }
  return "TLSv1.2";
}

}  // namespace

void LookAt(absl::string_view content, absl::string_view text, Captured* captured) {
  ++captured->packets;
  captured->readable |= absl::StrContains(content, text);
  const uint8_t type = ByteAt(content, 0);
  if (type < 20 || type > 23 || ByteAt(content, 1) != 3) return;
  ++captured->tls_records;
  if (const std::string version = type == 22 ? ChosenVersion(content) : ""; !version.empty()) {
    captured->versions.insert(version);
  }
}

Capture::Capture(uint16_t port, std::string text) : port_(port), text_(std::move(text)) {
  // Of all protocols: those who ask for one alone come after the bridge, which keeps what it passes
  // on.
  socket_ = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (socket_ < 0) {
    trouble_ = absl::StrCat("no packet socket: ", std::strerror(errno));
    return;
  }
  thread_ = std::thread([this] { Work(); });
}

Capture::~Capture() {
  if (thread_.joinable()) Stop();
}

Captured Capture::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  return captured_;
}

void Capture::Work() {
  std::string buffer(kPacketBytesMax, '\0');
  while (!stop_ && captured_.packets < kPacketsMax) {
    pollfd wait{.fd = socket_, .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, kPollMillis) <= 0) continue;
    sockaddr_ll from{};
    socklen_t from_length = sizeof(from);
    const ssize_t got = recvfrom(socket_, buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &from_length);
    if (got > 0 && from.sll_protocol == htons(ETH_P_IP)) {
      Take(absl::string_view(buffer.data(), static_cast<size_t>(got)));
    }
  }
}

void Capture::Take(absl::string_view packet) {
  const size_t ip_header = (ByteAt(packet, 0) & 0x0f) * 4u;
  const size_t length = WordAt(packet, 2);
  if (ByteAt(packet, 9) != kTcp || length > packet.size()) return;
  if (WordAt(packet, ip_header) != port_ && WordAt(packet, ip_header + 2) != port_) return;
  const size_t content = ip_header + (ByteAt(packet, ip_header + 12) >> 4) * 4u;
  if (content < length) LookAt(packet.substr(content, length - content), text_, &captured_);
}

}  // namespace meltemi::mesh
