// Finds the routes of a large virtual host that may match a path, in the order of the
// configuration.
//
// The first match in order wins (Envoy), so the index only leaves out routes whose path condition
// can't hold: exact paths by hash, prefixes (and what regexes must begin with) by the chain of a
// path's prefixes, all others always. Immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace meltemi::proxy {

struct Route;

class RouteIndex {
 public:
  // Below this many routes a plain walk is as fast.
  static constexpr size_t kRoutesMin = 12;

  explicit RouteIndex(const std::vector<std::unique_ptr<Route>>& routes);

  // Calls f(position) for each candidate in rising order until f returns true. `path` is without
  // query.
  template <typename F>
  void ForEachCandidate(absl::string_view path, F&& f) const;

 private:
  using Positions = std::vector<uint32_t>;
  struct Prefix {
    std::string text;
    int32_t parent = -1;  // the longest other prefix that this one begins with
    Positions routes;
  };
  struct Cursor {
    const uint32_t* at;
    const uint32_t* end;
  };

  // The longest prefix in the table that `path` begins with; -1 when none.
  int32_t LongestPrefix(absl::string_view path) const;

  absl::flat_hash_map<std::string, Positions> exact_;
  std::vector<Prefix> prefixes_;  // sorted by text
  Positions others_;
};

template <typename F>
void RouteIndex::ForEachCandidate(absl::string_view path, F&& f) const {
  absl::InlinedVector<Cursor, 16> cursors;
  const auto add = [&](const Positions& list) {
    if (!list.empty()) cursors.push_back({list.data(), list.data() + list.size()});
  };
  if (const auto found = exact_.find(path); found != exact_.end()) add(found->second);
  for (int32_t i = LongestPrefix(path); i >= 0; i = prefixes_[i].parent) add(prefixes_[i].routes);
  add(others_);
  while (!cursors.empty()) {
    size_t first = 0;
    for (size_t i = 1; i < cursors.size(); ++i) {
      if (*cursors[i].at < *cursors[first].at) first = i;
    }
    Cursor& cursor = cursors[first];
    if (f(*cursor.at)) return;
    if (++cursor.at == cursor.end) {
      cursors[first] = cursors.back();
      cursors.pop_back();
    }
  }
}

}  // namespace meltemi::proxy
