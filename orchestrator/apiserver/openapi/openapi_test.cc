#include "orchestrator/apiserver/openapi/openapi.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/crd/catalog.h"
#include "orchestrator/apiserver/schema/from_openapi.h"
#include "orchestrator/apiserver/schema/from_proto.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

class Source final : public CatalogSource {
 public:
  std::shared_ptr<const Catalog> current() const override { return catalog; }
  std::shared_ptr<const Catalog> catalog;
};

// The built-in kinds and one custom one.
class OpenApiTest : public testing::Test {
 protected:
  OpenApiTest() : schemas_(arena_) {
    for (const ResourceOption& option : schemas_.resources()) {
      auto resource = std::make_shared<Resource>();
      resource->group = option.group;
      resource->version = option.version;
      resource->plural = option.plural;
      resource->kind = option.kind;
      resource->namespaced = option.namespaced;
      resource->verbs = option.verbs;
      resource->schema = option.schema;
      resources_.push_back(std::move(resource));
    }
    auto widget = std::make_shared<Resource>();
    widget->group = "example.com";
    widget->version = "v1";
    widget->plural = "widgets";
    widget->kind = "Widget";
    widget->verbs = {"create", "get", "list", "patch"};
    widget->custom = true;
    widget->schema = CompileOpenApi(*json::Parse(R"({"type":"object","description":"A widget.",
        "required":["spec"],"properties":{"spec":{"type":"object","properties":{
        "size":{"type":"integer","default":1,"minimum":1},
        "port":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
        "note":{"type":"string","nullable":true}}}}})"),
                                    arena_);
    resources_.push_back(std::move(widget));
    source_.catalog = NewCatalog(resources_);
    handler_ = NewOpenApiHandler(source_);
  }

  Body Get(const std::string& path, const std::string& accept = "application/json",
           const std::string& query = "") {
    Request request;
    request.method = "GET";
    request.info.path = path;
    request.query = Query::Parse(query);
    request.headers = {{"accept", accept}};
    return std::get<Body>(handler_->Handle(request));
  }
  Value Tree(const std::string& path) {
    const Body body = Get(path);
    EXPECT_EQ(body.code, 200) << path;
    const auto tree = json::Parse(body.bytes);
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? *tree : Value();
  }
  // Every "$ref" names something that is there.
  static void CheckRefs(const Value& value, const std::string& prefix, const Value& definitions) {
    const absl::string_view ref = value.FindString("$ref");
    if (!ref.empty()) {
      ASSERT_EQ(ref.substr(0, prefix.size()), prefix);
      EXPECT_NE(definitions.Find(ref.substr(prefix.size())), nullptr) << ref;
    }
    for (const Value& item : value.items()) CheckRefs(item, prefix, definitions);
    for (const json::Member& member : value.members()) {
      CheckRefs(member.value, prefix, definitions);
    }
  }

  SchemaArena arena_;
  KubeSchemas schemas_;
  std::vector<std::shared_ptr<const Resource>> resources_;
  Source source_;
  std::unique_ptr<Handler> handler_;
};

TEST_F(OpenApiTest, Version2DescribesEverything) {
  const Value document = Tree("/openapi/v2");
  EXPECT_EQ(document.FindString("swagger"), "2.0");
  const Value& definitions = *document.Find("definitions");
  CheckRefs(document, "#/definitions/", definitions);
  const Value& deployment = *definitions.Find("io.k8s.api.apps.v1.Deployment");
  EXPECT_EQ(json::ToString(*deployment.Find("x-kubernetes-group-version-kind")),
            R"([{"group":"apps","kind":"Deployment","version":"v1"}])");
  const Value& containers =
      *definitions.Find("io.k8s.api.core.v1.PodSpec", "properties", "containers");
  EXPECT_EQ(containers.FindString("x-kubernetes-patch-merge-key"), "name");
  EXPECT_EQ(containers.FindString("x-kubernetes-patch-strategy"), "merge");
  EXPECT_EQ(containers.FindString("x-kubernetes-list-type"), "map");
  const Value& port = *definitions.Find("io.k8s.apimachinery.pkg.util.intstr.IntOrString");
  EXPECT_EQ(port.FindString("type"), "string");
  EXPECT_EQ(port.FindString("format"), "int-or-string");
  const Value* patch =
      document.Find("paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch");
  ASSERT_NE(patch, nullptr);
  EXPECT_EQ(patch->Find("x-kubernetes-group-version-kind")->FindString("kind"), "Deployment");
  EXPECT_EQ(patch->Find("parameters")->items()[0].FindString("name"), "dryRun");
}

TEST_F(OpenApiTest, Version2ShowsCustomResourcesAsOlderClientsTakeThem) {
  const Value document = Tree("/openapi/v2");
  const Value& widget = *document.Find("definitions", "com.example.v1.Widget");
  EXPECT_EQ(json::ToString(*widget.Find("properties", "spec", "properties")),
            R"({"size":{"type":"integer","minimum":1},"port":{"x-kubernetes-int-or-string":true},)"
            R"("note":{}})");
  EXPECT_EQ(widget.Find("properties", "metadata")->FindString("$ref"),
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  EXPECT_EQ(json::ToString(*widget.Find("required")), R"(["spec"])");
}

TEST_F(OpenApiTest, Version3HasADocumentPerGroupVersion) {
  const Value index = Tree("/openapi/v3");
  for (const json::Member& entry : index.Find("paths")->members()) {
    const Value document = Tree("/openapi/v3/" + entry.key);
    EXPECT_EQ(document.FindString("openapi"), "3.0.0");
    CheckRefs(document, "#/components/schemas/", *document.Find("components", "schemas"));
  }
  const Value apps = Tree("/openapi/v3/apis/apps/v1");
  const Value& properties =
      *apps.Find("components", "schemas", "io.k8s.api.apps.v1.Deployment", "properties");
  EXPECT_EQ(properties.Find("spec", "allOf")->items()[0].FindString("$ref"),
            "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec");
  const Value* quantity =
      apps.Find("components", "schemas", "io.k8s.apimachinery.pkg.api.resource.Quantity");
  ASSERT_NE(quantity, nullptr);
  EXPECT_EQ(json::ToString(*quantity->Find("oneOf")), R"([{"type":"string"},{"type":"number"}])");
  const Value* get = apps.Find("paths", "/apis/apps/v1/namespaces/{namespace}/deployments", "get");
  ASSERT_NE(get, nullptr);
  EXPECT_EQ(get->Find("x-kubernetes-group-version-kind")->FindString("kind"), "Deployment");
  const Value custom = Tree("/openapi/v3/apis/example.com/v1");
  const Value& size = *custom.Find("components", "schemas", "com.example.v1.Widget", "properties",
                                   "spec", "properties", "size");
  EXPECT_EQ(json::ToString(size), R"({"type":"integer","default":1,"minimum":1})");
}

TEST_F(OpenApiTest, AddressesCarryTheHashOfTheContent) {
  const Value index = Tree("/openapi/v3");
  const std::string url(index.Find("paths", "apis/apps/v1")->FindString("serverRelativeURL"));
  const std::string hash = url.substr(url.find("hash=") + 5);
  const Body body = Get("/openapi/v3/apis/apps/v1", "application/json", "hash=" + hash);
  EXPECT_EQ(body.code, 200);
  std::map<std::string, std::string> fields(body.fields.begin(), body.fields.end());
  EXPECT_EQ(fields["cache-control"], "public, immutable");
  const Body moved = Get("/openapi/v3/apis/apps/v1", "application/json", "hash=OLD");
  EXPECT_EQ(moved.code, 301);
  EXPECT_EQ(moved.fields[0].second, url);
  EXPECT_EQ(Get("/openapi/v3/apis/nothing/v1").code, 404);
  EXPECT_EQ(Get("/openapi/v3/apis/apps/v1", "text/html").code, 406);
  EXPECT_EQ(Get("/openapi/v2", "text/html").code, 406);
}

TEST_F(OpenApiTest, DocumentsFollowTheCatalog) {
  EXPECT_EQ(Get("/openapi/v3/apis/example.com/v1").code, 200);
  resources_.pop_back();
  source_.catalog = NewCatalog(resources_, 2);
  EXPECT_EQ(Get("/openapi/v3/apis/example.com/v1").code, 404);
  EXPECT_EQ(Tree("/openapi/v2").Find("definitions", "com.example.v1.Widget"), nullptr);
}

// Fields of one message: number and payload, in order. Only what gnostic uses here.
std::vector<std::pair<uint64_t, std::string>> Decode(absl::string_view bytes) {
  std::vector<std::pair<uint64_t, std::string>> fields;
  const auto varint = [&bytes] {
    uint64_t value = 0;
    for (int shift = 0; !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (!bytes.empty()) {
    const uint64_t tag = varint();
    std::string payload;
    if (tag % 8 == 0) payload = std::to_string(varint());
    const size_t size = tag % 8 == 1 ? 8 : tag % 8 == 2 ? varint() : 0;
    EXPECT_LE(size, bytes.size());
    payload += std::string(bytes.substr(0, size));
    bytes.remove_prefix(std::min(size, bytes.size()));
    fields.emplace_back(tag / 8, std::move(payload));
  }
  return fields;
}

std::string Field(absl::string_view message, uint64_t number) {
  for (const auto& [field, payload] : Decode(message)) {
    if (field == number) return payload;
  }
  return "";
}

// The value of the entry with this name in a list of named messages.
std::string Named(absl::string_view message, uint64_t list, absl::string_view name) {
  for (const auto& [field, payload] : Decode(message)) {
    if (field == list && Field(payload, 1) == name) return Field(payload, 2);
  }
  return "";
}

TEST_F(OpenApiTest, ProtobufHoldsTheSame) {
  const Body body =
      Get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
  EXPECT_EQ(body.content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  EXPECT_EQ(Field(body.bytes, 1), "2.0");
  EXPECT_EQ(Field(Field(body.bytes, 2), 1), "Kubernetes");
  const std::string deployment = Named(Field(body.bytes, 9), 1, "io.k8s.api.apps.v1.Deployment");
  EXPECT_EQ(Field(Named(Field(deployment, 25), 1, "spec"), 1),
            "#/definitions/io.k8s.api.apps.v1.DeploymentSpec");
  EXPECT_EQ(Field(Field(deployment, 22), 1), "object");
  EXPECT_EQ(Field(Named(deployment, 31, "x-kubernetes-group-version-kind"), 2),
            "[{\"group\":\"apps\",\"kind\":\"Deployment\",\"version\":\"v1\"}]\n");
  const std::string path =
      Named(Field(body.bytes, 8), 2, "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
  const std::string patch = Field(path, 8);
  EXPECT_EQ(Field(Named(patch, 13, "x-kubernetes-action"), 2), "\"patch\"\n");
  // parameters[0].parameter.non_body_parameter.query_parameter_sub_schema.name
  EXPECT_EQ(Field(Field(Field(Field(Field(patch, 8), 1), 2), 3), 4), "dryRun");
  const std::string widget = Named(Field(body.bytes, 9), 1, "com.example.v1.Widget");
  EXPECT_EQ(Field(widget, 19), "spec");
}

}  // namespace
}  // namespace meltemi::apiserver
