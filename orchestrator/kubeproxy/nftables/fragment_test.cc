#include "orchestrator/kubeproxy/nftables/fragment.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::kubeproxy::nftables {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ServiceRules Web(size_t endpoints) {
  ServiceRules service;
  service.key = {"default", "web"};
  service.cluster_ip = 0x0a600001;
  PortRules& port = service.ports.emplace_back();
  port.port = 80;
  port.has_endpoints = endpoints > 0;
  for (size_t i = 0; i < endpoints; i++) {
    port.cluster.push_back({0x0af40001 + static_cast<Ipv4>(i), 8080});
  }
  return service;
}

std::vector<Element> Of(const Fragment& fragment, Container container) {
  std::vector<Element> out;
  std::copy_if(fragment.elements.begin(), fragment.elements.end(), std::back_inserter(out),
               [&](const Element& element) { return element.container == container; });
  return out;
}

std::vector<Element> Added(const Fragment& before, const Fragment& after) {
  std::vector<Element> out;
  std::set_difference(after.elements.begin(), after.elements.end(), before.elements.begin(),
                      before.elements.end(), std::back_inserter(out));
  return out;
}

TEST(FragmentTest, APlainServiceIsElementsAlone) {
  const ServiceRules web = Web(10);
  const Fragment fragment = FragmentOf(&web, 0);
  EXPECT_EQ(fragment.elements.size(), 12u);  // its address, its port, its endpoints
  EXPECT_THAT(fragment.chains, IsEmpty());
  EXPECT_THAT(fragment.sets, IsEmpty());
  EXPECT_TRUE(std::is_sorted(fragment.elements.begin(), fragment.elements.end()));
}

TEST(FragmentTest, AnEndpointThatMovesIsOneElement) {
  ServiceRules before = Web(10), after = before;
  after.ports[0].cluster[9].ip++;
  const std::vector<Element> added = Added(FragmentOf(&before, 0), FragmentOf(&after, 0));
  ASSERT_EQ(added.size(), 1u);
  EXPECT_EQ(added[0].key, "10.96.0.1 . 6 . 80 . 9");
  EXPECT_EQ(added[0].value, "10.244.0.11 . 8080");
}

TEST(FragmentTest, WithoutEndpointsItIsRefused) {
  const ServiceRules web = Web(0);
  const Fragment fragment = FragmentOf(&web, 0);
  EXPECT_THAT(Of(fragment, Container::kNoEndpoints),
              ElementsAre(Element{Container::kNoEndpoints, "10.96.0.1 . 6 . 80", "goto refuse"}));
  EXPECT_THAT(Of(fragment, Container::kServices), IsEmpty());
}

TEST(FragmentTest, VeryManyEndpointsHaveAChainOfTheirOwn) {
  const ServiceRules most = Web(kSharedMax), more = Web(kSharedMax + 1);
  EXPECT_THAT(FragmentOf(&most, 0).chains, IsEmpty());
  EXPECT_EQ(FragmentOf(&more, 0).chains.size(), 2u);
  EXPECT_THAT(Of(FragmentOf(&more, 0), Container::kEndpoints), IsEmpty());
}

TEST(FragmentTest, AffinityHasASetForEachEndpointOfItsTimeOut) {
  ServiceRules web = Web(2);
  web.affinity_s = 60;
  const Fragment before = FragmentOf(&web, 0);
  ASSERT_EQ(before.sets.size(), 2u);
  EXPECT_EQ(before.sets[0].timeout_s, 60);
  web.affinity_s = 61;
  const Fragment after = FragmentOf(&web, 0);
  EXPECT_NE(before.sets[0].name, after.sets[0].name);
}

TEST(FragmentTest, SourceRangesThatAreEverythingGuardNothing) {
  ServiceRules web = Web(1);
  web.ports[0].load_balancer_ips = {0xcb007109};
  web.source_ranges = {{0x0a000000, 8}};
  EXPECT_EQ(Of(FragmentOf(&web, 0), Container::kGuarded).size(), 1u);
  web.source_ranges = {{0, 0}, {0x0a000000, 8}};
  EXPECT_THAT(Of(FragmentOf(&web, 0), Container::kGuarded), IsEmpty());
}

TEST(FragmentTest, SharedChainsComeAfterWhatTheyLeadTo) {
  ServiceRules web = Web(3);
  web.external_local = true;
  web.ports[0].node_port = 30'080;
  web.ports[0].local = {web.ports[0].cluster[0]};
  std::set<std::string> made;
  for (const SharedChain& chain : FragmentOf(&web, 0).shared) {
    for (const SharedChain& needed : chain.Needs()) EXPECT_TRUE(made.contains(needed.Name()));
    made.insert(chain.Name());
  }
  EXPECT_EQ(made, (std::set<std::string>{"internal-3", "pick-3", "port-external-local-3",
                                         "port-pick-3", "port-pick-local-1"}));
}

}  // namespace
}  // namespace meltemi::kubeproxy::nftables
