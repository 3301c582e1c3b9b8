// What the conditions of an object say, and the status that carries them. Pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "pilot/ingest/kube/live_object.h"
#include "pilot/status/programmed.h"

namespace meltemi::pilot {

struct ConditionText {
  std::string type;    // "Accepted", "Programmed"
  std::string status;  // "True", "False"
  std::string reason;  // one CamelCase word
  std::string message;
};

struct ObjectConditions {
  int64_t generation = 0;
  std::vector<ConditionText> conditions;
};

// Nothing while it is not known yet what became of the newest version. `state`: null when the
// object is not in the snapshot.
std::optional<ObjectConditions> ConditionsOf(const LiveObject& live, const ProgramState* state);

// How much is different from what an object's status says.
enum class StatusChange : uint8_t {
  kNone,
  kMessage,  // of the same conditions
  kOutcome,  // another status, reason or generation
};
StatusChange CompareStatus(absl::string_view status_json, const ObjectConditions& wanted);

// Tells one from the other.
std::string TextOf(const ObjectConditions& conditions);

// {"metadata":{"resourceVersion":…},"status":{"conditions":[…],"observedGeneration":N}}: a merge
// patch. Conditions of others stay; the time of a transition stays when its status does.
std::string StatusPatch(absl::string_view status_json, absl::string_view resource_version,
                        const ObjectConditions& wanted, WallTime now);

}  // namespace meltemi::pilot
