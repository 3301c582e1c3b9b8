// Removes images that nobody uses, the longest unused first, when their file system is filled.
//
// Threads: one at a time. Source: pkg/kubelet/images (image_gc_manager).
#pragma once

#include <map>
#include <string>

#include "base/clock/clock.h"
#include "orchestrator/kubelet/images/images.h"

namespace meltemi::kubelet {

class ImageGc final {
 public:
  // All outlive it.
  ImageGc(const ImagesOptions& options, Runtime& runtime, const Clock& clock)
      : options_(options), runtime_(runtime), clock_(clock) {}

  // Looks once; bytes that were freed. Failures are logged: the next round tries again.
  uint64_t Collect();

 private:
  struct Seen {
    MonotonicTime first{}, last_used{};
    uint64_t bytes = 0;
    bool used = false, pinned = false;
  };

  bool Look();  // false: the runtime does not answer
  uint64_t Free(uint64_t wanted);

  const ImagesOptions& options_;
  Runtime& runtime_;
  const Clock& clock_;
  std::map<std::string, Seen> seen_;  // by the image's id
};

}  // namespace meltemi::kubelet
