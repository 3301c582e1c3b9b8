#include <algorithm>
#include <deque>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::scheduler {
namespace {

// Names are few (those that nodes and pods of the cluster use) and never forgotten: what holds a
// number may outlive any owner of the table.
struct NameTable {
  std::mutex mutex;
  std::deque<std::string> names;  // by number; a deque keeps them in place
  absl::flat_hash_map<std::string, int32_t> numbers;
};

NameTable& Names() {
  static NameTable& table = *new NameTable();
  return table;
}

template <typename Combine>
void Merge(const Resources& other, Resources* into, Combine combine) {
  combine(into->milli_cpu, other.milli_cpu);
  combine(into->memory_bytes, other.memory_bytes);
  combine(into->ephemeral_bytes, other.ephemeral_bytes);
  combine(into->pods, other.pods);
  for (const auto& [number, amount] : other.extended) {
    int64_t sum = into->Extended(number);
    combine(sum, amount);
    into->SetExtended(number, sum);
  }
}

}  // namespace

int32_t ResourceNumber(absl::string_view name) {
  NameTable& table = Names();
  const std::lock_guard<std::mutex> lock(table.mutex);
  auto [found, added] =
      table.numbers.try_emplace(std::string(name), static_cast<int32_t>(table.names.size()));
  if (added) table.names.emplace_back(name);
  return found->second;
}

absl::string_view ResourceName(int32_t number) {
  NameTable& table = Names();
  const std::lock_guard<std::mutex> lock(table.mutex);
  return table.names[static_cast<size_t>(number)];
}

void Resources::Add(const Resources& other) {
  Merge(other, this, [](int64_t& mine, int64_t theirs) { mine += theirs; });
}

void Resources::Subtract(const Resources& other) {
  Merge(other, this, [](int64_t& mine, int64_t theirs) { mine -= theirs; });
}

void Resources::Max(const Resources& other) {
  Merge(other, this, [](int64_t& mine, int64_t theirs) { mine = std::max(mine, theirs); });
}

int64_t Resources::Extended(int32_t number) const {
  for (const auto& [other, amount] : extended) {
    if (other == number) return amount;
  }
  return 0;
}

void Resources::SetExtended(int32_t number, int64_t amount) {
  auto at = std::lower_bound(extended.begin(), extended.end(), number,
                             [](const auto& pair, int32_t n) { return pair.first < n; });
  if (at != extended.end() && at->first == number) {
    at->second = amount;
  } else {
    extended.insert(at, {number, amount});
  }
}

}  // namespace meltemi::scheduler
