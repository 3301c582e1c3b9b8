#include "kube/discovery/discovery.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "kube/client/client.h"
#include "kube/names/names.h"

namespace meltemi::kube {
namespace {

using json::Value;

// More groups, versions or resources than these are passed over.
constexpr size_t kResourcesMax = 20'000;
constexpr size_t kGroupVersionsMax = 2'000;

constexpr char kAccept[] =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json";

const std::vector<Value>& Items(const Value& object, absl::string_view key) {
  static const std::vector<Value>& none = *new std::vector<Value>();
  const Value* list = object.Find(key);
  return list == nullptr ? none : list->items();
}

std::vector<std::string> Texts(const Value& object, absl::string_view key) {
  std::vector<std::string> out;
  for (const Value& item : Items(object, key)) {
    if (item.is_string()) out.push_back(item.text());
  }
  return out;
}

Result<Value> Fetch(Client& client, absl::string_view path) {
  ApiCall call;
  call.path = std::string(path);
  call.accept = kAccept;
  const Result<ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  absl::StatusOr<Value> tree = json::Parse(answer->body);
  if (!tree.ok() || !tree->is_object()) {
    return InternalError(absl::StrCat(path, ": the answer of discovery is no object"));
  }
  return *std::move(tree);
}

// Fills in what was found.
class Collector {
 public:
  explicit Collector(ServedResources& out) : out_(out) {}

  // Versions of a group come in the order in which they are preferred, but that `preferred`, where
  // it is said, is before all others.
  void Add(ServedResource found) {
    if (out_.resources.size() >= kResourcesMax || found.resource.resource.empty()) return;
    out_.resources.push_back(std::move(found));
  }
  // Of a resource that was added before, as servers list them.
  void AddSubresource(absl::string_view group, absl::string_view version, absl::string_view name,
                      absl::string_view subresource) {
    for (auto at = out_.resources.rbegin(); at != out_.resources.rend(); ++at) {
      const ApiResource& resource = at->resource;
      if (resource.group != group || resource.version != version) return;
      if (resource.resource != name) continue;
      at->subresources.emplace_back(subresource);
      return;
    }
  }
  void Fail(absl::string_view api_version, absl::string_view why) {
    out_.failures.emplace(std::string(api_version), std::string(why));
  }
  void MarkPreferred(const std::map<std::string, std::string>& preferred_versions) {
    std::map<GroupResource, size_t> best;
    for (size_t i = 0; i < out_.resources.size(); ++i) {
      const ApiResource& resource = out_.resources[i].resource;
      const auto [at, first] = best.emplace(resource.group_resource(), i);
      const auto preferred = preferred_versions.find(resource.group);
      if (!first && preferred != preferred_versions.end() &&
          preferred->second == resource.version) {
        at->second = i;
      }
    }
    for (const auto& [name, at] : best) out_.resources[at].preferred = true;
  }

 private:
  ServedResources& out_;
};

void AddAggregated(const Value& list, Collector& collector) {
  for (const Value& group : Items(list, "items")) {
    const Value* name = group.Find("metadata", "name");
    const std::string group_name = name == nullptr ? "" : name->text();
    for (const Value& version : Items(group, "versions")) {
      const std::string version_name(version.FindString("version"));
      if (version.FindString("freshness") == "Stale") {
        const std::string api_version = ApiVersion(group_name, version_name);
        collector.Fail(api_version, absl::StrCat("stale GroupVersion discovery: ", api_version));
      }
      for (const Value& item : Items(version, "resources")) {
        ServedResource found;
        const Value* kind = item.Find("responseKind", "kind");
        found.resource = {group_name, version_name, std::string(item.FindString("resource")),
                          kind == nullptr ? "" : kind->text(),
                          item.FindString("scope") == "Namespaced"};
        found.verbs = Texts(item, "verbs");
        for (const Value& subresource : Items(item, "subresources")) {
          found.subresources.emplace_back(subresource.FindString("subresource"));
        }
        collector.Add(std::move(found));
      }
    }
  }
}

struct GroupVersionPath {
  std::string group, version, path;
};

void AddPlain(const Value& list, const GroupVersionPath& of, Collector& collector) {
  for (const Value& item : Items(list, "resources")) {
    const absl::string_view name = item.FindString("name");
    const size_t slash = name.find('/');
    if (slash != absl::string_view::npos) {
      collector.AddSubresource(of.group, of.version, name.substr(0, slash), name.substr(slash + 1));
      continue;
    }
    const Value* namespaced = item.Find("namespaced");
    ServedResource found;
    found.resource = {of.group, of.version, std::string(name), std::string(item.FindString("kind")),
                      namespaced != nullptr && namespaced->bool_value()};
    found.verbs = Texts(item, "verbs");
    collector.Add(std::move(found));
  }
}

// The groups and versions of an answer in the plain form.
std::vector<GroupVersionPath> PlainVersions(const Value& answer,
                                            std::map<std::string, std::string>* preferred) {
  std::vector<GroupVersionPath> out;
  for (const std::string& version : Texts(answer, "versions")) {
    out.push_back({"", version, absl::StrCat("/api/", version)});
  }
  for (const Value& group : Items(answer, "groups")) {
    const std::string name(group.FindString("name"));
    if (const Value* version = group.Find("preferredVersion", "version")) {
      preferred->emplace(name, version->text());
    }
    for (const Value& version : Items(group, "versions")) {
      const std::string text(version.FindString("version"));
      out.push_back({name, text, absl::StrCat("/apis/", name, "/", text)});
    }
  }
  if (out.size() > kGroupVersionsMax) out.resize(kGroupVersionsMax);
  return out;
}

}  // namespace

bool ServedResource::Can(absl::string_view verb) const {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

bool ServedResource::Has(absl::string_view subresource) const {
  return std::find(subresources.begin(), subresources.end(), subresource) != subresources.end();
}

const ServedResource* ServedResources::FindKind(absl::string_view api_version,
                                                absl::string_view kind) const {
  const GroupVersionKind wanted = GroupVersionKind::Of(api_version, kind);
  for (const ServedResource& served : resources) {
    if (served.resource.kind == kind && served.resource.group == wanted.group &&
        served.resource.version == wanted.version) {
      return &served;
    }
  }
  return nullptr;
}

std::string ServedResources::FailureText() const {
  if (failures.empty()) return "";
  const std::string each = absl::StrJoin(failures, ", ", [](std::string* out, const auto& failure) {
    absl::StrAppend(out, failure.first, ": ", failure.second);
  });
  return absl::StrCat("Discovery failed for some groups, ", failures.size(),
                      " failing: unable to retrieve the complete list of server APIs: ", each);
}

Result<ServedResources> Discover(Client& client) {
  ServedResources out;
  Collector collector(out);
  std::map<std::string, std::string> preferred;
  for (const char* path : {"/api", "/apis"}) {
    const Result<Value> answer = Fetch(client, path);
    if (!answer.ok()) return answer.status();
    if (answer->FindString("kind") == "APIGroupDiscoveryList") {
      AddAggregated(*answer, collector);
      continue;
    }
    for (const GroupVersionPath& of : PlainVersions(*answer, &preferred)) {
      const Result<Value> list = Fetch(client, of.path);
      if (list.ok()) {
        AddPlain(*list, of, collector);
      } else {
        collector.Fail(ApiVersion(of.group, of.version), list.status().message);
      }
    }
  }
  collector.MarkPreferred(preferred);
  return out;
}

}  // namespace meltemi::kube
