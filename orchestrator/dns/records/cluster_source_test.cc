// Records that follow the API server's objects.
#include "orchestrator/dns/records/cluster_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::dns {
namespace {

using controllers::World;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

// The source as something that a world runs.
class Follower final : public controllers::Running {
 public:
  Follower(kube::Informers& informers, Records& records) : source_(informers, records) {}
  void Start() override {}

 private:
  ClusterSource source_;
};

class ClusterSourceTest : public testing::Test {
 protected:
  ClusterSourceTest() {
    world_.Run(std::make_unique<Follower>(world_.informers(), records_));
    world_.Create<Service>(
        "{metadata: {name: db}, spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}}");
    world_.Settle();
  }
  // How many addresses the name has; -1: there is no such name.
  int Count(absl::string_view name, uint16_t type = kTypeA) {
    const std::string message = WriteQuery(1, NameFromText(name), type, kClassIn, 0, true, false);
    Query query;
    EXPECT_EQ(ReadQuery(message, &query), QueryRead::kOk);
    char out[kUdpBytesMax];
    AnswerWriter writer(out, sizeof(out));
    Name external;
    EXPECT_EQ(records_.Answer(query, &writer, &external), Answered::kDone);
    AnswerInfo info;
    EXPECT_TRUE(ReadAnswer(writer.Finish(), &info));
    return info.rcode == kNxDomain ? -1 : info.answers;
  }
  void AddSlice(const std::string& name, const std::string& endpoints) {
    world_.Create<EndpointSlice>(
        "{metadata: {name: " + name +
        ", labels: {kubernetes.io/service-name: db}}, "
        "addressType: IPv4, ports: [{name: sql, port: 5432, protocol: TCP}], "
        "endpoints: [" +
        endpoints + "]}");
    world_.Settle();
  }

  Records records_{RecordsOptions{}};
  World world_;
};

TEST_F(ClusterSourceTest, EndpointsOfAllSlicesThatAreReady) {
  EXPECT_EQ(Count("db.default.svc.cluster.local"), -1);
  AddSlice("db-1",
           "{addresses: [10.244.0.7], hostname: db-0, conditions: {ready: true}}, "
           "{addresses: [10.244.0.8], conditions: {ready: false}}");
  AddSlice("db-2", "{addresses: [10.244.0.9]}");
  EXPECT_EQ(Count("db.default.svc.cluster.local"), 2);
  EXPECT_EQ(Count("db-0.db.default.svc.cluster.local"), 1);
  EXPECT_EQ(Count("_sql._tcp.db.default.svc.cluster.local", kTypeSrv), 2);
  world_.Delete<EndpointSlice>("db-1");
  world_.Settle();
  EXPECT_EQ(Count("db.default.svc.cluster.local"), 1);
}

TEST_F(ClusterSourceTest, AServiceThatIsGoneHasNoName) {
  AddSlice("db-1", "{addresses: [10.244.0.7]}");
  world_.Delete<Service>("db");
  world_.Settle();
  EXPECT_EQ(Count("db.default.svc.cluster.local"), -1);
  EXPECT_EQ(Count("default.svc.cluster.local"), 0);
}

TEST_F(ClusterSourceTest, EndpointsMayComeBeforeTheirService) {
  world_.Delete<Service>("db");
  AddSlice("db-1", "{addresses: [10.244.0.7]}");
  world_.Create<Service>(
      "{metadata: {name: db}, spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}}");
  world_.Settle();
  EXPECT_EQ(Count("db.default.svc.cluster.local"), 1);
}

TEST_F(ClusterSourceTest, AnAliasAndAnAddress) {
  world_.Create<Service>(
      "{metadata: {name: out}, spec: {type: ExternalName, externalName: db.default.svc.cluster."
      "local}}");
  const Service web =
      world_.Create<Service>("{metadata: {name: web}, spec: {ports: [{port: 80}]}}");
  world_.Settle();
  EXPECT_EQ(Count("out.default.svc.cluster.local", kTypeCname), 1);
  EXPECT_EQ(Count("web.default.svc.cluster.local"), 1);
  EXPECT_EQ(records_.size(), 4u);  // with kubernetes of the API server
}

}  // namespace
}  // namespace meltemi::dns
