#include "orchestrator/apiserver/openapi/discovery.h"

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/openapi/accept.h"
#include "orchestrator/apiserver/openapi/etag.h"
#include "orchestrator/apiserver/openapi/subresources.h"

namespace meltemi::apiserver {
namespace {

using json::Writer;

struct Document {
  std::string bytes, hash;
};

// Everything that discovery answers for one Catalog.
struct Documents {
  std::map<std::string, Document> plain;  // by path: "/apis/apps/v1"
  // By path ("/api" or "/apis") and version of apidiscovery.k8s.io.
  std::map<std::string, Document> aggregated;
};

void WriteTexts(absl::string_view name, const std::vector<std::string>& texts, Writer& out) {
  if (texts.empty()) return;
  out.Key(name).BeginArray();
  for (const std::string& text : texts) out.String(text);
  out.EndArray();
}

void WriteResource(const Resource& resource, Writer& out) {
  out.BeginObject().Key("name").String(resource.plural);
  out.Key("singularName").String(resource.singular);
  out.Key("namespaced").Bool(resource.namespaced);
  out.Key("kind").String(resource.kind);
  out.Key("verbs").BeginArray();
  for (const std::string& verb : resource.verbs) out.String(verb);
  out.EndArray();
  WriteTexts("shortNames", resource.short_names, out);
  WriteTexts("categories", resource.categories, out);
  out.EndObject();
  for (const SubresourceInfo& sub : SubresourcesOf(resource)) {
    out.BeginObject().Key("name").String(absl::StrCat(resource.plural, "/", sub.name));
    out.Key("singularName").String("").Key("namespaced").Bool(resource.namespaced);
    if (!sub.group.empty()) out.Key("group").String(sub.group).Key("version").String(sub.version);
    out.Key("kind").String(sub.kind);
    WriteTexts("verbs", sub.verbs, out);
    out.EndObject();
  }
}

std::string ResourceList(const GroupVersion& gv) {
  std::string bytes;
  Writer out(&bytes);
  out.BeginObject().Key("kind").String("APIResourceList");
  if (!gv.group.empty()) out.Key("apiVersion").String("v1");
  out.Key("groupVersion").String(kube::ApiVersion(gv.group, gv.version));
  out.Key("resources").BeginArray();
  for (const auto& resource : gv.resources) WriteResource(*resource, out);
  out.EndArray().EndObject();
  return bytes + "\n";
}

void WriteVersion(const GroupVersion& gv, Writer& out) {
  out.BeginObject().Key("groupVersion").String(kube::ApiVersion(gv.group, gv.version));
  out.Key("version").String(gv.version).EndObject();
}

// `versions`: of one group, in order of preference.
void WriteGroup(const std::vector<const GroupVersion*>& versions, bool alone, Writer& out) {
  out.BeginObject();
  if (alone) out.Key("kind").String("APIGroup").Key("apiVersion").String("v1");
  out.Key("name").String(versions.front()->group).Key("versions").BeginArray();
  for (const GroupVersion* gv : versions) WriteVersion(*gv, out);
  out.EndArray().Key("preferredVersion");
  WriteVersion(*versions.front(), out);
  out.EndObject();
}

void WriteResponseKind(absl::string_view group, absl::string_view version, absl::string_view kind,
                       Writer& out) {
  out.Key("responseKind").BeginObject().Key("group").String(group).Key("version").String(version);
  out.Key("kind").String(kind).EndObject();
}

void WriteAggregatedResource(const Resource& resource, Writer& out) {
  out.BeginObject().Key("resource").String(resource.plural);
  WriteResponseKind(resource.group, resource.version, resource.kind, out);
  out.Key("scope").String(resource.namespaced ? "Namespaced" : "Cluster");
  out.Key("singularResource").String(resource.singular);
  WriteTexts("verbs", resource.verbs, out);
  WriteTexts("shortNames", resource.short_names, out);
  WriteTexts("categories", resource.categories, out);
  const std::vector<SubresourceInfo> subresources = SubresourcesOf(resource);
  if (!subresources.empty()) {
    out.Key("subresources").BeginArray();
    for (const SubresourceInfo& sub : subresources) {
      const bool own = sub.group.empty();
      out.BeginObject().Key("subresource").String(sub.name);
      WriteResponseKind(own ? resource.group : sub.group, own ? resource.version : sub.version,
                        sub.kind, out);
      WriteTexts("verbs", sub.verbs, out);
      out.EndObject();
    }
    out.EndArray();
  }
  out.EndObject();
}

std::string Aggregated(const std::vector<std::vector<const GroupVersion*>>& groups,
                       absl::string_view api_version) {
  std::string bytes;
  Writer out(&bytes);
  out.BeginObject().Key("kind").String("APIGroupDiscoveryList");
  out.Key("apiVersion").String(absl::StrCat("apidiscovery.k8s.io/", api_version));
  out.Key("metadata").BeginObject().EndObject().Key("items").BeginArray();
  for (const std::vector<const GroupVersion*>& versions : groups) {
    out.BeginObject().Key("metadata").BeginObject();
    if (!versions.front()->group.empty()) out.Key("name").String(versions.front()->group);
    out.Key("creationTimestamp").Null().EndObject().Key("versions").BeginArray();
    for (const GroupVersion* gv : versions) {
      out.BeginObject().Key("version").String(gv->version).Key("resources").BeginArray();
      for (const auto& resource : gv->resources) WriteAggregatedResource(*resource, out);
      out.EndArray().Key("freshness").String("Current").EndObject();
    }
    out.EndArray().EndObject();
  }
  out.EndArray().EndObject();
  return bytes + "\n";
}

Document Hashed(std::string bytes) {
  std::string hash = ContentHash(bytes);
  return {std::move(bytes), std::move(hash)};
}

Documents Build(const Catalog& catalog) {
  std::vector<std::vector<const GroupVersion*>> core, groups;
  Documents documents;
  for (const GroupVersion& gv : catalog.group_versions()) {
    auto& list = gv.group.empty() ? core : groups;
    if (list.empty() || list.back().front()->group != gv.group) list.emplace_back();
    list.back().push_back(&gv);
    const std::string path = gv.group.empty() ? absl::StrCat("/api/", gv.version)
                                              : absl::StrCat("/apis/", gv.group, "/", gv.version);
    documents.plain[path] = Hashed(ResourceList(gv));
  }
  std::string all;
  Writer out(&all);
  out.BeginObject().Key("kind").String("APIGroupList").Key("apiVersion").String("v1");
  out.Key("groups").BeginArray();
  for (const auto& versions : groups) {
    WriteGroup(versions, false, out);
    std::string one;
    Writer alone(&one);
    WriteGroup(versions, true, alone);
    documents.plain[absl::StrCat("/apis/", versions.front()->group)] = Hashed(one + "\n");
  }
  out.EndArray().EndObject();
  documents.plain["/apis"] = Hashed(all + "\n");
  for (const absl::string_view version : {"v2", "v2beta1"}) {
    documents.aggregated[absl::StrCat("/api ", version)] = Hashed(Aggregated(core, version));
    documents.aggregated[absl::StrCat("/apis ", version)] = Hashed(Aggregated(groups, version));
  }
  return documents;
}

// The version of apidiscovery.k8s.io that the client wants most, "" for the plain form; nullopt
// when it takes no JSON.
std::optional<std::string> WantedForm(absl::string_view accept) {
  for (const MediaRange& range : ParseAccept(accept)) {
    if (!range.Covers("application/json")) continue;
    const absl::string_view as = range.Parameter("as"), group = range.Parameter("g");
    if (as.empty() && group.empty()) return "";
    const absl::string_view version = range.Parameter("v");
    if (as == "APIGroupDiscoveryList" && group == "apidiscovery.k8s.io" &&
        (version == "v2" || version == "v2beta1")) {
      return std::string(version);
    }
  }
  return std::nullopt;
}

class DiscoveryHandler final : public Handler {
 public:
  explicit DiscoveryHandler(const CatalogSource& catalogs) : catalogs_(catalogs) {}

  Reply Handle(Request& request) override {
    if (request.method != "GET" && request.method != "HEAD") {
      return StatusReply(kube::GenericStatus(405,
                                             "the server does not allow this method on the "
                                             "requested resource"));
    }
    const std::shared_ptr<const Documents> documents = Current();
    std::string path = request.info.path;
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const std::optional<std::string> form = WantedForm(request.Header("accept"));
    if (form.has_value() && !form->empty()) {
      const auto found = documents->aggregated.find(absl::StrCat(path, " ", *form));
      if (found != documents->aggregated.end()) {
        return CacheableReply(request,
                              absl::StrCat("application/json;g=apidiscovery.k8s.io;v=", *form,
                                           ";as=APIGroupDiscoveryList"),
                              found->second.bytes, found->second.hash);
      }
    }
    if (!form.has_value()) {
      return StatusReply(kube::NotAcceptable(
          "only the following media types are accepted: application/json, "
          "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
    }
    if (path == "/api") return Versions(request);
    const auto found = documents->plain.find(path);
    if (found == documents->plain.end()) {
      return StatusReply(
          kube::GenericStatus(404, "the server could not find the requested resource"));
    }
    return CacheableReply(request, "application/json", found->second.bytes, found->second.hash);
  }

 private:
  std::shared_ptr<const Documents> Current() {
    const std::shared_ptr<const Catalog> catalog = catalogs_.current();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (documents_ == nullptr || generation_ != catalog->generation()) {
      documents_ = std::make_shared<const Documents>(Build(*catalog));
      generation_ = catalog->generation();
    }
    return documents_;
  }

  // The one document that names the server: as the client calls it.
  static Reply Versions(const Request& request) {
    std::string bytes;
    Writer out(&bytes);
    out.BeginObject().Key("kind").String("APIVersions").Key("versions").BeginArray().String("v1");
    out.EndArray().Key("serverAddressByClientCIDRs").BeginArray().BeginObject();
    out.Key("clientCIDR").String("0.0.0.0/0").Key("serverAddress").String(request.Header("host"));
    out.EndObject().EndArray().EndObject();
    Body body;
    body.bytes = bytes + "\n";
    return body;
  }

  const CatalogSource& catalogs_;
  std::mutex mutex_;
  uint64_t generation_ = 0;                     // guarded by mutex_
  std::shared_ptr<const Documents> documents_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Handler> NewDiscoveryHandler(const CatalogSource& catalogs) {
  return std::make_unique<DiscoveryHandler>(catalogs);
}

}  // namespace meltemi::apiserver
