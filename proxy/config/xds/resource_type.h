// The kinds of xDS resources that the proxy subscribes to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// In the order in which they are asked for and depend on each other: clusters before their
// endpoints, listeners before their routes. Secrets are asked for once somebody needs them.
enum class ResourceType : uint8_t { kCluster, kEndpoints, kListener, kRoutes, kSecrets };

inline constexpr size_t kResourceTypes = 5;
inline constexpr std::array<ResourceType, kResourceTypes> kAllResourceTypes = {
    ResourceType::kCluster, ResourceType::kEndpoints, ResourceType::kListener,
    ResourceType::kRoutes, ResourceType::kSecrets};

inline constexpr size_t IndexOf(ResourceType type) { return static_cast<size_t>(type); }

// "type.googleapis.com/envoy.config.cluster.v3.Cluster" …
absl::string_view TypeUrl(ResourceType type);
// "cds", "eds", "lds", "rds", "sds": for statistics and logs.
absl::string_view ShortName(ResourceType type);
std::optional<ResourceType> ResourceTypeOf(absl::string_view type_url);
// Clusters and listeners: a response lists all there are, what it leaves out is gone.
inline constexpr bool IsWildcard(ResourceType type) {
  return type == ResourceType::kCluster || type == ResourceType::kListener;
}

}  // namespace meltemi::proxy
