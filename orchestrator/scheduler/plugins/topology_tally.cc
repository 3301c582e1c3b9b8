#include "orchestrator/scheduler/plugins/topology_tally.h"

#include <algorithm>

#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {

int TopologyTally::AddSlot(absl::string_view key) {
  slots_.emplace_back();
  Slot& slot = slots_.back();
  slot.key = std::string(key);
  slot.value_at.reserve(entries_.size());
  for (const Entry& entry : entries_) slot.value_at.push_back(ValueIn(slot, *entry.facts));
  return static_cast<int>(slots_.size()) - 1;
}

int TopologyTally::SlotOf(absl::string_view key) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].key == key) return static_cast<int>(i);
  }
  return AddSlot(key);
}

int32_t TopologyTally::ValueIn(Slot& slot, const NodeFacts& facts) {
  const std::string* value = FindLabel(facts.labels, slot.key);
  if (value == nullptr) return -1;
  const auto [found, added] =
      slot.numbers.try_emplace(*value, static_cast<int32_t>(slot.sums.size()));
  if (added) {
    slot.sums.push_back(0);
    slot.givers.push_back(0);
  }
  return found->second;
}

// The list of nodes is the same, and there are not too many values that no node has any more.
bool TopologyTally::IsWorthKeeping(const Snapshot& snapshot) const {
  return order_ == snapshot.order() && seen_.size() == snapshot.nodes().size() &&
         std::all_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
           return slot.sums.size() <= 2 * snapshot.nodes().size() + 64;
         });
}

void TopologyTally::Reset(const std::vector<NodeInfo*>& nodes) {
  total_ = 0;
  seen_.assign(nodes.size(), {});
  entries_.assign(nodes.size(), {});
  for (size_t i = 0; i < nodes.size(); ++i) {
    seen_[i].node = nodes[i];
    entries_[i].facts = nodes[i]->facts;
  }
  for (Slot& slot : slots_) {
    slot.numbers.clear();
    slot.sums.clear();
    slot.givers.clear();
    slot.value_at.clear();
    for (const Entry& entry : entries_) slot.value_at.push_back(ValueIn(slot, *entry.facts));
  }
}

void TopologyTally::Forget() { order_ = -1; }

void TopologyTally::Apply(size_t place, const Gives& gives, int sign) {
  for (const auto& [number, amount] : gives) {
    Slot& slot = slots_[number];
    const int32_t value = slot.value_at[place];
    if (value < 0) continue;
    slot.sums[value] += sign * amount;
    slot.givers[value] += sign;
    total_ += sign * amount;
  }
}

void TopologyTally::Recount(size_t place, const NodeInfo& node, const Count& count) {
  Entry& entry = entries_[place];
  Apply(place, entry.gives, -1);
  if (entry.facts != node.facts) {
    entry.facts = node.facts;
    for (Slot& slot : slots_) slot.value_at[place] = ValueIn(slot, *node.facts);
  }
  entry.gives.clear();
  count(node, &entry.gives);
  Apply(place, entry.gives, 1);
}

bool TopologyTally::UpdateChanged(const Snapshot& snapshot, const Count& count) {
  for (int64_t i = changes_; i < snapshot.changes(); ++i) {
    const int32_t place = snapshot.ChangedPlace(i);
    if (place < 0) return false;
    const NodeInfo& node = *snapshot.nodes()[place];
    if (seen_[place].generation == node.generation) continue;
    Recount(place, node, count);
    seen_[place].generation = node.generation;
  }
  return true;
}

void TopologyTally::Update(const Snapshot& snapshot, const Count& count) {
  const std::vector<NodeInfo*>& nodes = snapshot.nodes();
  const bool keep = IsWorthKeeping(snapshot);
  if (!keep) Reset(nodes);
  if (!keep || !UpdateChanged(snapshot, count)) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (seen_[i].generation == nodes[i]->generation) continue;
      Recount(i, *nodes[i], count);
      seen_[i].generation = nodes[i]->generation;
    }
  }
  order_ = snapshot.order();
  changes_ = snapshot.changes();
}

bool TopologyTally::IsAt(int32_t place, const NodeInfo& node) const {
  return place >= 0 && static_cast<size_t>(place) < entries_.size() &&
         entries_[place].facts == node.facts;
}

int TopologyTally::ValueOn(int number, const NodeInfo& node) const {
  const Slot& slot = slots_[number];
  if (IsAt(node.place, node)) return slot.value_at[node.place];
  const std::string* value = FindLabel(node.facts->labels, slot.key);
  if (value == nullptr) return -1;
  const auto found = slot.numbers.find(*value);
  return found == slot.numbers.end() ? -1 : found->second;
}

int64_t TopologyTally::GivenBy(int number, const NodeInfo& node, bool* known) const {
  *known = IsAt(node.place, node) && seen_[node.place].node == &node;
  if (!*known) return 0;
  int64_t given = 0;
  for (const auto& [slot, amount] : entries_[node.place].gives) {
    if (slot == number) given += amount;
  }
  return given;
}

}  // namespace meltemi::scheduler
