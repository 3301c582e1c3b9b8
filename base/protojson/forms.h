// Messages that JSON does not write as objects of their fields.
#pragma once

#include <google/protobuf/descriptor.h>

namespace meltemi::protojson {

enum class Form {
  kObject,
  kAny,
  kDuration,
  kTimestamp,
  kFieldMask,
  kStruct,
  kValue,
  kListValue,
  kWrapper,      // google.protobuf.*Value with one field "value"
  kIntOrString,  // Kubernetes
  kKubeTime,     // Kubernetes
  kMicroTime,    // Kubernetes
  kQuantity,     // Kubernetes
  kRawJson,      // Kubernetes
};

Form FormOf(const google::protobuf::Descriptor& type);

// Whether fields that the message, or one in it, lacks are passed over (api/kube/options.proto).
bool IsPartial(const google::protobuf::Descriptor& type);

// Whether the fields of the message stand in the JSON object of the message around it.
bool IsInlined(const google::protobuf::FieldDescriptor& field);

}  // namespace meltemi::protojson
