#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json/parse.h"
#include "cli/config_dump.h"

namespace meltemi::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Envoy's form, with what pilot, meltemi-proxy and Envoy itself leave out or put in.
constexpr char kDump[] = R"({"configs": [
  {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {}},
  {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
   "static_clusters": [{"cluster": {"name": "xds"}}],
   "dynamic_active_clusters": [
     {"version_info": "1", "cluster": {"name": "outbound|80|v1|web.default.svc", "type": "EDS",
      "metadata": {"filter_metadata": {"istio": {"config":
        "/apis/networking.istio.io/v1/namespaces/default/destination-rule/web"}}}}},
     {"cluster": {"name": "inbound|8080||", "type": "ORIGINAL_DST"}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
   "dynamic_listeners": [{"name": "0.0.0.0_80", "active_state": {"listener": {
     "name": "0.0.0.0_80",
     "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}},
     "filter_chains": [{"filter_chain_match": {"application_protocols": ["http/1.1", "h2c"]},
       "filters": [{"typed_config": {"rds": {"route_config_name": "80"}}}]}],
     "default_filter_chain": {"filters": [{"typed_config": {"cluster": "Pass"}}]}}}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
   "dynamic_route_configs": [{"route_config": {"name": "80", "virtual_hosts": [
     {"name": "web.default.svc:80", "domains": ["web.default.svc", "web"], "routes": [
       {"match": {"prefix": "/", "headers": [{"name": "lab", "string_match": {"exact": "x"}}]},
        "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 70},
                                                     {"name": "b", "weight": 30}]}}},
       {"match": {"path": "/old"}, "redirect": {}}]}]}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
   "dynamic_endpoint_configs": [{"endpoint_config": {
     "cluster_name": "outbound|80|v1|web.default.svc",
     "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
       {"address": "10.1.0.1", "port_value": 8080}}}, "load_balancing_weight": 1}]}]}}]}
]})";

class ConfigDumpTest : public ::testing::Test {
 protected:
  ConfigDumpTest() {
    auto parsed = json::Parse(kDump);
    EXPECT_TRUE(parsed.ok()) << parsed.status().message();
    dump_ = *std::move(parsed);
  }
  json::Value dump_;
};

TEST_F(ConfigDumpTest, Clusters) {
  const auto clusters = ResourcesOf(dump_, "cds");
  EXPECT_THAT(clusters, SizeIs(3));
  const std::string all = ClusterTable(clusters, {}).ToString();
  EXPECT_THAT(all, HasSubstr("web.default.svc   80     v1       outbound    EDS            "
                             "web.default\n"));
  EXPECT_THAT(all, HasSubstr("xds"));
  EXPECT_TRUE(ClusterTable(clusters, {.fqdn = "web.default.svc", .port = "81"}).empty());
  EXPECT_FALSE(ClusterTable(clusters, {.fqdn = "web.default.svc", .subset = "v1"}).empty());
}

TEST_F(ConfigDumpTest, Listeners) {
  const std::string text = ListenerTable(ResourcesOf(dump_, "lds"), {}).ToString();
  EXPECT_THAT(text, HasSubstr("app http/1.1,h2c   Route: 80\n"));
  EXPECT_THAT(text, HasSubstr("otherwise          Cluster: Pass\n"));
}

TEST_F(ConfigDumpTest, Routes) {
  const std::string text = RouteTable(ResourcesOf(dump_, "rds"), {}).ToString();
  EXPECT_THAT(text, HasSubstr("web.default.svc + 1 more"));
  EXPECT_THAT(text, HasSubstr("/* lab =x"));
  EXPECT_THAT(text, HasSubstr("a 70, b 30"));
  EXPECT_THAT(text, HasSubstr("/old"));
  EXPECT_THAT(text, HasSubstr("redirect"));
}

TEST_F(ConfigDumpTest, Endpoints) {
  const auto endpoints = ResourcesOf(dump_, "eds");
  EXPECT_THAT(EndpointTable(endpoints, {}).ToString(), HasSubstr("10.1.0.1:8080   HEALTHY"));
  EXPECT_TRUE(EndpointTable(endpoints, {.fqdn = "other"}).empty());
}

}  // namespace
}  // namespace meltemi::cli
