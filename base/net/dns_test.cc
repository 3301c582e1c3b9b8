#include "base/net/dns.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace meltemi::net {
namespace {

// Answers A questions from a table over UDP; other types get an empty answer, other names NXDOMAIN.
class TinyDnsServer {
 public:
  explicit TinyDnsServer(Loop& loop) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    const Address any = Address::Loopback4(0);
    EXPECT_EQ(bind(fd_, any.raw(), any.raw_length()), 0);
    sockaddr_in bound;
    socklen_t length = sizeof(bound);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &length);
    address = Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length);
    watch_ = loop.WatchFd(fd_, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { Answer(); });
  }
  ~TinyDnsServer() {
    watch_.reset();
    close(fd_);
  }

  std::map<std::string, std::string> names;
  bool mute = false;
  int questions = 0;
  Address address;

 private:
  void Answer() {
    unsigned char packet[512];
    sockaddr_in from;
    socklen_t length = sizeof(from);
    const ssize_t size =
        recvfrom(fd_, packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 17) return;
    ++questions;
    if (mute) return;
    std::string name;
    size_t at = 12;
    while (packet[at] != 0) {
      if (!name.empty()) name += '.';
      name.append(reinterpret_cast<char*>(packet + at + 1), packet[at]);
      at += packet[at] + 1u;
    }
    const int type = packet[at + 1] << 8 | packet[at + 2];
    std::string reply(reinterpret_cast<char*>(packet), at + 5);
    const auto found = names.find(name);
    reply[2] = static_cast<char>(0x81);
    reply[3] = static_cast<char>(found == names.end() ? 0x83 : 0x80);
    reply[8] = reply[9] = reply[10] = reply[11] = 0;
    const bool has = found != names.end() && type == 1;
    reply[7] = has ? 1 : 0;
    if (has) {
      reply += std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x2a\x00\x04", 12);
      in_addr ip;
      inet_pton(AF_INET, found->second.c_str(), &ip);
      reply.append(reinterpret_cast<char*>(&ip), 4);
    }
    sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  }

  const int fd_;
  std::unique_ptr<FdWatch> watch_;
};

class DnsTest : public testing::Test {
 protected:
  DnsTest() : loop_(NewEventLoop(clock_)), server_(*loop_) {
    resolver_ = std::move(*NewDnsResolver(*loop_, {server_.address}));
  }
  absl::StatusOr<DnsAnswer> Ask(const std::string& name) {
    std::optional<absl::StatusOr<DnsAnswer>> answer;
    auto query = resolver_->Resolve(name, DnsFamily::kAuto,
                                    [&](absl::StatusOr<DnsAnswer> a) { answer = std::move(a); });
    EXPECT_FALSE(answer.has_value());
    for (int turn = 0; turn < 1000 && !answer; ++turn) loop_->RunOnce(milliseconds(100));
    return answer.value_or(absl::DeadlineExceededError("the test gave up"));
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  TinyDnsServer server_;
  std::unique_ptr<DnsResolver> resolver_;
};

TEST_F(DnsTest, GivesAddressesAndTheirTimeToLive) {
  server_.names["flaskapp.example"] = "10.1.2.3";
  const absl::StatusOr<DnsAnswer> answer = Ask("flaskapp.example");
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->addresses.size(), 1u);
  EXPECT_EQ(answer->addresses[0].ip(), "10.1.2.3");
  EXPECT_EQ(answer->ttl, seconds(42));
}

TEST_F(DnsTest, AnUnknownNameIsNotFound) {
  const absl::StatusOr<DnsAnswer> answer = Ask("nobody.example");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(answer.status().message(), "no address for \"nobody.example\"");
}

TEST_F(DnsTest, LiteralsNeedNoServerAndStillComeFromTheLoop) {
  const absl::StatusOr<DnsAnswer> answer = Ask("192.0.2.7");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->addresses[0].ip(), "192.0.2.7");
  EXPECT_EQ(server_.questions, 0);
}

TEST_F(DnsTest, ACancelledQueryIsSilent) {
  server_.mute = true;
  bool called = false;
  auto query = resolver_->Resolve("slow.example", DnsFamily::kAuto,
                                  [&](absl::StatusOr<DnsAnswer>) { called = true; });
  for (int turn = 0; turn < 100 && server_.questions == 0; ++turn)
    loop_->RunOnce(milliseconds(100));
  EXPECT_GT(server_.questions, 0);
  query.reset();
  auto literal = resolver_->Resolve("192.0.2.8", DnsFamily::kAuto,
                                    [&](absl::StatusOr<DnsAnswer>) { called = true; });
  literal.reset();
  resolver_.reset();
  loop_->RunOnce(Duration::zero());
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace meltemi::net
