#include "orchestrator/apiserver/admission/plugin.h"

#include "kube/object/object.h"

namespace meltemi::apiserver {

kube::Status Refuse(const AdmissionRequest& request, absl::string_view why) {
  std::string name = request.name;
  if (name.empty()) name = std::string(kube::Name(request.object));
  if (name.empty()) name = std::string(kube::Metadata(request.object).FindString("generateName"));
  if (name.empty()) name = "Unknown";
  return kube::Forbidden(request.resource->group_resource(), name, why);
}

json::Value& MutableArray(json::Value& object, absl::string_view key) {
  json::Value* held = object.Find(key);
  if (held != nullptr && held->is_array()) return *held;
  return object.Set(key, json::Value::Array());
}

bool IsMirrorPod(const json::Value& pod) {
  return kube::Annotation(pod, "kubernetes.io/config.mirror").has_value();
}

}  // namespace meltemi::apiserver
