// Carries out what is planned for the slices of one service.
//
// Threads: a function; it blocks on API calls.
#pragma once

#include <optional>
#include <string>

#include "kube/client/client.h"
#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/controllers/endpoints/slices.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {

// `trigger_time`: as TriggerTimes has it. What is expected is noted under `key`. A namespace that
// is about to go is no error.
kube::Outcome WriteSlices(kube::Client& client, Expectations& expectations,
                          const kube::NamespacedName& key, const SlicePlan& plan,
                          const std::optional<std::string>& trigger_time);

}  // namespace meltemi::controllers
