#include "orchestrator/scheduler/plugins/topology_tally.h"

#include <algorithm>

#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {

int TopologyTally::KeyNamed(absl::string_view name) {
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].name == name) return static_cast<int>(i);
  }
  keys_.emplace_back();
  Key& key = keys_.back();
  key.name = std::string(name);
  key.value_at.reserve(entries_.size());
  for (const Entry& entry : entries_) key.value_at.push_back(ValueIn(key, *entry.facts));
  return static_cast<int>(keys_.size()) - 1;
}

int TopologyTally::AddSlot(absl::string_view key) {
  slots_.push_back({KeyNamed(key), {}});
  return static_cast<int>(slots_.size()) - 1;
}

int32_t TopologyTally::ValueIn(Key& key, const NodeFacts& facts) {
  const std::string* value = FindLabel(facts.labels, key.name);
  if (value == nullptr) return -1;
  return key.numbers.try_emplace(*value, static_cast<int32_t>(key.numbers.size())).first->second;
}

// The list of nodes is the same, and there are not too many values that no node has any more.
bool TopologyTally::IsWorthKeeping(const Snapshot& snapshot) const {
  return order_ == snapshot.order() && seen_.size() == snapshot.nodes().size() &&
         std::all_of(keys_.begin(), keys_.end(), [&](const Key& key) {
           return key.numbers.size() <= 2 * snapshot.nodes().size() + 64;
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
  for (Slot& slot : slots_) slot.cells.clear();
  for (Key& key : keys_) {
    key.numbers.clear();
    key.value_at.clear();
    for (const Entry& entry : entries_) key.value_at.push_back(ValueIn(key, *entry.facts));
  }
}

void TopologyTally::Forget() { order_ = -1; }

void TopologyTally::Apply(size_t place, const Gives& gives, int sign) {
  for (const auto& [number, amount] : gives) {
    Slot& slot = slots_[number];
    const int32_t value = keys_[slot.key].value_at[place];
    if (value < 0) continue;
    const auto cell = slot.cells.try_emplace(value).first;
    cell->second.sum += sign * amount;
    cell->second.givers += sign;
    if (cell->second.givers == 0) slot.cells.erase(cell);
    total_ += sign * amount;
  }
}

void TopologyTally::Recount(size_t place, const NodeInfo& node, const Count& count) {
  Entry& entry = entries_[place];
  Apply(place, entry.gives, -1);
  if (entry.facts != node.facts) {
    entry.facts = node.facts;
    for (Key& key : keys_) key.value_at[place] = ValueIn(key, *node.facts);
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
  const Key& key = keys_[slots_[number].key];
  if (IsAt(node.place, node)) return key.value_at[node.place];
  const std::string* value = FindLabel(node.facts->labels, key.name);
  if (value == nullptr) return -1;
  const auto found = key.numbers.find(*value);
  return found == key.numbers.end() ? -1 : found->second;
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
