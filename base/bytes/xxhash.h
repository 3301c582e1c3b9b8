// XXH64 (xxHash, 64 bits): the hash that ring hash, Maglev and hash policies share with Envoy, so
// that the same key picks the same place in both. Not for hash tables and not against attackers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace meltemi {

namespace xxhash_internal {

inline constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
inline constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
inline constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
inline constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
inline constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;

inline uint64_t RotateLeft(uint64_t v, int bits) { return (v << bits) | (v >> (64 - bits)); }

// Little-endian loads, whatever the alignment.
inline uint64_t Load64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline uint32_t Load32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

inline uint64_t Round(uint64_t lane, uint64_t input) {
  return RotateLeft(lane + input * kPrime2, 31) * kPrime1;
}
inline uint64_t Merge(uint64_t hash, uint64_t lane) {
  return (hash ^ Round(0, lane)) * kPrime1 + kPrime4;
}

// What is left after the 32-byte stripes, and the final mix.
inline uint64_t Finish(uint64_t hash, const char* p, size_t left) {
  for (; left >= 8; p += 8, left -= 8) {
    hash = RotateLeft(hash ^ Round(0, Load64(p)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    hash = RotateLeft(hash ^ (Load32(p) * kPrime1), 23) * kPrime2 + kPrime3;
    p += 4;
    left -= 4;
  }
  for (; left > 0; ++p, --left) {
    hash = RotateLeft(hash ^ (static_cast<unsigned char>(*p) * kPrime5), 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace xxhash_internal

inline uint64_t XxHash64(absl::string_view bytes, uint64_t seed = 0) {
  using namespace xxhash_internal;  // NOLINT: constants and steps of this one algorithm
  const char* p = bytes.data();
  size_t left = bytes.size();
  uint64_t hash;
  if (left >= 32) {
    uint64_t a = seed + kPrime1 + kPrime2, b = seed + kPrime2, c = seed, d = seed - kPrime1;
    for (; left >= 32; p += 32, left -= 32) {
      a = Round(a, Load64(p));
      b = Round(b, Load64(p + 8));
      c = Round(c, Load64(p + 16));
      d = Round(d, Load64(p + 24));
    }
    hash = RotateLeft(a, 1) + RotateLeft(b, 7) + RotateLeft(c, 12) + RotateLeft(d, 18);
    hash = Merge(Merge(Merge(Merge(hash, a), b), c), d);
  } else {
    hash = seed + kPrime5;
  }
  return Finish(hash + bytes.size(), p, left);
}

}  // namespace meltemi
