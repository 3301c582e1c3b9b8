#include "orchestrator/apiserver/authz/pod_mentions.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

class Mentions {
 public:
  void Add(absl::string_view resource, absl::string_view name) {
    if (!name.empty()) found_.emplace(resource, name);
  }

  void AddContainer(const Value& container) {
    if (const Value* env = container.Find("env"); env != nullptr) {
      for (const Value& variable : env->items()) {
        const Value* from = variable.Find("valueFrom");
        if (from == nullptr) continue;
        AddNamed("secrets", from->Find("secretKeyRef"));
        AddNamed("configmaps", from->Find("configMapKeyRef"));
      }
    }
    if (const Value* env_from = container.Find("envFrom"); env_from != nullptr) {
      for (const Value& source : env_from->items()) {
        AddNamed("secrets", source.Find("secretRef"));
        AddNamed("configmaps", source.Find("configMapRef"));
      }
    }
  }

  void AddVolume(absl::string_view pod_name, const Value& volume) {
    for (const json::Member& member : volume.members()) {
      const Value& source = member.value;
      if (!source.is_object()) continue;
      // secret and azureFile; those of storage systems; CSI's inline volumes.
      Add("secrets", source.FindString("secretName"));
      AddNamed("secrets", source.Find("secretRef"));
      AddNamed("secrets", source.Find("nodePublishSecretRef"));
      if (member.key == "configMap") AddNamed("configmaps", &source);
      if (member.key == "persistentVolumeClaim") {
        Add("persistentvolumeclaims", source.FindString("claimName"));
      }
      if (member.key == "ephemeral") {
        Add("persistentvolumeclaims", absl::StrCat(pod_name, "-", volume.FindString("name")));
      }
      const Value* projected = member.key == "projected" ? source.Find("sources") : nullptr;
      if (projected == nullptr) continue;
      for (const Value& part : projected->items()) {
        AddNamed("secrets", part.Find("secret"));
        AddNamed("configmaps", part.Find("configMap"));
      }
    }
  }

  void AddNamed(absl::string_view resource, const Value* reference) {
    if (reference != nullptr) Add(resource, reference->FindString("name"));
  }

  std::vector<PodMention> Found() const { return {found_.begin(), found_.end()}; }

 private:
  std::set<PodMention> found_;
};

}  // namespace

std::vector<PodMention> PodMentions(const Value& pod) {
  const absl::string_view name = kube::Name(pod);
  Mentions out;
  const Value* spec = pod.Find("spec");
  if (spec == nullptr) return {};
  out.Add("serviceaccounts", spec->FindString("serviceAccountName"));
  const auto each = [&](absl::string_view member, auto&& visit) {
    const Value* list = spec->Find(member);
    if (list == nullptr) return;
    for (const Value& item : list->items()) visit(item);
  };
  each("imagePullSecrets", [&](const Value& item) { out.AddNamed("secrets", &item); });
  for (const absl::string_view member : {"containers", "initContainers", "ephemeralContainers"}) {
    each(member, [&](const Value& item) { out.AddContainer(item); });
  }
  each("volumes", [&](const Value& item) { out.AddVolume(name, item); });
  return out.Found();
}

}  // namespace meltemi::apiserver
