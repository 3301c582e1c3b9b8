// The versions of a spec that a controller may be acting on: all since the one that it said to have
// observed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace meltemi::sim {

template <typename Wanted>
class Versions {
 public:
  // `observed`: status.observedGeneration. A controller never goes back behind it.
  void Note(const std::string& uid, int64_t generation, int64_t observed, Wanted wanted) {
    std::map<int64_t, Wanted>& all = of_[uid];
    all[generation] = std::move(wanted);
    all.erase(all.begin(), all.lower_bound(std::min(observed, generation)));
  }
  void Drop(const std::string& uid) { of_.erase(uid); }
  // Null: unknown, or gone.
  const std::map<int64_t, Wanted>* Of(const std::string& uid) const {
    const auto found = of_.find(uid);
    return found == of_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, std::map<int64_t, Wanted>> of_;
};

}  // namespace meltemi::sim
