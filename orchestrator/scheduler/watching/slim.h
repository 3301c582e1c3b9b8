// What the scheduler keeps of objects: the fields that it looks at. With 150,000 pods the others
// would be most of its memory.
//
// Threads: functions without state.
#pragma once

#include <memory>

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube::core::v1 {
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::scheduler {

// What is asked of a pod that has its place, beside what PodInfo says: its name, whether it is
// about to go, when it has started.
std::shared_ptr<const kube::core::v1::Pod> PlacedPod(const kube::core::v1::Pod& pod);

void SlimPod(google::protobuf::Message& pod);
void SlimNode(google::protobuf::Message& node);
void SlimNamespace(google::protobuf::Message& ns);
// Of these the selector alone.
void SlimService(google::protobuf::Message& service);
void SlimReplicationController(google::protobuf::Message& controller);
void SlimReplicaSet(google::protobuf::Message& set);
void SlimStatefulSet(google::protobuf::Message& set);

}  // namespace meltemi::scheduler
