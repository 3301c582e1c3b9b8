// Defaults of pods and pod templates.
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

constexpr int64_t kDefaultMode = 0644, kTokenSeconds = 3600, kGraceSeconds = 30;

// Without a tag or with ":latest" an image is pulled each time; a digest never changes.
bool IsLatest(absl::string_view image) {
  for (const char c : image.substr(0, image.find_first_of(":@"))) {
    if (absl::ascii_isupper(c)) return false;  // no valid reference
  }
  if (absl::StrContains(image, '@') || image.empty()) return false;
  const size_t slash = image.rfind('/');
  const absl::string_view last = slash == absl::string_view::npos ? image : image.substr(slash + 1);
  const size_t colon = last.find(':');
  return colon == absl::string_view::npos || last.substr(colon + 1) == "latest";
}

void DefaultHttpGet(json::Value& handler) {
  json::Value* http = MutableMember(handler, "httpGet");
  if (http == nullptr) return;
  if (Text(*http, "path").empty()) http->Set("path", json::Value::String("/"));
  if (Text(*http, "scheme").empty()) http->Set("scheme", json::Value::String("HTTP"));
}

// A number that is missing or 0 becomes `value`.
void DefaultNumber(json::Value& object, absl::string_view key, int64_t value) {
  if (Int(object, key) == 0) object.Set(key, json::Value::Int(value));
}

void DefaultProbe(json::Value& container, absl::string_view key) {
  json::Value* probe = MutableMember(container, key);
  if (probe == nullptr) return;
  DefaultHttpGet(*probe);
  if (json::Value* grpc = MutableMember(*probe, "grpc")) SetDefault(*grpc, "service", "");
  DefaultNumber(*probe, "timeoutSeconds", 1);
  DefaultNumber(*probe, "periodSeconds", 10);
  DefaultNumber(*probe, "successThreshold", 1);
  DefaultNumber(*probe, "failureThreshold", 3);
}

void DefaultFieldRefs(json::Value& object) {
  if (json::Value* ref = MutableMember(object, "fieldRef")) SetDefault(*ref, "apiVersion", "v1");
  if (json::Value* ref = MutableMember(object, "resourceFieldRef")) {
    SetDefault(*ref, "divisor", "0");
  }
}

void DefaultText(json::Value& object, absl::string_view key, absl::string_view text) {
  if (Text(object, key).empty()) object.Set(key, json::Value::String(std::string(text)));
}

void DefaultContainer(json::Value& container) {
  if (!container.is_object()) return;
  DefaultText(container, "imagePullPolicy",
              IsLatest(Text(container, "image")) ? "Always" : "IfNotPresent");
  DefaultText(container, "terminationMessagePath", "/dev/termination-log");
  DefaultText(container, "terminationMessagePolicy", "File");
  SetDefault(container, "resources", json::Value::Object());
  if (std::vector<json::Value>* ports = MutableItems(container, "ports")) {
    for (json::Value& port : *ports) SetDefault(port, "protocol", "TCP");
  }
  if (std::vector<json::Value>* variables = MutableItems(container, "env")) {
    for (json::Value& variable : *variables) {
      if (json::Value* from = MutableMember(variable, "valueFrom")) DefaultFieldRefs(*from);
    }
  }
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    DefaultProbe(container, probe);
  }
  if (json::Value* lifecycle = MutableMember(container, "lifecycle")) {
    for (const char* hook : {"postStart", "preStop"}) {
      if (json::Value* handler = MutableMember(*lifecycle, hook)) DefaultHttpGet(*handler);
    }
  }
  if (json::Value* context = MutableMember(container, "securityContext")) {
    if (Has(*context, "procMount")) DefaultText(*context, "procMount", "Default");
  }
}

void DefaultDownwardItems(json::Value& source) {
  if (std::vector<json::Value>* items = MutableItems(source, "items")) {
    for (json::Value& item : *items) DefaultFieldRefs(item);
  }
}

void DefaultProjected(json::Value& projected) {
  SetDefault(projected, "defaultMode", kDefaultMode);
  std::vector<json::Value>* sources = MutableItems(projected, "sources");
  if (sources == nullptr) return;
  for (json::Value& source : *sources) {
    if (json::Value* token = MutableMember(source, "serviceAccountToken")) {
      SetDefault(*token, "expirationSeconds", kTokenSeconds);
    }
    if (json::Value* downward = MutableMember(source, "downwardAPI")) {
      DefaultDownwardItems(*downward);
    }
  }
}

void DefaultVolume(json::Value& volume) {
  if (!volume.is_object()) return;
  bool has_source = false;
  for (const json::Member& member : volume.members()) {
    has_source |= member.key != "name" && !member.value.is_null();
  }
  if (!has_source) volume.Set("emptyDir", json::Value::Object());
  for (const char* key : {"secret", "configMap", "downwardAPI"}) {
    if (json::Value* source = MutableMember(volume, key)) {
      SetDefault(*source, "defaultMode", kDefaultMode);
    }
  }
  if (json::Value* downward = MutableMember(volume, "downwardAPI")) {
    DefaultDownwardItems(*downward);
  }
  if (json::Value* projected = MutableMember(volume, "projected")) DefaultProjected(*projected);
  if (json::Value* host_path = MutableMember(volume, "hostPath")) {
    SetDefault(*host_path, "type", "");
  }
  json::Value* ephemeral = MutableMember(volume, "ephemeral");
  json::Value* claim =
      ephemeral == nullptr ? nullptr : MutableMember(*ephemeral, "volumeClaimTemplate");
  json::Value* claim_spec = claim == nullptr ? nullptr : MutableMember(*claim, "spec");
  if (claim_spec != nullptr) DefaultClaimSpec(*claim_spec);
}

void DefaultRequestsFromLimits(json::Value& container) {
  json::Value* resources = MutableMember(container, "resources");
  if (resources == nullptr || !Get(*resources, "limits").is_object()) return;
  const json::Value limits = Get(*resources, "limits");
  json::Value& requests = resources->MutableObject("requests");
  for (const json::Member& limit : limits.members()) SetDefault(requests, limit.key, limit.value);
}

void DefaultHostPorts(json::Value& container) {
  std::vector<json::Value>* ports = MutableItems(container, "ports");
  if (ports == nullptr) return;
  for (json::Value& port : *ports) {
    if (Int(port, "hostPort") == 0 && Has(port, "containerPort")) {
      port.Set("hostPort", json::Value(Get(port, "containerPort")));
    }
  }
}

// serviceAccount is the old name of serviceAccountName; both are shown.
void DefaultServiceAccountNames(json::Value& spec) {
  if (Text(spec, "serviceAccountName").empty() && !Text(spec, "serviceAccount").empty()) {
    spec.Set("serviceAccountName", json::Value(Get(spec, "serviceAccount")));
  } else if (!Text(spec, "serviceAccountName").empty()) {
    spec.Set("serviceAccount", json::Value(Get(spec, "serviceAccountName")));
  }
}

}  // namespace

void DefaultClaimSpec(json::Value& spec) { SetDefault(spec, "volumeMode", "Filesystem"); }

void DefaultPodSpec(json::Value& spec) {
  if (!spec.is_object()) return;
  DefaultText(spec, "dnsPolicy", "ClusterFirst");
  DefaultText(spec, "restartPolicy", "Always");
  SetDefault(spec, "securityContext", json::Value::Object());
  SetDefault(spec, "terminationGracePeriodSeconds", kGraceSeconds);
  DefaultText(spec, "schedulerName", "default-scheduler");
  DefaultServiceAccountNames(spec);
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    std::vector<json::Value>* containers = MutableItems(spec, list);
    if (containers == nullptr) continue;
    for (json::Value& container : *containers) DefaultContainer(container);
  }
  if (std::vector<json::Value>* volumes = MutableItems(spec, "volumes")) {
    for (json::Value& volume : *volumes) DefaultVolume(volume);
  }
}

void DefaultPodTemplate(json::Value& pod_template) {
  if (pod_template.is_object()) DefaultPodSpec(pod_template.MutableObject("spec"));
}

void DefaultPodOnly(json::Value& spec) {
  if (!spec.is_object()) return;
  for (const char* list : {"containers", "initContainers"}) {
    std::vector<json::Value>* containers = MutableItems(spec, list);
    if (containers == nullptr) continue;
    for (json::Value& container : *containers) DefaultRequestsFromLimits(container);
  }
  SetDefault(spec, "enableServiceLinks", json::Value::Bool(true));
  if (Bool(spec, "hostNetwork")) {
    for (const char* list : {"containers", "initContainers"}) {
      std::vector<json::Value>* containers = MutableItems(spec, list);
      if (containers == nullptr) continue;
      for (json::Value& container : *containers) DefaultHostPorts(container);
    }
  }
}

}  // namespace meltemi::apiserver
