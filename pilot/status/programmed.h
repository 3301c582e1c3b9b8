// How far each configuration object has come: in force or not, and how many of the proxies that it
// concerns enforce it. A seam: push/ knows, conditions.h writes it to the objects.
//
// Loop-owned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// Of an object that is in the newest snapshot.
struct ProgramState {
  // Of the version of the object that all of this is about (ObjectMeta::generation).
  int64_t generation = 0;
  // In force as written. Otherwise `reason` is one CamelCase word ("HeldBack", "SubsetRetained",
  // "Conflict") and `message` says what is missing and what mends it (the RuleNote's text).
  bool accepted = true;
  std::string reason;
  std::string message;
  // Proxies that are connected to this pilot and whose configuration depends on the object, and
  // those of them that have acknowledged everything that follows from this version of it.
  size_t concerned = 0;
  size_t acknowledged = 0;
  // The first rejection that is still in force: "PROXY: what it said"; empty: none.
  std::string first_nack;

  bool programmed() const { return accepted && first_nack.empty() && acknowledged >= concerned; }
  bool operator==(const ProgramState&) const = default;
};

class ProgrammedSource {
 public:
  // Objects of which something may be different now; those that are gone, too. An object twice does
  // no harm.
  using OnChange = absl::AnyInvocable<void(const std::vector<ObjectKey>& keys)>;

  virtual ~ProgrammedSource() = default;

  // None: the object is not in the newest snapshot (rejected, deleted, not read yet), or of a kind
  // that gets no conditions (Services, endpoints, pods, …).
  virtual std::optional<ProgramState> State(const ObjectKey& key) const = 0;
  // One listener; an empty one ends it. Called on the loop, never from within State, and not more
  // often than once per turn of the loop: proxies acknowledge in bursts.
  virtual void SetOnChange(OnChange on_change) = 0;
};

// Which kinds get status conditions: those whose meaning is up to the mesh alone.
bool GetsConditions(Kind kind);

}  // namespace meltemi::pilot
