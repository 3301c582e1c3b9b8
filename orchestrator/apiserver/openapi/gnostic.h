// OpenAPI v2 in protobuf's encoding, as gnostic (openapi.v2.Document) defines it: older kubectl ask
// for nothing else. Extensions, enums and defaults travel as YAML texts.
//
// Threads: functions without state. Source: google/gnostic openapiv2/OpenAPIv2.proto.
#pragma once

#include <string>

#include "base/json/value.h"

namespace meltemi::apiserver {

// `document`: a swagger 2.0 document of ours; members that gnostic does not know are left out.
std::string EncodeGnosticV2(const json::Value& document);

}  // namespace meltemi::apiserver
