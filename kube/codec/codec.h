// JSON text <-> typed objects, fast: what informers and clients do with every object. One pass over
// the text without a tree in between; the tables of a message type are made once.
//
// It reads what an API server sends, so it is lenient where base/protojson is strict: members that
// the message lacks are skipped (a newer server has more of them), and apiVersion and kind are not
// looked at.
//
// Threads: thread-safe. Source: Kubernetes API conventions; the options in api/kube/options.proto.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube {

struct DecodeLimits {
  int depth_max = 100;
  // metadata.managedFields, most of the bytes of many objects, are skipped: who writes an object
  // without them keeps them as they are.
  bool keep_managed_fields = false;
};

// `*object` is cleared first. Error: InvalidArgument with the place ("metadata.labels: a string was
// expected") when it is no JSON or a member has a wrong type.
absl::Status FromJson(absl::string_view text, google::protobuf::Message* object,
                      const DecodeLimits& limits = {});

// What an API server says of a list as a whole.
struct ListHead {
  std::string resource_version, continue_token;
};

// A list of objects, in the same single pass: `new_item` gives the (empty) message that the next
// item goes to. Error: as above; the last message is then half-read.
absl::Status ListFromJson(absl::string_view text,
                          absl::FunctionRef<google::protobuf::Message*()> new_item, ListHead* head,
                          const DecodeLimits& limits = {});

// {"type":"ADDED","object":{…}}: one line of a watch. False when it is no such thing; `*object` is
// the text of the object within `line`.
bool SplitWatchEvent(absl::string_view line, std::string* type, absl::string_view* object);

// With apiVersion and kind first, where the message is a resource. Fields that are not set are left
// out, but those that are `always` written.
std::string ToJson(const google::protobuf::Message& object);
void AppendJson(const google::protobuf::Message& object, std::string* out);

}  // namespace meltemi::kube
