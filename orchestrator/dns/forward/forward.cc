#include "orchestrator/dns/forward/forward.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/bytes/buffer.h"

namespace meltemi::dns {
namespace {

constexpr size_t kLengthBytes = 2;  // before each message over TCP

bool IsRefusal(uint8_t rcode) { return rcode == kServFail || rcode == kRefused; }

}  // namespace

Forward::Forward(Forwarder& forwarder, ForwardKey key, std::vector<net::Address> servers)
    : forwarder_(forwarder),
      key_(std::move(key)),
      servers_(std::move(servers)),
      timer_(forwarder.loop_.NewTimer([this] { Next(true); })) {}

Forward::~Forward() { EndAttempt(); }

bool Forward::AddWaiter(Forwarder::Done done) {
  if (waiters_.size() >= forwarder_.options_.waiters_max) return false;
  waiters_.push_back(std::move(done));
  return true;
}

void Forward::Start() {
  edns_ = !forwarder_.upstreams_.plain(server());
  Attempt();
}

void Forward::Attempt() {
  id_ = static_cast<uint16_t>(forwarder_.random_.Next() >> 48);
  const uint16_t flags = static_cast<uint16_t>(
      kFlagRecursionDesired | (key_.checking_disabled ? kFlagCheckingDisabled : 0));
  const std::string message =
      WriteQuery(id_, key_.name, key_.type, key_.klass, flags, edns_, key_.dnssec_ok);
  metrics::Counter* counter = forwarder_.CounterOf("coredns_forward_requests_total", server(), "");
  if (counter != nullptr) counter->Inc();
  timer_->Arm(forwarder_.options_.timeout);
  // A socket of its own: the kernel chooses a port that nobody can guess.
  fd_ = socket(server().family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, server().raw(), server().raw_length()) != 0 ||
      send(fd_, message.data(), message.size(), 0) < 0) {
    // The next server's turn comes from the loop: nobody is called from within Ask.
    timer_->Arm(milliseconds(1));
    return;
  }
  watch_ = forwarder_.loop_.WatchFd(fd_, FdTrigger::kLevel, kFdReadable,
                                    [this](uint8_t) { OnReadable(); });
}

void Forward::EndAttempt() {
  timer_->Disarm();
  watch_.reset();
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  if (connection_ != nullptr) {
    connection_->SetHandler(nullptr);
    connection_->Abort();
    forwarder_.loop_.DeferDelete(std::move(connection_));
  }
}

void Forward::Next(bool failed) {
  if (failed) forwarder_.upstreams_.Failed(server(), forwarder_.loop_.Now());
  EndAttempt();
  if (++server_ >= servers_.size()) {
    Done(refusal_);
    return;
  }
  edns_ = !forwarder_.upstreams_.plain(server());
  Attempt();
}

void Forward::OnReadable() {
  std::array<char, 4096> buffer;
  const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) Next(true);
    return;
  }
  Take(absl::string_view(buffer.data(), static_cast<size_t>(size)), false);
}

void Forward::Take(absl::string_view message, bool over_tcp) {
  auto answer = std::make_shared<UpstreamAnswer>();
  AnswerInfo& info = answer->info;
  const bool ours = ReadAnswer(message, &info) && info.id == id_ && info.name == key_.name &&
                    info.type == key_.type && info.klass == key_.klass;
  if (!ours) {
    // Somebody else's, or broken. What comes over TCP comes from the server itself.
    if (over_tcp) Next(true);
    return;
  }
  forwarder_.upstreams_.Succeeded(server());
  metrics::Counter* counter = forwarder_.CounterOf("coredns_forward_responses_total", server(),
                                                   RcodeText(info.rcode).data());
  if (counter != nullptr) counter->Inc();
  if (edns_ && (info.rcode == kFormErr || info.rcode == kNotImp)) {
    forwarder_.upstreams_.SetPlain(server());
    EndAttempt();
    edns_ = false;
    Attempt();
    return;
  }
  if ((info.flags & kFlagTruncated) != 0 && !over_tcp) {
    EndAttempt();
    AttemptOverTcp();
    return;
  }
  // Each asker gets an OPT record, or none, by what it asked.
  const size_t size = info.opt_offset != 0 ? info.opt_offset : message.size();
  answer->message = std::string(message.substr(0, size));
  if (info.opt_offset != 0) {
    const auto additional = static_cast<uint16_t>(static_cast<uint8_t>(message[10]) << 8 |
                                                  static_cast<uint8_t>(message[11]));
    answer->message[10] = static_cast<char>((additional - 1) >> 8);
    answer->message[11] = static_cast<char>(additional - 1);
  }
  answer->received_at = forwarder_.loop_.Now();
  if (IsRefusal(info.rcode) && server_ + 1 < servers_.size()) {
    refusal_ = std::move(answer);
    Next(false);
    return;
  }
  Done(std::move(answer));
}

void Forward::AttemptOverTcp() {
  timer_->Arm(forwarder_.options_.timeout);
  net::ConnectionLimits limits;
  limits.read_buffer_bytes_max = kLengthBytes + kMessageBytesMax;
  connection_ = net::NewClientConnection(forwarder_.loop_, server(), net::Address(), limits);
  connection_->SetHandler(this);
}

void Forward::OnConnected() {
  const uint16_t flags = static_cast<uint16_t>(
      kFlagRecursionDesired | (key_.checking_disabled ? kFlagCheckingDisabled : 0));
  const std::string message =
      WriteQuery(id_, key_.name, key_.type, key_.klass, flags, edns_, key_.dnssec_ok);
  const std::array<char, 2> length = {static_cast<char>(message.size() >> 8),
                                      static_cast<char>(message.size())};
  connection_->output().Append(absl::string_view(length.data(), length.size()));
  connection_->output().Append(message);
  connection_->FlushSoon();
}

void Forward::OnRead(Buffer& in, bool end_of_stream) {
  if (in.size() >= kLengthBytes) {
    const absl::string_view head = in.Linearize(kLengthBytes);
    const size_t length =
        static_cast<size_t>(static_cast<uint8_t>(head[0])) << 8 | static_cast<uint8_t>(head[1]);
    if (in.size() >= kLengthBytes + length) {
      const std::string message(in.Linearize(kLengthBytes + length).substr(kLengthBytes, length));
      Take(message, true);
      return;
    }
  }
  if (end_of_stream) Next(true);
}

void Forward::OnClosed(net::CloseCause cause, absl::string_view detail) {
  forwarder_.loop_.DeferDelete(std::move(connection_));
  Next(true);
}

void Forward::Done(UpstreamAnswerPtr answer) {
  EndAttempt();
  forwarder_.Finish(key_, std::move(answer));
}

}  // namespace meltemi::dns
