// A container that a user has written down under the name of an injected one: what it says wins.
//
// Threads: functions without state.
#pragma once

#include "base/json/value.h"

namespace meltemi::pilot {

// `own` as injection would have it, with what `user` says on top. Lists with keys (env, ports,
// volumeMounts, …) are merged by them, mappings deeply; probes and lifecycle hooks, of which each
// can only be one thing, are replaced; so are all other lists. The image "auto" says nothing.
json::Value MergeContainer(const json::Value& own, const json::Value& user);

}  // namespace meltemi::pilot
