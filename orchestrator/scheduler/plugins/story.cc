#include "orchestrator/scheduler/plugins/story.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace meltemi::scheduler {
namespace {

std::string Text(const Verdict& verdict) {
  switch (verdict.code) {
    case Verdict::Code::kOk:
      return "ok";
    case Verdict::Code::kSkip:
      return "skip";
    case Verdict::Code::kUnschedulable:
      return absl::StrCat("no: ", absl::StrJoin(verdict.reasons, ", "));
    case Verdict::Code::kUnresolvable:
      return absl::StrCat("never: ", absl::StrJoin(verdict.reasons, ", "));
  }
  return "";
}

std::string Scores(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot,
                   bool normalize) {
  const std::vector<const NodeInfo*> nodes(snapshot.nodes().begin(), snapshot.nodes().end());
  std::unique_ptr<PluginState> state;
  const Verdict verdict = rule.PreScore(pod, snapshot, nodes, &state);
  if (!verdict.ok()) return Text(verdict);
  std::vector<int64_t> scores;
  for (const NodeInfo* node : nodes) scores.push_back(rule.Score(pod, *node, state.get()));
  if (normalize) rule.Normalize(pod, nodes, state.get(), scores);
  std::vector<std::string> words;
  for (size_t i = 0; i < nodes.size(); ++i) {
    words.push_back(absl::StrCat(nodes[i]->name(), "=", scores[i]));
  }
  return absl::StrJoin(words, " ");
}

}  // namespace

std::string FilterLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot) {
  std::unique_ptr<PluginState> state;
  const Verdict verdict = rule.PreFilter(pod, snapshot, &state);
  if (!verdict.ok()) return Text(verdict);
  std::vector<std::string> words;
  for (const NodeInfo* node : snapshot.nodes()) {
    words.push_back(absl::StrCat(node->name(), ": ", Text(rule.Filter(pod, *node, state.get()))));
  }
  return absl::StrJoin(words, " | ");
}

std::string RawScoreLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot) {
  return Scores(rule, pod, snapshot, /*normalize=*/false);
}

std::string ScoreLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot) {
  return Scores(rule, pod, snapshot, /*normalize=*/true);
}

void TellFilter(const Plugin& rule, const Story& story) {
  SnapshotBuilder cluster;
  cluster.Nodes(story.nodes).Pods(story.pods);
  const PodInfoPtr pod = MakePodInfo(MakePod("pod", story.pod));
  EXPECT_EQ(FilterLine(rule, *pod, cluster.Build()), story.expected) << story.name;
}

void TellScore(const Plugin& rule, const Story& story) {
  SnapshotBuilder cluster;
  cluster.Nodes(story.nodes).Pods(story.pods);
  const PodInfoPtr pod = MakePodInfo(MakePod("pod", story.pod));
  EXPECT_EQ(ScoreLine(rule, *pod, cluster.Build()), story.expected) << story.name;
}

}  // namespace meltemi::scheduler
