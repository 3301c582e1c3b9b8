// Map fields through reflection, without their form as a list of entries: protobuf's public
// reflection makes that list and keeps it, which doubles what an object takes.
//
// Threads: functions without state.
#pragma once

#include <google/protobuf/map_field.h>
#include <google/protobuf/message.h>

// The name by which protobuf's Reflection befriends whoever needs its maps as they are.
class google::protobuf::expr::CelMapReflectionFriend {
 public:
  static bool Insert(google::protobuf::Message* message,
                     const google::protobuf::FieldDescriptor* field,
                     const google::protobuf::MapKey& key, google::protobuf::MapValueRef* value) {
    return message->GetReflection()->InsertOrLookupMapValue(message, field, key, value);
  }
  static int Size(const google::protobuf::Message& message,
                  const google::protobuf::FieldDescriptor* field) {
    return message.GetReflection()->MapSize(message, field);
  }
  // Reads only, although the iterator is made for writing too.
  static google::protobuf::MapIterator Begin(const google::protobuf::Message& message,
                                             const google::protobuf::FieldDescriptor* field) {
    return message.GetReflection()->MapBegin(const_cast<google::protobuf::Message*>(&message),
                                             field);
  }
  static google::protobuf::MapIterator End(const google::protobuf::Message& message,
                                           const google::protobuf::FieldDescriptor* field) {
    return message.GetReflection()->MapEnd(const_cast<google::protobuf::Message*>(&message), field);
  }
};

namespace meltemi::kube {

using MapFields = google::protobuf::expr::CelMapReflectionFriend;

}  // namespace meltemi::kube
