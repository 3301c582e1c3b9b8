// protobuf messages -> JSON, by protobuf's JSON mapping and Kubernetes' own forms: the reverse of
// decode.h. Output is deterministic: fields by number, map keys sorted.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::json {
class Writer;
}  // namespace meltemi::json

namespace meltemi::protojson {

struct EncodeOptions {
  // "max_connections" (as Envoy's admin pages) instead of "maxConnections".
  bool proto_names = false;
  int indent = 0;  // spaces per level; 0: one line
};

std::string ToJson(const google::protobuf::Message& message, const EncodeOptions& options = {});

// Appends the message as one value. An Any whose type is not linked in is written as
// {"@type": …, "value": "<base64>"}.
void WriteJson(const google::protobuf::Message& message, const EncodeOptions& options,
               json::Writer* writer);

}  // namespace meltemi::protojson
