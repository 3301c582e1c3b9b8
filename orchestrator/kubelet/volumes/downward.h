// What the downward API tells a pod about itself: fields and resources, as text.
//
// Threads: functions without state. Source: pkg/fieldpath, pkg/api/v1/resource.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::kube::core::v1 {
class Pod;
class ResourceFieldSelector;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

// metadata.{name,namespace,uid,labels,annotations}, and one label or annotation: those that volumes
// may ask for. Error: `unsupported fieldPath: x`.
absl::StatusOr<std::string> MetadataField(const kube::core::v1::Pod& pod, absl::string_view path);

// limits and requests of cpu, memory, ephemeral-storage and hugepages-SIZE, divided and rounded up.
// `container`: of whom; "" means the selector's own. `allocatable`: of the node, which stands for a
// limit that is not set; quantities by resource. Error: `container x not found`, `unsupported
// container resource : x`.
absl::StatusOr<std::string> ContainerResource(
    const kube::core::v1::Pod& pod, const kube::core::v1::ResourceFieldSelector& selector,
    absl::string_view container, const std::map<std::string, std::string>& allocatable);

}  // namespace meltemi::kubelet
