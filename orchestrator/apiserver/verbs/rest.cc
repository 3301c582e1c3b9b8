#include "orchestrator/apiserver/verbs/rest.h"

#include <algorithm>
#include <utility>

#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

Reply NoSuchPath() { return StatusReply(kube::GenericStatus(404, "")); }
Reply NoSuchMethod() { return StatusReply(kube::GenericStatus(405, "")); }

bool Serves(const Resource& resource, absl::string_view verb) {
  return std::find(resource.verbs.begin(), resource.verbs.end(), verb) != resource.verbs.end();
}

// The verb of a request on the main resource, by its method where RequestInfo has none of its own.
bool IsCollectionVerb(absl::string_view verb) {
  return verb == "list" || verb == "watch" || verb == "create" || verb == "deletecollection";
}

}  // namespace

void PassWarnings(WriteContext& context, Request& request) {
  for (std::string& warning : context.warnings) {
    std::vector<std::string>& said = request.warnings;
    if (std::find(said.begin(), said.end(), warning) == said.end()) {
      said.push_back(std::move(warning));
    }
  }
  context.warnings.clear();
}

Reply SuccessReply(int code, const Representation& representation, absl::string_view name,
                   const kube::GroupResource& resource, absl::string_view uid) {
  Value status = Value::Object();
  status.Add("kind", Value::String("Status"));
  status.Add("apiVersion", Value::String("v1"));
  status.Add("metadata", Value::Object());
  status.Add("status", Value::String("Success"));
  Value details = Value::Object();
  const auto add = [&details](absl::string_view key, absl::string_view text) {
    if (!text.empty()) details.Add(std::string(key), Value::String(std::string(text)));
  };
  add("name", name);
  add("group", resource.group);
  add("kind", resource.resource);
  add("uid", uid);
  if (!details.members().empty()) status.Add("details", std::move(details));
  if (code != 200) status.Add("code", Value::Int(code));
  return TreeReply(code, status, representation);
}

int64_t ResourceHandler::NowSeconds() const {
  return std::chrono::duration_cast<seconds>(deps_.clock.WallNow().time_since_epoch()).count();
}

double ResourceHandler::RandomUnit() {
  const std::lock_guard<std::mutex> lock(random_mutex_);
  return deps_.random.Unit();
}

kube::Result<Value> ResourceHandler::GetCore(const Call& call, absl::string_view plural,
                                             absl::string_view ns, absl::string_view name) {
  const Resource* resource = call.catalog->Find("", "v1", plural);
  if (resource == nullptr) return kube::NotFound({"", std::string(plural)}, name);
  return deps_.objects.Get(*resource, ns, name);
}

kube::Outcome ResourceHandler::AdmitCreate(const Call& call, const WriteContext& context,
                                           absl::string_view name, const Value& object) {
  AdmissionRequest request;
  request.resource = &call.resource;
  request.subresource = call.request.info.subresource;
  request.ns = call.ns;
  request.name = std::string(name);
  request.operation = Operation::kCreate;
  request.user = context.user;
  request.dry_run = context.dry_run;
  request.deadline = context.deadline;
  request.options = Value::Object();
  request.options.Add("kind", Value::String("CreateOptions"));
  request.options.Add("apiVersion", Value::String("meta.k8s.io/v1"));
  request.object = object;
  kube::Outcome outcome = deps_.admission.Mutate(request);
  if (outcome.ok()) outcome = deps_.admission.Validate(request);
  for (std::string& warning : request.warnings) {
    call.request.warnings.push_back(std::move(warning));
  }
  return outcome;
}

Reply ResourceHandler::Handle(Request& request) {
  const RequestInfo& info = request.info;
  const std::shared_ptr<const Catalog> catalog = deps_.catalogs.current();
  const Resource* resource = catalog->Find(info.group, info.version, info.resource);
  if (resource == nullptr) return NoSuchPath();
  const bool is_namespaces = info.group.empty() && info.resource == "namespaces";
  if (!resource->namespaced && !info.ns.empty() && !is_namespaces) return NoSuchPath();
  // An object of a namespaced kind has no path outside of its namespace.
  if (resource->namespaced && info.ns.empty() &&
      (!info.name.empty() && info.verb != "list" && info.verb != "watch")) {
    return NoSuchPath();
  }
  Call call{request, catalog, *resource, resource->namespaced ? info.ns : "", info.name};
  if (!info.subresource.empty()) return HandleSubresource(call);
  if (!resource->stored) return HandleAnswered(call);
  return HandleMain(call);
}

Reply ResourceHandler::HandleMain(Call& call) {
  const std::string& verb = call.request.info.verb;
  if (!Serves(call.resource, verb)) return NoSuchMethod();
  if (call.name.empty() && !IsCollectionVerb(verb)) return NoSuchMethod();
  const bool everywhere = call.resource.namespaced && call.ns.empty();
  if (verb == "get") return Get(call);
  if (verb == "list") return List(call);
  if (verb == "watch") return Watch(call);
  if (everywhere) return NoSuchMethod();
  if (verb == "create") return call.name.empty() ? Create(call) : NoSuchMethod();
  if (verb == "update") return Update(call);
  if (verb == "patch") return Patch(call);
  if (verb == "delete") return Delete(call);
  if (verb == "deletecollection") return DeleteCollection(call);
  return NoSuchMethod();
}

Reply ResourceHandler::HandleSubresource(Call& call) {
  const Resource& resource = call.resource;
  const std::string& subresource = call.request.info.subresource;
  const std::string& verb = call.request.info.verb;
  if (call.name.empty()) return NoSuchPath();
  if (subresource == "status" && resource.status_subresource) {
    if (verb == "get") return Get(call);
    if (verb == "update") return Update(call);
    if (verb == "patch") return Patch(call);
    return NoSuchMethod();
  }
  if (subresource == "scale" && resource.scale.has_value()) return Scale(call);
  const std::vector<std::string>& others = resource.other_subresources;
  if (std::find(others.begin(), others.end(), subresource) == others.end()) return NoSuchPath();
  const bool creates = call.request.method == "POST";
  if (subresource == "finalize") return Finalize(call);
  if (subresource == "approval") return Approve(call);
  if (subresource == "ephemeralcontainers") return EphemeralContainers(call);
  if (subresource == "binding") {
    return creates ? Bind(call, resource, call.name) : NoSuchMethod();
  }
  if (subresource == "eviction") return creates ? Evict(call) : NoSuchMethod();
  if (subresource == "token" && deps_.tokens != nullptr) {
    return creates ? CreateToken(call) : NoSuchMethod();
  }
  if (subresource == "proxy" && resource.plural == "nodes") return NodeProxy(call);
  if (subresource == "proxy" && resource.plural == "services") return ServiceProxy(call);
  if (resource.plural == "pods") return PodStream(call);
  return NoSuchPath();
}

Reply ResourceHandler::HandleAnswered(Call& call) {
  const std::string& verb = call.request.info.verb;
  if ((verb == "get" || verb == "list") && Serves(call.resource, verb)) {
    const auto reader = deps_.readers.find(call.resource.group_resource());
    if (reader != deps_.readers.end()) return HandleRead(call, reader->second);
    // Component statuses: what nobody provides here is not there.
    const kube::Result<Encoder> encoder = EncoderFor(call);
    if (!encoder.ok()) return StatusReply(encoder.status());
    if (verb == "list") return encoder->List({}, {.resource_version = ""});
    return StatusReply(kube::NotFound(call.resource.group_resource(), call.name));
  }
  if (verb != "create" || !call.name.empty()) return NoSuchMethod();
  if (call.resource.namespaced && call.ns.empty()) return NoSuchMethod();
  if (call.resource.group.empty() && call.resource.plural == "bindings") {
    const Resource* pods = call.catalog->Find("", "v1", "pods");
    if (pods != nullptr) return Bind(call, *pods, "");
  }
  const auto review = deps_.reviews.find(call.resource.group_resource());
  if (review == deps_.reviews.end()) return NoSuchPath();
  return HandleReview(call, review->second);
}

Reply ResourceHandler::HandleRead(Call& call, const ObjectReader& reader) {
  const bool list = call.request.info.verb == "list";
  kube::LabelSelector labels;
  kube::FieldSelector fields;
  if (list) {
    kube::Result<ListOptions> options = ParseListOptions(call.request, call.resource, false);
    if (!options.ok()) return StatusReply(options.status());
    labels = std::move(options->labels);
    fields = std::move(options->fields);
  }
  const kube::Result<Encoder> encoder = EncoderFor(call);
  if (!encoder.ok()) return StatusReply(encoder.status());
  const kube::Result<std::vector<ObjectPtr>> objects =
      reader(call.resource, call.ns, list ? "" : call.name, labels, fields);
  if (!objects.ok()) return StatusReply(objects.status());
  if (list) return encoder->List(*objects, {.resource_version = ""});
  if (objects->empty()) {
    return StatusReply(kube::NotFound(call.resource.group_resource(), call.name));
  }
  return encoder->Cached(*objects->front());
}

Reply ResourceHandler::HandleReview(Call& call, const ReviewHandler& review) {
  const kube::Result<Representation> representation = NegotiateAnswer(call.request);
  if (!representation.ok()) return StatusReply(representation.status());
  const kube::Result<WriteOptions> options = ParseWriteOptions(call.request, "CreateOptions");
  if (!options.ok()) return StatusReply(options.status());
  WriteContext context = ContextOf(call.request, *options);
  kube::Result<Value> object = ReadBody(call, call.resource, context);
  if (!object.ok()) return StatusReply(object.status());
  kube::Outcome ready = FitToSchema(call.resource, context, *object);
  PassWarnings(context, call.request);
  if (ready.ok()) ready = MatchNamespace(call.resource, call.ns, *object);
  if (ready.ok()) ready = AdmitCreate(call, context, kube::Name(*object), *object);
  if (!ready.ok()) return StatusReply(ready.status());
  const kube::Result<Value> answer = review(call.request, *std::move(object));
  if (!answer.ok()) return StatusReply(answer.status());
  return TreeReply(201, *answer, *representation);
}

std::unique_ptr<Handler> NewResourceHandler(ResourceHandlerDeps deps) {
  return std::make_unique<ResourceHandler>(std::move(deps));
}

}  // namespace meltemi::apiserver
