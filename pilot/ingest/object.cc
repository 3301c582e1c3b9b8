#include "pilot/ingest/object.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::pilot {
namespace {

// Takes the next segment off a path: "http[0].x" -> "http", "[0]", "x".
absl::string_view TakeSegment(absl::string_view* path) {
  size_t end = 0;
  if ((*path)[0] == '[') {
    end = path->find(']');
    end = end == absl::string_view::npos ? path->size() : end + 1;
  } else {
    end = path->find_first_of(".[");
    if (end == absl::string_view::npos) end = path->size();
  }
  const absl::string_view segment = path->substr(0, end);
  path->remove_prefix(end);
  if (!path->empty() && (*path)[0] == '.') path->remove_prefix(1);
  return segment;
}

const json::Value* Child(const json::Value& value, absl::string_view segment, int* line) {
  if (segment[0] == '[' && segment.size() > 2) {
    const absl::string_view inside = segment.substr(1, segment.size() - 2);
    size_t index;
    if (value.is_array()) {
      if (!absl::SimpleAtoi(inside, &index) || index >= value.items().size()) return nullptr;
      *line = value.items()[index].line();
      return &value.items()[index];
    }
    segment = inside;
  }
  for (const json::Member& member : value.members()) {
    if (member.key != segment) continue;
    *line = member.line;
    return &member.value;
  }
  return nullptr;
}

}  // namespace

absl::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return "Service";
    case Kind::kEndpoints:
      return "Endpoints";
    case Kind::kEndpointSlice:
      return "EndpointSlice";
    case Kind::kPod:
      return "Pod";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kVirtualService:
      return "VirtualService";
    case Kind::kDestinationRule:
      return "DestinationRule";
    case Kind::kGateway:
      return "Gateway";
    case Kind::kServiceEntry:
      return "ServiceEntry";
    case Kind::kWorkloadEntry:
      return "WorkloadEntry";
    case Kind::kSidecar:
      return "Sidecar";
    case Kind::kPeerAuthentication:
      return "PeerAuthentication";
    case Kind::kAuthorizationPolicy:
      return "AuthorizationPolicy";
    case Kind::kSecret:
      return "Secret";
  }
  return "";
}

std::string ObjectKey::ToString() const {
  return absl::StrCat(KindName(kind), " ", ns, ns.empty() ? "" : "/", name);
}

int Object::LineOf(absl::string_view path) const {
  int nearest = line;
  const json::Value* value = manifest.get();
  while (value != nullptr && !path.empty()) {
    value = Child(*value, TakeSegment(&path), &nearest);
  }
  return nearest;
}

}  // namespace meltemi::pilot
