#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"
#include "orchestrator/apiserver/verbs/stored_form.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

// Kinds whose deletion answers with the object that is gone; all others answer with a Status.
bool ReturnsDeletedObject(const Resource& resource) {
  static constexpr std::array<absl::string_view, 8> kCore = {
      "namespaces",   "persistentvolumeclaims", "persistentvolumes", "pods",
      "podtemplates", "resourcequotas",         "serviceaccounts",   "services"};
  if (resource.custom) return false;
  if (resource.group == "storage.k8s.io") return true;
  return resource.group.empty() &&
         std::find(kCore.begin(), kCore.end(), resource.plural) != kCore.end();
}

}  // namespace

kube::Result<Value> ResourceHandler::ReadBody(Call& call, const Resource& resource,
                                              WriteContext& context) {
  const kube::Result<bool> yaml = BodyIsYaml(call.request);
  if (!yaml.ok()) return yaml.status();
  return DecodeBody(resource, *call.catalog, call.request.body, *yaml, &context.repeated_keys);
}

Reply ResourceHandler::Create(Call& call) {
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "CreateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  kube::Result<Value> object = ReadBody(call, call.resource, context);
  if (!object.ok()) return StatusReply(object.status());
  const kube::Result<Written> written =
      deps_.objects.Create(call.resource, call.ns, *std::move(object), context);
  PassWarnings(context, call.request);
  if (!written.ok()) return StatusReply(written.status());
  return encoder->Object(201, written->object);
}

Reply ResourceHandler::RunUpdate(Call& call, WriteContext& context, const UpdateFunction& update,
                                 bool allow_create) {
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  const UpdateFunction checked = [&](const Value& current, bool exists) -> kube::Result<Value> {
    if (!exists && deps_.may_create) {
      if (kube::Outcome allowed = deps_.may_create(call.request); !allowed.ok()) {
        return allowed.status();
      }
    }
    return update(current, exists);
  };
  const kube::Result<Written> written =
      deps_.objects.Update(call.resource, call.ns, call.name, checked, allow_create, context);
  PassWarnings(context, call.request);
  if (!written.ok()) return StatusReply(written.status());
  return encoder->Object(written->created ? 201 : 200, written->object);
}

Reply ResourceHandler::Update(Call& call) {
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "UpdateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  kube::Result<Value> object = ReadBody(call, call.resource, context);
  if (!object.ok()) return StatusReply(object.status());
  // What is wrong with the request is said before the object is looked for.
  kube::Outcome matches = MatchNamespace(call.resource, call.ns, *object);
  if (matches.ok()) matches = CheckObjectName(kube::Name(*object), call.name);
  if (!matches.ok()) return StatusReply(matches.status());
  const bool allow_create =
      call.request.info.subresource.empty() && call.resource.strategy->AllowCreateOnUpdate();
  return RunUpdate(
      call, context,
      [&object](const Value&, bool) -> kube::Result<Value> { return Value(*object); },
      allow_create);
}

Reply ResourceHandler::Delete(Call& call) {
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  const kube::Result<DeleteOptions> options = ParseDeleteOptions(call.request);
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, {.dry_run = options->dry_run});
  bool deleted_now = false;
  const kube::Result<Value> object = deps_.objects.Delete(call.resource, call.ns, call.name,
                                                          options->request, context, &deleted_now);
  PassWarnings(context, call.request);
  if (!object.ok()) return StatusReply(object.status());
  if (!deleted_now || ReturnsDeletedObject(call.resource)) {
    // Somebody who asked that the dependents be deleted first has to wait.
    const bool accepted = !deleted_now && options->request.orphan_dependents == false;
    return encoder->Object(accepted ? 202 : 200, *object);
  }
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  return SuccessReply(200, *representation, call.name, call.resource.group_resource(),
                      kube::Uid(*object));
}

Reply ResourceHandler::DeleteCollection(Call& call) {
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  kube::Result<ListOptions> selection = ParseListOptions(call.request, call.resource, false);
  if (!selection.ok()) return StatusReply(selection.status());
  const kube::Result<DeleteOptions> options = ParseDeleteOptions(call.request);
  if (!options.ok()) return StatusReply(options.status());
  ListQuery query;
  query.ns = call.ns;
  query.labels = std::move(selection->labels);
  query.fields = std::move(selection->fields);
  const kube::Result<ListResult> list = deps_.cache.List(call.resource.storage, query);
  if (!list.ok()) return StatusReply(list.status());
  for (const ObjectPtr& object : list->objects) {
    WriteContext context = ContextOf(call.request, {.dry_run = options->dry_run});
    bool deleted_now = false;
    const kube::Result<Value> done = deps_.objects.Delete(call.resource, object->ns, object->name,
                                                          options->request, context, &deleted_now);
    PassWarnings(context, call.request);
    if (!done.ok() && done.status().code != 404) return StatusReply(done.status());
    if (deps_.clock.Now() > call.request.deadline && call.request.deadline != MonotonicTime()) {
      return StatusReply(kube::Timeout("request did not complete within the allotted timeout", 0));
    }
  }
  return encoder->List(list->objects, {.resource_version = absl::StrCat(list->revision)});
}

}  // namespace meltemi::apiserver
