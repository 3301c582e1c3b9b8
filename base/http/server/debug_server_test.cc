// The debug server over real sockets, asked by the one-shot client.

#include "base/http/server/debug_server.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <optional>
#include <string>

#include "base/http/client/http_call.h"
#include "base/net/connection.h"
#include "gtest/gtest.h"

namespace meltemi::http {
namespace {

class DebugServerTest : public testing::Test {
 protected:
  DebugServerTest() : loop_(NewEventLoop(clock_)) { Listen({}); }
  ~DebugServerTest() override {
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  void Listen(const DebugServerOptions& options) {
    server_.reset();
    auto server = ListenDebug(*loop_, net::Address::Loopback4(0), options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->Route("/hello", DebugServer::Methods::kGet, "says hello", [](const DebugRequest& r) {
      return DebugResponse{200, "hello " + r.Param("name").value_or("nobody")};
    });
    server_->Route("/echo", DebugServer::Methods::kPost, "", [](const DebugRequest& r) {
      return DebugResponse{201, std::string(r.body), "application/x-echo"};
    });
    server_->Route("/files/", DebugServer::Methods::kAny, "", [](const DebugRequest& r) {
      return DebugResponse{200, std::string(r.method) + " " + std::string(r.path)};
    });
  }

  absl::StatusOr<CallResponse> Ask(CallRequest request) {
    std::optional<absl::StatusOr<CallResponse>> result;
    auto call = StartCall(*loop_, server_->address(), request,
                          [&](absl::StatusOr<CallResponse> r) { result = std::move(r); });
    while (!result.has_value()) loop_->RunOnce(seconds(1));
    return *std::move(result);
  }
  absl::StatusOr<CallResponse> Get(const std::string& path) {
    CallRequest request;
    request.path = path;
    return Ask(request);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<DebugServer> server_;
};

TEST_F(DebugServerTest, RoutesByPathAndDecodesParameters) {
  auto response = Get("/hello?x=1&name=J%c3%bcrgen+K");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "hello J\xc3\xbcrgen K");
  EXPECT_EQ(response->headers->Get("content-type"), "text/plain; charset=utf-8");
}

TEST_F(DebugServerTest, TakesBodies) {
  CallRequest request;
  request.method = "POST";
  request.path = "/echo";
  request.body = std::string(300 * 1000, 'e');
  auto response = Ask(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(response->body, request.body);
  EXPECT_EQ(response->headers->Get("content-type"), "application/x-echo");
}

TEST_F(DebugServerTest, ListsItsPaths) {
  EXPECT_NE(Get("/")->body.find("/hello  says hello\n"), std::string::npos);
  auto missing = Get("/nothing");
  EXPECT_EQ(missing->status, 404);
  EXPECT_NE(missing->body.find("There is nothing at /nothing."), std::string::npos);
  EXPECT_NE(missing->body.find("/echo (POST)"), std::string::npos);
}

TEST_F(DebugServerTest, RefusesOtherMethods) {
  auto response = Get("/echo");
  EXPECT_EQ(response->status, 405);
  EXPECT_EQ(response->headers->Get("allow"), "POST");
}

TEST_F(DebugServerTest, ServesEverythingBelowAPrefix) {
  EXPECT_EQ(Get("/files/a/b")->body, "GET /files/a/b");
  EXPECT_EQ(Get("/files")->status, 404);
}

TEST_F(DebugServerTest, HeadHasNoBody) {
  CallRequest request;
  request.method = "HEAD";
  request.path = "/hello";
  auto response = Ask(request);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers->Get("content-length"), "12");
  EXPECT_EQ(response->body, "");
}

TEST_F(DebugServerTest, RefusesLargeBodies) {
  DebugServerOptions options;
  options.body_bytes_max = 1000;
  Listen(options);
  CallRequest request;
  request.method = "POST";
  request.path = "/echo";
  request.body = std::string(2000, 'e');
  auto response = Ask(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 413);
}

TEST_F(DebugServerTest, ClosesIdleConnections) {
  DebugServerOptions options;
  options.idle_timeout = milliseconds(20);
  Listen(options);
  auto connection = net::NewClientConnection(*loop_, server_->address(), net::Address(), {});
  struct Handler final : net::ConnectionHandler {
    void OnRead(Buffer&, bool end) override { ended |= end; }
    void OnClosed(net::CloseCause, absl::string_view) override {}
    bool ended = false;
  } handler;
  connection->SetHandler(&handler);
  while (!handler.ended) loop_->RunOnce(seconds(1));
  connection->SetHandler(nullptr);
  loop_->DeferDelete(std::move(connection));
}

TEST_F(DebugServerTest, BoundsItsConnections) {
  DebugServerOptions options;
  options.connections_max = 0;
  Listen(options);
  auto response = Get("/hello");
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(DebugServerTest, ForgetsClosedConnections) {
  ASSERT_TRUE(Get("/hello").ok());
  while (server_->open_connections() > 0) loop_->RunOnce(seconds(1));
}

// An address of this machine that others reach it by; "": it has none.
std::string OwnAddress() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const net::Address address = net::Address::FromSockaddr(one->ifa_addr, sizeof(sockaddr_in));
    if (!address.is_loopback() && (one->ifa_flags & IFF_UP) != 0) found = address.ip();
  }
  freeifaddrs(all);
  return found;
}

TEST_F(DebugServerTest, SomePagesAreForTheSameMachineAlone) {
  const std::string ip = OwnAddress();
  if (ip.empty()) GTEST_SKIP() << "the machine has no address but loopback";
  DebugServerOptions options;
  options.loopback_only = "/debug";
  auto server = ListenDebug(*loop_, net::Address::Any4(0), options);
  ASSERT_TRUE(server.ok()) << server.status();
  for (const char* path : {"/metrics", "/debug/all"}) {
    (*server)->Route(path, DebugServer::Methods::kAny, "", [](const DebugRequest&) {
      return DebugResponse{200, "told"};
    });
  }
  const auto ask = [&](const std::string& host, const std::string& path) {
    std::optional<int> status;
    const uint16_t port = (*server)->address().port();
    auto call = StartCall(*loop_, *net::Address::FromIp(host, port), {.path = path},
                          [&](absl::StatusOr<CallResponse> r) { status = r.ok() ? r->status : 0; });
    while (!status.has_value()) loop_->RunOnce(seconds(1));
    return *status;
  };
  EXPECT_EQ(ask("127.0.0.1", "/debug/all"), 200);
  EXPECT_EQ(ask(ip, "/metrics"), 200);
  EXPECT_EQ(ask(ip, "/debug/all"), 403);
  EXPECT_EQ(ask(ip, "/debug/none"), 403);
  EXPECT_EQ(ask(ip, "//debug/all"), 404);
}

TEST(HttpCallTest, SaysWhatFailed) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  auto free_port = ListenDebug(*loop, net::Address::Loopback4(0));
  const net::Address address = (*free_port)->address();
  free_port->reset();
  loop->RunOnce(Duration::zero());
  auto response = CallAndWait(address, CallRequest());
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(response.status().message().find(address.ToString()), absl::string_view::npos)
      << response.status();
}

TEST(HttpCallTest, TimesOut) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  // It listens and never answers: nobody runs its loop.
  auto silent = ListenDebug(*loop, net::Address::Loopback4(0));
  CallRequest request;
  request.timeout = milliseconds(30);
  auto response = CallAndWait((*silent)->address(), request);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded) << response.status();
}

TEST(HttpCallTest, DroppingTheHandleCancels) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  auto silent = ListenDebug(*loop, net::Address::Loopback4(0));
  bool called = false;
  auto call = StartCall(*loop, (*silent)->address(), CallRequest(),
                        [&](absl::StatusOr<CallResponse>) { called = true; });
  call.reset();
  loop->RunOnce(Duration::zero());
  loop->RunOnce(milliseconds(5));
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace meltemi::http
