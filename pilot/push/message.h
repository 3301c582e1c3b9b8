// One serialised message in pieces, of which those that many clients get are one buffer between
// them. Immutable once made; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace meltemi::pilot {

using Chunk = std::shared_ptr<const std::string>;

struct Message {
  std::vector<Chunk> shared;
  std::string own;

  size_t size() const {
    size_t total = own.size();
    for (const Chunk& chunk : shared) total += chunk->size();
    return total;
  }
  std::string ToString() const {
    std::string all;
    all.reserve(size());
    for (const Chunk& chunk : shared) all += *chunk;
    return all + own;
  }
};

}  // namespace meltemi::pilot
