// OpenAPI: /openapi/v2 (JSON, and the protobuf form that older kubectl want), /openapi/v3 and
// /openapi/v3/GROUP-VERSION documents, for `kubectl explain`, client-side validation and apply.
//
// Threads: thread-safe. Documents are made when they are first asked for and kept until the Catalog
// changes.
#pragma once

#include <memory>

#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

// `catalogs` outlives the handler.
std::unique_ptr<Handler> NewOpenApiHandler(const CatalogSource& catalogs);

}  // namespace meltemi::apiserver
