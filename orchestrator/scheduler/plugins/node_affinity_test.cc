// NodeAffinity: every operator, the ways terms go together, and the score.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/story.h"

namespace meltemi::scheduler {
namespace {

constexpr char kNo[] = "never: node(s) didn't match Pod's node affinity/selector";
constexpr char kNodes[] =
    "{a: {labels: {zone: z1, cores: '8'}}, b: {labels: {zone: z2, cores: '16'}}, c: {}}";

std::string Required(const std::string& terms) {
  return absl::StrCat(
      "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
      "{nodeSelectorTerms: [",
      terms, "]}}}");
}

// Which nodes a pod with these terms may go to: "a c".
std::string Open(const std::string& pod_yaml) {
  SnapshotBuilder cluster;
  cluster.Nodes(kNodes);
  const Snapshot& snapshot = cluster.Build();
  const std::unique_ptr<Plugin> rule = NewNodeAffinity();
  const PodInfoPtr pod = MakePodInfo(MakePod("pod", pod_yaml));
  std::unique_ptr<PluginState> state;
  const Verdict verdict = rule->PreFilter(*pod, snapshot, &state);
  if (verdict.code == Verdict::Code::kSkip) return "skip";
  if (!verdict.ok()) return std::string(verdict.reasons[0]);
  std::string open;
  for (const NodeInfo* node : snapshot.nodes()) {
    const Verdict here = rule->Filter(*pod, *node, state.get());
    if (here.ok()) {
      absl::StrAppend(&open, open.empty() ? "" : " ", node->name());
    } else {
      EXPECT_EQ(absl::StrCat("never: ", here.reasons[0]), kNo);
    }
  }
  return open;
}

std::string OpenTo(const std::string& terms) { return Open(Required(terms)); }

TEST(NodeAffinity, NodeSelector) {
  EXPECT_EQ(Open("{}"), "skip");
  EXPECT_EQ(Open("nodeSelector: {zone: z1}"), "a");
  EXPECT_EQ(Open("nodeSelector: {zone: z1, cores: '8'}"), "a");
  EXPECT_EQ(Open("nodeSelector: {zone: z1, cores: '16'}"), "");
  EXPECT_EQ(Open("nodeSelector: {zone: ''}"), "");
}

TEST(NodeAffinity, EveryOperator) {
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: In, values: [z1, z9]}]}"), "a");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: NotIn, values: [z1]}]}"), "b c");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: Exists}]}"), "a b");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: DoesNotExist}]}"), "c");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Gt, values: ['8']}]}"), "b");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Gt, values: ['7']}]}"), "a b");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Lt, values: ['16']}]}"), "a");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Lt, values: ['8']}]}"), "");
  // Labels that are no integers are neither more nor less.
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: Gt, values: ['0']}]}"), "");
}

TEST(NodeAffinity, MistakesMatchNothing) {
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: Like, values: [z1]}]}"), "");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: In}]}"), "");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: Exists, values: [z1]}]}"), "");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Gt, values: [many]}]}"), "");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: cores, operator: Gt, values: ['1', '2']}]}"), "");
  EXPECT_EQ(OpenTo("{matchFields: [{key: metadata.name, operator: Exists}]}"), "");
  EXPECT_EQ(OpenTo("{}"), "");
  EXPECT_EQ(OpenTo(""), "");
}

TEST(NodeAffinity, TermsAreAlternativesAndExpressionsAddUp) {
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: In, values: [z1]}]}, "
                   "{matchExpressions: [{key: cores, operator: Gt, values: ['8']}]}"),
            "a b");
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: Exists}, "
                   "{key: cores, operator: Lt, values: ['9']}]}"),
            "a");
  // A term with a mistake does not spoil the others.
  EXPECT_EQ(OpenTo("{matchExpressions: [{key: zone, operator: In}]}, "
                   "{matchExpressions: [{key: zone, operator: Exists}]}"),
            "a b");
  // And nodeSelector holds too.
  EXPECT_EQ(Open("nodeSelector: {zone: z2}\n" +
                 Required("{matchExpressions: [{key: zone, operator: Exists}]}")),
            "b");
}

TEST(NodeAffinity, Names) {
  EXPECT_EQ(OpenTo("{matchFields: [{key: metadata.name, operator: In, values: [b]}]}"), "b");
  EXPECT_EQ(OpenTo("{matchFields: [{key: metadata.name, operator: NotIn, values: [b]}]}"), "a c");
  EXPECT_EQ(OpenTo("{matchFields: [{key: metadata.name, operator: In, values: [a]}], "
                   "matchExpressions: [{key: zone, operator: In, values: [z2]}]}"),
            "");
  EXPECT_EQ(OpenTo("{matchFields: [{key: metadata.name, operator: In, values: [a]}, "
                   "{key: metadata.name, operator: In, values: [b]}]}"),
            "pod affinity terms conflict");
}

// The nodes that come into question by name alone; "all" where none are named.
std::string Named(const std::string& terms) {
  SnapshotBuilder cluster;
  const std::unique_ptr<Plugin> rule = NewNodeAffinity();
  const PodInfoPtr pod = MakePodInfo(MakePod("pod", Required(terms)));
  std::unique_ptr<PluginState> state;
  rule->PreFilter(*pod, cluster.Build(), &state);
  const std::vector<std::string>* names = rule->OnlyNodes(state.get());
  if (names == nullptr) return "all";
  std::string text;
  for (const std::string& name : *names) absl::StrAppend(&text, text.empty() ? "" : " ", name);
  return text;
}

TEST(NodeAffinity, NamesNarrowTheSearch) {
  const std::string a = "{matchFields: [{key: metadata.name, operator: In, values: [a]}]}";
  const std::string b = "{matchFields: [{key: metadata.name, operator: In, values: [b]}]}";
  EXPECT_EQ(Named(b), "b");
  EXPECT_EQ(Named(b + ", " + a), "a b");
  EXPECT_EQ(Named(b + ", {matchExpressions: [{key: zone, operator: Exists}]}"), "all");
  EXPECT_EQ(Named("{matchFields: [{key: metadata.name, operator: NotIn, values: [a]}]}"), "all");
  EXPECT_EQ(Named("{matchExpressions: [{key: zone, operator: Exists}]}"), "all");
}

std::string Preferred(const std::string& terms) {
  return absl::StrCat(
      "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [", terms, "]}}");
}

TEST(NodeAffinity, ScoresByTheWeightsThatMatch) {
  const std::string zone =
      "{weight: 30, preference: {matchExpressions: [{key: zone, operator: Exists}]}}";
  const std::string large =
      "{weight: 10, preference: {matchExpressions: [{key: cores, operator: Gt, values: ['8']}]}}";
  const std::string empty = "{weight: 100, preference: {}}";
  const std::string name =
      "{weight: 5, preference: {matchFields: [{key: metadata.name, operator: In, values: [c]}]}}";
  const std::string one = Preferred(zone), two = Preferred(zone + ", " + large),
                    all = Preferred(zone + "," + large + "," + empty + "," + name);
  TellScores(
      *NewNodeAffinity(),
      {{"nothing is preferred", kNodes, "{}", "{}", "skip"},
       {"one term", kNodes, "{}", one.c_str(), "a=100 b=100 c=0"},
       {"two terms: 30 of 40", kNodes, "{}", two.c_str(), "a=75 b=100 c=0"},
       {"an empty term matches nothing; 5 of 40", kNodes, "{}", all.c_str(), "a=75 b=100 c=12"}});
}

}  // namespace
}  // namespace meltemi::scheduler
