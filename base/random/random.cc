#include "base/random/random.h"

#include <sys/random.h>

#include <bit>

namespace meltemi {
namespace {

// SplitMix64: spreads one seed over the whole state.
uint64_t SplitMix(uint64_t* x) {
  uint64_t z = (*x += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t KernelSeed() {
  uint64_t seed = 0;
  // getrandom only fails before the pool is initialised; then the address space's layout must do.
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) seed = reinterpret_cast<uintptr_t>(&seed);
  return seed;
}

}  // namespace

FastRandom::FastRandom() : FastRandom(KernelSeed()) {}

FastRandom::FastRandom(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix(&seed);
}

uint64_t FastRandom::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

}  // namespace meltemi
