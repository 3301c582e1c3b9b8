#include "base/http/header_id.h"

#include <array>
#include <cstring>

namespace meltemi::http {
namespace {

constexpr absl::string_view kNames[] = {"",
#define X(id, name) name,
                                        MELTEMI_HTTP_HEADERS(X)
#undef X
};
constexpr size_t kNamesCount = static_cast<size_t>(HeaderId::kCount);
static_assert(sizeof(kNames) / sizeof(kNames[0]) == kNamesCount);

// The length and four characters tell all names apart; `seed` (found below, while compiling)
// spreads them over the slots without a collision.
constexpr size_t kSlots = 512;

constexpr uint32_t HashOf(const char* name, size_t size, uint32_t seed) {
  const uint32_t first = static_cast<uint8_t>(name[0]);
  const uint32_t middle = static_cast<uint8_t>(name[size / 2]);
  const uint32_t late = static_cast<uint8_t>(name[size * 3 / 4]);
  const uint32_t last = static_cast<uint8_t>(name[size - 1]);
  const uint32_t key =
      (first | middle << 8 | late << 16 | last << 24) ^ (static_cast<uint32_t>(size) * 0x9E3779B1u);
  return (key * seed) >> 23;
}

constexpr bool SeedWorks(uint32_t seed) {
  bool used[kSlots] = {};
  for (size_t i = 1; i < kNamesCount; ++i) {
    const uint32_t slot = HashOf(kNames[i].data(), kNames[i].size(), seed);
    if (used[slot]) return false;
    used[slot] = true;
  }
  return true;
}

constexpr uint32_t FindSeed() {
  uint32_t seed = 0x9E3779B1u;
  for (int i = 0; i < 2000; ++i) {
    if (SeedWorks(seed)) return seed;
    seed = seed * 1664525u + 1013904223u;
    seed |= 1;
  }
  return 0;
}

constexpr uint32_t kSeed = FindSeed();
static_assert(kSeed != 0, "no seed: enlarge kSlots, or hash another character of the names");

constexpr std::array<uint8_t, kSlots> MakeTable() {
  std::array<uint8_t, kSlots> table = {};
  for (size_t i = 1; i < kNamesCount; ++i) {
    table[HashOf(kNames[i].data(), kNames[i].size(), kSeed)] = static_cast<uint8_t>(i);
  }
  return table;
}
constexpr std::array<uint8_t, kSlots> kTable = MakeTable();

}  // namespace

absl::string_view HeaderName(HeaderId id) { return kNames[static_cast<size_t>(id)]; }

HeaderId FindHeaderId(absl::string_view lower_name) {
  if (lower_name.empty()) return HeaderId::kUnknown;
  const uint8_t index = kTable[HashOf(lower_name.data(), lower_name.size(), kSeed)];
  const absl::string_view candidate = kNames[index];
  if (candidate.size() != lower_name.size() ||
      memcmp(candidate.data(), lower_name.data(), lower_name.size()) != 0) {
    return HeaderId::kUnknown;
  }
  return static_cast<HeaderId>(index);
}

}  // namespace meltemi::http
