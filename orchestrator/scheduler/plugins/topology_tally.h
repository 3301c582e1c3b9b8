// Amounts that pods on nodes give to topology values ("zone=a: 3 pods match"), kept from cycle to
// cycle: only nodes that have changed since the last one are counted anew, so that a cycle costs a
// look at each node's generation instead of a look at each pod.
//
// A slot is a topology key; several slots may have the same one. Each node with the key's label
// stands for one value of the slot. A node that gives, if only 0, makes its value a domain.
//
// Threads: one writer; immutable while it is shared (TallyCache copies it on write).
#pragma once

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

  // `nodes` are all nodes of the snapshot. The count must give the same for a node that is the
  // same.
  void Update(const std::vector<NodeInfo*>& nodes, const Count& count);
  // Everything is counted anew by the next Update.
  void Forget();

  int slots() const { return static_cast<int>(slots_.size()); }
  const std::string& key(int slot) const { return slots_[slot].key; }
  // The number of the node's value; -1 when it lacks the label.
  int ValueOn(int slot, const NodeInfo& node) const;
  int values(int slot) const { return static_cast<int>(slots_[slot].sums.size()); }
  int64_t Sum(int slot, int value) const { return slots_[slot].sums[value]; }
  bool IsDomain(int slot, int value) const { return slots_[slot].givers[value] > 0; }
  // What the node itself gives to the slot; not known of copies of nodes.
  int64_t GivenBy(int slot, const NodeInfo& node, bool* known) const;
  // Of all slots and values.
  int64_t total() const { return total_; }

 private:
  struct Slot {
    std::string key;
    absl::flat_hash_map<std::string, int32_t> numbers;  // of the values
    std::vector<int32_t> value_at;                      // by the node's place
    std::vector<int64_t> sums;                          // by value
    std::vector<int32_t> givers;                        // by value: how many nodes give
  };
  struct Seen {
    const NodeInfo* node = nullptr;
    int64_t generation = -1;
  };
  struct Entry {
    std::shared_ptr<const NodeFacts> facts;
    Gives gives;
  };

  static int32_t ValueIn(Slot& slot, const NodeFacts& facts);
  bool IsSameList(const std::vector<NodeInfo*>& nodes) const;
  void Reset(const std::vector<NodeInfo*>& nodes);
  void Recount(size_t place, const NodeInfo& node, const Count& count);
  void Apply(size_t place, const Gives& gives, int sign);
  bool IsAt(int32_t place, const NodeInfo& node) const;

  std::vector<Slot> slots_;
  std::vector<Seen> seen_;      // by place
  std::vector<Entry> entries_;  // by place
  int64_t total_ = 0;
};

// Tallies by what they count, the least used ones forgotten.
//
// Threads: thread-safe.
class TallyCache {
 public:
  // What is kept beside a tally, for those who must find out whether it still holds.
  struct Kept {
    TopologyTally tally;
    // Namespaces that were asked about and the answers.
    absl::flat_hash_map<std::string, bool> namespaces;
  };
  // `update` brings the tally of `key` up to date; it is empty when it is new.
  std::shared_ptr<const Kept> Get(const std::string& key,
                                  const std::function<void(Kept& kept)>& update);

 private:
  static constexpr size_t kTalliesMax = 32;
  using Line = std::pair<std::string, std::shared_ptr<Kept>>;

  std::mutex mutex_;
  std::list<Line> lines_;  // the latest used one first
};

}  // namespace meltemi::scheduler
