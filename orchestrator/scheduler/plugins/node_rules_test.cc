// Rules that look at one node at a time: gates, cordons, names, taints, ports.
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/story.h"

namespace meltemi::scheduler {
namespace {

TEST(SchedulingGates, HoldBackUntilTheyAreGone) {
  TellFilters(*NewSchedulingGates(),
              {{"no gates", "{a: {}}", "{}", "{}", "skip"},
               {"one gate", "{a: {}}", "{}", "schedulingGates: [{name: example.com/x}]",
                "never: waiting for scheduling gates: [example.com/x]"},
               {"two gates", "{a: {}}", "{}", "schedulingGates: [{name: x}, {name: y}]",
                "never: waiting for scheduling gates: [x y]"}});
}

TEST(NodeUnschedulable, KeepsPodsOffCordonedNodes) {
  TellFilters(
      *NewNodeUnschedulable(),
      {{"cordoned", "{a: {unschedulable: true}, b: {}}", "{}", "{}",
        "a: never: node(s) were unschedulable | b: ok"},
       {"tolerated by key and effect", "{a: {unschedulable: true}}", "{}",
        "tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists, "
        "effect: NoSchedule}]",
        "a: ok"},
       {"tolerated by everything", "{a: {unschedulable: true}}", "{}",
        "tolerations: [{operator: Exists}]", "a: ok"},
       {"another effect", "{a: {unschedulable: true}}", "{}",
        "tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists, "
        "effect: NoExecute}]",
        "a: never: node(s) were unschedulable"},
       {"another key", "{a: {unschedulable: true}}", "{}",
        "tolerations: [{key: foo, operator: Exists}]", "a: never: node(s) were unschedulable"}});
}

TEST(NodeName, IsTheOnlyPlace) {
  TellFilters(*NewNodeName(), {{"none is named", "{a: {}, b: {}}", "{}", "{}", "a: ok | b: ok"},
                               {"one is named", "{a: {}, b: {}}", "{}", "nodeName: b",
                                "a: never: node(s) didn't match the requested node name | b: ok"},
                               {"one that is not there", "{a: {}}", "{}", "nodeName: gone",
                                "a: never: node(s) didn't match the requested node name"}});
}

constexpr char kTainted[] = "{a: {taints: ['dedicated=db:NoSchedule']}, b: {}}";
constexpr char kDatabase[] = "a: never: node(s) had untolerated taint {dedicated: db} | b: ok";

TEST(TaintToleration, FiltersByNoScheduleAndNoExecute) {
  TellFilters(*NewTaintToleration(),
              {{"no toleration", kTainted, "{}", "{}", kDatabase},
               {"equal", kTainted, "{}",
                "tolerations: [{key: dedicated, operator: Equal, value: db}]", "a: ok | b: ok"},
               {"an operator that is left out is Equal", kTainted, "{}",
                "tolerations: [{key: dedicated, value: db, effect: NoSchedule}]", "a: ok | b: ok"},
               {"another value", kTainted, "{}",
                "tolerations: [{key: dedicated, operator: Equal, value: web}]", kDatabase},
               {"another key", kTainted, "{}", "tolerations: [{key: other, value: db}]", kDatabase},
               {"exists", kTainted, "{}", "tolerations: [{key: dedicated, operator: Exists}]",
                "a: ok | b: ok"},
               {"another effect", kTainted, "{}",
                "tolerations: [{key: dedicated, operator: Exists, effect: NoExecute}]", kDatabase},
               {"an empty key with Exists tolerates all", kTainted, "{}",
                "tolerations: [{operator: Exists}]", "a: ok | b: ok"},
               {"an empty key with Equal compares the value", kTainted, "{}",
                "tolerations: [{operator: Equal, value: db}]", "a: ok | b: ok"},
               {"an operator that is not known", kTainted, "{}",
                "tolerations: [{key: dedicated, operator: In, value: db}]", kDatabase},
               {"NoExecute filters too", "{a: {taints: ['k=v:NoExecute']}}", "{}", "{}",
                "a: never: node(s) had untolerated taint {k: v}"},
               {"PreferNoSchedule does not", "{a: {taints: ['k=v:PreferNoSchedule']}}", "{}", "{}",
                "a: ok"},
               {"a taint without a value", "{a: {taints: ['gone:NoExecute']}}", "{}", "{}",
                "a: never: node(s) had untolerated taint {gone: }"},
               {"the first that is not tolerated is named",
                "{a: {taints: ['x=1:NoSchedule', 'y=2:NoSchedule', 'z=3:NoSchedule']}}", "{}",
                "tolerations: [{key: x, operator: Exists}]",
                "a: never: node(s) had untolerated taint {y: 2}"},
               {"each node has its own",
                "{a: {taints: ['x=1:NoSchedule']}, b: {taints: ['y:NoSchedule']}}", "{}", "{}",
                "a: never: node(s) had untolerated taint {x: 1} | "
                "b: never: node(s) had untolerated taint {y: }"}});
}

TEST(TaintToleration, ScoresByPreferNoSchedule) {
  TellScores(*NewTaintToleration(),
             {{"no taints: all are best", "{a: {}, b: {}}", "{}", "{}", "a=100 b=100"},
              {"the most tainted one is worst",
               "{a: {}, b: {taints: ['x:PreferNoSchedule']}, "
               "c: {taints: ['x:PreferNoSchedule', 'y:PreferNoSchedule']}}",
               "{}", "{}", "a=100 b=50 c=0"},
              {"tolerated ones do not count",
               "{a: {}, b: {taints: ['x:PreferNoSchedule', 'y:PreferNoSchedule']}, "
               "c: {taints: ['x:PreferNoSchedule', 'y:PreferNoSchedule', 'z:PreferNoSchedule']}}",
               "{}", "tolerations: [{key: x, operator: Exists}]", "a=100 b=50 c=0"},
              {"a third is rounded down before it is taken off",
               "{a: {taints: ['x:PreferNoSchedule']}, b: {taints: ['x:PreferNoSchedule', "
               "'y:PreferNoSchedule', 'z:PreferNoSchedule']}}",
               "{}", "{}", "a=67 b=0"},
              {"a toleration of another effect does not help",
               "{a: {}, b: {taints: ['x:PreferNoSchedule']}}", "{}",
               "tolerations: [{key: x, operator: Exists, effect: NoSchedule}]", "a=100 b=0"},
              {"other effects do not count", "{a: {taints: ['x:NoSchedule']}, b: {}}", "{}", "{}",
               "a=100 b=100"}});
}

constexpr char kTaken[] = "a: no: node(s) didn't have free ports for the requested pod ports";

std::string Ports(const std::string& ip, const std::string& protocol) {
  return "containers: [{name: c, ports: [{containerPort: 80, hostPort: 8080, protocol: " +
         protocol + ", hostIP: '" + ip + "'}]}]";
}

std::string AskForPort(const std::string& used, const std::string& wanted) {
  SnapshotBuilder cluster;
  cluster.Node("a").Pod("old", used, "a");
  return FilterLine(*NewNodePorts(), *MakePodInfo(MakePod("pod", wanted)), cluster.Build());
}

TEST(NodePorts, OnePodPerPort) {
  TellFilters(*NewNodePorts(),
              {{"no ports", "{a: {}}", "{p: {on: a, hostPort: 80}}", "{}", "skip"},
               {"free", "{a: {}}", "{p: {on: a, hostPort: 80}}", "hostPort: 81", "a: ok"},
               {"taken", "{a: {}}", "{p: {on: a, hostPort: 80}}", "hostPort: 80", kTaken},
               {"taken elsewhere", "{a: {}, b: {}}", "{p: {on: b, hostPort: 80}}", "hostPort: 80",
                "a: ok | b: no: node(s) didn't have free ports for the requested pod ports"}});
}

TEST(NodePorts, AddressesAndProtocols) {
  EXPECT_EQ(AskForPort(Ports("10.0.0.1", "TCP"), Ports("10.0.0.1", "TCP")), kTaken);
  EXPECT_EQ(AskForPort(Ports("10.0.0.1", "TCP"), Ports("10.0.0.2", "TCP")), "a: ok");
  EXPECT_EQ(AskForPort(Ports("10.0.0.1", "TCP"), Ports("10.0.0.1", "UDP")), "a: ok");
  EXPECT_EQ(AskForPort(Ports("", "TCP"), Ports("10.0.0.1", "TCP")), kTaken);
  EXPECT_EQ(AskForPort(Ports("10.0.0.1", "TCP"), Ports("", "TCP")), kTaken);
  EXPECT_EQ(AskForPort(Ports("0.0.0.0", "TCP"), Ports("", "TCP")), kTaken);
  EXPECT_EQ(AskForPort(Ports("0.0.0.0", "TCP"), Ports("10.0.0.1", "SCTP")), "a: ok");
}

}  // namespace
}  // namespace meltemi::scheduler
