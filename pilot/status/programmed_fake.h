// States that the test sets.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "pilot/status/programmed.h"

namespace meltemi::pilot {

class ProgrammedFake final : public ProgrammedSource {
 public:
  void Set(const ObjectKey& key, ProgramState state) {
    states_[key] = std::move(state);
    if (on_change_) on_change_({key});
  }
  void Remove(const ObjectKey& key) {
    states_.erase(key);
    if (on_change_) on_change_({key});
  }

  std::optional<ProgramState> State(const ObjectKey& key) const override {
    const auto it = states_.find(key);
    if (it == states_.end()) return std::nullopt;
    return it->second;
  }
  void SetOnChange(OnChange on_change) override { on_change_ = std::move(on_change); }

 private:
  std::map<ObjectKey, ProgramState> states_;
  OnChange on_change_;
};

}  // namespace meltemi::pilot
