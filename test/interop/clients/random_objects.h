// Random but repeatable questions for two implementations of the same rules.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/json/value.h"

namespace meltemi::interop {

class RandomObjects {
 public:
  explicit RandomObjects(uint32_t seed) : engine_(seed) {}

  // Mostly well-formed.
  std::string QuantityText();
  std::string LabelSelectorText();
  std::string FieldSelectorText();

  // A JSON document without nulls.
  json::Value Tree(int depth);
  json::Value JsonPatchFor(const json::Value& document);

  // A pod without repeated keys in its lists.
  json::Value Pod();
  // A strategic merge patch of one, with directives.
  json::Value PodPatch();
  // A request of several writers to one pod.
  json::Value PodStory();

 private:
  int Below(int bound) { return static_cast<int>(engine_() % static_cast<uint32_t>(bound)); }
  bool Chance(int percent) { return Below(100) < percent; }
  const char* Pick(const std::vector<const char*>& from) {
    return from[static_cast<size_t>(Below(static_cast<int>(from.size())))];
  }
  std::string Joined(const std::vector<const char*>& words, int count_max);
  std::string PathIn(const json::Value& document);
  // Entries with different keys; `fill` adds to each.
  template <typename Fill>
  json::Value Keyed(const char* key, const std::vector<const char*>& names, const Fill& fill);
  json::Value Names(const std::vector<const char*>& names);
  json::Value Map(const std::vector<const char*>& keys);
  json::Value Container();
  json::Value Metadata();
  // Directives into lists and maps of a pod, at random.
  void Direct(json::Value& patch);
  void DirectList(const std::string& name, json::Value& list, json::Value& parent);

  std::mt19937 engine_;
};

}  // namespace meltemi::interop
