// Keeps what it is told, for tests: "Normal ScalingReplicaSet Scaled up replica set x to 3".
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/events/recorder.h"

namespace meltemi::kube {

class EventRecorderFake final : public EventRecorder {
 public:
  void RecordFor(const core::v1::ObjectReference&, absl::string_view type, absl::string_view reason,
                 absl::string_view message) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(absl::StrCat(type, " ", reason, " ", message));
  }
  std::vector<std::string> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::move(events_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> events_;
};

}  // namespace meltemi::kube
