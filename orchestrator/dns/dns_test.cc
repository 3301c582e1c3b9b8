// The server on real sockets: what a pod's resolver sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/dns/dns_server.h"
#include "orchestrator/dns/wire/message.h"

namespace meltemi::dns {
namespace {

using controllers::World;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;
using testing::HasSubstr;

constexpr int kTimeoutSeconds = 10;

// A socket that speaks to one address; reading is bounded.
class Client {
 public:
  Client(const net::Address& to, int type) : fd_(socket(AF_INET, type, 0)) {
    const timeval timeout = {kTimeoutSeconds, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    EXPECT_EQ(connect(fd_, to.raw(), to.raw_length()), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(absl::string_view bytes) const {
    EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string Receive() const {
    std::string bytes(kMessageBytesMax, '\0');
    const ssize_t size = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return bytes;
  }
  // A message after its length; empty at the end.
  std::string ReceiveFramed() const {
    std::string bytes;
    while (bytes.size() < 2 || bytes.size() < 2 + Length(bytes)) {
      const std::string more = Receive();
      if (more.empty()) return "";
      bytes += more;
    }
    return bytes.substr(2);
  }

 private:
  static size_t Length(const std::string& bytes) {
    return static_cast<size_t>(static_cast<uint8_t>(bytes[0])) << 8 |
           static_cast<uint8_t>(bytes[1]);
  }
  const int fd_;
};

class Follower final : public controllers::Running {
 public:
  Follower(World& world, const DnsOptions& options, metrics::Registry* metrics)
      : server(*StartDnsServer(options, clock_, world.informers(), metrics)) {}
  void Start() override { server->Start(); }

 private:
  SystemClock clock_;

 public:
  const std::unique_ptr<DnsServer> server;
};

class DnsTest : public testing::Test {
 protected:
  DnsTest() : resolv_conf_(absl::StrCat(testing::TempDir(), "/resolv", getpid())) {
    std::ofstream(resolv_conf_) << "search nowhere\n";
  }
  ~DnsTest() override { unlink(resolv_conf_.c_str()); }

  void StartServer(const DnsOptions& wanted = {}) {
    DnsOptions options = wanted;
    options.addresses = {net::Address::Loopback4(0)};
    options.resolv_conf = resolv_conf_;
    auto follower = std::make_unique<Follower>(world_, options, &metrics_);
    address_ = follower->server->addresses()[0];
    world_.Run(std::move(follower));
  }
  AnswerInfo Udp(absl::string_view name, uint16_t type = kTypeA, bool edns = true) {
    const Client client(address_, SOCK_DGRAM);
    client.Send(WriteQuery(5, NameFromText(name), type, kClassIn, 0, edns, false));
    return Info(client.Receive());
  }
  static AnswerInfo Info(const std::string& message) {
    AnswerInfo info;
    EXPECT_TRUE(ReadAnswer(message, &info));
    EXPECT_EQ(info.id, 5);
    return info;
  }
  static std::string Framed(const std::string& message) {
    return std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
           message;
  }

  const std::string resolv_conf_;
  metrics::Registry metrics_;
  World world_;
  net::Address address_;
};

TEST_F(DnsTest, AServiceIsFoundOnceItIsThere) {
  StartServer();
  EXPECT_EQ(Udp("web.default.svc.cluster.local").rcode, kNxDomain);
  world_.Create<Service>("{metadata: {name: web}, spec: {ports: [{port: 80}]}}");
  world_.Settle();
  EXPECT_EQ(Udp("web.default.svc.cluster.local").answers, 1);
  EXPECT_EQ(metrics_.Sum("coredns_dns_requests_total", {{"proto", "udp"}, {"type", "A"}}), 2);
  EXPECT_EQ(metrics_.Sum("coredns_dns_responses_total", {{"rcode", "NXDOMAIN"}}), 1);
}

TEST_F(DnsTest, BeforeAnythingIsKnownNothingIsDenied) {
  DnsOptions options;
  options.addresses = {net::Address::Loopback4(0)};
  options.resolv_conf = resolv_conf_;
  const SystemClock clock;
  const auto server = *StartDnsServer(options, clock, world_.informers(), nullptr);
  address_ = server->addresses()[0];
  EXPECT_EQ(Udp("web.default.svc.cluster.local").rcode, kServFail);
  server->Start();
  EXPECT_EQ(Udp("web.default.svc.cluster.local").rcode, kNxDomain);
}

TEST_F(DnsTest, WhatDoesNotFitIsAskedAgainOverTcp) {
  StartServer();
  world_.Create<Service>("{metadata: {name: many}, spec: {clusterIP: None, ports: [{port: 80}]}}");
  std::string endpoints;
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&endpoints, i == 0 ? "" : ", ", "{addresses: [10.244.1.", i, "]}");
  }
  world_.Create<EndpointSlice>(
      "{metadata: {name: many-1, labels: {kubernetes.io/service-name: many}}, addressType: IPv4, "
      "ports: [{port: 80}], endpoints: [" +
      endpoints + "]}");
  world_.Settle();
  const AnswerInfo cut = Udp("many.default.svc.cluster.local", kTypeA, false);
  EXPECT_NE(cut.flags & kFlagTruncated, 0);
  const Client client(address_, SOCK_STREAM);
  const std::string question = Framed(WriteQuery(5, NameFromText("many.default.svc.cluster.local"),
                                                 kTypeA, kClassIn, 0, true, false));
  // Two questions in one piece, and one in two.
  client.Send(question + question + question.substr(0, 7));
  client.Send(question.substr(7));
  std::string all;
  for (int i = 0; i < 1000 && all.size() < 3 * 3200; ++i) all += client.Receive();
  const size_t length =
      static_cast<size_t>(static_cast<uint8_t>(all[0])) << 8 | static_cast<uint8_t>(all[1]);
  ASSERT_EQ(all.size(), 3 * (2 + length));
  EXPECT_EQ(Info(all.substr(2, length)).answers, 200);
  EXPECT_EQ(metrics_.Sum("coredns_dns_requests_total", {{"proto", "tcp"}}), 3);
}

TEST_F(DnsTest, TooManyConnectionsCostTheIdlestOne) {
  DnsOptions options;
  options.tcp_connections_max = 2;
  StartServer(options);
  const std::string question =
      Framed(WriteQuery(5, NameFromText("cluster.local"), kTypeSoa, kClassIn, 0, true, false));
  const Client first(address_, SOCK_STREAM), second(address_, SOCK_STREAM);
  first.Send(question);
  EXPECT_EQ(Info(first.ReceiveFramed()).answers, 1);
  second.Send(question);
  EXPECT_EQ(Info(second.ReceiveFramed()).answers, 1);
  const Client third(address_, SOCK_STREAM);
  third.Send(question);
  EXPECT_EQ(Info(third.ReceiveFramed()).answers, 1);
  EXPECT_EQ(first.ReceiveFramed(), "");
}

TEST_F(DnsTest, WhatIsWrongIsSaidAndHarmsNothing) {
  StartServer();
  const Client client(address_, SOCK_DGRAM);
  std::string two = WriteQuery(5, NameFromText("a"), kTypeA, kClassIn, 0, false, false);
  two[5] = 2;
  client.Send("nonsense");  // no answer
  client.Send(two);
  const std::string answer = client.Receive();
  ASSERT_EQ(answer.size(), kHeaderBytes);
  EXPECT_EQ(answer[3] & 0x0F, kFormErr);
  EXPECT_EQ(Udp("cluster.local", kTypeAxfr).rcode, kRefused);
  EXPECT_EQ(Udp("cluster.local", kTypeAny).rcode, kNotImp);
  EXPECT_EQ(Udp("cluster.local", kTypeSoa).answers, 1);
}

// Answers each datagram with an address, over UDP alone, until it is destroyed.
class Upstream {
 public:
  Upstream() : fd_(socket(AF_INET, SOCK_DGRAM, 0)) {
    const net::Address any = net::Address::Loopback4(0);
    EXPECT_EQ(bind(fd_, any.raw(), any.raw_length()), 0);
    sockaddr_storage bound{};
    socklen_t length = sizeof(bound);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &length);
    address = net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Upstream() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }

  net::Address address;

 private:
  void Serve() const {
    char bytes[2048], out[kUdpBytesMax];
    for (;;) {
      sockaddr_storage from{};
      socklen_t length = sizeof(from);
      const ssize_t size =
          recvfrom(fd_, bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (size <= 0) return;
      Query query;
      if (ReadQuery({bytes, static_cast<size_t>(size)}, &query) != QueryRead::kOk) continue;
      AnswerWriter writer(out, sizeof(out));
      writer.Begin(query, kNoError, 0);
      writer.Address("", 60, "\1\2\3\4");
      const absl::string_view answer = writer.Finish();
      sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  const int fd_;
  std::thread thread_;
};

TEST_F(DnsTest, OtherNamesComeFromUpstreamAndAreRemembered) {
  const Upstream upstream;
  DnsOptions options;
  options.upstreams = {upstream.address};
  StartServer(options);
  EXPECT_EQ(Udp("www.example").answers, 1);
  EXPECT_EQ(Udp("WWW.example").answers, 1);
  EXPECT_EQ(metrics_.Sum("coredns_cache_hits_total"), 1);
  EXPECT_EQ(metrics_.Sum("coredns_forward_requests_total"), 1);
  world_.Create<Service>(
      "{metadata: {name: out}, spec: {type: ExternalName, externalName: www.example}}");
  world_.Settle();
  EXPECT_EQ(Udp("out.default.svc.cluster.local").answers, 2);
}

TEST_F(DnsTest, WithoutUpstreamOtherNamesFail) {
  StartServer();
  EXPECT_EQ(Udp("www.example").rcode, kServFail);
}

TEST_F(DnsTest, AnAddressThatIsTakenIsSaid) {
  StartServer();
  DnsOptions options;
  options.addresses = {address_};
  const SystemClock clock;
  World other;
  const auto second = StartDnsServer(options, clock, other.informers(), nullptr);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace meltemi::dns
