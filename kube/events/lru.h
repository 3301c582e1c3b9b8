// A map that forgets what was not used for longest.
//
// Threads: none of its own.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

namespace meltemi::kube {

template <typename Value>
class Lru {
 public:
  explicit Lru(size_t entries_max) : entries_max_(entries_max) {}

  // What stands under `key`, made when there is nothing; valid until the next call.
  Value& Get(const std::string& key) {
    const auto at = by_key_.find(key);
    if (at != by_key_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, at->second);
      return at->second->second;
    }
    if (by_key_.size() >= entries_max_) {
      by_key_.erase(by_use_.back().first);
      by_use_.pop_back();
    }
    by_use_.emplace_front(key, Value());
    by_key_.emplace(key, by_use_.begin());
    return by_use_.front().second;
  }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;
  const size_t entries_max_;
  Entries by_use_;  // last used first
  std::map<std::string, typename Entries::iterator> by_key_;
};

}  // namespace meltemi::kube
