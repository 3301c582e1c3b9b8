#include "pilot/translate/name_set.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pilot/translate/resource.h"

namespace meltemi::pilot {
namespace {

void SortUnique(std::vector<std::string>* names) {
  // What comes over the wire is sorted most of the time.
  if (!std::is_sorted(names->begin(), names->end())) std::sort(names->begin(), names->end());
  names->erase(std::unique(names->begin(), names->end()), names->end());
}

}  // namespace

bool NameSet::Contains(absl::string_view name) const {
  return std::binary_search(names.begin(), names.end(), name);
}

NameSetPtr EmptyNameSet() { return std::make_shared<const NameSet>(); }

NameSetPtr NameSets::Make(std::vector<std::string> names) {
  SortUnique(&names);
  return Intern(std::move(names));
}

NameSetPtr NameSets::Change(const NameSetPtr& from, const std::vector<std::string>& added,
                            const std::vector<std::string>& removed) {
  std::vector<std::string> more = added;
  std::vector<std::string> less = removed;
  SortUnique(&more);
  SortUnique(&less);
  std::vector<std::string> kept;
  std::set_difference(from->names.begin(), from->names.end(), less.begin(), less.end(),
                      std::back_inserter(kept));
  std::vector<std::string> names;
  names.reserve(kept.size() + more.size());
  std::set_union(std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()),
                 std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()),
                 std::back_inserter(names));
  if (names == from->names) return from;
  return Intern(std::move(names));
}

NameSetPtr NameSets::Intern(std::vector<std::string> names) {
  uint64_t hash = names.size();
  for (const std::string& name : names) hash += HashBytes(name);
  std::weak_ptr<const NameSet>& place = known_[hash];
  if (NameSetPtr set = place.lock(); set != nullptr && set->names == names) return set;
  auto set = std::make_shared<NameSet>();
  set->names = std::move(names);
  set->names.shrink_to_fit();
  set->hash = hash;
  // Of two sets with one hash the later is found.
  place = set;
  if (known_.size() >= drop_at_) DropUnused();
  return set;
}

void NameSets::DropUnused() {
  absl::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  drop_at_ = std::max<size_t>(64, known_.size() * 2);
}

}  // namespace meltemi::pilot
