#include "test/kubeproxy/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log/log.h"
#include "base/process/run_process.h"

namespace meltemi::kubeproxy {
namespace {

using std::chrono::steady_clock;

sockaddr_in AddressOf(const std::string& ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  CHECK(ip.empty() || inet_pton(AF_INET, ip.c_str(), &address.sin_addr) == 1);
  return address;
}

int BoundSocket(int type, const std::string& ip, uint16_t port) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const sockaddr_in address = AddressOf(ip, port);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  CHECK(bind(fd, raw, sizeof(address)) == 0);
  return fd;
}

bool Wait(int fd, short events, steady_clock::time_point until) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until - steady_clock::now());
  pollfd waiting{fd, events, 0};
  return poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0))) == 1;
}

void ReadAnswer(const std::string& text, Answer& answer) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(absl::StripSuffix(text, "\n"), ' ');
  answer.server = parts.first;
  answer.client_ip = parts.second;
  if (text.empty()) answer.error = ECONNRESET;
}

int ErrorOf(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

// On the calling thread's network.
Answer Ask(int type, const std::string& ip, uint16_t port, const Asking& asking) {
  Answer answer;
  const auto begin = steady_clock::now();
  const auto until = begin + asking.timeout;
  const int fd = BoundSocket(type, asking.from, asking.from_port);
  const sockaddr_in to = AddressOf(ip, port);
  const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  if (connected != 0 && errno != EINPROGRESS) {
    answer.error = errno;
  } else if (type == SOCK_STREAM && !Wait(fd, POLLOUT, until)) {
    answer.error = ETIMEDOUT;
  } else if (answer.error = ErrorOf(fd); answer.error == 0) {
    if (type == SOCK_DGRAM) (void)!send(fd, "?", 1, 0);
    std::string text;
    char buffer[256];
    while (true) {
      if (!Wait(fd, POLLIN, until)) {
        answer.error = ETIMEDOUT;
        break;
      }
      const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
      if (got < 0) answer.error = errno;
      if (got > 0) text.append(buffer, static_cast<size_t>(got));
      if (got <= 0 || absl::EndsWith(text, "\n")) break;
    }
    if (answer.error == 0) ReadAnswer(text, answer);
  }
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(fd);
  answer.took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
  return answer;
}

std::string Pid(const machine::Namespace& network) { return absl::StrCat(network.holder()); }

std::string IpOf(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
}

// Each line is a call of `ip`.
absl::Status Ip(const machine::Namespace& network, const std::string& lines) {
  for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipWhitespace())) {
    std::vector<std::string> argv = absl::StrSplit(line, ' ', absl::SkipEmpty());
    argv.insert(argv.begin(), "ip");
    if (absl::Status status = network.Run(argv); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

void In(const machine::Namespace& network, const std::function<void()>& work) {
  std::thread thread([&] {
    CHECK(setns(network.fd(), CLONE_NEWNET) == 0);
    work();
  });
  thread.join();
}

std::unique_ptr<Network> Network::Make(std::string* why_not) {
  if (geteuid() != 0) {
    *why_not = "needs root: it makes network namespaces";
    return nullptr;
  }
  for (const char* program : {"ip", "nft", "conntrack", "iptables-nft", "iptables-legacy"}) {
    if (!FindProgram(program).empty()) continue;
    *why_not = absl::StrCat("needs the program ", program);
    return nullptr;
  }
  std::unique_ptr<Network> network(new Network());
  for (auto* slot : {&network->client_, &network->node_, &network->far_}) {
    absl::StatusOr<machine::Namespace> made = machine::Namespace::Make();
    if (!made.ok()) {
      *why_not = std::string(made.status().message());
      return nullptr;
    }
    *slot = std::make_unique<machine::Namespace>(*std::move(made));
  }
  for (int i = 0; i < 4; i++) {
    absl::StatusOr<machine::Namespace> made = machine::Namespace::Make();
    if (!made.ok()) break;
    network->pods_.push_back(std::make_unique<machine::Namespace>(*std::move(made)));
  }
  const absl::Status status = network->Build();
  if (!status.ok()) *why_not = std::string(status.message());
  return status.ok() ? std::move(network) : nullptr;
}

absl::Status Network::Build() {
  absl::Status status =
      Ip(*node_, absl::StrCat("link add eth0 type veth peer name eth0 netns ", Pid(*client_),
                              "\naddr add 192.168.50.1/24 dev eth0\nlink set eth0 up"));
  status.Update(node_->Run({"sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"}));
  status.Update(Ip(*client_,
                   "addr add 192.168.50.2/24 dev eth0\naddr add 192.168.50.3/24 dev eth0\n"
                   "link set eth0 up\nroute add default via 192.168.50.1"));
  // Without a way to it, nothing is sent to a service's address at all.
  status.Update(Ip(*node_, "route add default via 192.168.50.2"));
  status.Update(BuildFar());
  status.Update(BuildPods());
  return status;
}

absl::Status Network::BuildFar() {
  absl::Status status =
      Ip(*node_, absl::StrCat("link add far0 type veth peer name eth0 netns ", Pid(*far_),
                              "\naddr add 192.168.60.1/24 dev far0\nlink set far0 up"));
  status.Update(Ip(*far_, absl::StrCat("addr add 192.168.60.2/24 dev eth0\nlink set eth0 up\n"
                                       "route add default via 192.168.60.1\n",
                                       "addr add ", FarIp(0), "/32 dev lo\n", "addr add ", FarIp(1),
                                       "/32 dev lo")));
  status.Update(Ip(*node_, "route add 10.244.1.0/24 via 192.168.60.2"));
  return status;
}

absl::Status Network::BuildPods() {
  absl::Status status =
      Ip(*node_, "link add br0 type bridge\naddr add 10.244.0.1/24 dev br0\nlink set br0 up");
  for (size_t i = 0; i < pods_.size(); i++) {
    const std::string name = absl::StrCat("pod", i);
    // As the CNI plugin sets it (hairpinMode): where bridges pass their packets through rules, a
    // pod that reaches itself comes back out of the port that it came in by.
    status.Update(Ip(
        *node_, absl::StrCat("link add ", name, " type veth peer name eth0 netns ", Pid(*pods_[i]),
                             "\nlink set ", name, " master br0\n", "link set ", name,
                             " type bridge_slave hairpin on\n", "link set ", name, " up")));
    status.Update(Ip(*pods_[i], absl::StrCat("addr add ", PodIp(static_cast<int>(i)),
                                             "/24 dev eth0\nlink set eth0 up\n",
                                             "route add default via 10.244.0.1")));
  }
  return status;
}

std::string Network::PodIp(int i) { return absl::StrCat("10.244.0.", 11 + i); }
std::string Network::FarIp(int i) { return absl::StrCat("10.244.1.", 11 + i); }

std::string Network::OnNode(const std::vector<std::string>& argv) const {
  std::string out;
  In(*node_, [&] {
    const absl::StatusOr<ProcessResult> result = RunProcess(argv);
    out = result.ok() ? result->out : std::string(result.status().message());
  });
  return out;
}

Echo::Echo(const machine::Namespace& network, const std::string& name, const std::string& ip,
           uint16_t port)
    : name_(name), stop_(eventfd(0, EFD_CLOEXEC)) {
  // A socket stays in the network in which it was made.
  In(network, [&] {
    tcp_ = BoundSocket(SOCK_STREAM, ip, port);
    udp_ = BoundSocket(SOCK_DGRAM, ip, port);
    CHECK(listen(tcp_, 1024) == 0);
  });
  thread_ = std::thread([this] { Serve(); });
}

Echo::~Echo() {
  const uint64_t one = 1;
  (void)!write(stop_, &one, sizeof(one));
  thread_.join();
  for (int fd : {tcp_, udp_, stop_}) close(fd);
}

void Echo::Serve() {
  // After the three listening ones, connections that wait for their client to close. Clients close
  // first, with a reset: else servers would remember ports of clients that the node draws again.
  std::vector<pollfd> waiting = {{tcp_, POLLIN, 0}, {udp_, POLLIN, 0}, {stop_, POLLIN, 0}};
  while (true) {
    poll(waiting.data(), waiting.size(), -1);
    for (size_t i = waiting.size() - 1; i >= 3; i--) {
      if (waiting[i].revents == 0) continue;
      close(waiting[i].fd);
      waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(i));
    }
    if (waiting[2].revents != 0) break;
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    auto* raw = reinterpret_cast<sockaddr*>(&peer);
    if (waiting[0].revents != 0) {
      const int fd = accept4(tcp_, raw, &size, SOCK_CLOEXEC);
      const std::string text = absl::StrCat(name_, " ", IpOf(peer), "\n");
      answered_++;
      (void)!send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      waiting.push_back({fd, POLLIN, 0});
    }
    char byte;
    if (waiting[1].revents != 0 && recvfrom(udp_, &byte, 1, 0, raw, &size) >= 0) {
      const std::string text = absl::StrCat(name_, " ", IpOf(peer), "\n");
      answered_++;
      (void)!sendto(udp_, text.data(), text.size(), 0, raw, size);
    }
  }
  for (size_t i = 3; i < waiting.size(); i++) close(waiting[i].fd);
}

Answer AskTcp(const machine::Namespace& network, const std::string& ip, uint16_t port,
              const Asking& asking) {
  Answer answer;
  In(network, [&] { answer = Ask(SOCK_STREAM, ip, port, asking); });
  return answer;
}

Answer AskUdp(const machine::Namespace& network, const std::string& ip, uint16_t port,
              const Asking& asking) {
  Answer answer;
  In(network, [&] { answer = Ask(SOCK_DGRAM, ip, port, asking); });
  return answer;
}

ConstantLoad::ConstantLoad(const machine::Namespace& network, const std::string& ip,
                           uint16_t port) {
  for (int i = 0; i < 2; i++) {
    threads_.emplace_back([this, &network, ip, port] {
      CHECK(setns(network.fd(), CLONE_NEWNET) == 0);
      while (!stop_) {
        const Answer answer = Ask(SOCK_STREAM, ip, port, {});
        asked_++;
        if (answer.error != 0) failed_++;
        if (answer.took >= std::chrono::milliseconds(500)) slow_++;
      }
    });
  }
}

void ConstantLoad::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace meltemi::kubeproxy
