#include "orchestrator/kubeproxy/sync.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubeproxy/rules_writer_fake.h"

namespace meltemi::kubeproxy {
namespace {

using controllers::World;
using kube::core::v1::Node;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunningProxy final : public controllers::Running {
 public:
  explicit RunningProxy(std::unique_ptr<KubeProxy> proxy) : proxy_(std::move(proxy)) {}
  void Start() override { proxy_->Start(); }
  const KubeProxy& proxy() const { return *proxy_; }

 private:
  std::unique_ptr<KubeProxy> proxy_;
};

class FlowsFake final : public Flows {
 public:
  explicit FlowsFake(std::vector<std::string>& forgotten) : forgotten_(forgotten) {}
  absl::Status Forget(const std::vector<ServiceChange>& changes) override {
    for (const ServiceChange& change : changes) {
      forgotten_.push_back((change.after ? change.after : change.before)->key.name);
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::string>& forgotten_;
};

class HealthFake final : public ServiceHealth {
 public:
  explicit HealthFake(std::vector<ServiceHealthState>& served) : served_(served) {}
  void Serve(const std::vector<ServiceHealthState>& services) override { served_ = services; }

 private:
  std::vector<ServiceHealthState>& served_;
};

class SyncTest : public ::testing::Test {
 protected:
  SyncTest() {
    options_.node_name = "node-1";
    options_.cluster_cidr = "10.244.0.0/16";
  }
  void Start() {
    SyncParts parts;
    parts.writer = std::make_unique<RulesWriterFake>(written_);
    parts.flows = std::make_unique<FlowsFake>(forgotten_);
    parts.new_health = [this](std::function<bool()>) {
      return std::make_unique<HealthFake>(served_);
    };
    parts.remove_other_mode = [this] { other_mode_removed_++; };
    auto proxy =
        NewSync(options_, std::move(parts), world_.informers(), world_.executor(), &metrics_);
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    auto running = std::make_unique<RunningProxy>(*std::move(proxy));
    proxy_ = &running->proxy();
    world_.Run(std::move(running));
  }
  void MakeService(const std::string& name, const std::string& spec = "") {
    world_.Create<Service>(absl::StrCat("{metadata: {name: ", name, "}, spec: {ports: [{port: 80}]",
                                        spec.empty() ? "" : ", ", spec, "}}"));
  }
  void MakeEndpoints(const std::string& service, const std::string& ip) {
    world_.Create<EndpointSlice>(absl::StrCat(
        "{metadata: {name: ", service, "-1, labels: {kubernetes.io/service-name: ", service,
        "}}, addressType: IPv4, ports: [{name: '', port: 8080, protocol: TCP}], endpoints: "
        "[{addresses: [",
        ip, "], nodeName: node-1, conditions: {ready: true}}]}"));
  }
  ServiceRulesPtr Written(const std::string& name) {
    const auto at = written_.services.find({"default", name});
    return at == written_.services.end() ? nullptr : at->second;
  }

  metrics::Registry metrics_;
  World world_;
  KubeProxyOptions options_;
  WrittenRules written_;
  std::vector<std::string> forgotten_;
  std::vector<ServiceHealthState> served_;
  int other_mode_removed_ = 0;
  const KubeProxy* proxy_ = nullptr;
};

TEST_F(SyncTest, WritesAllAtOnceAndThenWhatChanges) {
  MakeService("web");
  MakeEndpoints("web", "10.244.0.5");
  Start();
  EXPECT_EQ(written_.replaced, 1);
  EXPECT_EQ(written_.applied, 0);
  EXPECT_TRUE(proxy_->healthy());
  ASSERT_NE(Written("web"), nullptr);
  EXPECT_EQ(Written("web")->ports[0].cluster.size(), 1u);
  EXPECT_EQ(other_mode_removed_, 1);

  MakeService("api");
  world_.Settle();
  EXPECT_EQ(written_.replaced, 1);
  EXPECT_EQ(written_.changes, 1u);
  EXPECT_NE(Written("api"), nullptr);
  world_.Delete<EndpointSlice>("web-1");
  world_.Settle();
  EXPECT_THAT(Written("web")->ports[0].cluster, IsEmpty());
  world_.Delete<Service>("web");
  world_.Settle();
  EXPECT_EQ(Written("web"), nullptr);
  EXPECT_EQ(other_mode_removed_, 1);
}

TEST_F(SyncTest, AnIdleClusterCostsNothing) {
  MakeService("web");
  Start();
  world_.Advance(minutes(10));
  EXPECT_EQ(written_.replaced, 1);
  EXPECT_EQ(written_.applied, 0);
  EXPECT_TRUE(proxy_->healthy());
}

TEST_F(SyncTest, ChangesInAMomentAreOneTransaction) {
  options_.sync_min = seconds(1);
  Start();
  for (int i = 0; i < 20; i++) {
    MakeService(absl::StrCat("web-", i));
    world_.Settle();
  }
  world_.Advance(seconds(1));
  EXPECT_EQ(written_.applied, 1);
  EXPECT_EQ(written_.changes, 20u);
}

TEST_F(SyncTest, AfterAFailureEverythingIsWrittenAnew) {
  Start();
  written_.failures = 1;
  MakeService("web");
  world_.Settle();
  EXPECT_EQ(written_.replaced, 2);
  EXPECT_NE(Written("web"), nullptr);
  EXPECT_TRUE(proxy_->healthy());

  written_.failures = 4;  // the change, and all of it three times
  MakeService("api");
  world_.Settle();
  EXPECT_FALSE(proxy_->healthy());
  world_.Advance(seconds(10));
  EXPECT_TRUE(proxy_->healthy());
  EXPECT_NE(Written("api"), nullptr);
  // Flows are looked after although the change was written in another way.
  EXPECT_THAT(forgotten_, ::testing::Contains("api"));
}

TEST_F(SyncTest, RulesThatSomebodyRemovedComeBack) {
  MakeService("web");
  Start();
  written_.services.clear();
  written_.removed = true;
  world_.Advance(seconds(31));
  EXPECT_EQ(written_.replaced, 2);
  EXPECT_NE(Written("web"), nullptr);
}

TEST_F(SyncTest, NodePortsAtThePrimaryAddressFollowTheNode) {
  options_.node_port_addresses = {"primary"};
  Start();
  EXPECT_THAT(written_.options.node_port_addresses, ElementsAre(SourceRange{0, 32}));
  world_.Create<Node>("{metadata: {name: node-1}}");
  world_.Create<Node>("{metadata: {name: node-2}}");
  for (const char* name : {"node-1", "node-2"}) {
    world_.Patch<Node>(name,
                       absl::StrCat("{status: {addresses: [{type: InternalIP, address: 192.168.1.",
                                    name + 5, "}]}}"),
                       "status", "");
  }
  world_.Settle();
  EXPECT_THAT(written_.options.node_port_addresses, ElementsAre(SourceRange{0xc0a80101, 32}));
  EXPECT_EQ(written_.options.node_ip, 0xc0a80101u);
}

TEST_F(SyncTest, HealthPortsComeAndGo) {
  MakeService("web", "type: LoadBalancer, externalTrafficPolicy: Local");
  MakeEndpoints("web", "10.244.0.5");
  Start();
  ASSERT_EQ(served_.size(), 1u);
  EXPECT_NE(served_[0].port, 0);
  EXPECT_EQ(served_[0].local_endpoints, 1);
  world_.Delete<Service>("web");
  world_.Settle();
  EXPECT_THAT(served_, IsEmpty());
}

TEST_F(SyncTest, ASliceThatChangesItsServiceLeavesTheOldOne) {
  MakeService("a");
  MakeService("b");
  MakeEndpoints("a", "10.244.0.5");
  Start();
  EXPECT_EQ(Written("a")->ports[0].cluster.size(), 1u);
  world_.Patch<EndpointSlice>("a-1", "{metadata: {labels: {kubernetes.io/service-name: b}}}");
  world_.Settle();
  EXPECT_THAT(Written("a")->ports[0].cluster, IsEmpty());
  EXPECT_EQ(Written("b")->ports[0].cluster.size(), 1u);
}

TEST_F(SyncTest, CountsUnderKubernetesNames) {
  MakeService("web");
  Start();
  world_.Create<EndpointSlice>(
      "{metadata: {name: web-1, labels: {kubernetes.io/service-name: web}, annotations: "
      "{endpoints.kubernetes.io/last-change-trigger-time: '2100-01-01T00:00:00Z'}}, addressType: "
      "IPv4, ports: [], endpoints: []}");
  world_.Settle();
  const std::string text = metrics_.RenderPrometheus();
  EXPECT_THAT(text, HasSubstr("kubeproxy_sync_proxy_rules_duration_seconds_count"));
  EXPECT_THAT(text, HasSubstr("kubeproxy_network_programming_duration_seconds_count 1"));
  EXPECT_GE(metrics_.Sum("kubeproxy_sync_proxy_rules_service_changes_total"), 1);
}

TEST_F(SyncTest, SaysWhichOptionItCannotRead) {
  options_.cluster_cidr = "10.244.0.0/33";
  SyncParts parts;
  const auto proxy =
      NewSync(options_, std::move(parts), world_.informers(), world_.executor(), nullptr);
  EXPECT_THAT(std::string(proxy.status().message()), HasSubstr("cluster_cidr: 10.244.0.0/33"));
}

}  // namespace
}  // namespace meltemi::kubeproxy
