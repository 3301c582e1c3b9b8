// One simulated cluster from one seed: what happens, and whether all of it was right.
//
//   users, faults ─┐                          ┌─ history → truth → invariants
//   controllers ───┼→ processes → MemoryApi ──┤
//   scheduler ─────┤                          └─ watches, delivered late and in turns
//   hollow nodes ──┘
//
// Threads: one. The same seed gives the same history, byte by byte.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace meltemi::sim {

struct SimulationOptions {
  uint64_t seed = 1;
  // Gets a line for everything that happens; empty: nothing is told.
  std::function<void(const std::string&)> trace;
};

struct SimulationResult {
  uint64_t seed = 0;
  uint64_t history_hash = 0;
  size_t writes = 0, steps = 0;
  std::vector<std::string> findings;  // empty: all was well
};

SimulationResult Simulate(const SimulationOptions& options);

}  // namespace meltemi::sim
