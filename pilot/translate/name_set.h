// The names that a client asks for. Thousands of clients ask for the same thousands of names: equal
// sets are one object. Immutable; any thread. NameSets: loop-owned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {

struct NameSet {
  std::vector<std::string> names;  // sorted, unique
  uint64_t hash = 0;               // of the names, whatever their order

  bool Contains(absl::string_view name) const;
};
using NameSetPtr = std::shared_ptr<const NameSet>;

NameSetPtr EmptyNameSet();

// Finds the set that is there already.
class NameSets {
 public:
  // `names` in any order, repeated or not.
  NameSetPtr Make(std::vector<std::string> names);
  // `from` without `removed` and with `added`; `from` itself where that is the same.
  NameSetPtr Change(const NameSetPtr& from, const std::vector<std::string>& added,
                    const std::vector<std::string>& removed);
  // Sets that somebody holds, and a few that nobody holds any more.
  size_t size() const { return known_.size(); }

 private:
  // `names` sorted and unique.
  NameSetPtr Intern(std::vector<std::string> names);
  void DropUnused();

  absl::flat_hash_map<uint64_t, std::weak_ptr<const NameSet>> known_;
  size_t drop_at_ = 64;
};

}  // namespace meltemi::pilot
