#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

const Property* Schema::Find(absl::string_view name) const {
  if (!property_index.empty()) {
    const auto found = property_index.find(name);
    return found == property_index.end() ? nullptr : &properties[found->second];
  }
  for (const Property& property : properties) {
    if (property.name == name) return &property;
  }
  return nullptr;
}

}  // namespace meltemi::apiserver
