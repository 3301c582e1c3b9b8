#include "pilot/push/shared_work.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

size_t FieldSize(size_t bytes) { return 1 + VarintSize(bytes) + bytes; }

constexpr size_t kVersionBytes = 16;

SetDiffPtr Compare(const ResourceSet& from, const ResourceSet& to) {
  auto diff = std::make_shared<SetDiff>();
  auto a = from.resources.begin();
  auto b = to.resources.begin();
  while (a != from.resources.end() || b != to.resources.end()) {
    if (a != from.resources.end() && b != to.resources.end() && *a == *b) {
      ++a, ++b;
      continue;
    }
    const int order = a == from.resources.end() ? 1
                      : b == to.resources.end() ? -1
                                                : (*a)->name.compare((*b)->name);
    if (order < 0) {
      if (!(*a)->absent) diff->gone.push_back(*a);
      ++a;
    } else if (order > 0) {
      ((*b)->absent ? diff->absent : diff->changed).push_back(*b);
      ++b;
    } else {
      if ((*b)->absent) {
        if (!(*a)->absent) diff->gone.push_back(*a);
      } else if ((*a)->hash != (*b)->hash) {
        diff->changed.push_back(*b);
      }
      ++a, ++b;
    }
  }
  return diff;
}

bool AllNamed(const ResourceSet& endpoints, const ResourceSet& clusters) {
  for (const ResourcePtr& cluster : clusters.resources) {
    for (const std::string& needed : cluster->needs) {
      if (endpoints.Find(needed) == nullptr) return false;
    }
  }
  return true;
}

}  // namespace

void AppendField(int number, absl::string_view value, std::string* out) {
  AppendVarint(static_cast<uint64_t>(number) << 3 | 2, out);
  AppendVarint(value.size(), out);
  out->append(value.data(), value.size());
}

std::string VersionText(uint64_t hash) { return absl::StrFormat("%016x", hash); }

bool ParseVersion(absl::string_view text, uint64_t* hash) {
  return text.size() == kVersionBytes && absl::SimpleHexAtoi(text, hash);
}

void AppendResource(Wire wire, const Resource& resource, std::string* out) {
  if (wire == Wire::kStateOfTheWorld) {
    AppendField(2, resource.any, out);
    return;
  }
  // envoy.service.discovery.v3.Resource: version = 1, resource = 2, name = 3.
  AppendVarint(2 << 3 | 2, out);
  AppendVarint(
      FieldSize(kVersionBytes) + FieldSize(resource.any.size()) + FieldSize(resource.name.size()),
      out);
  AppendField(1, VersionText(resource.hash), out);
  AppendField(2, resource.any, out);
  AppendField(3, resource.name, out);
}

SetDiffPtr SharedWork::Diff(const ResourceSetPtr& from, const ResourceSetPtr& to) {
  static const auto& same = *new SetDiffPtr(std::make_shared<const SetDiff>());
  if (from == to) return same;
  const Pair key(from.get(), to.get());
  Compared& known = diffs_[key];
  if (known.diff == nullptr) diff_order_.push_back(key);
  if (known.diff == nullptr || !known.Is(from, to)) {
    if (known.diff != nullptr) diff_resources_ -= known.diff->size();
    known = Compared{from, to, Compare(*from, *to)};
    diff_resources_ += known.diff->size();
  }
  SetDiffPtr diff = known.diff;
  while (diffs_.size() > options_.diffs_max || diff_resources_ > options_.diff_resources_max) {
    DropOldestDiff();
  }
  return diff;
}

void SharedWork::DropOldestDiff() {
  const auto oldest = diffs_.find(diff_order_.front());
  diff_order_.pop_front();
  diff_resources_ -= oldest->second.diff->size();
  diffs_.erase(oldest);
}

bool SharedWork::Covers(const ResourceSetPtr& endpoints, const ResourceSetPtr& clusters) {
  const Pair key(endpoints.get(), clusters.get());
  const auto [at, fresh] = covers_.try_emplace(key);
  if (fresh) cover_order_.push_back(key);
  if (fresh || !at->second.Is(endpoints, clusters)) {
    at->second = Compared{endpoints, clusters, nullptr, AllNamed(*endpoints, *clusters)};
  }
  const bool covers = at->second.covers;
  if (covers_.size() > options_.diffs_max) {
    covers_.erase(cover_order_.front());
    cover_order_.pop_front();
  }
  return covers;
}

Chunk SharedWork::Encode(Wire wire, const std::vector<ResourcePtr>& resources) {
  uint64_t key = static_cast<uint64_t>(wire) + resources.size();
  for (const ResourcePtr& resource : resources) {
    key = (key ^ reinterpret_cast<uintptr_t>(resource.get())) * 0x9fb21c651e98df25ULL;
    key ^= key >> 32;
  }
  if (const auto known = chunks_.find(key); known != chunks_.end() && known->second.wire == wire &&
                                            known->second.resources == resources) {
    return known->second.chunk;
  }
  size_t size = 0;
  for (const ResourcePtr& resource : resources) {
    size += resource->any.size() + resource->name.size() + 48;
  }
  std::string bytes;
  bytes.reserve(size);
  for (const ResourcePtr& resource : resources) AppendResource(wire, *resource, &bytes);
  auto chunk = std::make_shared<const std::string>(std::move(bytes));
  if (chunk->size() > options_.chunk_bytes_max / 4 || chunks_.contains(key)) return chunk;
  chunk_bytes_ += chunk->size();
  chunks_.emplace(key, Encoded{wire, resources, chunk});
  chunk_order_.push_back(key);
  while (chunk_order_.size() > options_.chunks_max || chunk_bytes_ > options_.chunk_bytes_max) {
    const auto oldest = chunks_.find(chunk_order_.front());
    chunk_bytes_ -= oldest->second.chunk->size();
    chunks_.erase(oldest);
    chunk_order_.pop_front();
  }
  return chunk;
}

}  // namespace meltemi::pilot
