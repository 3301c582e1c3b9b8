// Which resource serves the kind that an owner reference names: the last that discovery has told.
//
// Threads: thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "kube/discovery/discovery.h"
#include "orchestrator/controllers/garbage/identity.h"

namespace meltemi::controllers {

class KindMap {
 public:
  void Set(std::shared_ptr<const kube::ServedResources> served) {
    const std::lock_guard<std::mutex> lock(mutex_);
    served_ = std::move(served);
  }
  // nullopt: no such kind is served, as far as is known.
  std::optional<kube::ApiResource> Find(const KindName& kind) const {
    const std::shared_ptr<const kube::ServedResources> served = Get();
    if (served == nullptr) return std::nullopt;
    const kube::ServedResource* const found = served->FindKind(kind.api_version, kind.kind);
    if (found == nullptr) return std::nullopt;
    return found->resource;
  }

 private:
  std::shared_ptr<const kube::ServedResources> Get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return served_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<const kube::ServedResources> served_;  // guarded by mutex_
};

}  // namespace meltemi::controllers
