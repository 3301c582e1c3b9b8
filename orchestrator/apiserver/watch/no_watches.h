// For servers of which nothing can be watched.
#pragma once

#include <memory>

#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

class NoWatches final : public WatchHub {
 public:
  kube::Result<std::unique_ptr<WatchRegistration>> Watch(Loop&, const WatchQuery&,
                                                         WatchSink&) override {
    return kube::GenericStatus(405, "");
  }
};

}  // namespace meltemi::apiserver
