// Where sessions find what their clients should have. Loop-owned.
#pragma once

#include "absl/strings/string_view.h"
#include "pilot/translate/name_set.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// Where a subscription finds its resources.
class ResourceSource {
 public:
  virtual ~ResourceSource() = default;
  // Everything of a type (clusters, listeners). An empty set for types that are only asked for by
  // name. Never null.
  virtual ResourceSetPtr All(XdsType type) = 0;
  // The same in two parts: what many sources have in common, and what is this one's own. The same
  // pointer means the same content.
  virtual ResourceSetPtr Shared(XdsType type) { return All(type); }
  virtual ResourceSetPtr Own(XdsType type);
  // Null: there is no such resource.
  virtual ResourcePtr Find(XdsType type, absl::string_view name) = 0;
  // What there is under each of `names`, in their order; AbsentResource where there is nothing. The
  // same pointer means the same content.
  virtual ResourceSetPtr Resolve(XdsType type, const NameSetPtr& names);
};

}  // namespace meltemi::pilot
