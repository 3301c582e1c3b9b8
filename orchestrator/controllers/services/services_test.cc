// Addresses of load balancers, against the API server in memory.
#include "orchestrator/controllers/services/services.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/service.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/controllers/services/address_pool.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Service;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(AddressPoolTest, TakesAddressesRangesAndNetworks) {
  const auto all = [](const std::vector<std::string>& parts) {
    std::vector<std::string> out;
    const AddressPool pool = *AddressPool::Parse(parts);
    std::set<uint32_t> taken;
    while (const auto next = pool.FirstFree([&](uint32_t a) { return taken.count(a) > 0; })) {
      taken.insert(*next);
      out.push_back(FormatIpv4(*next));
    }
    return out;
  };
  EXPECT_THAT(all({"10.0.0.9", "10.0.0.1-10.0.0.2"}),
              ElementsAre("10.0.0.9", "10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(all({"10.0.0.5/30"}), ElementsAre("10.0.0.5", "10.0.0.6"));
  EXPECT_THAT(all({"10.0.0.4/31"}), ElementsAre("10.0.0.4", "10.0.0.5"));
  EXPECT_THAT(all({"10.0.0.4/32"}), ElementsAre("10.0.0.4"));
  EXPECT_THAT(all({}), IsEmpty());
  for (const char* wrong : {"", "10.0.0", "10.0.0.2-10.0.0.1", "10.0.0.0/33", "10.0.0.0/x", "::1",
                            "10.0.0.1-", "0.0.0.0/0"}) {
    EXPECT_FALSE(CheckLoadBalancerPool({wrong}).ok()) << wrong;
  }
}

class LoadBalancerTest : public testing::Test {
 protected:
  void Run(std::vector<std::string> pool) {
    world_.Run(NewLoadBalancerController(world_.context(), pool));
  }
  void Add(absl::string_view name, absl::string_view more = "",
           absl::string_view annotations = "{}") {
    world_.Create<Service>(absl::StrCat("{metadata: {name: ", name, ", annotations: ", annotations,
                                        "}, spec: {type: LoadBalancer, ", more,
                                        "selector: {a: b}, ports: [{port: 80}]}}"));
    world_.Settle();
  }
  std::string AddressOf(absl::string_view name) {
    const Service service = world_.Get<Service>(name);
    const auto& ingress = service.status().load_balancer().ingress();
    if (ingress.empty()) return "pending";
    EXPECT_EQ(ingress[0].ip_mode(), "VIP");
    return ingress[0].ip();
  }

  World world_;
};

TEST_F(LoadBalancerTest, GivesEachServiceAnAddressOfItsOwn) {
  Run({"192.0.2.1-192.0.2.2"});
  Add("a");
  Add("b");
  EXPECT_EQ(AddressOf("a"), "192.0.2.1");
  EXPECT_EQ(AddressOf("b"), "192.0.2.2");
  EXPECT_THAT(world_.Events(), Contains("Normal EnsuredLoadBalancer Ensured load balancer"));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(LoadBalancerTest, LetsWaitUntilOneIsFree) {
  Run({"192.0.2.1"});
  Add("a");
  Add("b");
  EXPECT_EQ(AddressOf("b"), "pending");
  EXPECT_THAT(world_.Events(),
              Contains("Warning SyncLoadBalancerFailed Error syncing load balancer: failed to "
                       "ensure load balancer: no address of the pool is free"));
  world_.Advance(minutes(10));
  EXPECT_THAT(world_.Events(), IsEmpty());  // it is told once
  world_.Delete<Service>("a");
  world_.Settle();
  EXPECT_EQ(AddressOf("b"), "192.0.2.1");
  // Another type needs none.
  Add("c");
  EXPECT_EQ(AddressOf("c"), "pending");
  world_.Patch<Service>("b", "{spec: {type: ClusterIP}}");
  world_.Settle();
  EXPECT_EQ(AddressOf("b"), "pending");
  EXPECT_EQ(AddressOf("c"), "192.0.2.1");
}

TEST_F(LoadBalancerTest, GivesWhatIsAskedFor) {
  Run({"192.0.2.0/28"});
  Add("field", "loadBalancerIP: 192.0.2.7, ");
  Add("note", "", "{meltemi.io/load-balancer-ip: 192.0.2.8}");
  Add("taken", "loadBalancerIP: 192.0.2.7, ");
  Add("outside", "loadBalancerIP: 198.51.100.1, ");
  EXPECT_EQ(AddressOf("field"), "192.0.2.7");
  EXPECT_EQ(AddressOf("note"), "192.0.2.8");
  EXPECT_EQ(AddressOf("taken"), "pending");
  EXPECT_EQ(AddressOf("outside"), "pending");
  EXPECT_THAT(world_.Events(), Contains(HasSubstr("198.51.100.1 is not in the pool")));
  // Who asks for another one gets it, and gives the first back.
  world_.Patch<Service>("field", "{spec: {loadBalancerIP: 192.0.2.9}}");
  world_.Settle();
  EXPECT_EQ(AddressOf("field"), "192.0.2.9");
  EXPECT_EQ(AddressOf("taken"), "192.0.2.7");
}

TEST_F(LoadBalancerTest, LeavesOtherClassesAlone) {
  Run({"192.0.2.1"});
  Add("other", "loadBalancerClass: example.com/lb, ");
  Add("own", "loadBalancerClass: meltemi.io/pool, ");
  EXPECT_EQ(AddressOf("other"), "pending");
  EXPECT_EQ(AddressOf("own"), "192.0.2.1");
}

TEST_F(LoadBalancerTest, LosesNothingByARestart) {
  const std::vector<std::string> pool = {"192.0.2.1-192.0.2.3"};
  Run(pool);
  Add("a");
  Add("b");
  Add("c");
  world_.Delete<Service>("a");
  world_.Settle();
  world_.Restart([&](Context& context) { return NewLoadBalancerController(context, pool); });
  EXPECT_EQ(AddressOf("b"), "192.0.2.2");
  EXPECT_EQ(AddressOf("c"), "192.0.2.3");
  Add("d");
  EXPECT_EQ(AddressOf("d"), "192.0.2.1");
}

TEST_F(LoadBalancerTest, PartsTwoThatHaveOneAddress) {
  Add("a");
  world_.executor().fake_clock().Advance(seconds(1));
  Add("b");
  for (const char* name : {"a", "b"}) {
    world_.Patch<Service>(name, "{status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}", "status");
  }
  Run({"192.0.2.1-192.0.2.2"});
  EXPECT_EQ(AddressOf("a"), "192.0.2.1");
  EXPECT_EQ(AddressOf("b"), "192.0.2.2");
}

TEST_F(LoadBalancerTest, SaysSoWhenThereIsNoPool) {
  Run({});
  Add("a");
  EXPECT_EQ(AddressOf("a"), "pending");
  EXPECT_THAT(world_.Events(), Contains(HasSubstr("there is no pool of addresses")));
}

TEST_F(LoadBalancerTest, WithoutAPoolOthersSayWhereItIs) {
  Run({});
  Add("a");
  Add("own", "loadBalancerClass: meltemi.io/pool, ");
  for (const char* name : {"a", "own"}) {
    world_.Patch<Service>(
        name, "{status: {loadBalancer: {ingress: [{ip: 203.0.113.1, ipMode: VIP}]}}}", "status");
  }
  world_.Advance(minutes(10));
  EXPECT_EQ(AddressOf("a"), "203.0.113.1");
  EXPECT_EQ(AddressOf("own"), "pending") << "of a class whose addresses come from the pool alone";
}

TEST_F(LoadBalancerTest, EndsRightWhenCallsFail) {
  Run({"192.0.2.1-192.0.2.3"});
  int calls = 0;
  world_.process().SetFate([&calls](const kube::ApiCall& call) {
    const apiserver::Fate fates[] = {apiserver::Fate::kLoseAnswer, apiserver::Fate::kLoseCall,
                                     apiserver::Fate::kRefuse, apiserver::Fate::kPass};
    return call.method == "GET" ? apiserver::Fate::kPass : fates[++calls % 4];
  });
  for (const char* name : {"a", "b", "c"}) Add(name);
  world_.Advance(minutes(5));
  std::set<std::string> given;
  for (const char* name : {"a", "b", "c"}) given.insert(AddressOf(name));
  EXPECT_EQ(given, (std::set<std::string>{"192.0.2.1", "192.0.2.2", "192.0.2.3"}));
}

}  // namespace
}  // namespace meltemi::controllers
