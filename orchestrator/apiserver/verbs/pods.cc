// Subresources of pods that are written: binding, eviction, ephemeral containers; and a namespace's
// finalize. Source: k8s.io/kubernetes/pkg/registry/core/{pod,namespace}/storage.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/namespace.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr size_t kDisruptedPodsMax = 2000;
constexpr absl::string_view kEvictText =
    "Cannot evict pod as it would violate the pod's disruption budget.";

// Sets the condition of the pod, in place of one of the same type.
void SetCondition(const Value& condition, Value& pod) {
  Value& status = pod.MutableObject("status");
  Value* conditions = status.Find("conditions");
  if (conditions == nullptr || !conditions->is_array()) {
    conditions = &status.Set("conditions", Value::Array());
  }
  for (Value& other : conditions->items()) {
    if (other.FindString("type") != condition.FindString("type")) continue;
    if (other.FindString("status") != condition.FindString("status") ||
        other.FindString("reason") != condition.FindString("reason")) {
      other = condition;
    }
    return;
  }
  conditions->Append(Value(condition));
}

Value Condition(absl::string_view type, absl::string_view reason, absl::string_view message,
                int64_t now_s) {
  Value out = Value::Object();
  out.Add("type", Value::String(std::string(type)));
  out.Add("status", Value::String("True"));
  out.Add("lastProbeTime", Value());
  out.Add("lastTransitionTime", Value::String(kube::FormatTime(now_s)));
  if (!reason.empty()) out.Add("reason", Value::String(std::string(reason)));
  if (!message.empty()) out.Add("message", Value::String(std::string(message)));
  return out;
}

bool IsReady(const Value& pod) {
  const Value* conditions = pod.Find("status", "conditions");
  if (conditions == nullptr) return false;
  return std::any_of(
      conditions->items().begin(), conditions->items().end(), [](const Value& condition) {
        return condition.FindString("type") == "Ready" && condition.FindString("status") == "True";
      });
}

// What has ended, not begun or is going anyway is protected by no budget.
bool NeedsNoBudget(const Value& pod) {
  const std::string phase = kube::TextAt(pod, "status.phase");
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || kube::BeingDeleted(pod);
}

kube::Result<Value> BodyObject(const Call& call, absl::string_view kind,
                               const std::vector<std::string>& versions) {
  const kube::Result<bool> yaml = BodyIsYaml(call.request);
  if (!yaml.ok()) return yaml.status();
  kube::Result<Value> body =
      ParseBody(call.request.body, *yaml, "couldn't get version/kind; json parse error: ", nullptr);
  if (!body.ok()) return body;
  if (!body->is_object()) {
    return kube::BadRequest(absl::StrCat("not a ", kind, " object: ", body->KindName()));
  }
  const absl::string_view sent_kind = body->FindString("kind");
  if (!sent_kind.empty() && sent_kind != kind) {
    return kube::BadRequest(absl::StrCat("not a ", kind, " object: ", sent_kind));
  }
  const absl::string_view version = body->FindString("apiVersion");
  if (version.empty() || std::find(versions.begin(), versions.end(), version) != versions.end()) {
    return body;
  }
  return kube::BadRequest(absl::StrCat("the API version in the data (", version,
                                       ") does not match the expected API version (", versions[0],
                                       ")"));
}

// The pod on its node, or why it can't be put there.
kube::Result<Value> Bound(const Value& current, const Value& binding, int64_t now_s) {
  const kube::GroupResource who{"", "pods/binding"};
  const std::string name(kube::Name(current));
  const std::string uid(kube::Uid(binding));
  const std::string version(kube::ResourceVersion(binding));
  if (!uid.empty() && uid != kube::Uid(current)) {
    return kube::Conflict({"", "pods"}, name,
                          absl::StrCat("Precondition failed: UID in precondition: ", uid,
                                       ", UID in object meta: ", kube::Uid(current)));
  }
  if (!version.empty() && version != kube::ResourceVersion(current)) {
    return kube::Conflict(
        {"", "pods"}, name,
        absl::StrCat("Precondition failed: ResourceVersion in precondition: ", version,
                     ", ResourceVersion in object meta: ", kube::ResourceVersion(current)));
  }
  if (kube::BeingDeleted(current)) {
    return kube::Conflict(
        who, name, absl::StrCat("pod ", name, " is being deleted, cannot be assigned to a host"));
  }
  const std::string node = kube::TextAt(current, "spec.nodeName");
  if (!node.empty()) {
    return kube::Conflict(
        who, name,
        absl::StrCat("pod ", name, " is already assigned to node ", kube::GoQuote(node)));
  }
  const Value* gates = kube::At(current, "spec.schedulingGates");
  if (gates != nullptr && !gates->items().empty()) {
    return kube::Conflict(who, name,
                          absl::StrCat("pod ", name, " has non-empty .spec.schedulingGates"));
  }
  Value pod = current;
  pod.MutableObject("spec").Set("nodeName", Value::String(kube::TextAt(binding, "target.name")));
  if (const Value* annotations = kube::Metadata(binding).Find("annotations")) {
    for (const json::Member& annotation : annotations->members()) {
      kube::SetAnnotation(pod, annotation.key, annotation.value.text());
    }
  }
  SetCondition(Condition("PodScheduled", "", "", now_s), pod);
  return pod;
}

kube::Status BudgetStatus(absl::string_view cause, int retry_after_seconds) {
  kube::Status status = kube::TooManyRequests(kEvictText, retry_after_seconds);
  status.causes.push_back({"DisruptionBudget", std::string(cause), ""});
  return status;
}

kube::Status BusyBudget(absl::string_view name) {
  return BudgetStatus(
      absl::StrCat("The disruption budget ", name, " is still being processed by the server."), 10);
}

// Takes one disruption from the budget for the pod.
kube::Result<Value> Decremented(const Value& budget, const std::string& pod, int64_t now_s) {
  const std::string name(kube::Name(budget));
  const kube::GroupResource who{"policy", "poddisruptionbudget"};
  if (kube::IntAt(budget, "status.observedGeneration", 0) < kube::Generation(budget)) {
    return BusyBudget(name);
  }
  const int64_t allowed = kube::IntAt(budget, "status.disruptionsAllowed", 0);
  if (allowed < 0) return kube::Forbidden(who, name, "pdb disruptions allowed is negative");
  const Value* disrupted = kube::At(budget, "status.disruptedPods");
  if (disrupted != nullptr && disrupted->members().size() > kDisruptedPodsMax) {
    return kube::Forbidden(who, name,
                           "DisruptedPods map too big - too many evictions not confirmed by PDB "
                           "controller");
  }
  if (allowed == 0) {
    return BudgetStatus(
        absl::StrCat("The disruption budget ", name, " needs ",
                     kube::IntAt(budget, "status.desiredHealthy", 0), " healthy pods and has ",
                     kube::IntAt(budget, "status.currentHealthy", 0), " currently"),
        0);
  }
  Value next = budget;
  Value& status = next.MutableObject("status");
  status.Set("disruptionsAllowed", Value::Int(allowed - 1));
  status.MutableObject("disruptedPods").Set(pod, Value::String(kube::FormatTime(now_s)));
  return next;
}

}  // namespace

Reply ResourceHandler::Bind(Call& call, const Resource& pods, absl::string_view name) {
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  if (!representation.ok()) return StatusReply(representation.status());
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "CreateOptions");
  if (!options.ok()) return StatusReply(options.status());
  kube::Result<Value> binding = BodyObject(call, "Binding", {"v1"});
  if (!binding.ok()) return StatusReply(binding.status());
  if (kube::Outcome matched = MatchNamespace(pods, call.ns, *binding); !matched.ok()) {
    return StatusReply(matched.status());
  }
  const std::string pod(kube::Name(*binding));
  if (!name.empty() && pod != name) {
    return StatusReply(kube::BadRequest("name in URL does not match name in Binding object"));
  }
  const kube::FieldErrors errors = ValidateBinding(*binding);
  if (!errors.empty()) return StatusReply(kube::GenericStatus(500, kube::JoinErrors(errors)));
  WriteContext context = ContextOf(call.request, *options);
  context.subresource = "binding";
  if (kube::Outcome admitted = AdmitCreate(call, context, pod, *binding); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  context.admitted = true;
  context.fields_tracked = true;  // nobody owns what the scheduler has decided
  const kube::Result<Written> written = deps_.objects.Update(
      pods, call.ns, pod,
      [&](const Value& current, bool) { return Bound(current, *binding, NowSeconds()); }, false,
      context);
  if (!written.ok()) return StatusReply(written.status());
  return SuccessReply(201, *representation);
}

kube::Outcome ResourceHandler::TakeDisruption(Call& call, const Value& pod, bool dry_run,
                                              bool* only_this_version) {
  const Resource* budgets = call.catalog->Find("policy", "v1", "poddisruptionbudgets");
  if (budgets == nullptr) return kube::Done{};
  ListQuery query;
  query.ns = call.ns;
  const kube::Result<ListResult> list = deps_.cache.List(budgets->storage, query);
  if (!list.ok()) return list.status();
  std::vector<Value> matching;
  const kube::StringPairs labels = kube::Labels(pod);
  for (const ObjectPtr& cached : list->objects) {
    Value budget = cached->Tree();
    const absl::StatusOr<kube::LabelSelector> selector =
        kube::LabelSelector::FromJson(kube::At(budget, "spec.selector"));
    if (selector.ok() && selector->Matches(labels)) matching.push_back(std::move(budget));
  }
  if (matching.empty()) return kube::Done{};
  if (matching.size() > 1) {
    return kube::GenericStatus(500,
                               "This pod has more than one PodDisruptionBudget, which the "
                               "eviction subresource does not support.");
  }
  const Value& budget = matching[0];
  if (!IsReady(pod)) {
    const int64_t healthy = kube::IntAt(budget, "status.currentHealthy", 0);
    const int64_t desired = kube::IntAt(budget, "status.desiredHealthy", 0);
    if (kube::TextAt(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow" ||
        (healthy >= desired && desired > 0)) {
      *only_this_version = true;
      return kube::Done{};
    }
  }
  WriteContext context;
  context.user.name = "system:apiserver";
  context.user.groups = {"system:masters"};
  context.field_manager = "kube-apiserver";
  context.dry_run = dry_run;
  context.subresource = "status";
  context.deadline = call.request.deadline;
  const std::string pod_name(kube::Name(pod));
  const kube::Result<Written> written = deps_.objects.Update(
      *budgets, call.ns, kube::Name(budget),
      [&](const Value& current, bool) { return Decremented(current, pod_name, NowSeconds()); },
      false, context);
  if (!written.ok()) return written.status();
  return kube::Done{};
}

Reply ResourceHandler::Evict(Call& call) {
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  if (!representation.ok()) return StatusReply(representation.status());
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "CreateOptions");
  if (!options.ok()) return StatusReply(options.status());
  kube::Result<Value> eviction = BodyObject(call, "Eviction", {"policy/v1", "policy/v1beta1"});
  if (!eviction.ok()) return StatusReply(eviction.status());
  if (kube::Name(*eviction) != call.name) {
    return StatusReply(kube::BadRequest("name in URL does not match name in Eviction object"));
  }
  const Value* sent = eviction->Find("deleteOptions");
  kube::Result<DeleteOptions> deletion =
      DeleteOptionsOf(sent == nullptr || sent->is_null() ? Value::Object() : *sent);
  if (!deletion.ok()) return StatusReply(deletion.status());
  WriteContext context = ContextOf(call.request, *options);
  context.dry_run = context.dry_run || deletion->dry_run;
  if (kube::Outcome admitted = AdmitCreate(call, context, call.name, *eviction); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  const kube::Result<Value> pod = deps_.objects.Get(call.resource, call.ns, call.name);
  if (!pod.ok()) return StatusReply(pod.status());
  const bool version_was_asked = !deletion->request.preconditions.resource_version.empty();
  bool only_this_version = kube::TextAt(*pod, "status.phase") == "Pending";
  if (!NeedsNoBudget(*pod)) {
    kube::Outcome taken = TakeDisruption(call, *pod, context.dry_run, &only_this_version);
    if (!taken.ok()) return StatusReply(taken.status());
  }
  Preconditions& preconditions = deletion->request.preconditions;
  if (only_this_version && !version_was_asked) {
    // It was not ready when that was looked at: should it have become so, the budget counts again.
    preconditions.resource_version = std::string(kube::ResourceVersion(*pod));
  }
  context.subresource = "eviction";
  context.admitted = true;
  context.fields_tracked = true;
  const Value condition = Condition("DisruptionTarget", "EvictionByEvictionAPI",
                                    "Eviction API: evicting", NowSeconds());
  if (!context.dry_run) {
    const kube::Result<Written> marked = deps_.objects.Update(
        call.resource, call.ns, call.name,
        [&](const Value& current, bool) -> kube::Result<Value> {
          const std::string& wanted = preconditions.resource_version;
          if (!wanted.empty() && wanted != kube::ResourceVersion(current)) {
            return kube::ModifiedConflict(call.resource.group_resource(), call.name);
          }
          Value next = current;
          SetCondition(condition, next);
          return next;
        },
        false, context);
    if (!marked.ok()) {
      const bool moved = marked.status().reason == "Conflict" && !version_was_asked;
      return StatusReply(moved ? BusyBudget(call.name) : marked.status());
    }
    if (!preconditions.resource_version.empty()) {
      preconditions.resource_version = std::string(kube::ResourceVersion(marked->object));
    }
  }
  bool deleted_now = false;
  context.subresource = "";
  const kube::Result<Value> deleted = deps_.objects.Delete(
      call.resource, call.ns, call.name, deletion->request, context, &deleted_now);
  PassWarnings(context, call.request);
  if (!deleted.ok()) return StatusReply(deleted.status());
  return SuccessReply(201, *representation);
}

Reply ResourceHandler::EphemeralContainers(Call& call) {
  const std::string& verb = call.request.info.verb;
  if (verb == "get") return Get(call);
  if (verb != "update" && verb != "patch") return StatusReply(kube::GenericStatus(405, ""));
  const bool patches = verb == "patch";
  const kube::Result<WriteOptions> options =
      ParseWriteOptions(call.request, patches ? "PatchOptions" : "UpdateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  context.is_patch = patches;
  kube::Result<Value> body = Value();
  if (patches) {
    body = ParseBody(call.request.body, false, "error decoding patch: ", nullptr);
  } else {
    body = ReadBody(call, call.resource, context);
  }
  if (!body.ok()) return StatusReply(body.status());
  const std::string type = MediaTypeOf(call.request.Header("content-type"));
  const UpdateFunction update = [&](const Value& current, bool) -> kube::Result<Value> {
    kube::Result<Value> sent = Value(*body);
    if (patches && type == "application/json-patch+json") {
      sent = ApplyJsonPatch(current, *body);
    } else if (patches && type == "application/merge-patch+json") {
      sent = ApplyMergePatch(current, *body);
    } else if (patches) {
      sent = ApplyStrategicMerge(*call.resource.schema, current, *body);
    }
    if (!sent.ok()) return sent;
    Value next = *std::move(sent);
    WriteContext fitting = context;
    if (kube::Outcome fits = FitToSchema(call.resource, fitting, next); !fits.ok()) {
      return fits.status();
    }
    PrepareEphemeralUpdate(current, next);
    const kube::FieldErrors errors = ValidateEphemeralUpdate(current, next);
    if (!errors.empty()) return kube::Invalid(call.resource.gvk(), call.name, errors);
    return next;
  };
  return RunUpdate(call, context, update, false);
}

Reply ResourceHandler::Finalize(Call& call) {
  if (call.request.info.verb != "update") return StatusReply(kube::GenericStatus(405, ""));
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "UpdateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  kube::Result<Value> object = ReadBody(call, call.resource, context);
  if (!object.ok()) return StatusReply(object.status());
  if (kube::Outcome named = CheckObjectName(kube::Name(*object), call.name); !named.ok()) {
    return StatusReply(named.status());
  }
  return RunUpdate(
      call, context,
      [&](const Value& current, bool) -> kube::Result<Value> {
        Value next = *object;
        PrepareFinalize(current, next);
        const kube::FieldErrors errors = ValidateFinalize(next);
        if (!errors.empty()) return kube::Invalid(call.resource.gvk(), call.name, errors);
        return next;
      },
      false);
}

}  // namespace meltemi::apiserver
