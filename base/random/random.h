// Randomness as a seam, so that a whole mesh can be replayed from one seed.
#pragma once

#include <cstdint>

namespace meltemi {

// Not thread-safe: one per loop.
class Random {
 public:
  virtual ~Random() = default;
  // Uniform over all 64-bit values. Not for keys: use the TLS library's generator for secrets.
  virtual uint64_t Next() = 0;

  // Uniform in [0, bound); 0 when bound is 0. Unbiased enough for bounds below 2^32.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
};

// xoshiro256** (Blackman, Vigna); seeded from the kernel, or from a given seed for replays.
class FastRandom final : public Random {
 public:
  FastRandom();
  explicit FastRandom(uint64_t seed);
  uint64_t Next() override;

 private:
  uint64_t state_[4];
};

}  // namespace meltemi
