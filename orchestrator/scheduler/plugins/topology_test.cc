// PodTopologySpread and InterPodAffinity: stories of zones and hosts.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/story.h"

namespace meltemi::scheduler {
namespace {

// Two zones with two nodes each.
constexpr char kZones[] =
    "{a: {labels: {zone: z1, node: a}}, b: {labels: {zone: z1, node: b}}, "
    "x: {labels: {zone: z2, node: x}}, y: {labels: {zone: z2, node: y}}}";
constexpr char kSkewed[] = "no: node(s) didn't match pod topology spread constraints";

std::string Spread(const std::string& more, const std::string& key = "zone") {
  return absl::StrCat("labels: {app: web}\ntopologySpreadConstraints: [{maxSkew: 1, topologyKey: ",
                      key, ", whenUnsatisfiable: DoNotSchedule, ",
                      "labelSelector: {matchLabels: {app: web}}", more, "}]");
}

// "ok ok no no" for the nodes in turn; what else stands there, whole.
std::string Verdicts(const std::string& nodes, const std::string& pods, const std::string& pod) {
  SnapshotBuilder cluster;
  cluster.Namespace("red", {{"team", "red"}}).Namespace("blue", {{"team", "blue"}});
  cluster.Nodes(nodes).Pods(pods);
  std::string line = FilterLine(*NewPodTopologySpread(nullptr), *MakePodInfo(MakePod("pod", pod)),
                                cluster.Build());
  return line;
}

std::string Line(const std::string& a, const std::string& b, const std::string& x,
                 const std::string& y) {
  return absl::StrCat("a: ", a, " | b: ", b, " | x: ", x, " | y: ", y);
}

TEST(PodTopologySpread, KeepsTheSkew) {
  EXPECT_EQ(Verdicts(kZones, "{}", "{}"), "skip");
  EXPECT_EQ(Verdicts(kZones, "{}", Spread("")), Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Verdicts(kZones, "{p: {on: a, labels: {app: web}}}", Spread("")),
            Line(kSkewed, kSkewed, "ok", "ok"));
  // Hosts are looked at one by one.
  EXPECT_EQ(Verdicts(kZones, "{p: {on: a, labels: {app: web}}}", Spread("", "node")),
            Line(kSkewed, "ok", "ok", "ok"));
  // Others, other namespaces and those that go do not count.
  EXPECT_EQ(Verdicts(kZones,
                     "{p: {on: a, labels: {app: db}}, q: {on: a, namespace: n, labels: {app: web}},"
                     " r: {on: a, terminating: true, labels: {app: web}}}",
                     Spread("")),
            Line("ok", "ok", "ok", "ok"));
  // A pod that does not match its own selector adds nothing to the skew.
  EXPECT_EQ(Verdicts(kZones, "{p: {on: a, labels: {app: db}}}",
                     "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, "
                     "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: db}}}]"),
            Line("ok", "ok", "ok", "ok"));
  // No selector matches nothing.
  EXPECT_EQ(Verdicts(kZones, "{p: {on: a}}",
                     "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, "
                     "whenUnsatisfiable: DoNotSchedule}]"),
            Line("ok", "ok", "ok", "ok"));
}

TEST(PodTopologySpread, NodesWithoutTheLabel) {
  EXPECT_EQ(Verdicts("{a: {labels: {zone: z1}}, b: {}}", "{}", Spread("")),
            "a: ok | b: never: node(s) didn't match pod topology spread constraints "
            "(missing required label)");
}

TEST(PodTopologySpread, MinDomains) {
  const std::string pods = "{p: {on: a, labels: {app: web}}, q: {on: x, labels: {app: web}}}";
  EXPECT_EQ(Verdicts(kZones, pods, Spread(", minDomains: 2")), Line("ok", "ok", "ok", "ok"));
  // With a third zone to come, the minimum is 0.
  EXPECT_EQ(Verdicts(kZones, pods, Spread(", minDomains: 3")),
            Line(kSkewed, kSkewed, kSkewed, kSkewed));
}

TEST(PodTopologySpread, WhichNodesCount) {
  const std::string pods = "{p: {on: a, labels: {app: web}}}";
  // Without z2, z1 is the minimum itself.
  EXPECT_EQ(Verdicts(kZones, pods, Spread("") + "\nnodeSelector: {zone: z1}"),
            Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(
      Verdicts(kZones, pods, Spread(", nodeAffinityPolicy: Ignore") + "\nnodeSelector: {zone: z1}"),
      Line(kSkewed, kSkewed, "ok", "ok"));
  const std::string tainted =
      "{a: {labels: {zone: z1}}, b: {labels: {zone: z1}}, "
      "x: {labels: {zone: z2}, taints: ['k:NoSchedule']}, "
      "y: {labels: {zone: z2}, taints: ['k:NoSchedule']}}";
  EXPECT_EQ(Verdicts(tainted, pods, Spread("")), Line(kSkewed, kSkewed, "ok", "ok"));
  EXPECT_EQ(Verdicts(tainted, pods, Spread(", nodeTaintsPolicy: Honor")),
            Line("ok", "ok", "ok", "ok"));
}

TEST(PodTopologySpread, MatchLabelKeysTellRevisionsApart) {
  const std::string pods = "{p: {on: a, labels: {app: web, rev: one}}}";
  std::string pod = Spread(", matchLabelKeys: [rev, other]");
  pod.replace(0, pod.find('\n'), "labels: {app: web, rev: two}");
  EXPECT_EQ(Verdicts(kZones, pods, pod), Line("ok", "ok", "ok", "ok"));
  pod.replace(0, pod.find('\n'), "labels: {app: web, rev: one}");
  EXPECT_EQ(Verdicts(kZones, pods, pod), Line(kSkewed, kSkewed, "ok", "ok"));
}

TEST(PodTopologySpread, ConstraintsHoldTogether) {
  const std::string both =
      "labels: {app: web}\n"
      "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: "
      "DoNotSchedule, labelSelector: {matchLabels: {app: web}}}, {maxSkew: 1, topologyKey: node, "
      "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]";
  EXPECT_EQ(Verdicts(kZones,
                     "{p: {on: a, labels: {app: web}}, q: {on: b, labels: {app: web}}, "
                     "r: {on: x, labels: {app: web}}}",
                     both),
            Line(kSkewed, kSkewed, kSkewed, "ok"));
}

std::string Anyway(const std::string& key) {
  return absl::StrCat(
      "labels: {app: web}\ntopologySpreadConstraints: [{maxSkew: 1, topologyKey: ", key,
      ", whenUnsatisfiable: ScheduleAnyway, ", "labelSelector: {matchLabels: {app: web}}}]");
}

TEST(PodTopologySpread, Scores) {
  const std::string zone = Anyway("zone"), host = Anyway("kubernetes.io/hostname");
  constexpr char kPods[] =
      "{p: {on: a, labels: {app: web}}, q: {on: b, labels: {app: web}}, "
      "r: {on: x, labels: {app: web}}}";
  constexpr char kHosts[] =
      "{a: {labels: {kubernetes.io/hostname: a}}, b: {labels: {kubernetes.io/hostname: b}}, "
      "c: {labels: {kubernetes.io/hostname: c}}, d: {}}";
  TellScores(
      *NewPodTopologySpread(nullptr),
      {{"no constraints and no defaults", kZones, "{}", "{}", "skip"},
       {"two zones weigh ln 4 = 1.386: 2.77 → 3 and 1.39 → 1; 100*(3+1-3)/3 = 33", kZones, kPods,
        zone.c_str(), "a=33 b=33 x=100 y=100"},
       {"nothing there: all are best", kZones, "{}", zone.c_str(), "a=100 b=100 x=100 y=100"},
       {"three hosts weigh ln 5 = 1.609: 3.22 → 3, 1.6 → 2, 0; no host name: 0", kHosts,
        "{p: {on: a, labels: {app: web}}, q: {on: a, labels: {app: web}}, "
        "r: {on: b, labels: {app: web}}}",
        host.c_str(), "a=0 b=33 c=100 d=0"}});
}

TEST(PodTopologySpread, DefaultsSpreadOverHostsAndZones) {
  const auto web = [](const PodInfo& pod) { return *kube::LabelSelector::Parse("app=web"); };
  constexpr char kNodes[] =
      "{a: {labels: {topology.kubernetes.io/zone: z1, kubernetes.io/hostname: a}}, "
      "b: {labels: {topology.kubernetes.io/zone: z1, kubernetes.io/hostname: b}}, "
      "c: {labels: {kubernetes.io/hostname: c}}}";
  // Zones: z1 and none weigh ln 4, hosts ln 5; skews add 4 and 2.
  // a: 1*1.609+2 + 1*1.386+4 = 8.995 → 9, b: 2 + 1.386+4 = 7.4 → 7, c: 2.
  TellScores(*NewPodTopologySpread(web),
             {{"one on a", kNodes, "{p: {on: a, labels: {app: web}}}", "{}", "a=22 b=44 c=100"},
              {"own constraints take their place", kNodes, "{p: {on: a, labels: {app: web}}}",
               "topologySpreadConstraints: [{maxSkew: 1, topologyKey: none, whenUnsatisfiable: "
               "DoNotSchedule, labelSelector: {}}]",
               "skip"}});
  const auto nothing = [](const PodInfo& pod) { return kube::LabelSelector(); };
  TellScores(*NewPodTopologySpread(nothing),
             {{"no service, no spreading", kNodes, "{}", "{}", "skip"}});
}

constexpr char kNoAffinity[] = "never: node(s) didn't match pod affinity rules";
constexpr char kAnti[] = "no: node(s) didn't match pod anti-affinity rules";
constexpr char kExisting[] = "no: node(s) didn't satisfy existing pods anti-affinity rules";

std::string Term(const std::string& more) {
  return absl::StrCat("{topologyKey: zone, labelSelector: {matchLabels: {app: db}}", more, "}");
}

std::string Affinity(const std::string& kind, const std::string& terms) {
  return absl::StrCat("affinity: {", kind, ": {requiredDuringSchedulingIgnoredDuringExecution: [",
                      terms, "]}}");
}

std::string Ask(const std::string& pods, const std::string& pod,
                const std::string& nodes = kZones) {
  SnapshotBuilder cluster;
  cluster.Namespace("red", {{"team", "red"}}).Namespace("blue", {{"team", "blue"}});
  cluster.Nodes(nodes).Pods(pods);
  return FilterLine(*NewInterPodAffinity(1), *MakePodInfo(MakePod("pod", pod)), cluster.Build());
}

TEST(InterPodAffinity, WithOthers) {
  const std::string wants = Affinity("podAffinity", Term(""));
  EXPECT_EQ(Ask("{}", "{}"), "skip");
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: db}}}", wants),
            Line("ok", "ok", kNoAffinity, kNoAffinity));
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: web}}}", wants),
            Line(kNoAffinity, kNoAffinity, kNoAffinity, kNoAffinity));
  // Terms must all hold, and of the same pod.
  const std::string two =
      Affinity("podAffinity",
               Term("") + ", {topologyKey: node, labelSelector: {matchLabels: {tier: back}}}");
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: db, tier: back}}}", two),
            Line("ok", kNoAffinity, kNoAffinity, kNoAffinity));
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: db}}, q: {on: a, labels: {tier: back}}}", two),
            Line(kNoAffinity, kNoAffinity, kNoAffinity, kNoAffinity));
}

TEST(InterPodAffinity, TheFirstOfAGroupMayGoAnywhereWithTheLabel) {
  const std::string wants = Affinity("podAffinity", Term("")) + "\nlabels: {app: db}";
  EXPECT_EQ(Ask("{}", wants), Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Ask("{p: {on: x, labels: {app: db}}}", wants),
            Line(kNoAffinity, kNoAffinity, "ok", "ok"));
  EXPECT_EQ(Ask("{}", wants, "{a: {labels: {zone: z1}}, b: {}}"),
            absl::StrCat("a: ok | b: ", kNoAffinity));
  // One in another namespace is none of the group.
  EXPECT_EQ(Ask("{p: {on: x, namespace: n, labels: {app: db}}}", wants),
            Line("ok", "ok", "ok", "ok"));
}

TEST(InterPodAffinity, AwayFromOthers) {
  const std::string wants = Affinity("podAntiAffinity", Term(""));
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: db}}}", wants), Line(kAnti, kAnti, "ok", "ok"));
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: web}}}", wants), Line("ok", "ok", "ok", "ok"));
  // A node without the label is no neighbour.
  EXPECT_EQ(Ask("{p: {on: a, labels: {app: db}}}", wants, "{a: {}, b: {labels: {zone: z1}}}"),
            "a: ok | b: ok");
}

TEST(InterPodAffinity, ExistingPodsWantItAway) {
  const std::string pods =
      absl::StrCat("{p: {on: a, ", Affinity("podAntiAffinity", Term("")), "}}");
  EXPECT_EQ(Ask(pods, "labels: {app: db}"), Line(kExisting, kExisting, "ok", "ok"));
  EXPECT_EQ(Ask(pods, "labels: {app: web}"), "skip");
  EXPECT_EQ(Ask(pods, "{labels: {app: db}, namespace: n}"), "skip");
}

TEST(InterPodAffinity, Namespaces) {
  const auto away = [](const std::string& more) { return Affinity("podAntiAffinity", Term(more)); };
  const std::string red = "{p: {on: a, namespace: red, labels: {app: db}}}";
  EXPECT_EQ(Ask(red, away("")), Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Ask(red, away(", namespaces: [red, blue]")), Line(kAnti, kAnti, "ok", "ok"));
  EXPECT_EQ(Ask(red, away(", namespaceSelector: {matchLabels: {team: red}}")),
            Line(kAnti, kAnti, "ok", "ok"));
  EXPECT_EQ(Ask(red, away(", namespaceSelector: {matchLabels: {team: blue}}")),
            Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Ask(red, away(", namespaceSelector: {}")), Line(kAnti, kAnti, "ok", "ok"));
  // The list and the selector add up.
  EXPECT_EQ(Ask(red, away(", namespaces: [red], namespaceSelector: {matchLabels: {team: blue}}")),
            Line(kAnti, kAnti, "ok", "ok"));
}

TEST(InterPodAffinity, MatchAndMismatchLabelKeys) {
  const std::string pods = "{p: {on: a, labels: {app: db, rev: one}}}";
  const auto away = [](const std::string& more, const std::string& rev) {
    return absl::StrCat(Affinity("podAntiAffinity", Term(more)), "\nlabels: {rev: ", rev, "}");
  };
  EXPECT_EQ(Ask(pods, away(", matchLabelKeys: [rev]", "one")), Line(kAnti, kAnti, "ok", "ok"));
  EXPECT_EQ(Ask(pods, away(", matchLabelKeys: [rev]", "two")), Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Ask(pods, away(", mismatchLabelKeys: [rev]", "one")), Line("ok", "ok", "ok", "ok"));
  EXPECT_EQ(Ask(pods, away(", mismatchLabelKeys: [rev]", "two")), Line(kAnti, kAnti, "ok", "ok"));
  EXPECT_EQ(Ask(pods, away(", matchLabelKeys: [none]", "two")), Line(kAnti, kAnti, "ok", "ok"));
}

std::string Prefers(const std::string& kind, int weight) {
  return absl::StrCat("{", kind,
                      ": {preferredDuringSchedulingIgnoredDuringExecution: [{weight: ", weight,
                      ", podAffinityTerm: ", Term(""), "}]}}");
}

TEST(InterPodAffinity, Scores) {
  const std::string near = absl::StrCat("affinity: ", Prefers("podAffinity", 10)),
                    far = absl::StrCat("affinity: ", Prefers("podAntiAffinity", 10));
  const std::string existing_near =
      absl::StrCat("{p: {on: a, affinity: ", Prefers("podAffinity", 40),
                   "}, q: {on: x, affinity: ", Prefers("podAffinity", 10), "}}");
  const std::string existing_far =
      absl::StrCat("{p: {on: a, affinity: ", Prefers("podAntiAffinity", 40), "}}");
  const std::string hard = absl::StrCat("{p: {on: a, ", Affinity("podAffinity", Term("")), "}}");
  constexpr char kOne[] = "{p: {on: a, labels: {app: db}}}";
  constexpr char kThree[] =
      "{p: {on: a, labels: {app: db}}, q: {on: x, labels: {app: db}}, r: {on: y, labels: {app: "
      "db}}}";
  const std::unique_ptr<Plugin> rule = NewInterPodAffinity(1);
  TellScores(*rule, {{"nothing is preferred", kZones, kOne, "{}", "skip"},
                     {"near one", kZones, kOne, near.c_str(), "a=100 b=100 x=0 y=0"},
                     {"nearer to more", kZones, kThree, near.c_str(), "a=0 b=0 x=100 y=100"},
                     {"far from one", kZones, kOne, far.c_str(), "a=0 b=0 x=100 y=100"},
                     {"existing pods like it near", kZones, existing_near.c_str(),
                      "labels: {app: db}", "a=100 b=100 x=0 y=0"},
                     {"existing pods do not", kZones, existing_far.c_str(), "labels: {app: db}",
                      "a=0 b=0 x=100 y=100"},
                     {"existing pods that needed it near like it too", kZones, hard.c_str(),
                      "labels: {app: db}", "a=100 b=100 x=0 y=0"},
                     {"but not another one", kZones, hard.c_str(), "labels: {app: web}", "skip"}});
  TellScores(*NewInterPodAffinity(0),
             {{"no weight, no wish", kZones, hard.c_str(), "labels: {app: db}", "skip"}});
}

}  // namespace
}  // namespace meltemi::scheduler
