// The rules at work: a pod and a client in network namespaces of their own, real sockets. Needs
// root.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/net/address.h"
#include "base/net/listener.h"
#include "proxy/intercept/intercept.h"
#include "proxy/intercept/process.h"

namespace meltemi::proxy {
namespace {

constexpr char kPodIp[] = "10.77.0.2";
constexpr char kClientIp[] = "10.77.0.1";
constexpr int kWaitMs = 10000;

bool Shell(const std::string& command) {
  auto result = RunProcess(absl::StrSplit(command, ' '), "");
  if (!result.ok() || result->exit_code != 0) {
    ADD_FAILURE() << command << ": "
                  << (result.ok() ? result->err : std::string(result.status().message()));
    return false;
  }
  return true;
}

class Namespace {
 public:
  explicit Namespace(const std::string& role)
      : name_(absl::StrCat("meltemi-", getpid(), "-", role)) {
    Shell("ip netns add " + name_);
    In("ip link set lo up");
  }
  ~Namespace() { RunProcess({"ip", "netns", "del", name_}, "").IgnoreError(); }

  void In(const std::string& command) {
    Shell(absl::StrCat("ip netns exec ", name_, " ", command));
  }
  // Runs `body` on a thread that lives in this namespace, as `id` (user and group).
  void Run(const std::function<void()>& body, unsigned id = 0) {
    std::thread([&] {
      const int fd = open(absl::StrCat("/run/netns/", name_).c_str(), O_RDONLY | O_CLOEXEC);
      ASSERT_EQ(setns(fd, CLONE_NEWNET), 0);
      close(fd);
      setfsgid(id);  // these two hold for this thread alone
      setfsuid(id);
      body();
    }).join();
  }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
};

// A listening socket; sockets belong to the namespace in which they were made.
class Server {
 public:
  Server(const char* ip, uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const net::Address address = net::Address::FromIp(ip, port).value();
    EXPECT_EQ(bind(fd_, address.raw(), address.raw_length()), 0) << ip << ":" << port;
    EXPECT_EQ(listen(fd_, 16), 0);
  }
  ~Server() { close(fd_); }
  // The original destination of the next connection; "" when none comes.
  std::string NextOriginalDestination() {
    pollfd wait{fd_, POLLIN, 0};
    if (poll(&wait, 1, kWaitMs) != 1) return "";
    const int connection = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    auto destination = net::OriginalDestination(connection);
    close(connection);
    return destination.ok() ? destination->ToString() : "";
  }
  bool HasConnection() {
    pollfd wait{fd_, POLLIN, 0};
    return poll(&wait, 1, 0) == 1;
  }

 private:
  const int fd_;
};

bool Connect(const char* ip, uint16_t port, const char* source = nullptr) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{kWaitMs / 1000, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (source != nullptr) {
    const net::Address from = net::Address::FromIp(source, 0).value();
    EXPECT_EQ(bind(fd, from.raw(), from.raw_length()), 0);
  }
  const net::Address to = net::Address::FromIp(ip, port).value();
  const bool connected = connect(fd, to.raw(), to.raw_length()) == 0;
  close(fd);
  return connected;
}

class InterceptNetTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: network namespaces";
    for (const char* program : {"ip", "iptables-save"}) {
      if (absl::IsNotFound(RunProcess({program}, "").status())) {
        GTEST_SKIP() << "needs " << program << ": apt-get install iproute2 iptables";
      }
    }
    if (auto probe = RunProcess({"ip", "netns", "add", ProbeName()}, "");
        !probe.ok() || probe->exit_code != 0) {
      GTEST_SKIP() << "needs the right to make network namespaces";
    }
    RunProcess({"ip", "netns", "del", ProbeName()}, "").IgnoreError();
    pod_ = std::make_unique<Namespace>("pod");
    client_ = std::make_unique<Namespace>("client");
    Shell(absl::StrCat("ip link add mp", getpid(), " netns ", pod_->name(),
                       " type veth peer name mc", getpid(), " netns ", client_->name()));
    pod_->In(absl::StrCat("ip addr add ", kPodIp, "/24 dev mp", getpid()));
    pod_->In(absl::StrCat("ip link set mp", getpid(), " up"));
    client_->In(absl::StrCat("ip addr add ", kClientIp, "/24 dev mc", getpid()));
    client_->In(absl::StrCat("ip link set mc", getpid(), " up"));
  }
  static std::string ProbeName() { return absl::StrCat("meltemi-probe-", getpid()); }

  void Intercept(const std::vector<std::string>& args) {
    std::string help;
    auto command = ParseInterceptCommand(args, &help);
    ASSERT_TRUE(command.ok()) << command.status();
    pod_->Run([&] {
      auto output = RunIntercept(*command);
      EXPECT_TRUE(output.ok()) << output.status();
      if (output.ok()) printed_ = *output;
    });
  }
  std::string Saved(const char* tool) {
    std::string lines;
    pod_->Run([&] {
      auto saved = RunProcess({tool}, "");
      for (absl::string_view line : absl::StrSplit(saved.value().out, '\n')) {
        if (line.empty() || line[0] == '#') continue;
        absl::StrAppend(&lines, line.substr(0, line.find('[')), "\n");  // without the counters
      }
    });
    return lines;
  }
  std::unique_ptr<Server> Listen(Namespace& where, const char* ip, uint16_t port) {
    std::unique_ptr<Server> server;
    where.Run([&] { server = std::make_unique<Server>(ip, port); });
    return server;
  }

  std::unique_ptr<Namespace> pod_, client_;
  std::string printed_;
};

TEST_F(InterceptNetTest, ApplyingTwiceIsApplyingOnceAndRemovingLeavesNothing) {
  Intercept({"apply"});
  Intercept({"remove"});
  const std::string clean = Saved("iptables-save");
  EXPECT_EQ(clean.find("ISTIO"), std::string::npos) << clean;
  Intercept({"apply", "--ipv6", "on", "--drop-invalid"});
  const std::string once = Saved("iptables-save");
  const std::string once6 = Saved("ip6tables-save");
  EXPECT_NE(once.find("ISTIO_DROP"), std::string::npos);
  EXPECT_NE(once6.find("ISTIO_OUTPUT"), std::string::npos);
  Intercept({"apply", "--ipv6", "on", "--drop-invalid"});
  EXPECT_EQ(Saved("iptables-save"), once);
  EXPECT_EQ(Saved("ip6tables-save"), once6);
  Intercept({"print"});
  EXPECT_NE(printed_.find("-A OUTPUT -p tcp -j ISTIO_OUTPUT"), std::string::npos);
  // Other options replace the rules, they don't add to them.
  Intercept({"apply", "--ipv6", "on", "--proxy-port", "16001"});
  const std::string changed = Saved("iptables-save");
  EXPECT_EQ(changed.find("15001"), std::string::npos) << changed;
  EXPECT_EQ(changed.find("ISTIO_DROP"), std::string::npos) << changed;
  Intercept({"remove"});
  EXPECT_EQ(Saved("iptables-save").find("ISTIO"), std::string::npos);
  EXPECT_EQ(Saved("ip6tables-save").find("ISTIO"), std::string::npos);
  Intercept({"remove"});
}

TEST_F(InterceptNetTest, OutboundGoesToTheProxyAndTheProxysOwnConnectionsDoNot) {
  Intercept({"apply", "--exclude-outbound-ports", "3306"});
  auto proxy = Listen(*pod_, "0.0.0.0", 15001);
  auto web = Listen(*client_, kClientIp, 80);
  auto database = Listen(*client_, kClientIp, 3306);
  pod_->Run([&] { EXPECT_TRUE(Connect(kClientIp, 80)); });
  EXPECT_EQ(proxy->NextOriginalDestination(), absl::StrCat(kClientIp, ":80"));
  EXPECT_FALSE(web->HasConnection());
  pod_->Run([&] { EXPECT_TRUE(Connect(kClientIp, 80)); }, 1337);
  EXPECT_EQ(web->NextOriginalDestination(), absl::StrCat(kClientIp, ":80"));
  EXPECT_FALSE(proxy->HasConnection());
  pod_->Run([&] { EXPECT_TRUE(Connect(kClientIp, 3306)); });
  EXPECT_NE(database->NextOriginalDestination(), "");
  EXPECT_FALSE(proxy->HasConnection());
}

TEST_F(InterceptNetTest, InboundGoesToTheInboundPortAndKeepsItsDestination) {
  Intercept({"apply", "--exclude-inbound-ports", "22"});
  auto inbound = Listen(*pod_, "0.0.0.0", 15006);
  auto app = Listen(*pod_, "0.0.0.0", 8080);
  auto health = Listen(*pod_, "0.0.0.0", 15021);
  auto ssh = Listen(*pod_, "0.0.0.0", 22);
  client_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 8080)); });
  EXPECT_EQ(inbound->NextOriginalDestination(), absl::StrCat(kPodIp, ":8080"));
  EXPECT_FALSE(app->HasConnection());
  client_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 15021)); });
  EXPECT_NE(health->NextOriginalDestination(), "");
  client_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 22)); });
  EXPECT_NE(ssh->NextOriginalDestination(), "");
  EXPECT_FALSE(inbound->HasConnection());
}

TEST_F(InterceptNetTest, APodThatCallsItself) {
  Intercept({"apply"});
  auto outbound = Listen(*pod_, "0.0.0.0", 15001);
  auto inbound = Listen(*pod_, "0.0.0.0", 15006);
  auto app = Listen(*pod_, "0.0.0.0", 8080);
  // The application to itself, by loopback and by the pod's address: untouched.
  pod_->Run([&] { EXPECT_TRUE(Connect("127.0.0.1", 8080)); });
  EXPECT_EQ(app->NextOriginalDestination(), "127.0.0.1:8080");
  pod_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 8080)); });
  EXPECT_EQ(app->NextOriginalDestination(), absl::StrCat(kPodIp, ":8080"));
  // The proxy to its own pod (a service that balanced back to it): that is inbound.
  pod_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 8080)); }, 1337);
  EXPECT_EQ(inbound->NextOriginalDestination(), absl::StrCat(kPodIp, ":8080"));
  EXPECT_FALSE(app->HasConnection());
  // The proxy hands an inbound request to the application: not a circle.
  pod_->Run([&] { EXPECT_TRUE(Connect(kPodIp, 8080, "127.0.0.6")); }, 1337);
  EXPECT_NE(app->NextOriginalDestination(), "");
  pod_->Run([&] { EXPECT_TRUE(Connect("127.0.0.1", 8080)); }, 1337);
  EXPECT_NE(app->NextOriginalDestination(), "");
  EXPECT_FALSE(inbound->HasConnection());
  EXPECT_FALSE(outbound->HasConnection());
}

TEST_F(InterceptNetTest, OnlyTheRangesThatAreIncluded) {
  Intercept(
      {"apply", "--include-outbound-ips", "10.96.0.0/12", "--include-outbound-ports", "9999"});
  auto proxy = Listen(*pod_, "0.0.0.0", 15001);
  auto web = Listen(*client_, kClientIp, 80);
  pod_->In("ip route add default via 10.77.0.1");
  pod_->Run([&] { EXPECT_TRUE(Connect(kClientIp, 80)); });
  EXPECT_NE(web->NextOriginalDestination(), "");
  EXPECT_FALSE(proxy->HasConnection());
  pod_->Run([&] { EXPECT_TRUE(Connect("10.96.0.10", 80)); });
  EXPECT_EQ(proxy->NextOriginalDestination(), "10.96.0.10:80");
  pod_->Run([&] { EXPECT_TRUE(Connect(kClientIp, 9999)); });
  EXPECT_EQ(proxy->NextOriginalDestination(), absl::StrCat(kClientIp, ":9999"));
}

}  // namespace
}  // namespace meltemi::proxy
