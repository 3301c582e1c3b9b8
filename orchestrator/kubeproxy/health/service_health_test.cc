#include "orchestrator/kubeproxy/health/service_health.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "base/net/address.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/events/recorder_fake.h"

namespace meltemi::kubeproxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// A listening socket on a port that the kernel chose.
class Taken {
 public:
  Taken() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const net::Address any = net::Address::Any4(0);
    EXPECT_EQ(bind(fd_, any.raw(), any.raw_length()), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    sockaddr_in address{};
    socklen_t length = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
  }
  ~Taken() { Free(); }
  void Free() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  uint16_t port = 0;

 private:
  int fd_;
};

// The whole answer; "": nobody listens.
std::string Get(uint16_t port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const net::Address to = net::Address::Loopback4(port);
  std::string answer;
  if (connect(fd, to.raw(), to.raw_length()) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), 0), ssize_t(request.size()));
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, n);
  }
  close(fd);
  return answer;
}

class ServiceHealthTest : public ::testing::Test {
 protected:
  // A port that was free a moment ago.
  static uint16_t FreePort() { return Taken().port; }

  SystemClock clock_;
  kube::EventRecorderFake recorder_;
  std::atomic<bool> proxy_healthy_{true};
  std::unique_ptr<ServiceHealth> health_ =
      NewServiceHealth(clock_, "node-1", recorder_, [this] { return proxy_healthy_.load(); });
};

TEST_F(ServiceHealthTest, SaysWhetherTheNodeHasEndpoints) {
  const uint16_t port = FreePort();
  health_->Serve({{{"default", "web"}, port, 2}});
  const std::string two = Get(port, "/healthz");
  EXPECT_THAT(two, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(two, HasSubstr("x-load-balancing-endpoint-weight: 2"));
  EXPECT_THAT(two, HasSubstr("{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t"
                             "\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n\t"
                             "\"serviceProxyHealthy\": true\n}"));
  health_->Serve({{{"default", "web"}, port, 0}});
  EXPECT_THAT(Get(port, "/"), StartsWith("HTTP/1.1 503"));
  health_->Serve({{{"default", "web"}, port, 1}});
  proxy_healthy_ = false;
  EXPECT_THAT(Get(port, "/healthz"), StartsWith("HTTP/1.1 503"));
}

TEST_F(ServiceHealthTest, APortFollowsItsService) {
  const uint16_t first = FreePort();
  health_->Serve({{{"default", "web"}, first, 1}});
  const uint16_t second = FreePort();
  health_->Serve({{{"default", "web"}, second, 1}, {{"default", "other"}, first, 0}});
  EXPECT_THAT(Get(second, "/"), HasSubstr("\"web\""));
  EXPECT_THAT(Get(first, "/"), HasSubstr("\"other\""));
  health_->Serve({});
  EXPECT_EQ(Get(first, "/"), "");
  EXPECT_EQ(Get(second, "/"), "");
}

TEST_F(ServiceHealthTest, APortThatIsTakenGetsOneEventAndIsTriedAgain) {
  Taken taken;
  const std::vector<ServiceHealthState> services = {{{"default", "web"}, taken.port, 1}};
  health_->Serve(services);
  health_->Serve(services);
  EXPECT_THAT(recorder_.Take(),
              ElementsAre(StartsWith("Warning FailedToStartServiceHealthcheck node node-1 failed "
                                     "to start healthcheck \"default/web\" on port ")));
  taken.Free();
  health_->Serve(services);
  EXPECT_THAT(Get(taken.port, "/"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(recorder_.Take(), IsEmpty());
}

}  // namespace
}  // namespace meltemi::kubeproxy
