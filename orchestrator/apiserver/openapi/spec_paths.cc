#include "orchestrator/apiserver/openapi/spec_paths.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

using json::Writer;

struct Parameter {
  absl::string_view name, type, description;
};

constexpr Parameter kDryRun = {"dryRun", "string", "All: everything is done but kept."};
constexpr Parameter kFieldManager = {"fieldManager", "string", "Who makes this change."};
constexpr Parameter kFieldValidation = {
    "fieldValidation", "string", "Strict, Warn or Ignore: what is done about unknown fields."};
constexpr Parameter kForce = {"force", "boolean", "An apply takes fields from other managers."};

// One verb of a resource.
struct Operation {
  absl::string_view verb;    // of the resource
  absl::string_view method;  // of HTTP, in lower case
  absl::string_view action;  // x-kubernetes-action
  absl::string_view what;
  std::vector<Parameter> parameters;
  bool has_body = false;
  bool answers_list = false;
};

const Operation& CollectionOperation(bool list) {
  static const Operation* const kList =
      new Operation{"list",
                    "get",
                    "list",
                    "list or watch objects of kind ",
                    {{"continue", "string", "Where the next page begins."},
                     {"fieldSelector", "string", "Only objects whose fields match."},
                     {"labelSelector", "string", "Only objects whose labels match."},
                     {"limit", "integer", "The size of a page."},
                     {"resourceVersion", "string", "How recent the answer must be."},
                     {"watch", "boolean", "Follow changes instead of listing."}},
                    false,
                    true};
  static const Operation* const kCreate = new Operation{
      "create", "post", "post", "create a ", {kDryRun, kFieldManager, kFieldValidation}, true};
  return list ? *kList : *kCreate;
}

const std::vector<Operation>& ItemOperations() {
  static const std::vector<Operation>* const kAll = new std::vector<Operation>{
      {"get", "get", "get", "read the specified ", {}},
      {"update",
       "put",
       "put",
       "replace the specified ",
       {kDryRun, kFieldManager, kFieldValidation},
       true},
      {"delete",
       "delete",
       "delete",
       "delete a ",
       {kDryRun,
        {"gracePeriodSeconds", "integer", "How long the object may take to end."},
        {"propagationPolicy", "string", "Orphan, Background or Foreground."}}},
      {"patch",
       "patch",
       "patch",
       "partially update the specified ",
       {kDryRun, kFieldManager, kFieldValidation, kForce},
       true},
  };
  return *kAll;
}

class PathWriter {
 public:
  PathWriter(const Resource& resource, SpecVersion version, Writer& out)
      : resource_(resource), version_(version), name_(DefinitionName(resource)), out_(out) {}

  void Write() {
    const std::string base = resource_.group.empty()
                                 ? absl::StrCat("/api/", resource_.version)
                                 : absl::StrCat("/apis/", resource_.group, "/", resource_.version);
    const std::string scoped =
        resource_.namespaced ? absl::StrCat(base, "/namespaces/{namespace}") : base;
    const std::string collection = absl::StrCat(scoped, "/", resource_.plural);
    if (resource_.namespaced && Has("list")) {
      Path(absl::StrCat(base, "/", resource_.plural), {&CollectionOperation(true)}, {});
    }
    std::vector<absl::string_view> scope;
    if (resource_.namespaced) scope.push_back("namespace");
    Path(collection, {&CollectionOperation(true), &CollectionOperation(false)}, scope);
    std::vector<const Operation*> item;
    for (const Operation& operation : ItemOperations()) item.push_back(&operation);
    scope.insert(scope.begin(), "name");
    Path(absl::StrCat(collection, "/{name}"), item, scope);
  }

 private:
  bool Has(absl::string_view verb) const {
    return std::find(resource_.verbs.begin(), resource_.verbs.end(), verb) != resource_.verbs.end();
  }
  bool IsV2() const { return version_ == SpecVersion::kV2; }

  void Path(const std::string& path, const std::vector<const Operation*>& operations,
            const std::vector<absl::string_view>& scope) {
    const bool any = std::any_of(operations.begin(), operations.end(),
                                 [this](const Operation* one) { return Has(one->verb); });
    if (!any) return;
    out_.Key(path).BeginObject();
    for (const Operation* operation : operations) {
      if (!Has(operation->verb)) continue;
      out_.Key(operation->method).BeginObject();
      WriteOperation(*operation, !scope.empty() && resource_.namespaced);
      out_.EndObject();
    }
    if (!scope.empty()) {
      out_.Key("parameters").BeginArray();
      for (const absl::string_view name : scope) {
        WriteParameter(
            {name, "string", name == "name" ? "The object's name." : "The object's namespace."},
            "path");
      }
      out_.EndArray();
    }
    out_.EndObject();
  }

  void Ref(absl::string_view name) {
    out_.Key("schema").BeginObject().Key("$ref").String(DefinitionRef(version_, name));
    out_.EndObject();
  }

  void WriteParameter(const Parameter& parameter, absl::string_view in) {
    out_.BeginObject().Key("name").String(parameter.name).Key("in").String(in);
    out_.Key("description").String(parameter.description);
    if (in == "path") out_.Key("required").Bool(true);
    if (!IsV2()) out_.Key("schema").BeginObject();
    out_.Key("type").String(parameter.type).Key("uniqueItems").Bool(true);
    if (!IsV2()) out_.EndObject();
    out_.EndObject();
  }

  void Content(absl::string_view name) {
    out_.Key("content").BeginObject().Key("application/json").BeginObject();
    Ref(name);
    out_.EndObject().EndObject();
  }

  void WriteOperation(const Operation& operation, bool in_namespace) {
    out_.Key("description").String(absl::StrCat(operation.what, resource_.kind));
    out_.Key("operationId")
        .String(absl::StrCat(operation.verb, "_", resource_.api_version(), "_",
                             in_namespace ? "namespaced_" : "", resource_.kind));
    if (IsV2()) {
      out_.Key("consumes").BeginArray().String("*/*").EndArray();
      out_.Key("produces").BeginArray().String("application/json").EndArray();
    }
    out_.Key("parameters").BeginArray();
    for (const Parameter& parameter : operation.parameters) WriteParameter(parameter, "query");
    if (operation.has_body && IsV2()) {
      out_.BeginObject().Key("name").String("body").Key("in").String("body");
      out_.Key("required").Bool(true);
      Ref(name_);
      out_.EndObject();
    }
    out_.EndArray();
    if (operation.has_body && !IsV2()) {
      out_.Key("requestBody").BeginObject().Key("required").Bool(true);
      Content(name_);
      out_.EndObject();
    }
    out_.Key("responses").BeginObject().Key("200").BeginObject();
    out_.Key("description").String("OK");
    const std::string answer = operation.answers_list ? name_ + "List" : name_;
    if (IsV2()) {
      Ref(answer);
    } else {
      Content(answer);
    }
    out_.EndObject().EndObject();
    out_.Key("x-kubernetes-action").String(operation.action);
    out_.Key("x-kubernetes-group-version-kind").BeginObject();
    out_.Key("group").String(resource_.group).Key("kind").String(resource_.kind);
    out_.Key("version").String(resource_.version).EndObject();
  }

  const Resource& resource_;
  const SpecVersion version_;
  const std::string name_;
  Writer& out_;
};

}  // namespace

void WritePaths(const Resource& resource, SpecVersion version, Writer& out) {
  if (DefinitionName(resource).empty()) return;
  PathWriter(resource, version, out).Write();
}

}  // namespace meltemi::apiserver
