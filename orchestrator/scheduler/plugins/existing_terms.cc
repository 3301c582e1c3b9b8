#include "orchestrator/scheduler/plugins/existing_terms.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/affinity_matching.h"

namespace meltemi::scheduler {
namespace {

constexpr size_t kSlotsLookedAtMax = 4;
constexpr size_t kTermsKeptMin = 256;

}  // namespace

int64_t ExistingTerms::Matched::On(const NodeInfo& node) const {
  int64_t sum = 0;
  if (sums_.empty()) {
    for (const auto& [slot, weight] : slots_) {
      const int value = tally_->ValueOn(slot, node);
      if (value >= 0) sum += weight * tally_->Sum(slot, value);
    }
  }
  for (const Sums& each : sums_) {
    const auto found = each.by_value.find(tally_->ValueOn(each.slot, node));
    if (found != each.by_value.end()) sum += found->second;
  }
  return sum;
}

void ExistingTerms::Update(Kept& kept, const Snapshot& snapshot) const {
  if (kept.terms.size() >= kTermsKeptMin) {
    size_t used = 0;
    for (size_t i = 0; i < kept.terms.size(); ++i) {
      used += kept.tally.IsUsed(static_cast<int>(i)) ? 1 : 0;
    }
    // Most of them are of pods that are gone.
    if (used < kept.terms.size() / 4) kept = Kept();
  }
  kept.tally.Update(snapshot, [&](const NodeInfo& node, TopologyTally::Gives* gives) {
    terms_on_(node, [&](const AffinityTerm& term, int64_t weight) {
      std::string text = absl::StrCat(weight);
      AppendText(term, &text);
      const auto [known, added] =
          kept.slots.try_emplace(std::move(text), static_cast<int>(kept.terms.size()));
      if (added) {
        kept.terms.push_back({term, weight});
        kept.tally.AddSlot(term.topology_key);
      }
      const int slot = known->second;
      const auto given = std::find_if(gives->begin(), gives->end(),
                                      [&](const auto& give) { return give.first == slot; });
      if (given == gives->end()) {
        gives->emplace_back(slot, 1);
      } else {
        ++given->second;
      }
    });
  });
}

std::shared_ptr<const ExistingTerms::Matched> ExistingTerms::Match(const PodInfo& pod,
                                                                   const Snapshot& snapshot) const {
  const std::shared_ptr<const Kept> kept =
      kept_.Get("", [&](Kept& changed) { Update(changed, snapshot); });
  auto matched = std::make_shared<Matched>();
  matched->tally_ = std::shared_ptr<const TopologyTally>(kept, &kept->tally);
  const kube::StringPairs& own_labels = snapshot.NamespaceLabels(pod.key.ns);
  for (size_t i = 0; i < kept->terms.size(); ++i) {
    const int slot = static_cast<int>(i);
    if (!kept->tally.IsUsed(slot) || !Matches(kept->terms[i].term, pod, own_labels)) continue;
    matched->slots_.emplace_back(slot, kept->terms[i].weight);
  }
  if (matched->slots_.size() <= kSlotsLookedAtMax) return matched;
  for (const auto& [slot, weight] : matched->slots_) {
    const std::string& key = kept->tally.key(slot);
    auto sums = std::find_if(matched->sums_.begin(), matched->sums_.end(),
                             [&](const auto& each) { return kept->tally.key(each.slot) == key; });
    if (sums == matched->sums_.end()) {
      matched->sums_.push_back({slot, {}});
      sums = matched->sums_.end() - 1;
    }
    kept->tally.ForEachDomain(slot, [&, times = weight](int value, int64_t sum) {
      sums->by_value[value] += times * sum;
    });
  }
  return matched;
}

}  // namespace meltemi::scheduler
