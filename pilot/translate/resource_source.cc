#include "pilot/translate/resource_source.h"

#include <memory>
#include <string>
#include <utility>

namespace meltemi::pilot {

ResourceSetPtr ResourceSource::Own(XdsType) { return EmptyResourceSet(); }

ResourceSetPtr ResourceSource::Resolve(XdsType type, const NameSetPtr& names) {
  auto set = std::make_shared<ResourceSet>();
  set->resources.reserve(names->names.size());
  for (const std::string& name : names->names) {
    ResourcePtr resource = Find(type, name);
    set->resources.push_back(resource != nullptr ? std::move(resource) : AbsentResource(name));
  }
  set->SetHash();
  return set;
}

}  // namespace meltemi::pilot
