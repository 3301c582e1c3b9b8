// Istio's rules for an object on its own. What concerns several objects is in analyze.h.
#pragma once

#include <vector>

#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// Everything that is wrong with `object`; with an error among it the object must not take effect.
// Pure.
std::vector<Diagnostic> Validate(const Object& object);

}  // namespace meltemi::pilot
