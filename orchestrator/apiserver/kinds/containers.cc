// Containers, init containers and ephemeral containers of a pod spec.
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;
using Names = absl::flat_hash_set<absl::string_view>;

void ValidatePort(const json::Value& port, const FieldPath& path, Names& names,
                  FieldErrors& errors) {
  const absl::string_view name = Text(port, "name");
  if (!name.empty()) {
    const Complaints complaints = CheckPortName(name);
    if (!complaints.empty()) {
      AddInvalid(path.Child("name"), name, complaints, errors);
    } else if (!names.insert(name).second) {
      errors.push_back(kube::DuplicateField(path.Child("name"), Get(port, "name")));
    }
  }
  const int64_t container_port = Int(port, "containerPort"), host_port = Int(port, "hostPort");
  if (container_port == 0) {
    errors.push_back(kube::Required(path.Child("containerPort")));
  } else {
    AddInvalid(path.Child("containerPort"), container_port, CheckPortNumber(container_port),
               errors);
  }
  if (host_port != 0) {
    AddInvalid(path.Child("hostPort"), host_port, CheckPortNumber(host_port), errors);
  }
  ValidateOneOf(port, "protocol", path, {"SCTP", "TCP", "UDP"}, true, errors);
}

void ValidatePorts(const json::Value& container, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& ports = Items(container, "ports");
  Names names;
  for (size_t i = 0; i < ports.size(); ++i) ValidatePort(ports[i], path.Index(i), names, errors);
}

void ValidateResizePolicy(const json::Value& container, const FieldPath& path,
                          const PodContext& context, FieldErrors& errors) {
  Names resources;
  const std::vector<json::Value>& policies = Items(container, "resizePolicy");
  for (size_t i = 0; i < policies.size(); ++i) {
    const json::Value& resource = Get(policies[i], "resourceName");
    const json::Value& restart = Get(policies[i], "restartPolicy");
    if (!resources.insert(resource.text()).second) {
      errors.push_back(kube::DuplicateField(path.Index(i), resource));
    }
    if (resource.text().empty()) {
      errors.push_back(kube::Required(path));
    } else if (resource.text() != "cpu" && resource.text() != "memory") {
      errors.push_back(kube::NotSupported(path, resource, {"cpu", "memory"}));
    }
    if (restart.text().empty()) {
      errors.push_back(kube::Required(path));
    } else if (restart.text() != "NotRequired" && restart.text() != "RestartContainer") {
      errors.push_back(kube::NotSupported(path, restart, {"NotRequired", "RestartContainer"}));
    }
    if (context.restart_policy == "Never" && restart.text() != "NotRequired") {
      errors.push_back(kube::InvalidField(path, restart,
                                          "must be 'NotRequired' when `restartPolicy` is 'Never'"));
    }
  }
}

// What holds for containers of all three kinds.
void ValidateCommon(const json::Value& container, const FieldPath& path, const PodContext& context,
                    FieldErrors& errors) {
  const absl::string_view name = Text(container, "name");
  if (name.empty()) {
    errors.push_back(kube::Required(path.Child("name")));
  } else {
    AddInvalid(path.Child("name"), name, CheckDns1123Label(name), errors);
  }
  if (Text(container, "image").empty()) errors.push_back(kube::Required(path.Child("image")));
  ValidateOneOf(container, "terminationMessagePolicy", path, {"File", "FallbackToLogsOnError"},
                true, errors);
  ValidatePorts(container, path.Child("ports"), errors);
  ValidateEnv(container, path, errors);
  ValidateVolumeMounts(container, path, context, errors);
  ValidateOneOf(container, "imagePullPolicy", path, {"Always", "IfNotPresent", "Never"}, true,
                errors);
  ValidateContainerResources(container, path.Child("resources"), context, errors);
  ValidateResizePolicy(container, path.Child("resizePolicy"), context, errors);
  ValidateSecurityContext(container, path.Child("securityContext"), context, errors);
}

void ValidateHostPorts(const json::Value& container, const FieldPath& path,
                       absl::flat_hash_set<std::string>& taken, FieldErrors& errors) {
  const std::vector<json::Value>& ports = Items(container, "ports");
  for (size_t i = 0; i < ports.size(); ++i) {
    const int64_t host_port = Int(ports[i], "hostPort");
    if (host_port == 0) continue;
    std::string key =
        absl::StrCat(Text(ports[i], "protocol"), "/", Text(ports[i], "hostIP"), "/", host_port);
    if (taken.insert(key).second) continue;
    errors.push_back(kube::DuplicateField(path.Child("ports").Index(i).Child("hostPort"),
                                          json::Value::String(std::move(key))));
  }
}

void ForbidIf(const json::Value& container, absl::string_view key, const FieldPath& path,
              absl::string_view why, FieldErrors& errors) {
  if (Has(container, key)) errors.push_back(kube::ForbiddenField(path.Child(key), why));
}

bool IsSet(const json::Value& value) {
  return !value.is_null() && !(value.is_array() && value.items().empty()) &&
         !(value.is_object() && value.members().empty());
}

}  // namespace

void ValidateContainers(const json::Value& spec, const FieldPath& path, const PodContext& context,
                        FieldErrors& errors) {
  const std::vector<json::Value>& containers = Items(spec, "containers");
  if (containers.empty()) {
    errors.push_back(kube::Required(path));
    return;
  }
  Names names;
  for (size_t i = 0; i < containers.size(); ++i) {
    const FieldPath at = path.Index(i);
    ValidateCommon(containers[i], at, context, errors);
    if (!names.insert(Text(containers[i], "name")).second) {
      errors.push_back(kube::DuplicateField(at.Child("name"), Get(containers[i], "name")));
    }
    ValidateLifecycle(containers[i], at.Child("lifecycle"), context, errors);
    ValidateProbes(containers[i], at, context, errors);
    ForbidIf(containers[i], "restartPolicy", at, "may not be set for non-init containers", errors);
  }
  absl::flat_hash_set<std::string> host_ports;
  for (size_t i = 0; i < containers.size(); ++i) {
    ValidateHostPorts(containers[i], path.Index(i), host_ports, errors);
  }
}

void ValidateInitContainers(const json::Value& spec, const FieldPath& path,
                            const PodContext& context, FieldErrors& errors) {
  Names names;
  for (const json::Value& container : Items(spec, "containers")) {
    names.insert(Text(container, "name"));
  }
  const std::vector<json::Value>& containers = Items(spec, "initContainers");
  for (size_t i = 0; i < containers.size(); ++i) {
    const json::Value& container = containers[i];
    const FieldPath at = path.Index(i);
    ValidateCommon(container, at, context, errors);
    if (Has(container, "restartPolicy") && Text(container, "restartPolicy") != "Always") {
      errors.push_back(kube::NotSupported(at.Child("restartPolicy"),
                                          Get(container, "restartPolicy"), {"Always"}));
    }
    const absl::string_view name = Text(container, "name");
    if (!names.insert(name).second && !name.empty()) {
      errors.push_back(kube::DuplicateField(at.Child("name"), Get(container, "name")));
    }
    // Init containers run one after the other: only their own ports may clash.
    absl::flat_hash_set<std::string> host_ports;
    ValidateHostPorts(container, path.Index(0), host_ports, errors);
    if (Text(container, "restartPolicy") == "Always") {
      ValidateLifecycle(container, at.Child("lifecycle"), context, errors);
      ValidateProbes(container, at, context, errors);
    } else {
      for (const char* key : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
        ForbidIf(container, key, at,
                 "may not be set for init containers without restartPolicy=Always", errors);
      }
    }
    if (!Items(container, "resizePolicy").empty()) {
      errors.push_back(kube::InvalidField(at.Child("resizePolicy"), Get(container, "resizePolicy"),
                                          "must not be set for init containers"));
    }
  }
}

void ValidateEphemeralContainers(const json::Value& spec, const FieldPath& path,
                                 const PodContext& context, FieldErrors& errors) {
  Names others;
  for (const char* list : {"containers", "initContainers"}) {
    for (const json::Value& container : Items(spec, list)) others.insert(Text(container, "name"));
  }
  Names names = others;
  const std::vector<json::Value>& containers = Items(spec, "ephemeralContainers");
  for (size_t i = 0; i < containers.size(); ++i) {
    const json::Value& container = containers[i];
    const FieldPath at = path.Index(i);
    ValidateCommon(container, at, context, errors);
    const absl::string_view image = Text(container, "image"),
                            target = Text(container, "targetContainerName");
    if (absl::StripAsciiWhitespace(image) != image) {
      errors.push_back(kube::InvalidField(at.Child("image"), image,
                                          "must not have leading or trailing whitespace"));
    }
    if (!names.insert(Text(container, "name")).second) {
      errors.push_back(kube::DuplicateField(at.Child("name"), Get(container, "name")));
    }
    if (!target.empty() && !others.contains(target)) {
      errors.push_back(kube::FieldNotFound(at.Child("targetContainerName"),
                                           Get(container, "targetContainerName")));
    }
    static constexpr absl::string_view kWhy = "cannot be set for an Ephemeral Container";
    for (const char* key : {"ports", "resources", "livenessProbe", "readinessProbe", "startupProbe",
                            "lifecycle", "restartPolicy", "resizePolicy"}) {
      if (IsSet(Get(container, key))) errors.push_back(kube::ForbiddenField(at.Child(key), kWhy));
    }
    const std::vector<json::Value>& mounts = Items(container, "volumeMounts");
    for (size_t m = 0; m < mounts.size(); ++m) {
      for (const char* key : {"subPath", "subPathExpr"}) {
        if (Text(mounts[m], key).empty()) continue;
        errors.push_back(kube::ForbiddenField(at.Child("volumeMounts").Index(m).Child(key), kWhy));
      }
    }
  }
}

}  // namespace meltemi::apiserver
