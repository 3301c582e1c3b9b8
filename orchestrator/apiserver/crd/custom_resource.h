// The resources that a CustomResourceDefinition describes, one per served version.
//
// Threads: the function has no state; what it makes is immutable.
// Source: k8s.io/apiextensions-apiserver/pkg/{apiserver,registry/customresource}.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json/value.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct CustomResources {
  kube::GroupResource storage;
  std::vector<std::shared_ptr<const Resource>> versions;  // served; each keeps its schema alive
  std::shared_ptr<const Resource> stored;  // the storage version, served or not; null if none is
  // Of stored objects, for the watch cache; null when there are none but the name.
  FieldsOf fields_of;
  std::string selectable;  // changes when fields_of does
};

// `definition` is a CustomResourceDefinition/v1 that passed validation; its status.acceptedNames
// count. While it is being deleted nothing can be created.
CustomResources MakeCustomResources(const json::Value& definition);

}  // namespace meltemi::apiserver
