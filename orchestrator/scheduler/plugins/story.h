// What a rule says of a cluster, as a line of text: for tables of cases.
//
// Threads: not thread-safe.
#pragma once

#include <string>

#include "orchestrator/scheduler/model/snapshot_builder.h"
#include "orchestrator/scheduler/plugins/plugin.h"

namespace meltemi::scheduler {

// Nodes and pods as SnapshotBuilder::Nodes and ::Pods want them, the waiting pod as MakePod does.
struct Story {
  const char* name;
  const char* nodes;
  const char* pods;
  const char* pod;
  // "a: ok | b: no: REASON, REASON | c: never: REASON" or what PreFilter says: "skip", "never: …".
  // Of scores: "a=100 b=0", or "skip".
  const char* expected;
};

std::string FilterLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot);
// Before and after Normalize.
std::string RawScoreLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot);
std::string ScoreLine(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot);

// Expects each story to end as it says.
template <size_t kStories>
void TellFilters(const Plugin& rule, const Story (&stories)[kStories]);
template <size_t kStories>
void TellScores(const Plugin& rule, const Story (&stories)[kStories]);

void TellFilter(const Plugin& rule, const Story& story);
void TellScore(const Plugin& rule, const Story& story);

template <size_t kStories>
void TellFilters(const Plugin& rule, const Story (&stories)[kStories]) {
  for (const Story& story : stories) TellFilter(rule, story);
}
template <size_t kStories>
void TellScores(const Plugin& rule, const Story (&stories)[kStories]) {
  for (const Story& story : stories) TellScore(rule, story);
}

}  // namespace meltemi::scheduler
