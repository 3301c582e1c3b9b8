// JSON and YAML trees -> protobuf messages, strictly: an unknown field, a wrong type, a bad enum
// value, a second member of a oneof are errors with line and field path. Driven by reflection, so
// one decoder serves xDS (Any with "@type"), Istio's kinds and Kubernetes' kinds.
//
// Accepted, as protobuf's JSON mapping and Istio accept it: both JSON and proto names of fields,
// enum values by name or number, 64-bit integers as text, durations in Go's notation ("3s", "1h1m",
// "100ms"), wrappers as bare values, null as "not set". Kubernetes' own forms (int-or-string,
// times) come from the options in api/kube/options.proto.
//
// Threads: functions without state; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::protojson {

struct DecodeError {
  int line = 0;         // 0: unknown
  std::string path;     // "spec.http[0].route[1].weight"; empty for the document itself
  std::string message;  // what is wrong and what is expected

  // "path: message"
  std::string ToString() const;
};

struct DecodeOptions {
  // The path of the value itself: the prefix of all reported paths.
  std::string path;
  // Whether "80" will do for the number 80 (protobuf's JSON), or not (Kubernetes' kinds).
  bool quoted_numbers = true;
  size_t errors_max = 20;
  size_t depth_max = 100;
};

// Merges `value` into `*message` and appends what is wrong to `*errors`; true when nothing is.
// Decodes on after an error, so that one run tells all of them; a field in error stays unset.
bool Decode(const json::Value& value, const DecodeOptions& options,
            google::protobuf::Message* message, std::vector<DecodeError>* errors);

// The same, with all errors joined into one InvalidArgument: "SOURCE:LINE: path: message; …".
absl::Status Decode(const json::Value& value, absl::string_view source,
                    google::protobuf::Message* message, const DecodeOptions& options = {});

// One document as text: JSON when it starts with "{", YAML otherwise. For bootstraps and the like.
// `source` is the name of the file, for messages.
absl::Status DecodeText(absl::string_view text, absl::string_view source,
                        google::protobuf::Message* message, const DecodeOptions& options = {});

}  // namespace meltemi::protojson
