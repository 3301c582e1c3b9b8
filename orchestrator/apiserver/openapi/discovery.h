// Discovery: which groups, versions and resources are served. /api, /api/v1, /apis, /apis/GROUP,
// /apis/GROUP/VERSION, and /api and /apis in the aggregated form that newer clients ask for.
//
// Threads: thread-safe. Documents are made when they are first asked for and kept until the Catalog
// changes. Source: k8s.io/api/apidiscovery, metav1.APIResourceList.
#pragma once

#include <memory>

#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

// Answers GET of the paths above; NotFound for groups and versions that aren't there. `catalogs`
// outlives the handler.
std::unique_ptr<Handler> NewDiscoveryHandler(const CatalogSource& catalogs);

}  // namespace meltemi::apiserver
