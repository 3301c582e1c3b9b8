// Objects that the test writes.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "pilot/ingest/kube/live_object.h"

namespace meltemi::pilot {

class LiveObjectsFake final : public LiveObjects {
 public:
  void Set(const ObjectKey& key, LiveObject live) {
    objects_[key] = std::make_shared<const LiveObject>(std::move(live));
    if (on_live_) on_live_({key});
  }
  void Remove(const ObjectKey& key) {
    objects_.erase(key);
    if (on_live_) on_live_({key});
  }

  LiveObjectPtr Live(const ObjectKey& key) const override {
    const auto at = objects_.find(key);
    return at == objects_.end() ? nullptr : at->second;
  }
  std::vector<ObjectKey> LiveKeys() const override {
    std::vector<ObjectKey> keys;
    for (const auto& [key, live] : objects_) keys.push_back(key);
    return keys;
  }
  void SetOnLive(OnChange on_change) override { on_live_ = std::move(on_change); }

 private:
  std::map<ObjectKey, LiveObjectPtr> objects_;
  OnChange on_live_;
};

}  // namespace meltemi::pilot
