// Filters and scores beside kube-scheduler's own: the same random clusters to both, and the same
// verdicts, words and points.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"
#include "orchestrator/scheduler/plugins/plugins.h"
#include "test/interop/clients/fetch.h"
#include "test/interop/scheduler/random_clusters.h"

namespace meltemi::interop {
namespace {

using json::Value;
using scheduler::NodeInfo;
using scheduler::Plugin;
using scheduler::PluginState;
using scheduler::PodInfo;
using scheduler::PodInfoPtr;
using scheduler::Verdict;

constexpr int kClusters = 2000;
constexpr int kClustersAtOnce = 500;

// "filter NodeName n0" → "ok".
using Answers = std::map<std::string, std::string>;

// Answers of the Go program, one for each question.
std::vector<Value> Ask(const std::string& program, const std::vector<Value>& questions) {
  const std::string folder = ::testing::TempDir();
  const std::string in = absl::StrCat(folder, "/questions"), out = absl::StrCat(folder, "/answers");
  {
    std::ofstream file(in);
    for (const Value& question : questions) file << json::ToString(question) << "\n";
  }
  EXPECT_EQ(std::system(absl::StrCat(program, " <", in, " >", out).c_str()), 0);
  std::ifstream file(out);
  std::vector<Value> answers;
  for (std::string line; std::getline(file, line);) {
    absl::StatusOr<Value> answer = json::Parse(line);
    EXPECT_TRUE(answer.ok()) << line;
    answers.push_back(answer.value_or(Value()));
  }
  EXPECT_EQ(answers.size(), questions.size());
  answers.resize(questions.size());
  return answers;
}

// Reasons of extended resources come in no order there.
std::string Sorted(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "no: ")) return std::string(text);
  std::vector<std::string> reasons = absl::StrSplit(text, ", ");
  std::sort(reasons.begin(), reasons.end());
  return absl::StrCat("no: ", absl::StrJoin(reasons, ", "));
}

// A rule that is left out adds nothing to any node.
void AddZeros(absl::string_view rule, const Value& question, Answers& answers) {
  for (const Value& node : question.Find("feasible")->items()) {
    answers[absl::StrCat("score ", rule, " ", node.text())] = "0";
  }
}

Answers Theirs(const Value& question, const Value& answer) {
  Answers theirs;
  for (const json::Member& rule : answer.Find("filters")->members()) {
    for (const json::Member& node : rule.value.members()) {
      theirs[absl::StrCat("filter ", rule.key, " ", node.key)] = Sorted(node.value.text());
    }
  }
  for (const json::Member& rule : answer.Find("after")->members()) {
    theirs[absl::StrCat("after ", rule.key)] = Sorted(rule.value.text());
  }
  for (const json::Member& rule : answer.Find("scores")->members()) {
    for (const json::Member& node : rule.value.members()) {
      theirs[absl::StrCat("score ", rule.key, " ", node.key)] = node.value.text();
    }
  }
  for (const Value& rule : answer.Find("skipped")->items()) AddZeros(rule.text(), question, theirs);
  return theirs;
}

std::string Text(const Verdict& verdict) {
  switch (verdict.code) {
    case Verdict::Code::kOk:
      return "ok";
    case Verdict::Code::kSkip:
      return "skip";
    case Verdict::Code::kUnschedulable:
      return Sorted(absl::StrCat("no: ", absl::StrJoin(verdict.reasons, ", ")));
    case Verdict::Code::kUnresolvable:
      return absl::StrCat("never: ", absl::StrJoin(verdict.reasons, ", "));
  }
  return "";
}

// Our side of a question.
class Ours {
 public:
  explicit Ours(const Value& question) : question_(question) {
    for (const Value& node : question.Find("nodes")->items()) {
      cluster_.Add(scheduler::NodeFromJson(json::ToString(node)));
    }
    for (const Value& pod : question.Find("pods")->items()) {
      scheduler::PodPtr parsed = scheduler::PodFromJson(json::ToString(pod));
      pods_[parsed->metadata().name()] = scheduler::MakePodInfo(parsed);
      cluster_.AddInfo(pods_[parsed->metadata().name()], parsed->spec().node_name());
    }
    for (const Value& ns : question.Find("namespaces")->items()) {
      cluster_.Namespace(ns.Find("metadata", "name")->text(),
                         Pairs(*ns.Find("metadata", "labels")));
    }
    pod_ = scheduler::MakePodInfo(scheduler::PodFromJson(json::ToString(*question.Find("pod"))));
  }

  Answers Answer() {
    absl::StatusOr<std::vector<scheduler::WeightedPlugin>> rules =
        scheduler::MakePlugins(Options(), [this](const PodInfo&) { return DefaultSelector(); });
    if (!rules.ok()) ADD_FAILURE() << rules.status();
    if (!rules.ok()) return {};
    for (const scheduler::WeightedPlugin& rule : *rules) {
      if (rule.plugin->name() == "SchedulingGates") continue;
      if (rule.plugin->filters) Filter(*rule.plugin);
      if (rule.plugin->scores) Score(*rule.plugin);
    }
    return std::move(answers_);
  }

 private:
  static kube::StringPairs Pairs(const Value& object) {
    kube::StringPairs pairs;
    for (const json::Member& member : object.members()) {
      pairs.emplace_back(member.key, member.value.text());
    }
    std::sort(pairs.begin(), pairs.end());
    return pairs;
  }

  scheduler::PluginOptions Options() const {
    scheduler::PluginOptions options;
    const absl::string_view strategy = question_.FindString("strategy");
    if (strategy == "MostAllocated") options.fit = scheduler::FitStrategy::kMostAllocated;
    if (strategy == "RequestedToCapacityRatio") {
      options.fit = scheduler::FitStrategy::kRequestedToCapacityRatio;
    }
    options.fit_resources.clear();
    options.balanced_resources.clear();
    for (const Value& resource : question_.Find("resources")->items()) {
      const std::string name(resource.FindString("name"));
      options.fit_resources.emplace_back(name, *resource.Find("weight")->AsInt64());
      options.balanced_resources.emplace_back(name, 1);
    }
    for (const Value& point : question_.Find("shape")->items()) {
      options.fit_shape.emplace_back(*point.Find("utilization")->AsInt64(),
                                     *point.Find("score")->AsInt64());
    }
    return options;
  }

  // Of the services that the pod belongs to.
  kube::LabelSelector DefaultSelector() const {
    std::vector<std::string> pairs;
    for (const Value& service : question_.Find("services")->items()) {
      if (service.Find("metadata", "namespace")->text() != pod_->key.ns) continue;
      const kube::StringPairs wanted = Pairs(*service.Find("spec", "selector"));
      if (!std::includes(pod_->labels.begin(), pod_->labels.end(), wanted.begin(), wanted.end())) {
        continue;
      }
      for (const auto& [key, value] : wanted) pairs.push_back(absl::StrCat(key, "=", value));
    }
    return *kube::LabelSelector::Parse(absl::StrJoin(pairs, ","));
  }

  void Filter(const Plugin& rule) {
    const std::string prefix = absl::StrCat("filter ", rule.name(), " ");
    const scheduler::Snapshot& snapshot = cluster_.Build();
    std::unique_ptr<PluginState> state;
    const Verdict before = rule.PreFilter(*pod_, snapshot, &state);
    if (!before.ok()) {
      answers_[prefix] = Text(before);
      return;
    }
    if (const std::vector<std::string>* only = rule.OnlyNodes(state.get())) {
      answers_[prefix] = absl::StrCat("only ", only->size());
    }
    for (const NodeInfo* node : snapshot.nodes()) {
      answers_[prefix + node->name()] = Text(rule.Filter(*pod_, *node, state.get()));
    }
    Preempt(rule, std::move(state));
  }

  // On copies, as preemption does it.
  void Preempt(const Plugin& rule, std::unique_ptr<PluginState> state) {
    if (question_.Find("victims")->items().empty()) return;
    if (state != nullptr) state = state->Clone();
    NodeInfo copy;
    for (const Value& name : question_.Find("victims")->items()) {
      const PodInfo& victim = *pods_[name.text()];
      if (copy.facts == nullptr) copy = cluster_.At(victim.pod->spec().node_name());
      EXPECT_TRUE(copy.RemovePod(victim));
      rule.RemovePod(*pod_, victim, copy, state.get());
    }
    answers_[absl::StrCat("after ", rule.name())] = Text(rule.Filter(*pod_, copy, state.get()));
  }

  void Score(const Plugin& rule) {
    std::vector<const NodeInfo*> feasible;
    for (const Value& name : question_.Find("feasible")->items()) {
      feasible.push_back(&cluster_.At(name.text()));
    }
    std::unique_ptr<PluginState> state;
    const Verdict before = rule.PreScore(*pod_, cluster_.Build(), feasible, &state);
    if (before.code == Verdict::Code::kSkip) {
      AddZeros(rule.name(), question_, answers_);
      return;
    }
    std::vector<int64_t> scores;
    for (const NodeInfo* node : feasible) scores.push_back(rule.Score(*pod_, *node, state.get()));
    rule.Normalize(*pod_, feasible, state.get(), scores);
    for (size_t i = 0; i < feasible.size(); ++i) {
      answers_[absl::StrCat("score ", rule.name(), " ", feasible[i]->name())] =
          absl::StrCat(scores[i]);
    }
  }

  const Value& question_;
  scheduler::SnapshotBuilder cluster_;
  std::map<std::string, PodInfoPtr> pods_;
  PodInfoPtr pod_;
  Answers answers_;
};

// "" when they are the same.
std::string Difference(const Answers& ours, const Answers& theirs) {
  std::string text;
  const auto note = [&](const std::string& what, const std::string& our, const std::string& their) {
    absl::StrAppend(&text, what, ": ours ", our, ", theirs ", their, "\n");
  };
  for (const auto& [what, their] : theirs) {
    const auto our = ours.find(what);
    if (our == ours.end()) {
      note(what, "nothing", their);
    } else if (our->second != their) {
      note(what, our->second, their);
    }
  }
  for (const auto& [what, our] : ours) {
    if (!theirs.contains(what)) note(what, our, "nothing");
  }
  return text;
}

TEST(PluginsTest, AnswerAsKubeSchedulersDo) {
  std::string why_not;
  const std::string program = Fetch("plugins", &why_not, "test/interop/scheduler/fetch.sh");
  if (program.empty()) GTEST_SKIP() << why_not;
  RandomClusters random(20260404);
  int differences = 0;
  std::map<std::string, int> kinds;  // that the clusters are worth asking about
  for (int done = 0; done < kClusters && differences < 5; done += kClustersAtOnce) {
    std::vector<Value> questions;
    for (int i = 0; i < kClustersAtOnce; ++i) questions.push_back(random.Question());
    const std::vector<Value> answers = Ask(program, questions);
    for (size_t i = 0; i < questions.size() && differences < 5; ++i) {
      const Answers theirs = Theirs(questions[i], answers[i]);
      const std::string difference = Difference(Ours(questions[i]).Answer(), theirs);
      if (!difference.empty()) ++differences;
      EXPECT_EQ(difference, "") << json::ToString(questions[i]);
      for (const auto& [what, answer] : theirs) {
        const std::vector<std::string> words = absl::StrSplit(what, ' ');
        ++kinds[absl::StrCat(words[0], " ", words[1], " ",
                             words[0] == "score" ? (answer == "0" ? "0" : "more")
                                                 : answer.substr(0, answer.find(':')))];
      }
    }
  }
  for (const auto& [kind, count] : kinds) RecordProperty(kind, count);
  EXPECT_GT(kinds["filter InterPodAffinity no"], 100);
  EXPECT_GT(kinds["filter PodTopologySpread no"], 50);
  EXPECT_GT(kinds["after InterPodAffinity ok"], 100);
  EXPECT_GT(kinds["after PodTopologySpread ok"], 50);
  EXPECT_GT(kinds["score PodTopologySpread more"], 500);
}

}  // namespace
}  // namespace meltemi::interop
