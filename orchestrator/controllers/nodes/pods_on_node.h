// The index of pods by their node.
//
// Threads: a function without state.
#pragma once

#include <string>
#include <vector>

#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {

inline constexpr char kByNode[] = "spec.nodeName";
inline std::vector<std::string> PodsByNode(const google::protobuf::Message& object) {
  const std::string& node = static_cast<const kube::core::v1::Pod&>(object).spec().node_name();
  return node.empty() ? std::vector<std::string>() : std::vector<std::string>{node};
}

}  // namespace meltemi::controllers
