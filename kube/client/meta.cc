#include "kube/client/meta.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/log/log.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using meta::v1::ObjectMeta;

// It is the first field of all kinds.
const FieldDescriptor* MetaField(const Message& object) {
  const FieldDescriptor* const field = object.GetDescriptor()->FindFieldByNumber(1);
  const bool is = field != nullptr && !field->is_repeated() &&
                  field->message_type() == ObjectMeta::descriptor();
  return is ? field : nullptr;
}

}  // namespace

const ObjectMeta& MetaOf(const Message& object) {
  const FieldDescriptor* const field = MetaField(object);
  if (field == nullptr) return ObjectMeta::default_instance();
  return static_cast<const ObjectMeta&>(object.GetReflection()->GetMessage(object, field));
}

ObjectMeta& MutableMetaOf(Message& object) {
  const FieldDescriptor* const field = MetaField(object);
  CHECK(field != nullptr);
  return static_cast<ObjectMeta&>(*object.GetReflection()->MutableMessage(&object, field));
}

NamespacedName NameOf(const Message& object) {
  const ObjectMeta& meta = MetaOf(object);
  return {meta.namespace_(), meta.name()};
}

}  // namespace meltemi::kube
