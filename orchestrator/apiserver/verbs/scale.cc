// The scale subresource: autoscaling/v1 Scale, made of whatever fields the kind keeps its replicas
// in. Source: k8s.io/kubernetes/pkg/registry/apps/deployment/storage.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr absl::string_view kScaleVersion = "autoscaling/v1";

// A selector as kubectl prints it. Kinds have a metav1.LabelSelector, a plain map of labels
// (ReplicationController) or the text itself (custom resources).
std::string SelectorText(const Value* selector) {
  if (selector == nullptr) return "";
  if (selector->is_string()) return selector->text();
  if (selector->Find("matchLabels") != nullptr || selector->Find("matchExpressions") != nullptr) {
    const absl::StatusOr<kube::LabelSelector> parsed = kube::LabelSelector::FromJson(selector);
    return parsed.ok() ? parsed->ToString() : "";
  }
  std::vector<std::string> labels;
  for (const json::Member& label : selector->members()) {
    labels.push_back(absl::StrCat(label.key, "=", label.value.text()));
  }
  std::sort(labels.begin(), labels.end());
  return absl::StrJoin(labels, ",");
}

Value ScaleOf(const Resource& resource, const Value& object) {
  const ScaleSubresource& paths = *resource.scale;
  Value scale = Value::Object();
  scale.Add("kind", Value::String("Scale"));
  scale.Add("apiVersion", Value::String(std::string(kScaleVersion)));
  Value& metadata = scale.Add("metadata", Value::Object());
  for (const absl::string_view key :
       {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (const Value* value = kube::Metadata(object).Find(key)) {
      metadata.Add(std::string(key), Value(*value));
    }
  }
  Value& spec = scale.Add("spec", Value::Object());
  const int64_t wanted = kube::IntAt(object, paths.spec_replicas_path, 0);
  if (wanted != 0) spec.Add("replicas", Value::Int(wanted));
  Value& status = scale.Add("status", Value::Object());
  status.Add("replicas", Value::Int(kube::IntAt(object, paths.status_replicas_path, 0)));
  if (!paths.label_selector_path.empty()) {
    const std::string text = SelectorText(kube::At(object, paths.label_selector_path));
    if (!text.empty()) status.Add("selector", Value::String(text));
  }
  return scale;
}

void SetAt(absl::string_view dotted_path, Value value, Value& object) {
  const std::vector<absl::string_view> steps = absl::StrSplit(dotted_path, '.');
  Value* at = &object;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    at = &at->MutableObject(steps[i]);
    if (!at->is_object()) *at = Value::Object();
  }
  at->Set(steps.back(), std::move(value));
}

kube::Outcome CheckScale(const Call& call, const Value& current, const Value& scale) {
  const Resource& resource = call.resource;
  if (!scale.is_object()) return kube::BadRequest("expected input object type to be Scale");
  if (scale.FindString("kind") != "Scale" || scale.FindString("apiVersion") != kScaleVersion) {
    return kube::BadRequest(
        absl::StrCat("wrong object passed to Scale update: ", scale.FindString("apiVersion"),
                     ", Kind=", scale.FindString("kind")));
  }
  if (kube::Outcome named = CheckObjectName(kube::Name(scale), call.name); !named.ok()) {
    return named;
  }
  const absl::string_view uid = kube::Uid(scale);
  if (!uid.empty() && uid != kube::Uid(current)) {
    return kube::Conflict(resource.group_resource(), call.name,
                          absl::StrCat("Precondition failed: UID in precondition: ", uid,
                                       ", UID in object meta: ", kube::Uid(current)));
  }
  const Value* replicas = scale.Find("spec", "replicas");
  const std::optional<int64_t> number =
      replicas == nullptr ? std::make_optional<int64_t>(0) : replicas->AsInt64();
  if (!number.has_value()) {
    return kube::BadRequest(
        "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal into Go "
        "struct field ScaleSpec.spec.replicas of type int32");
  }
  if (*number < 0) {
    return kube::Invalid({"autoscaling", "v1", "Scale"}, call.name,
                         {kube::InvalidField(kube::FieldPath("spec.replicas"), *number,
                                             "must be greater than or equal to 0")});
  }
  return kube::Done{};
}

}  // namespace

Reply ResourceHandler::UpdateScale(
    Call& call, WriteContext& context,
    const std::function<kube::Result<Value>(const Value& scale)>& change) {
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  if (!representation.ok()) return StatusReply(representation.status());
  const UpdateFunction update = [&](const Value& current, bool) -> kube::Result<Value> {
    kube::Result<Value> scale = change(ScaleOf(call.resource, current));
    if (!scale.ok()) return scale;
    if (kube::Outcome fits = CheckScale(call, current, *scale); !fits.ok()) return fits.status();
    Value next = current;
    const int64_t replicas = kube::IntAt(*scale, "spec.replicas", 0);
    SetAt(call.resource.scale->spec_replicas_path, Value::Int(replicas), next);
    const absl::string_view version = kube::ResourceVersion(*scale);
    if (!version.empty()) {
      kube::MutableMetadata(next).Set("resourceVersion", Value::String(std::string(version)));
    }
    return next;
  };
  const kube::Result<Written> written =
      deps_.objects.Update(call.resource, call.ns, call.name, update, false, context);
  PassWarnings(context, call.request);
  if (!written.ok()) return StatusReply(written.status());
  return TreeReply(200, ScaleOf(call.resource, written->object), *representation);
}

Reply ResourceHandler::Scale(Call& call) {
  const std::string& verb = call.request.info.verb;
  if (verb == "get") {
    const kube::Result<Representation> representation = NegotiateAnswer(call.request);
    if (!representation.ok()) return StatusReply(representation.status());
    const kube::Result<Value> object = deps_.objects.Get(call.resource, call.ns, call.name);
    if (!object.ok()) return StatusReply(object.status());
    return TreeReply(200, ScaleOf(call.resource, *object), *representation);
  }
  if (verb != "update" && verb != "patch") return StatusReply(kube::GenericStatus(405, ""));
  const bool patches = verb == "patch";
  const std::string type = MediaTypeOf(call.request.Header("content-type"));
  const bool json_patch = type == "application/json-patch+json";
  const bool apply = type == "application/apply-patch+yaml";
  if (patches && !json_patch && !apply && type != "application/merge-patch+json" &&
      type != "application/strategic-merge-patch+json") {
    return StatusReply(UnsupportedMedia(
        {"application/json-patch+json", "application/merge-patch+json",
         "application/strategic-merge-patch+json", "application/apply-patch+yaml"}));
  }
  const kube::Result<WriteOptions> options =
      ParseWriteOptions(call.request, patches ? "PatchOptions" : "UpdateOptions", apply);
  if (!options.ok()) return StatusReply(options.status());
  kube::Result<bool> yaml = apply;
  if (!patches) yaml = BodyIsYaml(call.request);
  if (!yaml.ok()) return StatusReply(yaml.status());
  const kube::Result<Value> body =
      ParseBody(call.request.body, *yaml, "couldn't get version/kind; json parse error: ", nullptr);
  if (!body.ok()) return StatusReply(body.status());
  WriteContext context = ContextOf(call.request, *options);
  return UpdateScale(call, context, [&](const Value& scale) -> kube::Result<Value> {
    if (!patches) return Value(*body);
    if (json_patch) return ApplyJsonPatch(scale, *body);
    // A Scale has no lists: merging it is the same in all ways.
    return ApplyMergePatch(scale, *body);
  });
}

}  // namespace meltemi::apiserver
