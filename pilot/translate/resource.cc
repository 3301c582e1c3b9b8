#include "pilot/translate/resource.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

constexpr absl::string_view kTypeUrls[kXdsTypes] = {
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
};
constexpr absl::string_view kShortNames[kXdsTypes] = {"CDS", "EDS", "LDS", "RDS", "SDS"};

}  // namespace

absl::string_view XdsTypeUrl(XdsType type) { return kTypeUrls[static_cast<int>(type)]; }

absl::string_view XdsTypeShortName(XdsType type) { return kShortNames[static_cast<int>(type)]; }

bool ParseXdsTypeUrl(absl::string_view url, XdsType* type) {
  for (int i = 0; i < kXdsTypes; ++i) {
    if (url != kTypeUrls[i]) continue;
    *type = static_cast<XdsType>(i);
    return true;
  }
  return false;
}

std::string SerializeDeterministic(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

void PackAny(const google::protobuf::Message& message, google::protobuf::Any* any) {
  any->set_type_url(absl::StrCat("type.googleapis.com/", message.GetDescriptor()->full_name()));
  any->set_value(SerializeDeterministic(message));
}

// FNV-1a with a final mix over eight bytes at a time: stable over runs and machines, which
// absl::Hash is not.
uint64_t HashBytes(absl::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ (seed * 0x9e3779b97f4a7c15ULL);
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    for (int b = 0; b < 8; ++b) {
      word |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i + b])) << (8 * b);
    }
    hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
    hash ^= hash >> 32;
  }
  for (; i < bytes.size(); ++i) {
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3ULL;
  }
  hash ^= bytes.size();
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 33);
}

ResourcePtr MakeResource(std::string name, const google::protobuf::Message& message,
                         std::vector<std::string> needs) {
  google::protobuf::Any any;
  PackAny(message, &any);
  auto resource = std::make_shared<Resource>();
  resource->name = std::move(name);
  resource->any = SerializeDeterministic(any);
  resource->hash = HashBytes(resource->any);
  resource->needs = std::move(needs);
  return resource;
}

ResourceSetPtr MakeResourceSet(std::vector<ResourcePtr> resources) {
  auto set = std::make_shared<ResourceSet>();
  set->resources = std::move(resources);
  std::vector<ResourcePtr>& all = set->resources;
  std::stable_sort(all.begin(), all.end(),
                   [](const ResourcePtr& a, const ResourcePtr& b) { return a->name < b->name; });
  all.erase(
      std::unique(all.begin(), all.end(),
                  [](const ResourcePtr& a, const ResourcePtr& b) { return a->name == b->name; }),
      all.end());
  set->SetHash();
  return set;
}

void ResourceSet::SetHash() {
  hash = 0;
  for (const ResourcePtr& resource : resources) {
    if (!resource->absent) hash = HashBytes(resource->name, hash ^ resource->hash);
  }
}

ResourceSetPtr EmptyResourceSet() {
  static const auto& empty = *new ResourceSetPtr(std::make_shared<const ResourceSet>());
  return empty;
}

ResourcePtr AbsentResource(std::string name) {
  auto resource = std::make_shared<Resource>();
  resource->name = std::move(name);
  resource->absent = true;
  return resource;
}

ResourcePtr ResourceSet::Find(absl::string_view name) const {
  const auto it = std::lower_bound(
      resources.begin(), resources.end(), name,
      [](const ResourcePtr& resource, absl::string_view key) { return resource->name < key; });
  return it != resources.end() && (*it)->name == name ? *it : nullptr;
}

}  // namespace meltemi::pilot
