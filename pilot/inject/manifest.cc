#include "pilot/inject/manifest.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "base/yaml/write.h"
#include "pilot/inject/inject_pod.h"
#include "pilot/inject/policy.h"
#include "pilot/inject/workload.h"

namespace meltemi::pilot {
namespace {

using json::Value;

// The documents of a stream with the lines that part them, so that all of them together are the
// stream again.
std::vector<absl::string_view> SplitDocuments(absl::string_view text) {
  std::vector<absl::string_view> documents;
  size_t start = 0;
  size_t line = 0;
  while (line < text.size()) {
    const bool parting = absl::StartsWith(text.substr(line), "---") &&
                         (line + 3 >= text.size() || absl::StrContains(" \t\r\n", text[line + 3]));
    if (parting && line > start) {
      documents.push_back(text.substr(start, line - start));
      start = line;
    }
    const size_t end = text.find('\n', line);
    line = end == absl::string_view::npos ? text.size() : end + 1;
  }
  if (start < text.size()) documents.push_back(text.substr(start));
  return documents;
}

// Where the pod is within an object: itself, or its template. Null: it has none.
Value* PodOf(Value* object) {
  const absl::string_view kind = object->FindString("kind");
  if (kind == "Pod") return object;
  Value* at = object;
  const std::vector<absl::string_view> path =
      kind == "CronJob" ? std::vector<absl::string_view>{"spec", "jobTemplate", "spec", "template"}
                        : std::vector<absl::string_view>{"spec", "template"};
  for (const char* known : {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet",
                            "ReplicationController", "Job", "CronJob"}) {
    if (kind != known) continue;
    for (absl::string_view step : path) at = at == nullptr ? nullptr : at->Find(step);
    return at != nullptr && at->is_object() ? at : nullptr;
  }
  return nullptr;
}

class Manifests {
 public:
  Manifests(absl::string_view default_namespace, const InjectSettings& settings)
      : default_namespace_(default_namespace), settings_(settings) {}

  // Whether something has changed in it.
  absl::StatusOr<bool> Inject(Value* object) {
    if (!object->is_object()) return false;
    if (absl::EndsWith(object->FindString("kind"), "List")) return InjectList(object);
    Value* const pod = PodOf(object);
    if (pod == nullptr) return false;
    const Value* const metadata = object->Find("metadata");
    std::string ns(metadata == nullptr ? "" : metadata->FindString("namespace"));
    if (ns.empty()) ns = default_namespace_;
    const std::string name = absl::StrCat(object->FindString("kind"), " ", ns, "/",
                                          metadata == nullptr ? "" : metadata->FindString("name"));
    const InjectDecision decision = DecideInjection(*pod, ns, settings_);
    if (!decision.inject) {
      out_.messages.push_back(absl::StrCat(name, ": not injected: ", decision.why));
      return false;
    }
    WorkloadMeta workload;
    workload.api_version = std::string(object->FindString("apiVersion"));
    workload.kind = std::string(object->FindString("kind"));
    workload.name = std::string(metadata == nullptr ? "" : metadata->FindString("name"));
    absl::StatusOr<InjectedPod> injected = InjectPod(*pod, ns, workload, settings_);
    if (!injected.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", injected.status().message()));
    }
    *pod = std::move(injected->pod);
    ++out_.injected;
    for (const std::string& warning : injected->warnings) {
      out_.messages.push_back(absl::StrCat(name, ": warning: ", warning));
    }
    return true;
  }

  InjectedManifests& out() { return out_; }

 private:
  absl::StatusOr<bool> InjectList(Value* list) {
    Value* const items = list->Find("items");
    bool changed = false;
    if (items == nullptr || !items->is_array()) return changed;
    for (Value& item : items->items()) {
      const absl::StatusOr<bool> one = Inject(&item);
      if (!one.ok()) return one;
      changed |= *one;
    }
    return changed;
  }

  const std::string default_namespace_;
  const InjectSettings& settings_;
  InjectedManifests out_;
};

}  // namespace

absl::StatusOr<InjectedManifests> InjectManifests(absl::string_view text,
                                                  absl::string_view default_namespace,
                                                  const InjectSettings& settings) {
  Manifests manifests(default_namespace, settings);
  size_t number = 0;
  for (absl::string_view document : SplitDocuments(text)) {
    ++number;
    absl::StatusOr<std::vector<Value>> parsed = yaml::ParseAll(document);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("document ", number, ": ", parsed.status().message()));
    }
    bool changed = false;
    for (Value& object : *parsed) {
      const absl::StatusOr<bool> one = manifests.Inject(&object);
      if (!one.ok()) return one.status();
      changed |= *one;
    }
    std::string& out = manifests.out().text;
    if (!changed) {
      absl::StrAppend(&out, document);
      continue;
    }
    const bool is_json = absl::StartsWith(document, "{");
    if (absl::StartsWith(document, "---")) absl::StrAppend(&out, "---\n");
    for (size_t i = 0; i < parsed->size(); ++i) {
      if (i > 0) absl::StrAppend(&out, "---\n");
      absl::StrAppend(
          &out, is_json ? json::ToString((*parsed)[i], 2) + "\n" : yaml::ToYaml((*parsed)[i]));
    }
  }
  return std::move(manifests.out());
}

}  // namespace meltemi::pilot
