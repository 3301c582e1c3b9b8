// Gives a volume to a pod's fsGroup.
//
// Threads: functions without state; they block on the disk. Source: the documentation of fsGroup
// and fsGroupChangePolicy.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace meltemi::kubelet {

// Everything in the volume belongs to the group, which may read it (and write, unless `read_only`);
// folders hand the group down. What can't be changed stays as it is. With `unless_root_fits`
// nothing is done where the root is already as it would become.
absl::Status GiveToGroup(const std::string& folder, int64_t group, bool read_only,
                         bool unless_root_fits);

}  // namespace meltemi::kubelet
