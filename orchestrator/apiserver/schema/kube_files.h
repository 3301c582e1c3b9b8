// The descriptors of api/kube that are built into the program.
//
// Threads: a function without state; some milliseconds.
#pragma once

#include <google/protobuf/descriptor.pb.h>

namespace meltemi::apiserver {

google::protobuf::FileDescriptorSet KubeFiles();

}  // namespace meltemi::apiserver
