// Nothing in a resource is silently ignored: each compile function names the fields that it reads,
// and whatever else is set is an error that names the resource and the field.
//
// Thread-safe (pure functions). Use at the top of each function that reads a message:
//
//   RETURN_IF_ERROR(CheckSupported(cluster, "cluster 'x'", {"name", "type",
//   "eds_cluster_config.**",
//
// "common_lb_config.healthy_panic_threshold"}));
//
// Only fields that are set count (a proto3 scalar with its default value is not set), and fields
// that this build of the protos doesn't know (newer servers) are errors too.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace google::protobuf {
class Any;
class Message;
}  // namespace google::protobuf

namespace meltemi::proxy {

// `where` begins the error's text: "cluster 'x'", or "cluster 'x': health_checks[0]".
// Entries of `supported`, each relative to `message`:
//   "name"      the field; when it is a message, its content is checked by the function that reads
//   it "name.sub"  of the message in `name` only `sub` (and other entries that begin so); may go
//   deeper "name.**"   the field and all known fields below it
// Map and repeated fields are entered element by element.
// Error (INVALID_ARGUMENT): "cluster 'x': field 'name.sub' is not supported", or
// "cluster 'x': unknown field number 77 in 'name'".
absl::Status CheckSupported(const google::protobuf::Message& message, absl::string_view where,
                            absl::Span<const absl::string_view> supported);
inline absl::Status CheckSupported(const google::protobuf::Message& message,
                                   absl::string_view where,
                                   std::initializer_list<absl::string_view> supported) {
  return CheckSupported(message, where,
                        absl::Span<const absl::string_view>(supported.begin(), supported.size()));
}

// Reads `any` into `message`, which gives the expected type.
// Error: "cluster 'x': expected type envoy.…, got type.googleapis.com/…" or "… can't be decoded".
absl::Status UnpackAny(const google::protobuf::Any& any, absl::string_view where,
                       google::protobuf::Message* message);
// "type.googleapis.com/envoy.x.Y" -> "envoy.x.Y".
std::string AnyTypeName(const google::protobuf::Any& any);

// A stable hash of the content (maps in key order): equal messages give equal fingerprints, never
// 0.
uint64_t Fingerprint(const google::protobuf::Message& message);

}  // namespace meltemi::proxy
