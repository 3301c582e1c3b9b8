// What the scheduler keeps of objects: the fields that it looks at. With 150,000 pods the others
// would be most of its memory.
//
// Threads: functions without state.
#pragma once

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::scheduler {

void SlimPod(google::protobuf::Message& pod);
void SlimNode(google::protobuf::Message& node);
void SlimNamespace(google::protobuf::Message& ns);
// Of these the selector alone.
void SlimService(google::protobuf::Message& service);
void SlimReplicationController(google::protobuf::Message& controller);
void SlimReplicaSet(google::protobuf::Message& set);
void SlimStatefulSet(google::protobuf::Message& set);

}  // namespace meltemi::scheduler
