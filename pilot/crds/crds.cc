#include "pilot/crds/crds.h"

#include <google/protobuf/message.h>

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "base/yaml/write.h"
#include "pilot/crds/schema.h"
#include "pilot/ingest/decode/kinds.h"

namespace meltemi::pilot {
namespace {

using json::Value;

struct Column {
  absl::string_view name;
  absl::string_view path;
  absl::string_view description;
  absl::string_view type = "string";
};

// What kubectl shows and takes, as users of Istio know it.
struct Names {
  Kind kind;
  absl::string_view plural;
  absl::string_view short_name;  // empty: none
  std::vector<Column> columns;
};

std::vector<Names> AllNames() {
  const Column age = {"Age", ".metadata.creationTimestamp", "When the object was created.", "date"};
  return {
      {Kind::kVirtualService,
       "virtualservices",
       "vs",
       {{"Gateways", ".spec.gateways", "Gateways and sidecars that these routes apply to."},
        {"Hosts", ".spec.hosts", "Hosts to which traffic is routed."},
        age}},
      {Kind::kDestinationRule,
       "destinationrules",
       "dr",
       {{"Host", ".spec.host", "The service that the rule is for."}, age}},
      {Kind::kGateway, "gateways", "gw", {}},
      {Kind::kServiceEntry,
       "serviceentries",
       "se",
       {{"Hosts", ".spec.hosts", "Hosts of the entry."},
        {"Location", ".spec.location", "Outside or inside the mesh."},
        {"Resolution", ".spec.resolution", "How its addresses are found."},
        age}},
      {Kind::kWorkloadEntry,
       "workloadentries",
       "we",
       {age, {"Address", ".spec.address", "Address of the workload."}}},
      {Kind::kSidecar, "sidecars", "", {}},
      {Kind::kPeerAuthentication,
       "peerauthentications",
       "pa",
       {{"Mode", ".spec.mtls.mode", "Whether mutual TLS is asked for."}, age}},
      {Kind::kAuthorizationPolicy,
       "authorizationpolicies",
       "ap",
       {{"Action", ".spec.action", "What becomes of requests that match."}, age}},
  };
}

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value TypedText(absl::string_view type) {
  Value out = Value::Object();
  out.Add("type", Text(type));
  return out;
}

// Conditions as pilot writes them; what others write there stays.
Value StatusSchema() {
  Value condition = TypedText("object");
  Value& members = condition.Add("properties", Value::Object());
  for (const char* name : {"lastProbeTime", "lastTransitionTime"}) {
    members.Add(name, TypedText("string")).Add("format", Text("date-time"));
  }
  for (const char* name : {"message", "reason", "status", "type"}) {
    members.Add(name, TypedText("string"));
  }
  members.Add("observedGeneration", TypedText("integer")).Add("format", Text("int64"));
  condition.Add("x-kubernetes-preserve-unknown-fields", Value::Bool(true));

  Value status = TypedText("object");
  Value& properties = status.Add("properties", Value::Object());
  properties.Add("conditions", TypedText("array")).Add("items", std::move(condition));
  Value& generation = properties.Add("observedGeneration", Value::Object());
  generation.Add("x-kubernetes-int-or-string", Value::Bool(true));
  status.Add("x-kubernetes-preserve-unknown-fields", Value::Bool(true));
  return status;
}

Value ObjectSchema(const KindInfo& info) {
  const std::unique_ptr<google::protobuf::Message> spec = NewSpec(info.kind);
  Value schema = TypedText("object");
  Value& properties = schema.Add("properties", Value::Object());
  properties.Add("spec", SchemaOf(*spec->GetDescriptor()));
  properties.Add("status", StatusSchema());
  return schema;
}

Value Columns(const std::vector<Column>& columns) {
  Value out = Value::Array();
  for (const Column& column : columns) {
    Value& to = out.Append(Value::Object());
    to.Add("description", Text(column.description));
    to.Add("jsonPath", Text(column.path));
    to.Add("name", Text(column.name));
    to.Add("type", Text(column.type));
  }
  return out;
}

Value Versions(const KindInfo& info, const Names& names) {
  Value out = Value::Array();
  for (const absl::string_view name : info.versions) {
    if (name.empty()) continue;
    const bool first = out.items().empty();
    Value& version = out.Append(Value::Object());
    if (!names.columns.empty()) {
      version.Add("additionalPrinterColumns", Columns(names.columns));
    }
    version.Add("name", Text(name));
    version.Add("schema", Value::Object()).Add("openAPIV3Schema", ObjectSchema(info));
    version.Add("served", Value::Bool(true));
    version.Add("storage", Value::Bool(first));
    version.Add("subresources", Value::Object()).Add("status", Value::Object());
  }
  return out;
}

Value Definition(const KindInfo& info, const Names& names) {
  const absl::string_view kind = KindName(info.kind);
  Value out = Value::Object();
  out.Add("apiVersion", Text("apiextensions.k8s.io/v1"));
  out.Add("kind", Text("CustomResourceDefinition"));
  Value& meta = out.Add("metadata", Value::Object());
  meta.Add("labels", Value::Object()).Add("app.kubernetes.io/part-of", Text("meltemi"));
  meta.Add("name", Text(absl::StrCat(names.plural, ".", info.group)));
  Value& spec = out.Add("spec", Value::Object());
  spec.Add("group", Text(info.group));
  Value& words = spec.Add("names", Value::Object());
  Value& categories = words.Add("categories", Value::Array());
  categories.Append(Text("istio-io"));
  categories.Append(Text(absl::StrReplaceAll(info.group, {{".", "-"}})));
  words.Add("kind", Text(kind));
  words.Add("listKind", Text(absl::StrCat(kind, "List")));
  words.Add("plural", Text(names.plural));
  if (!names.short_name.empty()) {
    words.Add("shortNames", Value::Array()).Append(Text(names.short_name));
  }
  words.Add("singular", Text(absl::AsciiStrToLower(kind)));
  spec.Add("scope", Text("Namespaced"));
  spec.Add("versions", Versions(info, names));
  return out;
}

}  // namespace

std::vector<Value> CrdObjects() {
  std::vector<Value> out;
  for (const Names& names : AllNames()) {
    for (const KindInfo& info : AllKinds()) {
      if (info.kind == names.kind) out.push_back(Definition(info, names));
    }
  }
  return out;
}

std::string CrdManifests() {
  std::string out;
  for (const Value& definition : CrdObjects()) {
    absl::StrAppend(&out, "---\n", yaml::ToYaml(definition));
  }
  return out;
}

}  // namespace meltemi::pilot
