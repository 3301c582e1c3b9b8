// The objects of one informer by name, with their indexes; and what a list or an event changes.
//
// Threads: reading is thread-safe; writes come from one thread at a time. Index functions and the
// destruction of objects run without the lock.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kube/informer/informer.h"

namespace meltemi::kube {

class ObjectStore {
 public:
  // Before the first write.
  void AddIndex(absl::string_view name, IndexFunction function);

  MessagePtr Get(absl::string_view ns, absl::string_view name) const;
  std::vector<MessagePtr> List(absl::string_view ns) const;
  std::vector<MessagePtr> Indexed(absl::string_view index, absl::string_view key) const;
  size_t size() const;

  // The object that is held under this one's name when it is the same version of it, else `object`:
  // a list that brings nothing new takes no memory.
  MessagePtr Known(MessagePtr object) const;

  // What an event says of one object: `gone`, or as it is now. False when that is nothing new.
  bool Apply(const MessagePtr& object, bool gone, Change* change);

  // All that there is: the changes come in the order of names, deletions last. `objects` are in any
  // order; of two with one name the last counts.
  std::vector<Change> Replace(std::vector<MessagePtr> objects);

 private:
  struct Entry {
    // Of one key, for another version of it.
    mutable MessagePtr object;
    mutable const meta::v1::ObjectMeta* meta;  // within `object`: found once
  };
  using Key = std::pair<absl::string_view, absl::string_view>;  // namespace, name
  struct Less {
    using is_transparent = void;
    static Key KeyOf(const Entry& entry);
    static const Key& KeyOf(const Key& key) { return key; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf(a) < KeyOf(b);
    }
  };
  using Entries = absl::btree_set<Entry, Less>;

  struct Index {
    std::string name;
    IndexFunction function;
    absl::flat_hash_map<std::string, Entries> entries;
  };
  // The keys of one object, index by index.
  using Keys = std::vector<std::vector<std::string>>;

  static Entry MakeEntry(MessagePtr object);
  static std::vector<MessagePtr> Collect(Entries::const_iterator from, Entries::const_iterator to);
  Keys KeysOf(const google::protobuf::Message& object) const;
  // With the lock held for writing. Null: none before, none after.
  void Put(const MessagePtr& before, const Keys& keys_before, const MessagePtr& after,
           const Keys& keys_after);

  mutable std::shared_mutex mutex_;
  Entries entries_;  // guarded by mutex_
  // Guarded by mutex_, but for names and functions, which do not change any more.
  std::vector<Index> indexes_;
};

}  // namespace meltemi::kube
