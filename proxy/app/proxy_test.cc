// The real binary as a process: a static bootstrap, a control plane, signals. The test plays
// clients, the upstream and the control plane on one loop.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/http/client/http_call.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "base/loop/loop.h"
#include "base/protojson/decode.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "proxy/app/proxy_process.h"
#include "proxy/config/xds/ads_server_fake.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::config::listener::v3::Listener;
using envoy::config::route::v3::RouteConfiguration;

// A listener on a port that the kernel chooses, with ROUTES in its place.
constexpr char kListener[] = R"(
name: web
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": MANAGER
      stat_prefix: web
      ROUTES
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
)";
constexpr char kInlineRoutes[] =
    "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], "
    "routes: [{match: {prefix: /}, route: {cluster: app, timeout: 0s}}]}]}";
constexpr char kRdsRoutes[] = "rds: {route_config_name: \"80\", config_source: {ads: {}}}";

// The linker keeps what is named: the decoder finds extensions by their registered types.
void LinkExtensions() {
  namespace filters = envoy::extensions::filters;
  google::protobuf::LinkMessageReflection<filters::http::router::v3::Router>();
  google::protobuf::LinkMessageReflection<
      filters::network::http_connection_manager::v3::HttpConnectionManager>();
}

std::string ListenerText(const char* routes) {
  return absl::StrReplaceAll(
      kListener,
      {{"ROUTES", routes},
       {"MANAGER",
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager"}});
}

std::string Indent(const std::string& text, const std::string& by) {
  return absl::StrReplaceAll(text, {{"\n", "\n" + by}});
}

template <typename T>
T FromYaml(const std::string& text) {
  T message;
  const absl::Status status = protojson::DecodeText("---\n" + text, "test", &message);
  EXPECT_TRUE(status.ok()) << status;
  return message;
}

// A client that speaks bytes.
class RawClient {
 public:
  RawClient(const net::Address& to, const std::string& request)
      : fd_(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(connect(fd_, to.raw(), to.raw_length()), 0);
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    EXPECT_EQ(write(fd_, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  }
  ~RawClient() { close(fd_); }
  // Whether the peer has ended the connection; what came before is received().
  bool Closed() {
    char buffer[4096];
    ssize_t n = 0;
    while ((n = read(fd_, buffer, sizeof(buffer))) > 0)
      received_.append(buffer, static_cast<size_t>(n));
    return n == 0;
  }
  const std::string& received() const { return received_; }

 private:
  const int fd_;
  std::string received_;
};

class ProxyTest : public testing::Test {
 protected:
  struct Call {
    std::unique_ptr<http::HttpCall> call;
    std::optional<absl::StatusOr<http::CallResponse>> result;
  };

  ProxyTest()
      : loop_(NewEventLoop(clock_)),
        upstream_(*loop_, net::Address::Loopback4(0), http::Protocol::kHttp11, upstream_events_) {
    address_path_ = absl::StrCat(::testing::TempDir(), "/admin.", getpid());
    unlink(address_path_.c_str());
  }

  template <typename Condition>
  bool Until(Condition&& condition) {
    const MonotonicTime deadline = clock_.Now() + seconds(30);
    while (!condition()) {
      if (clock_.Now() > deadline) return false;
      loop_->RunOnce(milliseconds(10));
    }
    return true;
  }
  std::unique_ptr<Call> Send(const net::Address& to, const std::string& path,
                             const std::string& method = "GET") {
    auto call = std::make_unique<Call>();
    http::CallRequest request;
    request.method = method;
    request.path = path;
    request.timeout = seconds(30);
    call->call = http::StartCall(*loop_, to, request,
                                 [call = call.get()](absl::StatusOr<http::CallResponse> result) {
                                   call->result = std::move(result);
                                 });
    return call;
  }
  // "" when there is no answer.
  std::string Admin(const std::string& path, const std::string& method = "GET") {
    auto call = Send(admin_, path, method);
    if (!Until([&] { return call->result.has_value(); }) || !call->result->ok()) return "";
    return (**call->result).body;
  }

  void Start(std::vector<std::string> args) {
    for (const char* more : {"--concurrency=2", "--drain-grace=300ms", "--log-level=debug"}) {
      args.push_back(more);
    }
    args.push_back("--admin-address-path=" + address_path_);
    child_ = std::make_unique<ProxyProcess>(std::move(args));
    ASSERT_TRUE(Until([&] {
      std::ifstream file(address_path_);
      std::string text;
      if (!(file >> text)) return false;
      absl::StatusOr<net::Address> address = net::Address::Parse(text);
      if (address.ok()) admin_ = *address;
      return address.ok() || child_->Ended();
    }));
    ASSERT_FALSE(child_->Ended());
  }
  void StartStatic() {
    Start({"run", "--config-yaml",
           absl::StrCat("node: {id: n}\n"
                        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
                        "static_resources:\n  clusters:\n  - name: app\n    type: STATIC\n"
                        "    load_assignment: ",
                        EndpointsText(upstream_.address()), "\n  listeners:\n  -",
                        Indent(ListenerText(kInlineRoutes), "    "))});
    ASSERT_TRUE(Until([&] { return FindWeb(); }));
  }
  static std::string EndpointsText(const net::Address& at) {
    return absl::StrCat(
        "{cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
        "{address: ",
        at.ip(), ", port_value: ", at.port(), "}}}}]}]}");
  }
  // Learns where the listener "web" is bound.
  bool FindWeb() {
    const std::string text = Admin("/listeners");
    const size_t at = text.find("web::");
    if (at == std::string::npos) return false;
    web_ = net::Address::Parse(text.substr(at + 5, text.find('\n', at) - at - 5)).value();
    return true;
  }
  void Answer(http::RecordingServerEvents::Exchange& exchange, const std::string& body) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(200);
    exchange.stream->SendHeaders(*headers, false);
    Buffer bytes(body);
    exchange.stream->SendData(bytes, true);
  }
  void AnswerAtOnce() {
    upstream_events_.on_new = [this](http::RecordingServerEvents::Exchange& exchange) {
      exchange.receiver.on_headers = [this, &exchange] { Answer(exchange, "hello"); };
    };
  }
  // The body, or what went wrong.
  std::string Get(const std::string& path) {
    auto call = Send(web_, path);
    if (!Until([&] { return call->result.has_value(); })) return "no answer";
    if (!call->result->ok()) return std::string(call->result->status().message());
    return absl::StrCat((**call->result).status, " ", (**call->result).body);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  http::RecordingServerEvents upstream_events_;
  http::TestServer upstream_;
  std::string address_path_;
  std::unique_ptr<ProxyProcess> child_;
  net::Address admin_, web_;
};

TEST_F(ProxyTest, ServesFromAStaticBootstrap) {
  StartStatic();
  AnswerAtOnce();
  EXPECT_EQ(Get("/"), "200 hello");
  EXPECT_TRUE(Until([&] { return Admin("/ready") == "LIVE\n"; }));
  EXPECT_NE(Admin("/stats").find("cluster.app.upstream_rq_total: 1\n"), std::string::npos);
  EXPECT_NE(Admin("/stats").find("listener_manager.listener_added: 1\n"), std::string::npos);
  EXPECT_NE(Admin("/config_dump").find("static_clusters"), std::string::npos);
  EXPECT_NE(Admin("/clusters").find("app::"), std::string::npos);
  EXPECT_NE(Admin("/stats/prometheus").find("envoy_server_live 1"), std::string::npos);
}

TEST_F(ProxyTest, SigtermLosesNoRequestInFlight) {
  StartStatic();
  RawClient keeps_alive(web_, "GET /raw HTTP/1.1\r\nhost: a\r\n\r\n");
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 7; ++i) calls.push_back(Send(web_, absl::StrCat("/", i)));
  ASSERT_TRUE(Until([&] { return upstream_events_.exchanges.size() == 8; }));
  child_->Signal(SIGTERM);
  ASSERT_TRUE(Until([&] { return Admin("/ready") == "DRAINING\n"; }));
  // Well after the grace has passed they are still waited for.
  for (int i = 0; i < 60; ++i) loop_->RunOnce(milliseconds(10));
  ASSERT_FALSE(child_->Ended());
  for (auto& exchange : upstream_events_.exchanges) Answer(*exchange, "late");
  for (const auto& call : calls) {
    ASSERT_TRUE(Until([&] { return call->result.has_value(); }));
    ASSERT_TRUE(call->result->ok()) << call->result->status();
    EXPECT_EQ((**call->result).status, 200);
    EXPECT_EQ((**call->result).body, "late");
  }
  // A client that would go on using its connection is told not to.
  ASSERT_TRUE(Until([&] { return keeps_alive.Closed(); }));
  EXPECT_NE(keeps_alive.received().find("200 OK"), std::string::npos) << keeps_alive.received();
  EXPECT_NE(keeps_alive.received().find("connection: close"), std::string::npos)
      << keeps_alive.received();
  ASSERT_TRUE(Until([&] { return child_->Ended(); }));
  EXPECT_EQ(child_->exit_code(), 0);
}

TEST_F(ProxyTest, ASecondSignalEndsAtOnce) {
  StartStatic();
  auto call = Send(web_, "/");
  ASSERT_TRUE(Until([&] { return upstream_events_.exchanges.size() == 1; }));
  child_->Signal(SIGTERM);
  ASSERT_TRUE(Until([&] { return Admin("/ready") == "DRAINING\n"; }));
  child_->Signal(SIGTERM);
  ASSERT_TRUE(Until([&] { return child_->Ended(); }));
  EXPECT_EQ(child_->exit_code(), 1);
}

TEST_F(ProxyTest, QuitquitquitEndsInOrder) {
  StartStatic();
  EXPECT_EQ(Admin("/quitquitquit", "POST"), "OK\n");
  ASSERT_TRUE(Until([&] { return child_->Ended(); }));
  EXPECT_EQ(child_->exit_code(), 0);
}

TEST_F(ProxyTest, EverythingFromAControlPlane) {
  LinkExtensions();
  FakeAdsServer pilot(*loop_);
  AnswerAtOnce();
  Start({"sidecar", "--xds-address", pilot.address().ToString(), "--ip", "10.0.0.1", "--workload",
         "w", "--admin-port=0", "--status-port=off", "--stats-port=off", "--delta-xds=false"});
  ASSERT_TRUE(Until([&] { return pilot.requests.size() == 2; }));
  EXPECT_EQ(pilot.Take(ResourceType::kCluster)->node().id(),
            "sidecar~10.0.0.1~w.default~default.svc.cluster.local");
  EXPECT_EQ(Admin("/ready"), "INITIALIZING\n");
  pilot.Serve<Cluster>(
      ResourceType::kCluster, "c1",
      {FromYaml<Cluster>("{name: app, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}"),
       FromYaml<Cluster>(
           "{name: odd, type: STATIC, lb_policy: CLUSTER_PROVIDED, dns_lookup_family: "
           "V4_ONLY, use_tcp_for_dns_lookups: true}")});
  pilot.Serve<Listener>(ResourceType::kListener, "l1",
                        {FromYaml<Listener>(ListenerText(kRdsRoutes))});
  pilot.Serve<RouteConfiguration>(ResourceType::kRoutes, "r0",
                                  {});  // nothing yet: answers to names that nobody asked for
  std::optional<envoy::service::discovery::v3::DiscoveryRequest> nack;
  ASSERT_TRUE(Until([&] { return (nack = pilot.Take(ResourceType::kCluster)).has_value(); }));
  EXPECT_NE(nack->error_detail().message().find("odd"), std::string::npos)
      << nack->ShortDebugString();
  ASSERT_TRUE(Until([&] { return pilot.Take(ResourceType::kRoutes).has_value(); }));
  pilot.Serve<RouteConfiguration>(
      ResourceType::kRoutes, "r1",
      {FromYaml<RouteConfiguration>("{name: \"80\", virtual_hosts: [{name: v, domains: [\"*\"], "
                                    "routes: [{match: {prefix: /}, route: {cluster: app}}]}]}")});
  EXPECT_EQ(Admin("/listeners"), "");  // its cluster has no endpoints yet
  pilot.Serve<ClusterLoadAssignment>(
      ResourceType::kEndpoints, "e1",
      {FromYaml<ClusterLoadAssignment>(EndpointsText(upstream_.address()))});
  ASSERT_TRUE(Until([&] { return FindWeb(); }));
  ASSERT_TRUE(Until([&] { return Admin("/ready") == "LIVE\n"; }));
  EXPECT_EQ(Get("/"), "200 hello");
  const std::string dump = Admin("/config_dump?include_eds");
  EXPECT_NE(dump.find("error_state"), std::string::npos);
  EXPECT_NE(Admin("/stats").find("cluster_manager.cds.update_rejected: 1"), std::string::npos);
  // The control plane goes: traffic does not notice.
  pilot.EndStream("14");
  EXPECT_EQ(Get("/"), "200 hello");
  ASSERT_TRUE(Until([&] { return pilot.streams == 2; }));
}

TEST_F(ProxyTest, ABadBootstrapIsSaidAndNotStarted) {
  for (const auto& [yaml, what] : std::vector<std::pair<std::string, std::string>>{
           {"node: {idd: x}", "idd"},
           {"tracing: {http: {name: x}}", "tracing"},
           {"static_resources: {clusters: [{name: a, type: STATIC, no_such: 1}]}", "no_such"},
           {"static_resources: {clusters: [{type: STATIC}]}", "no name"}}) {
    child_ = std::make_unique<ProxyProcess>(
        std::vector<std::string>{"run", "--mode", "validate", "--config-yaml", yaml});
    ASSERT_TRUE(Until([&] { return child_->Ended(); }));
    EXPECT_EQ(child_->exit_code(), 1);
    EXPECT_NE(child_->Log().find(what), std::string::npos) << child_->Log();
  }
}

}  // namespace
}  // namespace meltemi::proxy
