// What the workers route by: listeners and route tables of one moment. Clusters travel beside it
// through ClusterDirectory::Publish, always before the snapshot that needs them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace meltemi::proxy {

struct ListenerConfig;
class RouteTable;

// Immutable; held by workers as shared_ptr<const Snapshot>. `sequence` rises with each snapshot, so
// a connection can tell cheaply that it must look its route table up again.
struct Snapshot {
  uint64_t sequence = 0;
  std::map<std::string, std::shared_ptr<const ListenerConfig>> listeners;  // by name
  std::map<std::string, std::shared_ptr<const RouteTable>> routes;         // by RDS name
};

// Implemented by proxy/app: takes a finished snapshot to all workers (main loop only). `applied`
// runs on the main loop once every worker has it, never from within Apply.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  virtual void Apply(std::shared_ptr<const Snapshot> snapshot,
                     absl::AnyInvocable<void()> applied) = 0;
};

}  // namespace meltemi::proxy
