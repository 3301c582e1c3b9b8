// xDS resources ready for the wire. Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Any;
class Message;
}  // namespace google::protobuf

namespace meltemi::pilot {

enum class XdsType : uint8_t { kCluster, kEndpoint, kListener, kRoute, kSecret };
inline constexpr int kXdsTypes = 5;

absl::string_view XdsTypeUrl(XdsType type);
absl::string_view XdsTypeShortName(XdsType type);  // "CDS" …
// False for a type that pilot does not serve.
bool ParseXdsTypeUrl(absl::string_view url, XdsType* type);

struct Resource {
  std::string name;
  std::string any;    // a serialised google.protobuf.Any
  uint64_t hash = 0;  // of `any`
  // What the client must fetch anew when this resource changes: a cluster's EDS name, the route
  // configurations of a listener.
  std::vector<std::string> needs;
  // Stands for a name behind which there is nothing.
  bool absent = false;
};
using ResourcePtr = std::shared_ptr<const Resource>;

// Sorted by name; names are unique.
struct ResourceSet {
  std::vector<ResourcePtr> resources;
  uint64_t hash = 0;

  ResourcePtr Find(absl::string_view name) const;
  // Computes `hash` once `resources` are complete.
  void SetHash();
};
using ResourceSetPtr = std::shared_ptr<const ResourceSet>;

// The same message always gives the same bytes (map fields are sorted).
std::string SerializeDeterministic(const google::protobuf::Message& message);
void PackAny(const google::protobuf::Message& message, google::protobuf::Any* any);

ResourcePtr MakeResource(std::string name, const google::protobuf::Message& message,
                         std::vector<std::string> needs = {});
// Sorts; of several with one name the first is kept.
ResourceSetPtr MakeResourceSet(std::vector<ResourcePtr> resources);
ResourceSetPtr EmptyResourceSet();
ResourcePtr AbsentResource(std::string name);

uint64_t HashBytes(absl::string_view bytes, uint64_t seed = 0);

}  // namespace meltemi::pilot
