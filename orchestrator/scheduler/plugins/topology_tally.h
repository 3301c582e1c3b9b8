// Amounts that pods on nodes give to topology values ("zone=a: 3 pods match"), kept from cycle to
// cycle: only nodes that have changed since the last one are counted anew, so that a cycle costs a
// look at each node's generation instead of a look at each pod.
//
// A slot is a topology key; several slots may have the same one. Each node with the key's label
// stands for one value of the slot. A node that gives, if only 0, makes its value a domain.
//
// Threads: one writer; immutable while it is shared (KeptByText copies it on write).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

class TopologyTally {
 public:
  // By slot.
  using Gives = absl::InlinedVector<std::pair<int32_t, int64_t>, 2>;
  // What a node gives. May add slots.
  using Count = std::function<void(const NodeInfo& node, Gives* gives)>;

  // A new slot.
  int AddSlot(absl::string_view key);
  // The first one of this key, a new one where there is none.
  int SlotOf(absl::string_view key);

  // The count must give the same for a node that is the same.
  void Update(const Snapshot& snapshot, const Count& count);
  // Everything is counted anew by the next Update.
  void Forget();

  int slots() const { return static_cast<int>(slots_.size()); }
  const std::string& key(int slot) const { return keys_[slots_[slot].key].name; }
  // The number of the node's value; -1 when it lacks the label. The same for all slots of a key.
  int ValueOn(int slot, const NodeInfo& node) const;
  // How many values the key has, or has had.
  int values(int slot) const { return static_cast<int>(keys_[slots_[slot].key].numbers.size()); }
  int64_t Sum(int slot, int value) const {
    const auto found = slots_[slot].cells.find(value);
    return found == slots_[slot].cells.end() ? 0 : found->second.sum;
  }
  // Values that nodes give to: `visit(int value, int64_t sum)`.
  template <typename Visit>
  void ForEachDomain(int slot, const Visit& visit) const {
    for (const auto& [value, cell] : slots_[slot].cells) visit(value, cell.sum);
  }
  bool IsUsed(int slot) const { return !slots_[slot].cells.empty(); }
  // What the node itself gives to the slot; not known of copies of nodes.
  int64_t GivenBy(int slot, const NodeInfo& node, bool* known) const;
  // Of all slots and values.
  int64_t total() const { return total_; }

 private:
  struct Key {
    std::string name;
    absl::flat_hash_map<std::string, int32_t> numbers;  // of the values
    std::vector<int32_t> value_at;                      // by the node's place
  };
  struct Cell {
    int64_t sum = 0;
    int32_t givers = 0;  // how many nodes give
  };
  struct Slot {
    int key = 0;
    absl::flat_hash_map<int32_t, Cell> cells;  // by value
  };
  struct Seen {
    const NodeInfo* node = nullptr;
    int64_t generation = -1;
  };
  struct Entry {
    std::shared_ptr<const NodeFacts> facts;
    Gives gives;
  };

  static int32_t ValueIn(Key& key, const NodeFacts& facts);
  int KeyNamed(absl::string_view name);
  bool IsWorthKeeping(const Snapshot& snapshot) const;
  void Reset(const std::vector<NodeInfo*>& nodes);
  // What has changed since the last Update; false: it can't be told any more.
  bool UpdateChanged(const Snapshot& snapshot, const Count& count);
  void Recount(size_t place, const NodeInfo& node, const Count& count);
  void Apply(size_t place, const Gives& gives, int sign);
  bool IsAt(int32_t place, const NodeInfo& node) const;

  int64_t order_ = -1, changes_ = 0;  // of the snapshot
  std::vector<Key> keys_;
  std::vector<Slot> slots_;
  std::vector<Seen> seen_;      // by place
  std::vector<Entry> entries_;  // by place
  int64_t total_ = 0;
};

// Something that is kept from cycle to cycle, by what it is about; the least used ones are
// forgotten.
//
// Threads: thread-safe.
template <typename Kept>
class KeptByText {
 public:
  // `update` brings what is kept for `text` up to date; it is as new the first time.
  std::shared_ptr<const Kept> Get(const std::string& text,
                                  const std::function<void(Kept& kept)>& update);

 private:
  static constexpr size_t kLinesMax = 64;
  using Line = std::pair<std::string, std::shared_ptr<Kept>>;

  std::mutex mutex_;
  std::list<Line> lines_;  // the latest used one first
};

struct KeptTally {
  TopologyTally tally;
  // For those who must find out whether the tally still holds: namespaces that were asked about and
  // the answers.
  absl::flat_hash_map<std::string, bool> namespaces;
};
using TallyCache = KeptByText<KeptTally>;

template <typename Kept>
std::shared_ptr<const Kept> KeptByText<Kept>::Get(const std::string& text,
                                                  const std::function<void(Kept& kept)>& update) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = std::find_if(lines_.begin(), lines_.end(),
                            [&](const Line& line) { return line.first == text; });
  if (found == lines_.end()) {
    if (lines_.size() >= kLinesMax) lines_.pop_back();
    lines_.emplace_front(text, std::make_shared<Kept>());
  } else {
    lines_.splice(lines_.begin(), lines_, found);
  }
  std::shared_ptr<Kept>& kept = lines_.front().second;
  // Somebody still reads what an earlier cycle has found out.
  if (kept.use_count() > 1) kept = std::make_shared<Kept>(*kept);
  update(*kept);
  return kept;
}

}  // namespace meltemi::scheduler
