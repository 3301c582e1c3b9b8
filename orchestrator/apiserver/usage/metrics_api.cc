#include "orchestrator/apiserver/usage/metrics_api.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr char kWindow[] = "10s";
constexpr int64_t kKubeletPort = 10250;

const std::string& FieldOf(const CachedObject& object, absl::string_view field) {
  static const std::string& none = *new std::string();
  for (const auto& [name, value] : object.fields) {
    if (name == field) return value;
  }
  return none;
}

std::optional<KubeletAddress> AddressOf(const CachedObject& object) {
  const Value node = object.Tree();
  KubeletAddress out;
  out.node = object.name;
  out.port = static_cast<uint16_t>(
      kube::IntAt(node, "status.daemonEndpoints.kubeletEndpoint.Port", kKubeletPort));
  const Value* addresses = node.Find("status", "addresses");
  for (const absl::string_view type : {"InternalIP", "ExternalIP", "Hostname"}) {
    for (size_t i = 0; addresses != nullptr && i < addresses->items().size(); ++i) {
      const Value& address = addresses->items()[i];
      if (address.FindString("type") != type) continue;
      out.host = std::string(address.FindString("address"));
      return out;
    }
  }
  return std::nullopt;
}

void WriteUsage(const Usage& usage, json::Writer& writer) {
  writer.Key("usage").BeginObject();
  writer.Key("cpu").String(usage.cpu_nanocores == 0 ? "0" : absl::StrCat(usage.cpu_nanocores, "n"));
  writer.Key("memory").String(absl::StrCat((usage.memory_bytes + 1023) / 1024, "Ki"));
  writer.EndObject();
}

// Everything up to the figures; the object stays open.
void BeginObject(const Resource& resource, const CachedObject& about, const std::string& now,
                 const std::string& time, json::Writer& writer) {
  writer.BeginObject();
  writer.Key("metadata").BeginObject();
  writer.Key("name").String(about.name);
  if (!about.ns.empty()) writer.Key("namespace").String(about.ns);
  writer.Key("creationTimestamp").String(now);
  if (!about.labels.empty()) {
    writer.Key("labels").BeginObject();
    for (const auto& [key, value] : about.labels) writer.Key(key).String(value);
    writer.EndObject();
  }
  writer.EndObject();
  writer.Key("kind").String(resource.kind);
  writer.Key("apiVersion").String(resource.api_version());
  writer.Key("timestamp").String(time.empty() ? now : time);
  writer.Key("window").String(kWindow);
}

ObjectPtr Finished(const CachedObject& about, std::string text) {
  auto out = std::make_shared<CachedObject>();
  out->ns = about.ns;
  out->name = about.name;
  out->labels = about.labels;
  out->json = std::move(text);
  return out;
}

kube::Status NothingKnown(const Resource& resource, const std::string& name) {
  const char* const shown = resource.plural == "nodes" ? "nodemetrics" : "podmetrics";
  return kube::NotFound({resource.group, shown}, name);
}

}  // namespace

std::string MetricsApi::Now() const {
  return kube::FormatTime(
      std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count());
}

kube::Result<std::vector<ObjectPtr>> MetricsApi::Read(const Resource& resource,
                                                      absl::string_view ns, absl::string_view name,
                                                      const kube::LabelSelector& labels,
                                                      const kube::FieldSelector& fields) {
  const kube::GroupResource about{"", resource.plural};
  std::vector<ObjectPtr> objects;
  const std::string asked = ns.empty() ? std::string(name) : absl::StrCat(ns, "/", name);
  if (!name.empty()) {
    kube::Result<ObjectPtr> object = cache_.Get(about, ns, name, false);
    if (!object.ok()) return object.status();
    if (*object == nullptr) return NothingKnown(resource, asked);
    objects.push_back(*object);
  } else {
    ListQuery query;
    query.ns = std::string(ns);
    query.labels = labels;
    query.fields = fields;
    query.any_version = true;
    kube::Result<ListResult> listed = cache_.List(about, query);
    if (!listed.ok()) return listed.status();
    objects = std::move(listed->objects);
  }
  kube::Result<std::vector<ObjectPtr>> out =
      resource.plural == "nodes" ? Nodes(resource, objects) : Pods(resource, objects);
  if (out.ok() && out->empty() && !name.empty()) return NothingKnown(resource, asked);
  return out;
}

kube::Result<std::vector<ObjectPtr>> MetricsApi::Nodes(const Resource& resource,
                                                       const std::vector<ObjectPtr>& nodes) {
  std::vector<KubeletAddress> kubelets;
  for (const ObjectPtr& node : nodes) {
    if (std::optional<KubeletAddress> address = AddressOf(*node)) {
      kubelets.push_back(*std::move(address));
    }
  }
  const auto answers = kubelets_.Ask(kubelets);
  const std::string now = Now();
  std::vector<ObjectPtr> out;
  for (const ObjectPtr& node : nodes) {
    const auto at = answers.find(node->name);
    if (at == answers.end()) continue;
    std::string text;
    json::Writer writer(&text);
    BeginObject(resource, *node, now, at->second->time, writer);
    WriteUsage(at->second->node, writer);
    writer.EndObject();
    out.push_back(Finished(*node, std::move(text)));
  }
  return out;
}

kube::Result<std::vector<ObjectPtr>> MetricsApi::Pods(const Resource& resource,
                                                      const std::vector<ObjectPtr>& pods) {
  std::set<std::string> names;
  for (const ObjectPtr& pod : pods) {
    const std::string& node = FieldOf(*pod, "spec.nodeName");
    const std::string& phase = FieldOf(*pod, "status.phase");
    if (!node.empty() && phase != "Succeeded" && phase != "Failed") names.insert(node);
  }
  std::vector<KubeletAddress> kubelets;
  for (const std::string& name : names) {
    kube::Result<ObjectPtr> node = cache_.Get({"", "nodes"}, "", name, false);
    if (!node.ok()) return node.status();
    if (*node == nullptr) continue;
    if (std::optional<KubeletAddress> address = AddressOf(**node)) {
      kubelets.push_back(*std::move(address));
    }
  }
  const auto answers = kubelets_.Ask(kubelets);
  const std::string now = Now();
  std::vector<ObjectPtr> out;
  for (const ObjectPtr& pod : pods) {
    const auto node = answers.find(FieldOf(*pod, "spec.nodeName"));
    if (node == answers.end()) continue;
    const auto usage = node->second->pods.find({pod->ns, pod->name});
    // Another pod of the same name may have been measured.
    if (usage == node->second->pods.end() || usage->second.uid != pod->uid) continue;
    std::string text;
    json::Writer writer(&text);
    BeginObject(resource, *pod, now, usage->second.time, writer);
    writer.Key("containers").BeginArray();
    for (const ContainerUsage& container : usage->second.containers) {
      writer.BeginObject();
      writer.Key("name").String(container.name);
      WriteUsage(container.usage, writer);
      writer.EndObject();
    }
    writer.EndArray().EndObject();
    out.push_back(Finished(*pod, std::move(text)));
  }
  return out;
}

}  // namespace meltemi::apiserver
