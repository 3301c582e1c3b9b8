// The kinds that can be decoded, with the API groups and versions that they go under.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct KindInfo {
  Kind kind;
  absl::string_view group;        // "" is the core group
  absl::string_view versions[3];  // all of the same shape; unused ones are empty
  bool namespaced;
  // Istio's kinds: the message is the spec. Otherwise it is the whole object.
  bool message_is_spec;
  bool keeps_manifest;
};

// All of them.
absl::Span<const KindInfo> AllKinds();
// Null when the mesh does not read that kind.
const KindInfo* FindKind(absl::string_view group, absl::string_view kind_name);

// An empty message to decode into.
std::unique_ptr<google::protobuf::Message> NewSpec(Kind kind);

}  // namespace meltemi::pilot
