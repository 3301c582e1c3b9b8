// Builds snapshots, each from the whole set of objects and from the snapshot before. Keeps what is
// needed so that the order of applying manifests never breaks traffic (see acceptance.h).
// Loop-owned.
#pragma once

#include <cstdint>
#include <memory>

#include "pilot/snapshot/acceptance.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(MeshSettings mesh);

  // Objects that are the same pointer as last time count as unchanged. Returns the last snapshot
  // itself if nothing changed. The first call always makes one.
  SnapshotPtr Build(const ObjectSet& objects);

 private:
  const std::shared_ptr<const MeshSettings> mesh_;
  RuleAcceptance acceptance_;
  ObjectSet last_objects_;
  SnapshotPtr last_;
};

}  // namespace meltemi::pilot
