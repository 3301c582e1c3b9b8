#include "orchestrator/scheduler/plugins/affinity_matching.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::scheduler {
namespace {

bool IsListed(const AffinityTerm& term, const std::string& ns) {
  return std::binary_search(term.namespaces.begin(), term.namespaces.end(), ns);
}

// "TERM NAMESPACE".
bool TakesInNow(const AffinityTerms& terms, absl::string_view question, const Snapshot& snapshot) {
  const size_t blank = question.find(' ');
  size_t term = 0;
  if (!absl::SimpleAtoi(question.substr(0, blank), &term) || term >= terms.size()) return false;
  return terms[term].namespace_selector.Matches(
      snapshot.NamespaceLabels(question.substr(blank + 1)));
}

}  // namespace

bool TermMatcher::TakesIn(size_t term, const std::string& ns) {
  if (IsListed(terms_[term], ns)) return true;
  if (!terms_[term].has_namespace_selector) return false;
  if (terms_[term].namespace_selector.empty()) return true;
  const std::string question = absl::StrCat(term, " ", ns);
  const auto known = namespaces_.find(question);
  if (known != namespaces_.end()) return known->second;
  const bool answer = TakesInNow(terms_, question, snapshot_);
  namespaces_.emplace(question, answer);
  return answer;
}

bool TermMatcher::Matches(size_t term, const PodInfo& pod) {
  return terms_[term].selector.Matches(pod.labels) && TakesIn(term, pod.key.ns);
}

bool TermMatcher::MatchesAll(const PodInfo& pod) {
  for (size_t i = 0; i < terms_.size(); ++i) {
    if (!Matches(i, pod)) return false;
  }
  return !terms_.empty();
}

bool StillHolds(const absl::flat_hash_map<std::string, bool>& namespaces,
                const AffinityTerms& terms, const Snapshot& snapshot) {
  return std::all_of(namespaces.begin(), namespaces.end(), [&](const auto& known) {
    return TakesInNow(terms, known.first, snapshot) == known.second;
  });
}

bool Matches(const AffinityTerm& term, const PodInfo& other,
             const kube::StringPairs& namespace_labels) {
  if (!IsListed(term, other.key.ns) &&
      !(term.has_namespace_selector && term.namespace_selector.Matches(namespace_labels))) {
    return false;
  }
  return term.selector.Matches(other.labels);
}

void AppendText(const AffinityTerm& term, std::string* out) {
  // A selector that matches nothing prints like one that matches all: "empty" tells them apart.
  const auto append = [&](const kube::LabelSelector& selector) {
    absl::StrAppend(out, "\n", selector.empty() ? "*" : selector.ToString());
  };
  absl::StrAppend(out, "\nterm ", term.topology_key, " ", term.weight);
  for (const std::string& ns : term.namespaces) absl::StrAppend(out, " ", ns);
  append(term.selector);
  if (term.has_namespace_selector) append(term.namespace_selector);
}

void AppendText(const AffinityTerms& terms, std::string* out) {
  for (const AffinityTerm& term : terms) AppendText(term, out);
}

}  // namespace meltemi::scheduler
