// Work that is the same for many clients, done once: what differs between two sets, whether
// endpoints cover clusters, and the bytes of resources. What is kept is bounded, oldest out first,
// and keeps no set alive that nobody has any more: a client that names others all the time must
// not fill the memory with what it had.
//
// Loop-owned. One per PushServer; sessions of tests may have their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pilot/push/message.h"
#include "pilot/translate/name_set.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// The two protocols differ in how a resource is wrapped.
enum class Wire : uint8_t { kStateOfTheWorld, kDelta };

// From one set to another.
struct SetDiff {
  std::vector<ResourcePtr> changed;  // new ones, and those with other bytes; never absent ones
  std::vector<ResourcePtr> gone;     // as they were; also those that are absent now
  std::vector<ResourcePtr> absent;   // new names behind which there is nothing
  bool empty() const { return size() == 0; }
  size_t size() const { return changed.size() + gone.size() + absent.size(); }
};
using SetDiffPtr = std::shared_ptr<const SetDiff>;

class SharedWork {
 public:
  struct Options {
    size_t diffs_max = 1024;
    size_t diff_resources_max = 256 * 1024;  // in all differences that are kept
    size_t chunks_max = 1024;
    size_t chunk_bytes_max = 64 * 1024 * 1024;  // of all chunks that are kept for others
  };

  SharedWork() = default;
  explicit SharedWork(Options options) : options_(options) {}

  SetDiffPtr Diff(const ResourceSetPtr& from, const ResourceSetPtr& to);
  // True if everything that `clusters` need is named in `endpoints`.
  bool Covers(const ResourceSetPtr& endpoints, const ResourceSetPtr& clusters);
  // `resources` as fields of a response of that protocol.
  Chunk Encode(Wire wire, const std::vector<ResourcePtr>& resources);

  NameSets& names() { return names_; }
  size_t chunk_bytes() const { return chunk_bytes_; }
  size_t diffs() const { return diffs_.size(); }
  size_t diff_resources() const { return diff_resources_; }

 private:
  using Pair = std::pair<const ResourceSet*, const ResourceSet*>;
  // Of the two sets at the key's addresses, as long as they are those that were compared.
  struct Compared {
    std::weak_ptr<const ResourceSet> first, second;
    SetDiffPtr diff;
    bool covers = false;
    bool Is(const ResourceSetPtr& a, const ResourceSetPtr& b) const {
      return first.lock() == a && second.lock() == b;
    }
  };
  struct Encoded {
    Wire wire = Wire::kDelta;
    std::vector<ResourcePtr> resources;
    Chunk chunk;
  };

  void DropOldestDiff();

  const Options options_;
  NameSets names_;
  absl::flat_hash_map<Pair, Compared> diffs_, covers_;
  std::deque<Pair> diff_order_, cover_order_;
  absl::flat_hash_map<uint64_t, Encoded> chunks_;
  std::deque<uint64_t> chunk_order_;
  size_t chunk_bytes_ = 0;
  size_t diff_resources_ = 0;
};

// A length-delimited protobuf field.
void AppendField(int number, absl::string_view value, std::string* out);
// `resource` as a field of a response.
void AppendResource(Wire wire, const Resource& resource, std::string* out);
// A resource's version on the wire.
std::string VersionText(uint64_t hash);
// False for what VersionText has not made.
bool ParseVersion(absl::string_view text, uint64_t* hash);

}  // namespace meltemi::pilot
