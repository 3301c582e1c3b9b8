// The structural OpenAPI v3 schema of a message, as a CustomResourceDefinition wants it: protobuf's
// JSON mapping in the terms of JSON schema, as Istio's own definitions have it.
//
// Threads: functions without state.
#pragma once

#include "base/json/value.h"

namespace google::protobuf {
class Descriptor;
}  // namespace google::protobuf

namespace meltemi::pilot {

// Durations are strings, wrappers their value or null, enums their names, maps objects, oneofs
// "none or one of them". A message that holds itself ends in what is kept unjudged.
json::Value SchemaOf(const google::protobuf::Descriptor& message);

}  // namespace meltemi::pilot
