// The header fields of answers.
//
// Loop-owned.
#pragma once

#include <string>
#include <vector>

#include "base/http/header_map.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

// Status, Date, Audit-Id (the client's own, where it sent one), Cache-Control, Warnings.
http::HeaderMapPtr NewResponseHead(LoopContext& context, int code, absl::string_view content_type,
                                   const Request& request);

// Warning fields with code 299, without repetitions and bounded, as k8s.io/apiserver writes them.
void AddWarnings(const std::vector<std::string>& warnings, http::HeaderMap& headers);

}  // namespace meltemi::apiserver
