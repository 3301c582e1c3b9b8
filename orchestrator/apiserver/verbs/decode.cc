#include "orchestrator/apiserver/verbs/decode.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

// What a request may nest and hold; its size is bounded by the server.
constexpr size_t kDepthMax = 100;
constexpr size_t kValuesMax = 1'000'000;
constexpr size_t kSummaryBytes = 30;

std::string CannotBeHandled(const kube::GroupVersionKind& sent, absl::string_view kind,
                            absl::string_view why) {
  return absl::StrCat(sent.kind, " in version ", kube::GoQuote(sent.version),
                      " cannot be handled as a ", kind, ": ", why);
}

kube::Status FitError(const Resource& resource, const WriteContext& context, const Value& object,
                      absl::string_view why) {
  if (!context.is_patch) {
    return kube::BadRequest(CannotBeHandled(resource.gvk(), resource.kind, why));
  }
  return kube::Invalid({}, "",
                       {kube::InvalidField(kube::FieldPath("patch"), json::ToString(object), why)});
}

// The beginning of what could not be read.
std::string Summary(absl::string_view body) {
  if (body.empty()) return "<empty>";
  const absl::string_view head = body.substr(0, kSummaryBytes);
  return absl::StrCat(body[0] == '{' ? std::string(head) : absl::BytesToHexString(head),
                      head.size() < body.size() ? " ..." : "");
}

absl::StatusOr<Value> ParseText(absl::string_view body, bool yaml,
                                std::vector<std::string>* repeated) {
  if (!yaml || absl::StartsWith(body, "{")) {
    if (body.empty()) return absl::InvalidArgumentError("unexpected end of JSON input");
    json::ParseLimits limits;
    limits.depth_max = kDepthMax;
    limits.values_max = kValuesMax;
    absl::StatusOr<Value> value = json::ParseKeepingLast(body, limits, repeated);
    // YAML's flow style looks like JSON and allows more.
    if (!yaml || value.ok()) return value;
  }
  yaml::ParseLimits limits;
  limits.depth_max = kDepthMax;
  limits.values_max = kValuesMax;
  return yaml::Parse(body, limits);
}

bool ResetsManagedFields(const Value& object) {
  const Value* entries = kube::Metadata(object).Find("managedFields");
  if (entries == nullptr || !entries->is_array()) return false;
  return entries->items().empty() ||
         (entries->items().size() == 1 && entries->items()[0].members().empty());
}

}  // namespace

kube::Result<Value> ParseBody(absl::string_view body, bool yaml, absl::string_view prefix,
                              std::vector<std::string>* repeated) {
  absl::StatusOr<Value> value = ParseText(body, yaml, repeated);
  if (value.ok()) return *std::move(value);
  return kube::BadRequest(absl::StrCat(prefix, value.status().message()));
}

kube::Result<Value> DecodeBody(const Resource& resource, const Catalog& catalog,
                               absl::string_view body, bool yaml,
                               std::vector<std::string>* repeated) {
  absl::StatusOr<Value> parsed = ParseText(body, yaml, repeated);
  if (parsed.ok() && !parsed->is_object()) {
    parsed = absl::InvalidArgumentError(
        absl::StrCat("json: cannot unmarshal ", parsed->KindName(), " into an object"));
  }
  if (!parsed.ok()) {
    return kube::BadRequest(
        absl::StrCat("the object provided is unrecognized (must be of type ", resource.kind,
                     "): couldn't get version/kind; json parse error: ", parsed.status().message(),
                     " (", Summary(body), ")"));
  }
  Value object = *std::move(parsed);
  const absl::string_view sent_version = object.FindString("apiVersion");
  const absl::string_view sent_kind = object.FindString("kind");
  const std::string api_version(sent_version.empty() ? resource.api_version() : sent_version);
  const std::string kind(sent_kind.empty() ? resource.kind : sent_kind);
  if (api_version == resource.api_version() && kind == resource.kind) return object;
  object.Set("apiVersion", Value::String(api_version));
  object.Set("kind", Value::String(kind));
  const kube::GroupVersionKind sent = kube::KindOf(object);
  const Resource* other = catalog.FindKind(sent);
  if (other == nullptr && !resource.custom) {
    return kube::BadRequest(
        CannotBeHandled(sent, resource.kind,
                        absl::StrCat("no kind ", kube::GoQuote(sent.kind),
                                     " is registered for version ", kube::GoQuote(api_version),
                                     " in scheme \"pkg/api/legacyscheme/scheme.go:30\"")));
  }
  if (kind != resource.kind) {
    return kube::BadRequest(
        CannotBeHandled(sent, resource.kind,
                        absl::StrCat("converting (", sent.version, ".", sent.kind, ") to (",
                                     resource.group.empty() ? "core" : resource.group, ".",
                                     resource.kind, "): unknown conversion")));
  }
  return kube::BadRequest(absl::StrCat("the API version in the data (", api_version,
                                       ") does not match the expected API version (",
                                       resource.api_version(), ")"));
}

void ApplyAllDefaults(const Resource& resource, Value& object) {
  if (resource.schema != nullptr) ApplyDefaults(*resource.schema, object);
  if (resource.strategy != nullptr) resource.strategy->Default(resource, object);
}

kube::Outcome FitToSchema(const Resource& resource, WriteContext& context, Value& object) {
  if (!object.is_object()) {
    return FitError(resource, context, object,
                    absl::StrCat("it is ", object.KindName(), ", not an object"));
  }
  object.Set("apiVersion", Value::String(resource.api_version()));
  object.Set("kind", Value::String(resource.kind));
  if (resource.schema != nullptr) {
    const std::string mismatch = CheckTypes(*resource.schema, object);
    if (!mismatch.empty()) return FitError(resource, context, object, mismatch);
    std::vector<std::string> unknown = Prune(*resource.schema, object);
    for (std::string& path : unknown) path = absl::StrCat("unknown field \"", path, "\"");
    for (const std::string& path : context.repeated_keys) {
      unknown.push_back(absl::StrCat("duplicate field \"", path, "\""));
    }
    if (!unknown.empty() && context.field_validation != "Ignore") {
      if (context.field_validation == "Strict") {
        return FitError(resource, context, object,
                        absl::StrCat("strict decoding error: ", absl::StrJoin(unknown, ", ")));
      }
      context.warnings.insert(context.warnings.end(), unknown.begin(), unknown.end());
    }
    // An empty list is a wish here: to forget who manages what.
    const bool resets = ResetsManagedFields(object);
    DropEmpty(*resource.schema, object);
    if (resets) kube::MutableMetadata(object).Set("managedFields", Value::Array());
  }
  kube::MutableMetadata(object);
  ApplyAllDefaults(resource, object);
  return kube::Done{};
}

kube::Outcome CheckObjectName(absl::string_view object_name, absl::string_view asked_name) {
  if (object_name.empty()) {
    return kube::BadRequest(
        absl::StrCat("the name of the object (", asked_name,
                     " based on URL) was undeterminable: name must be provided"));
  }
  if (object_name != asked_name) {
    return kube::BadRequest(absl::StrCat("the name of the object (", object_name,
                                         ") does not match the name on the URL (", asked_name,
                                         ")"));
  }
  return kube::Done{};
}

}  // namespace meltemi::apiserver
