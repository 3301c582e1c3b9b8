// What authors of pods should know of: fields that are deprecated or contradict each other.
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldPath;

// Labels of nodes that got a new name.
constexpr struct {
  absl::string_view label, text;
} kOldNodeLabels[] = {
    {"beta.kubernetes.io/arch", R"(deprecated since v1.14; use "kubernetes.io/arch" instead)"},
    {"beta.kubernetes.io/os", R"(deprecated since v1.14; use "kubernetes.io/os" instead)"},
    {"failure-domain.beta.kubernetes.io/region",
     R"(deprecated since v1.17; use "topology.kubernetes.io/region" instead)"},
    {"failure-domain.beta.kubernetes.io/zone",
     R"(deprecated since v1.17; use "topology.kubernetes.io/zone" instead)"},
    {"beta.kubernetes.io/instance-type",
     R"(deprecated since v1.17; use "node.kubernetes.io/instance-type" instead)"},
};

void WarnOfEnv(const json::Value& container, const FieldPath& path,
               std::vector<std::string>& warnings) {
  std::map<absl::string_view, absl::string_view> seen;
  const std::vector<json::Value>& variables = Items(container, "env");
  for (size_t i = 0; i < variables.size(); ++i) {
    const absl::string_view name = Text(variables[i], "name"), value = Text(variables[i], "value");
    const auto [before, is_new] = seen.emplace(name, value);
    if (is_new) continue;
    // A value that refers to the earlier one, "$(NAME)…", is meant.
    if (!value.empty() && absl::StrContains(value, absl::StrCat("$(", name, ")"))) continue;
    warnings.push_back(absl::StrCat(path.Child("env").Index(i).text(),
                                    ": hides previous definition of ", GoText(name),
                                    ", which may be dropped when using apply"));
  }
}

void WarnOfPorts(const json::Value& container, const FieldPath& path,
                 std::vector<std::string>& warnings) {
  std::map<std::string, std::string> seen;
  const std::vector<json::Value>& ports = Items(container, "ports");
  for (size_t i = 0; i < ports.size(); ++i) {
    const FieldPath at = path.Child("ports").Index(i);
    const std::string key =
        absl::StrCat(Text(ports[i], "protocol"), Text(ports[i], "hostIP"), "/",
                     Int(ports[i], "hostPort"), "/", Int(ports[i], "containerPort"));
    const auto [before, is_new] = seen.emplace(key, at.text());
    if (!is_new) {
      warnings.push_back(
          absl::StrCat(at.text(), ": duplicate port definition with ", before->second));
    }
  }
}

void WarnOfContainer(const json::Value& container, const FieldPath& path,
                     std::vector<std::string>& warnings) {
  WarnOfEnv(container, path, warnings);
  WarnOfPorts(container, path, warnings);
}

}  // namespace

std::vector<std::string> PodSpecWarnings(const json::Value& spec, const FieldPath& path) {
  std::vector<std::string> warnings;
  for (const auto& [label, text] : kOldNodeLabels) {
    if (Get(spec, "nodeSelector").Find(label) == nullptr) continue;
    warnings.push_back(absl::StrCat(path.Child("nodeSelector").Key(label).text(), ": ", text));
  }
  const std::vector<json::Value>& secrets = Items(spec, "imagePullSecrets");
  for (size_t i = 0; i < secrets.size(); ++i) {
    if (!Text(secrets[i], "name").empty()) continue;
    warnings.push_back(absl::StrCat(path.Child("imagePullSecrets").Index(i).Child("name").text(),
                                    ": invalid empty name \"\""));
  }
  for (const char* list : {"containers", "initContainers"}) {
    const std::vector<json::Value>& containers = Items(spec, list);
    for (size_t i = 0; i < containers.size(); ++i) {
      WarnOfContainer(containers[i], path.Child(list).Index(i), warnings);
    }
  }
  const int64_t grace = Int(spec, "terminationGracePeriodSeconds");
  if (grace < 0) {
    warnings.push_back(absl::StrCat(path.Child("terminationGracePeriodSeconds").text(),
                                    ": must be >= 0; negative values are invalid and will be "
                                    "treated as 1"));
  }
  return warnings;
}

}  // namespace meltemi::apiserver
