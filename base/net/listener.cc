#include "base/net/listener.h"

#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::net {
namespace {

// <linux/netfilter_ipv6/ip6_tables.h> clashes with <netinet/in.h>.
constexpr int kIp6OriginalDst = 80;
// Connections taken per turn, so that a storm of new ones leaves room for those that exist.
constexpr int kAcceptsPerTurn = 64;

absl::Status SystemError(absl::string_view what, const Address& address) {
  const int error = errno;
  const std::string text = absl::StrCat(what, " ", address.ToString(), ": ", std::strerror(error));
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(absl::StrCat(text, " (another process listens there)"));
  }
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat(text, " (ports below 1024 and transparent sockets need root)"));
  }
  return absl::UnavailableError(text);
}

class SocketListener final : public Listener {
 public:
  SocketListener(Loop& loop, int fd, const Address& address, AcceptCallback on_accept)
      : loop_(loop), fd_(fd), address_(address), on_accept_(std::move(on_accept)) {
    spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch_ = loop.WatchFd(fd_, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { AcceptSome(); });
  }
  ~SocketListener() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
    watch_.reset();
    close(fd_);
    if (spare_fd_ >= 0) close(spare_fd_);
  }

  const Address& address() const override { return address_; }
  int fd() const override { return fd_; }
  void Pause(bool paused) override { watch_->Want(paused ? 0 : kFdReadable); }

 private:
  void AcceptSome() {
    bool destroyed = false;
    destroyed_ = &destroyed;
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      sockaddr_storage peer;
      socklen_t length = sizeof(peer);
      const int fd =
          accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) DropOne();
        if (errno == EINTR || errno == ECONNABORTED) continue;
        break;
      }
      on_accept_(fd, Address::FromSockaddr(reinterpret_cast<sockaddr*>(&peer), length));
      if (destroyed) return;
    }
    destroyed_ = nullptr;
  }

  // Out of descriptors: the spare one is given up to take and close the connection that would
  // otherwise keep the listener readable for ever.
  void DropOne() {
    LOG(kWarn, "net",
        "out of file descriptors (raise it with ulimit -n): dropping a connection to ",
        address_.ToString());
    if (spare_fd_ >= 0) close(spare_fd_);
    const int victim = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (victim >= 0) close(victim);
    spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = EMFILE;
  }

  Loop& loop_;
  const int fd_;
  const Address address_;
  AcceptCallback on_accept_;
  int spare_fd_ = -1;
  std::unique_ptr<FdWatch> watch_;
  bool* destroyed_ = nullptr;
};

bool SetFlag(int fd, int level, int option) {
  const int one = 1;
  return setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

absl::Status Prepare(int fd, const Address& address, const ListenOptions& options) {
  if (address.is_ip() && !SetFlag(fd, SOL_SOCKET, SO_REUSEADDR)) {
    return SystemError("SO_REUSEADDR on", address);
  }
  if (options.reuse_port && !SetFlag(fd, SOL_SOCKET, SO_REUSEPORT)) {
    return SystemError("SO_REUSEPORT on", address);
  }
  if (options.transparent && !SetFlag(fd, SOL_IP, IP_TRANSPARENT)) {
    return SystemError("IP_TRANSPARENT on", address);
  }
  if (options.ipv6_only && address.family() == AF_INET6 &&
      !SetFlag(fd, IPPROTO_IPV6, IPV6_V6ONLY)) {
    return SystemError("IPV6_V6ONLY on", address);
  }
  if (address.family() == AF_UNIX) unlink(address.path().c_str());
  if (bind(fd, address.raw(), address.raw_length()) != 0) {
    return SystemError("cannot listen on", address);
  }
  if (listen(fd, options.backlog) != 0) return SystemError("cannot listen on", address);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listen(Loop& loop, const Address& address,
                                                 const ListenOptions& options,
                                                 Listener::AcceptCallback on_accept) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return SystemError("cannot make a socket for", address);
  if (absl::Status status = Prepare(fd, address, options); !status.ok()) {
    close(fd);
    return status;
  }
  sockaddr_storage bound;
  socklen_t length = sizeof(bound);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
  return std::make_unique<SocketListener>(
      loop, fd, Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length),
      std::move(on_accept));
}

absl::StatusOr<Address> OriginalDestination(int fd) {
  sockaddr_storage address;
  socklen_t length = sizeof(address);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  if (getsockname(fd, raw, &length) != 0) {
    return absl::UnavailableError(absl::StrCat("getsockname: ", std::strerror(errno)));
  }
  const Address local = Address::FromSockaddr(raw, length);
  if (!local.is_ip()) return local;
  sockaddr_storage original;
  socklen_t original_length = sizeof(original);
  const bool v4 = local.family() == AF_INET;
  if (getsockopt(fd, v4 ? SOL_IP : SOL_IPV6, v4 ? SO_ORIGINAL_DST : kIp6OriginalDst, &original,
                 &original_length) != 0) {
    // Not tracked by a NAT rule: it was sent here.
    return local;
  }
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&original), original_length);
}

}  // namespace meltemi::net
