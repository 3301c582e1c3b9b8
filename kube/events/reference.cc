#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "kube/client/meta.h"
#include "kube/client/resource.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/events/recorder.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {

core::v1::ObjectReference ReferenceTo(const google::protobuf::Message& object) {
  const ApiResource& resource = ResourceOf(*object.GetDescriptor());
  const meta::v1::ObjectMeta& meta = MetaOf(object);
  core::v1::ObjectReference out;
  out.set_kind(resource.kind);
  out.set_api_version(resource.group_version_kind().ApiVersion());
  out.set_namespace_(meta.namespace_());
  out.set_name(meta.name());
  out.set_uid(meta.uid());
  out.set_resource_version(meta.resource_version());
  return out;
}

void EventRecorder::Record(const google::protobuf::Message& object, absl::string_view type,
                           absl::string_view reason, absl::string_view message) {
  RecordFor(ReferenceTo(object), type, reason, message);
}

}  // namespace meltemi::kube
