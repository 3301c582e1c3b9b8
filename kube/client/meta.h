// The metadata of typed objects.
//
// Threads: functions without state.
#pragma once

#include "kube/names/names.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube::meta::v1 {
class ObjectMeta;
}  // namespace meltemi::kube::meta::v1

namespace meltemi::kube {

// The metadata of any kind that has some. Precondition of MutableMetaOf: it has; MetaOf gives an
// empty one otherwise.
const meta::v1::ObjectMeta& MetaOf(const google::protobuf::Message& object);
meta::v1::ObjectMeta& MutableMetaOf(google::protobuf::Message& object);
NamespacedName NameOf(const google::protobuf::Message& object);

}  // namespace meltemi::kube
