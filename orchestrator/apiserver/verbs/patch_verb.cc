#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr absl::string_view kJsonPatch = "application/json-patch+json";
constexpr absl::string_view kMergePatch = "application/merge-patch+json";
constexpr absl::string_view kStrategicPatch = "application/strategic-merge-patch+json";
constexpr absl::string_view kApplyPatch = "application/apply-patch+yaml";

kube::Result<std::string> PatchType(const Call& call) {
  std::string type = MediaTypeOf(call.request.Header("content-type"));
  // Only built-in kinds have what strategic merge needs: Kubernetes refuses it for the others.
  const bool strategic = !call.resource.custom;
  if (type == kJsonPatch || type == kMergePatch || type == kApplyPatch ||
      (strategic && type == kStrategicPatch)) {
    return type;
  }
  std::vector<std::string> supported = {std::string(kJsonPatch), std::string(kMergePatch)};
  if (strategic) supported.emplace_back(kStrategicPatch);
  supported.emplace_back(kApplyPatch);
  return UnsupportedMedia(supported);
}

// The object as a client sees it, which is what patches are written against.
Value AsSeen(const Resource& resource, Value object) {
  if (resource.schema != nullptr) AddEmpty(*resource.schema, object);
  return object;
}

kube::Result<Value> Patched(const Resource& resource, absl::string_view type, const Value& current,
                            const Value& patch) {
  if (type == kJsonPatch) return ApplyJsonPatch(AsSeen(resource, current), patch);
  if (type == kMergePatch) return ApplyMergePatch(AsSeen(resource, current), patch);
  return ApplyStrategicMerge(*resource.schema, current, patch);
}

// What must hold of an applied configuration before it is looked into (Apply does that).
kube::Outcome CheckApplied(const Call& call, const Value& applied) {
  if (!applied.is_object()) {
    return kube::BadRequest("error decoding YAML: the configuration is not an object");
  }
  const kube::GroupVersionKind kind = kube::KindOf(applied);
  if (kind == call.resource.gvk()) return kube::Done{};
  return kube::BadRequest(
      absl::StrCat("invalid object type: ", kind.group, "/", kind.version, ", Kind=", kind.kind));
}

// What the endpoint can't change is not applied, and not owned.
void LeaveOutUntouchable(const Call& call, Value& applied) {
  if (call.request.info.subresource == "status") {
    applied.Remove("spec");
  } else if (call.resource.status_subresource) {
    applied.Remove("status");
  }
}

}  // namespace

Reply ResourceHandler::Patch(Call& call) {
  const kube::Result<std::string> type = PatchType(call);
  if (!type.ok()) return StatusReply(type.status());
  const bool apply = *type == kApplyPatch;
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "PatchOptions", apply);
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  context.is_patch = true;
  context.fields_tracked = apply;
  kube::Result<Value> patch =
      ParseBody(call.request.body, apply,
                apply ? "error decoding YAML: " : "error decoding patch: ", &context.repeated_keys);
  if (!patch.ok()) return StatusReply(patch.status());
  if (!apply && *type != kJsonPatch && !patch->is_object()) {
    return StatusReply(kube::BadRequest(
        absl::StrCat("error decoding patch: it is ", patch->KindName(), ", not an object")));
  }
  FieldManager manager;
  manager.name = context.field_manager;
  manager.api_version = call.resource.api_version();
  manager.subresource = call.request.info.subresource;
  manager.time = kube::FormatTime(NowSeconds());
  if (apply) {
    if (kube::Outcome fits = CheckApplied(call, *patch); !fits.ok()) {
      return StatusReply(fits.status());
    }
    LeaveOutUntouchable(call, *patch);
  }
  const UpdateFunction update = [&](const Value& current, bool exists) -> kube::Result<Value> {
    kube::Result<Value> next = apply ? Apply(*call.resource.schema, exists ? current : Value(),
                                             *patch, manager, options->force.value_or(false))
                                     : Patched(call.resource, *type, current, *patch);
    if (!next.ok()) return next;
    if (kube::Outcome matches = MatchNamespace(call.resource, call.ns, *next); !matches.ok()) {
      return matches.status();
    }
    if (kube::Outcome named = CheckObjectName(kube::Name(*next), call.name); !named.ok()) {
      return named.status();
    }
    return next;
  };
  return RunUpdate(call, context, update, apply && call.request.info.subresource.empty());
}

}  // namespace meltemi::apiserver
