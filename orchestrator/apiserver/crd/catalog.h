// The one implementation of Catalog: an immutable index over resources.
//
// Threads: immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

// Groups come in kube-apiserver's order: core first, built-in groups by their priority, custom ones
// by name; versions as Kubernetes ranks them (v2 before v1 before v1beta1). The catalog keeps the
// resources alive, and with them whatever their shared pointers own.
std::shared_ptr<const Catalog> NewCatalog(std::vector<std::shared_ptr<const Resource>> resources,
                                          uint64_t generation = 1);

// A source whose catalog never changes.
std::unique_ptr<CatalogSource> NewFixedCatalogSource(std::shared_ptr<const Catalog> catalog);

}  // namespace meltemi::apiserver
