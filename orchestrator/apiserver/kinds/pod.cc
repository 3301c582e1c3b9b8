#include "orchestrator/apiserver/kinds/pod.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/pod_update.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

void ValidateImageSpaces(const json::Value& spec, absl::string_view list, FieldErrors& errors) {
  const std::vector<json::Value>& containers = Items(spec, list);
  for (size_t i = 0; i < containers.size(); ++i) {
    const absl::string_view image = Text(containers[i], "image");
    if (absl::StripAsciiWhitespace(image) == image) continue;
    errors.push_back(kube::InvalidField(FieldPath("spec").Child(list).Index(i).Child("image"),
                                        image, "must not have leading or trailing whitespace"));
  }
}

void ValidateTokensHaveAccount(const json::Value& spec, FieldErrors& errors) {
  if (!Text(spec, "serviceAccountName").empty()) return;
  const std::vector<json::Value>& volumes = Items(spec, "volumes");
  for (size_t v = 0; v < volumes.size(); ++v) {
    const std::vector<json::Value>& sources = Items(Get(volumes[v], "projected"), "sources");
    for (size_t s = 0; s < sources.size(); ++s) {
      if (!Has(sources[s], "serviceAccountToken")) continue;
      errors.push_back(kube::ForbiddenField(FieldPath("spec")
                                                .Child("volumes")
                                                .Index(v)
                                                .Child("projected")
                                                .Child("sources")
                                                .Index(s)
                                                .Child("serviceAccountToken"),
                                            "must not be specified when serviceAccountName is not "
                                            "set"));
    }
  }
}

// Metadata and spec, at creation and at every update.
FieldErrors ValidatePod(const json::Value& pod) {
  FieldErrors errors;
  const json::Value& spec = Get(pod, "spec");
  const json::Value& metadata = Get(pod, "metadata");
  ValidatePodAnnotations(Get(metadata, "annotations"), spec,
                         FieldPath("metadata").Child("annotations"), errors);
  ValidatePodSpec(spec, {.is_pod = true, .pod_name = Text(metadata, "name")}, FieldPath("spec"),
                  errors);
  ValidateTokensHaveAccount(spec, errors);
  ValidateImageSpaces(spec, "containers", errors);
  ValidateImageSpaces(spec, "initContainers", errors);
  return errors;
}

}  // namespace

void PodStrategy::Default(const Resource& resource, json::Value& object) const {
  json::Value& spec = object.MutableObject("spec");
  DefaultPodSpec(spec);
  DefaultPodOnly(spec);
}

void PodStrategy::PrepareForCreate(const Resource& resource, json::Value& object) const {
  Strategy::PrepareForCreate(resource, object);
  const json::Value& spec = Get(object, "spec");
  json::Value status = json::Value::Object();
  status.Add("phase", json::Value::String("Pending"));
  if (!Items(spec, "schedulingGates").empty()) {
    json::Value condition = json::Value::Object();
    condition.Add("type", json::Value::String("PodScheduled"));
    condition.Add("status", json::Value::String("False"));
    condition.Add("reason", json::Value::String("SchedulingGated"));
    condition.Add("message",
                  json::Value::String("Scheduling is blocked due to non-empty scheduling gates"));
    status.Add("conditions", json::Value::Array()).Append(std::move(condition));
  }
  status.Add("qosClass", json::Value::String(std::string(QosClassOf(spec))));
  object.Set("status", std::move(status));
}

void PodStrategy::PrepareForUpdate(const Resource& resource, Scope scope,
                                   const json::Value& old_object, json::Value& object) const {
  Strategy::PrepareForUpdate(resource, scope, old_object, object);
  if (scope != Scope::kStatus) return;
  json::Value& status = object.MutableObject("status");
  if (Text(status, "qosClass").empty() && Has(Get(old_object, "status"), "qosClass")) {
    CopyMember(Get(old_object, "status"), "qosClass", status);
  }
}

FieldErrors PodStrategy::Validate(const Resource& resource, const json::Value& object) const {
  FieldErrors errors = ValidatePod(object);
  const FieldPath path("spec");
  const json::Value& spec = Get(object, "spec");
  if (!Items(spec, "ephemeralContainers").empty()) {
    errors.push_back(
        kube::ForbiddenField(path.Child("ephemeralContainers"), "cannot be set on create"));
  }
  if (!Text(spec, "nodeName").empty() && !Items(spec, "schedulingGates").empty()) {
    errors.push_back(kube::ForbiddenField(path.Child("nodeName"),
                                          "cannot be set until all schedulingGates have been "
                                          "cleared"));
  }
  return errors;
}

FieldErrors PodStrategy::ValidateUpdate(const Resource& resource, Scope scope,
                                        const json::Value& old_object,
                                        const json::Value& object) const {
  FieldErrors errors;
  if (scope == Scope::kStatus) {
    ValidatePodAnnotationUpdate(old_object, object, errors);
    ValidatePodStatusUpdate(old_object, object, errors);
    return errors;
  }
  errors = ValidatePod(object);
  ValidatePodAnnotationUpdate(old_object, object, errors);
  ValidatePodSpecUpdate(Get(old_object, "spec"), Get(object, "spec"), errors);
  return errors;
}

std::vector<std::string> PodStrategy::Warnings(const Resource& resource,
                                               const json::Value& object) const {
  return PodSpecWarnings(Get(object, "spec"), FieldPath("spec"));
}

kube::StringPairs PodStrategy::SelectableFields(const json::Value& object) const {
  const json::Value& spec = Get(object, "spec");
  const json::Value& status = Get(object, "status");
  const auto text = [](const json::Value& parent, absl::string_view key) {
    return std::string(Text(parent, key));
  };
  std::string ips;
  for (const json::Value& ip : Items(status, "podIPs")) {
    absl::StrAppend(&ips, ips.empty() ? "" : ",", Text(ip, "ip"));
  }
  return {{"spec.hostNetwork", Bool(spec, "hostNetwork") ? "true" : "false"},
          {"spec.nodeName", text(spec, "nodeName")},
          {"spec.restartPolicy", text(spec, "restartPolicy")},
          {"spec.schedulerName", text(spec, "schedulerName")},
          {"spec.serviceAccountName", text(spec, "serviceAccountName")},
          {"status.nominatedNodeName", text(status, "nominatedNodeName")},
          {"status.phase", text(status, "phase")},
          {"status.podIP", text(status, "podIP")},
          {"status.podIPs", ips}};
}

std::vector<std::string> PodStrategy::SelectableFieldNames() const {
  return {"spec.hostNetwork",
          "spec.nodeName",
          "spec.restartPolicy",
          "spec.schedulerName",
          "spec.serviceAccountName",
          "status.nominatedNodeName",
          "status.phase",
          "status.podIP",
          "status.podIPs"};
}

int64_t PodStrategy::GracePeriodSeconds(const json::Value& object,
                                        std::optional<int64_t> requested) const {
  const json::Value& spec = Get(object, "spec");
  const absl::string_view phase = Text(Get(object, "status"), "phase");
  // Nobody would finish the deletion of a pod that no kubelet has.
  if (Text(spec, "nodeName").empty() || phase == "Failed" || phase == "Succeeded") return 0;
  const int64_t seconds = requested.value_or(Int(spec, "terminationGracePeriodSeconds"));
  return seconds < 0 ? 1 : seconds;
}

void PrepareEphemeralUpdate(const json::Value& old_pod, json::Value& pod) {
  json::Value kept = old_pod;
  CopyMember(Get(pod, "spec"), "ephemeralContainers", kept.MutableObject("spec"));
  json::Value& metadata = kept.MutableObject("metadata");
  for (const char* key : {"resourceVersion", "managedFields"}) {
    CopyMember(Get(pod, "metadata"), key, metadata);
  }
  pod = std::move(kept);
}

FieldErrors ValidateEphemeralUpdate(const json::Value& old_pod, const json::Value& pod) {
  static constexpr absl::string_view kMirror = "kubernetes.io/config.mirror";
  if (Get(old_pod, "metadata", "annotations").Find(kMirror) != nullptr) {
    return {kube::ForbiddenField(FieldPath(""), "static pods do not support ephemeral containers")};
  }
  FieldErrors errors = ValidatePod(pod);
  const FieldPath path = FieldPath("spec").Child("ephemeralContainers");
  for (const json::Value& old_one : Items(Get(old_pod, "spec"), "ephemeralContainers")) {
    const absl::string_view name = Text(old_one, "name");
    const json::Value* now = nullptr;
    for (const json::Value& one : Items(Get(pod, "spec"), "ephemeralContainers")) {
      if (Text(one, "name") == name) now = &one;
    }
    if (now == nullptr) {
      errors.push_back(kube::ForbiddenField(
          path,
          absl::StrCat("existing ephemeral containers ", GoText(name), " may not be removed\n")));
    } else if (!Same(old_one, *now)) {
      errors.push_back(kube::ForbiddenField(
          path, absl::StrCat("existing ephemeral containers ", GoText(name),
                             " may not be changed\n", Difference(old_one, *now))));
    }
  }
  return errors;
}

FieldErrors ValidateBinding(const json::Value& binding) {
  FieldErrors errors;
  const json::Value& target = Get(binding, "target");
  const FieldPath path("target");
  const absl::string_view kind = Text(target, "kind");
  if (!kind.empty() && kind != "Node") {
    errors.push_back(
        kube::NotSupported(path.Child("kind"), Get(target, "kind"), {"Node", "<empty>"}));
  }
  if (Text(target, "name").empty()) errors.push_back(kube::Required(path.Child("name")));
  return errors;
}

}  // namespace meltemi::apiserver
