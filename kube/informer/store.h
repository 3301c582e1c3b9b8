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
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "kube/informer/informer.h"
#include "kube/informer/kept.h"

namespace meltemi::kube {

class ObjectStore {
 public:
  // `messages_max`: more objects than these are kept packed.
  explicit ObjectStore(size_t messages_max) : keeper_(messages_max) {}

  // Before the first write.
  void AddIndex(absl::string_view name, IndexFunction function);

  MessagePtr Get(absl::string_view ns, absl::string_view name) const;
  std::vector<MessagePtr> List(absl::string_view ns) const;
  std::vector<MessagePtr> Indexed(absl::string_view index, absl::string_view key) const;
  size_t size() const;

  // An object as it goes into Replace: what is held in this very version already is taken from
  // there, so that a list that brings nothing new takes no memory.
  KeptPtr Listed(const MessagePtr& object) const;

  // What an event says of one object: `gone`, or as it is now. False when that is nothing new.
  bool Apply(const MessagePtr& object, bool gone, Change* change);

  // All that there is: `tell` gets the changes in the order of names, deletions last, after all of
  // them have been made. `objects` are in any order; of two with one name the last counts.
  void Replace(std::vector<KeptPtr> objects, absl::FunctionRef<void(const Change&)> tell);

 private:
  using Key = std::pair<absl::string_view, absl::string_view>;  // namespace, name
  struct Less {
    using is_transparent = void;
    static Key KeyOf(const KeptPtr& kept) { return {kept->name.ns, kept->name.name}; }
    static const Key& KeyOf(const Key& key) { return key; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf(a) < KeyOf(b);
    }
  };
  using Entries = absl::btree_set<KeptPtr, Less>;

  struct Index {
    std::string name;
    IndexFunction function;
    absl::flat_hash_map<std::string, Entries> entries;
  };
  // The keys of one object, index by index.
  using Keys = std::vector<std::vector<std::string>>;
  struct Step {
    KeptPtr before, after;  // null: none
    Keys keys_before, keys_after;
  };

  KeptPtr Find(const NamespacedName& name) const;
  std::vector<MessagePtr> Read(const std::vector<KeptPtr>& kept, bool often) const;
  Keys KeysOf(const KeptPtr& kept) const;
  Step MakeStep(KeptPtr before, KeptPtr after) const;
  // With the lock held for writing.
  void Do(const Step& step);
  // Before and after are all that the objects' names tell: what has to be done to get there.
  static std::vector<std::pair<KeptPtr, KeptPtr>> Compare(const std::vector<KeptPtr>& known,
                                                          const std::vector<KeptPtr>& objects);

  mutable ObjectKeeper keeper_;
  mutable std::shared_mutex mutex_;
  Entries entries_;  // guarded by mutex_
  // Guarded by mutex_, but for names and functions, which do not change any more.
  std::vector<Index> indexes_;
};

}  // namespace meltemi::kube
