#include "orchestrator/dns/server/udp.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace meltemi::dns {
namespace {

constexpr int kBatch = 64;      // datagrams per system call
constexpr int kRoundsMax = 16;  // per turn of the loop: timers and TCP want their share
constexpr size_t kQueryBytesMax = 4096;
constexpr int kSocketBytes = 4 * 1024 * 1024;  // a burst waits here; the kernel may give less
constexpr size_t kControlBytes = CMSG_SPACE(sizeof(in_pktinfo));

bool IsAny(const net::Address& address) {
  return address.family() == AF_INET &&
         reinterpret_cast<const sockaddr_in*>(address.raw())->sin_addr.s_addr == INADDR_ANY;
}

absl::Status BindError(const net::Address& address, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot listen on ", address.ToString(), " (UDP): ", std::strerror(error)));
}

}  // namespace

struct UdpEndpoint::Batch {
  std::array<std::array<char, kQueryBytesMax>, kBatch> queries;
  std::array<std::array<char, kUdpBytesMax>, kBatch> answers;
  std::array<mmsghdr, kBatch> in, out;
  std::array<iovec, kBatch> in_pieces, out_pieces;
  std::array<Peer, kBatch> peers;
  alignas(cmsghdr) std::array<std::array<char, kControlBytes>, kBatch> control;
};

absl::StatusOr<std::unique_ptr<UdpEndpoint>> UdpEndpoint::Open(Loop& loop,
                                                               const net::Address& address,
                                                               Answerer& answerer) {
  const int fd = socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return BindError(address, errno);
  const int on = 1;
  if (IsAny(address)) setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
  // The first one is for those who may, whatever the machine's limit is.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof(kSocketBytes)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kSocketBytes, sizeof(kSocketBytes));
  }
  if (bind(fd, address.raw(), address.raw_length()) != 0) {
    const int error = errno;
    close(fd);
    return BindError(address, error);
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
  return std::unique_ptr<UdpEndpoint>(new UdpEndpoint(
      loop, fd, net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length), answerer));
}

UdpEndpoint::UdpEndpoint(Loop& loop, int fd, const net::Address& address, Answerer& answerer)
    : fd_(fd),
      address_(address),
      answerer_(answerer),
      any_(IsAny(address)),
      batch_(std::make_unique<Batch>()),
      self_(std::make_shared<UdpEndpoint*>(this)),
      watch_(loop.WatchFd(fd, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { OnReadable(); })) {}

UdpEndpoint::~UdpEndpoint() {
  *self_ = nullptr;
  watch_.reset();
  close(fd_);
}

int UdpEndpoint::Receive() {
  Batch& batch = *batch_;
  for (size_t i = 0; i < kBatch; ++i) {
    batch.in_pieces[i] = {batch.queries[i].data(), batch.queries[i].size()};
    msghdr& head = batch.in[i].msg_hdr;
    head = {};
    head.msg_name = &batch.peers[i].from;
    head.msg_namelen = sizeof(batch.peers[i].from);
    head.msg_iov = &batch.in_pieces[i];
    head.msg_iovlen = 1;
    if (any_) {
      head.msg_control = batch.control[i].data();
      head.msg_controllen = kControlBytes;
    }
  }
  const int count = recvmmsg(fd_, batch.in.data(), kBatch, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < count; ++i) {
    Peer& peer = batch.peers[static_cast<size_t>(i)];
    msghdr& head = batch.in[static_cast<size_t>(i)].msg_hdr;
    peer.from_length = head.msg_namelen;
    peer.local.s_addr = INADDR_ANY;
    const cmsghdr* control = any_ ? CMSG_FIRSTHDR(&head) : nullptr;
    if (control == nullptr || control->cmsg_type != IP_PKTINFO) continue;
    in_pktinfo info;
    std::memcpy(&info, CMSG_DATA(control), sizeof(info));
    peer.local = info.ipi_spec_dst;
  }
  return count;
}

void UdpEndpoint::OnReadable() {
  Batch& batch = *batch_;
  for (int round = 0; round < kRoundsMax; ++round) {
    const int count = Receive();
    int answers = 0;
    for (int n = 0; n < count; ++n) {
      const auto i = static_cast<size_t>(n);
      const auto slot = static_cast<size_t>(answers);
      if ((batch.in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
      const Peer& peer = batch.peers[i];
      const absl::string_view answer =
          answerer_.Answer(absl::string_view(batch.queries[i].data(), batch.in[i].msg_len),
                           Transport::kUdp, batch.answers[slot].data(), [this, &peer]() -> Reply {
                             return [self = self_, peer](absl::string_view message) {
                               if (*self != nullptr) (*self)->SendOne(peer, message);
                             };
                           });
      if (answer.empty()) continue;
      batch.out_pieces[slot] = {batch.answers[slot].data(), answer.size()};
      msghdr& head = batch.out[slot].msg_hdr;
      head = batch.in[i].msg_hdr;  // back to where it came from
      head.msg_iov = &batch.out_pieces[slot];
      head.msg_flags = 0;
      ++answers;
    }
    SendAll(answers);
    if (count < kBatch) return;
  }
}

void UdpEndpoint::SendAll(int count) {
  int sent = 0;
  while (sent < count) {
    const int n = sendmmsg(fd_, &batch_->out[static_cast<size_t>(sent)],
                           static_cast<unsigned>(count - sent), MSG_DONTWAIT);
    // What cannot be sent is lost, as datagrams are; the others still go.
    sent += n > 0 ? n : 1;
  }
}

void UdpEndpoint::SendOne(const Peer& peer, absl::string_view message) const {
  Peer to = peer;
  iovec piece = {const_cast<char*>(message.data()), message.size()};
  msghdr head{};
  head.msg_name = &to.from;
  head.msg_namelen = to.from_length;
  head.msg_iov = &piece;
  head.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, kControlBytes> room{};
  if (to.local.s_addr != INADDR_ANY) {
    head.msg_control = room.data();
    head.msg_controllen = room.size();
    cmsghdr* control = CMSG_FIRSTHDR(&head);
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_spec_dst = to.local;
    std::memcpy(CMSG_DATA(control), &info, sizeof(info));
  }
  (void)sendmsg(fd_, &head, MSG_DONTWAIT);
}

}  // namespace meltemi::dns
