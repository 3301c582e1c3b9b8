// Which pods the terms of pod affinity speak of, and what they count, for InterPodAffinity's
// filter and score.
//
// Threads: plain values and functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

using AffinityTerms = std::vector<AffinityTerm>;

// Terms of one pod held against many: which namespaces they take in is found out once.
class TermMatcher {
 public:
  // `namespaces` remembers the answers. All references outlive this.
  TermMatcher(const AffinityTerms& terms, const Snapshot& snapshot,
              absl::flat_hash_map<std::string, bool>& namespaces)
      : terms_(terms), snapshot_(snapshot), namespaces_(namespaces) {}

  bool Matches(size_t term, const PodInfo& pod);
  // False where there is no term.
  bool MatchesAll(const PodInfo& pod);

 private:
  bool TakesIn(size_t term, const std::string& ns);

  const AffinityTerms& terms_;
  const Snapshot& snapshot_;
  absl::flat_hash_map<std::string, bool>& namespaces_;
};

// Whether what TermMatcher has remembered still holds.
bool StillHolds(const absl::flat_hash_map<std::string, bool>& namespaces,
                const AffinityTerms& terms, const Snapshot& snapshot);

// What `pod`'s own term says of itself or another whose namespace has these labels.
bool Matches(const AffinityTerm& term, const PodInfo& other,
             const kube::StringPairs& namespace_labels);

// The same text for terms that treat others alike.
void AppendText(const AffinityTerm& term, std::string* out);
void AppendText(const AffinityTerms& terms, std::string* out);

}  // namespace meltemi::scheduler
