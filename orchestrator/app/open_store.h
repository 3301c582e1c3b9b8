// The store that the options ask for: SQLite in the data folder, or an etcd cluster.
//
// Threads: called once at start.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/app/apiserver_options.h"
#include "orchestrator/store/store.h"

namespace meltemi::orchestrator {

absl::StatusOr<std::unique_ptr<store::Store>> OpenStore(const ApiServerOptions& options,
                                                        const Clock& clock);

}  // namespace meltemi::orchestrator
