#include "orchestrator/apiserver/openapi/openapi.h"

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/openapi/accept.h"
#include "orchestrator/apiserver/openapi/etag.h"
#include "orchestrator/apiserver/openapi/gnostic.h"
#include "orchestrator/apiserver/openapi/spec_paths.h"
#include "orchestrator/apiserver/openapi/spec_schemas.h"

namespace meltemi::apiserver {
namespace {

using json::Writer;

constexpr absl::string_view kVersion = "v1.32.0+meltemi";
constexpr absl::string_view kV2Protobuf =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
// What it was called before "@" turned out not to be allowed in media types.
constexpr absl::string_view kV2ProtobufOld =
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
constexpr absl::string_view kJson = "application/json";

struct Document {
  std::string bytes, hash;
};

void WriteHead(absl::string_view key, absl::string_view version, Writer& out) {
  out.Key(key).String(version).Key("info").BeginObject().Key("title").String("Kubernetes");
  out.Key("version").String(kVersion).EndObject();
}

std::string V2Json(const Catalog& catalog) {
  std::string bytes;
  Writer out(&bytes);
  SpecSchemas schemas(SpecVersion::kV2);
  out.BeginObject();
  WriteHead("swagger", "2.0", out);
  out.Key("paths").BeginObject();
  for (const GroupVersion& gv : catalog.group_versions()) {
    for (const auto& resource : gv.resources) {
      schemas.Add(*resource);
      WritePaths(*resource, SpecVersion::kV2, out);
    }
  }
  out.EndObject().Key("definitions");
  schemas.Write(out);
  out.EndObject();
  return bytes;
}

std::string V3Json(const GroupVersion& gv) {
  std::string bytes;
  Writer out(&bytes);
  SpecSchemas schemas(SpecVersion::kV3);
  out.BeginObject();
  WriteHead("openapi", "3.0.0", out);
  out.Key("paths").BeginObject();
  for (const auto& resource : gv.resources) {
    schemas.Add(*resource);
    WritePaths(*resource, SpecVersion::kV3, out);
  }
  out.EndObject().Key("components").BeginObject().Key("schemas");
  schemas.Write(out);
  out.EndObject().EndObject();
  return bytes;
}

// "api/v1", "apis/apps/v1".
std::string NameOf(const GroupVersion& gv) {
  return gv.group.empty() ? absl::StrCat("api/", gv.version)
                          : absl::StrCat("apis/", gv.group, "/", gv.version);
}

class OpenApiHandler final : public Handler {
 public:
  explicit OpenApiHandler(const CatalogSource& catalogs) : catalogs_(catalogs) {}

  Reply Handle(Request& request) override {
    absl::string_view path = request.info.path;
    path = absl::StripSuffix(path, "/");
    const std::shared_ptr<const Catalog> catalog = catalogs_.current();
    if (path == "/openapi/v2") return V2(request, *catalog);
    if (path == "/openapi/v3") return Index(request, *catalog);
    if (absl::ConsumePrefix(&path, "/openapi/v3/")) {
      return V3(request, *catalog, std::string(path));
    }
    return NotThere();
  }

 private:
  static Reply NotThere() {
    return StatusReply(
        kube::GenericStatus(404, "the server could not find the requested resource"));
  }

  static Reply NotAcceptable() {
    Body body;
    body.code = 406;
    return body;
  }

  // Documents of older catalogs are forgotten. Called with mutex_ held.
  void Renew(const Catalog& catalog) {
    if (generation_ == catalog.generation()) return;
    generation_ = catalog.generation();
    v2_json_ = v2_protobuf_ = index_ = Document();
    v3_.clear();
  }

  Reply V2(const Request& request, const Catalog& catalog) {
    bool protobuf = false, found = false;
    for (const MediaRange& range : ParseAccept(request.Header("accept"))) {
      protobuf = range.type == kV2Protobuf || range.type == kV2ProtobufOld;
      found = protobuf || range.Covers(kJson);
      if (found) break;
    }
    if (!found) return NotAcceptable();
    const std::lock_guard<std::mutex> lock(mutex_);
    Renew(catalog);
    if (v2_json_.bytes.empty()) {
      v2_json_.bytes = V2Json(catalog);
      v2_json_.hash = ContentHash(v2_json_.bytes);
    }
    if (!protobuf) return CacheableReply(request, kJson, v2_json_.bytes, v2_json_.hash);
    if (v2_protobuf_.bytes.empty()) {
      const auto tree = json::Parse(v2_json_.bytes);
      if (!tree.ok()) return StatusReply(kube::InternalError(tree.status().message()));
      v2_protobuf_.bytes = EncodeGnosticV2(*tree);
      v2_protobuf_.hash = ContentHash(v2_protobuf_.bytes);
    }
    return CacheableReply(request, kV2Protobuf, v2_protobuf_.bytes, v2_protobuf_.hash);
  }

  // Called with mutex_ held.
  void MakeIndex(const Catalog& catalog) {
    if (!index_.bytes.empty()) return;
    Writer out(&index_.bytes);
    out.BeginObject().Key("paths").BeginObject();
    for (const GroupVersion& gv : catalog.group_versions()) {
      const std::string name = NameOf(gv);
      // The documents themselves are made again when they are asked for: most never are.
      const std::string hash = ContentHash(V3Json(gv));
      out.Key(name).BeginObject().Key("serverRelativeURL");
      out.String(absl::StrCat("/openapi/v3/", name, "?hash=", hash)).EndObject();
    }
    out.EndObject().EndObject();
    index_.hash = ContentHash(index_.bytes);
  }

  Reply Index(const Request& request, const Catalog& catalog) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Renew(catalog);
    MakeIndex(catalog);
    return CacheableReply(request, kJson, index_.bytes, index_.hash);
  }

  Reply V3(const Request& request, const Catalog& catalog, const std::string& name) {
    const GroupVersion* found = nullptr;
    for (const GroupVersion& gv : catalog.group_versions()) {
      if (NameOf(gv) == name) found = &gv;
    }
    if (found == nullptr) return NotThere();
    bool json = false;
    for (const MediaRange& range : ParseAccept(request.Header("accept"))) {
      json |= range.Covers(kJson);
    }
    if (!json) return NotAcceptable();
    const std::lock_guard<std::mutex> lock(mutex_);
    Renew(catalog);
    Document& document = v3_[name];
    if (document.bytes.empty()) {
      document.bytes = V3Json(*found);
      document.hash = ContentHash(document.bytes);
    }
    const std::optional<std::string> hash = request.query.Get("hash");
    if (hash.has_value() && *hash != document.hash) {
      Body moved;
      moved.code = 301;
      moved.fields = {{"location", absl::StrCat("/openapi/v3/", name, "?hash=", document.hash)}};
      return moved;
    }
    Reply reply = CacheableReply(request, kJson, document.bytes, document.hash);
    if (hash.has_value()) {
      // The address changes with the content: clients need never ask again.
      for (auto& [field, value] : std::get<Body>(reply).fields) {
        if (field == "cache-control") value = "public, immutable";
      }
    }
    return reply;
  }

  const CatalogSource& catalogs_;
  // All below is guarded by mutex_.
  std::mutex mutex_;
  uint64_t generation_ = 0;
  Document v2_json_, v2_protobuf_, index_;
  std::map<std::string, Document> v3_;
};

}  // namespace

std::unique_ptr<Handler> NewOpenApiHandler(const CatalogSource& catalogs) {
  return std::make_unique<OpenApiHandler>(catalogs);
}

}  // namespace meltemi::apiserver
