#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/stored_form.h"
#include "orchestrator/apiserver/verbs/stored_objects_impl.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr int kGenerateNameAttempts = 8;
constexpr Duration kEventTtl = minutes(60);
// An event lives for its time and up to this much longer.
constexpr Duration kEventLeaseReuse = minutes(1);
constexpr int kEventsPerLease = 1000;

bool IsEvents(const Resource& resource) { return resource.storage.resource == "events"; }

void WipeSystemFields(Value& object) {
  Value& metadata = kube::MutableMetadata(object);
  for (const absl::string_view key : {"uid", "creationTimestamp", "deletionTimestamp",
                                      "deletionGracePeriodSeconds", "selfLink"}) {
    metadata.Remove(key);
  }
}

// The same owner twice is one too many.
void DedupOwners(bool after_admission, WriteContext& context, Value& object) {
  Value* owners = kube::MutableMetadata(object).Find("ownerReferences");
  if (owners == nullptr || owners->items().size() < 2) return;
  std::vector<Value> kept;
  std::vector<std::string> duplicates;
  for (Value& owner : owners->items()) {
    bool again = false;
    for (const Value& other : kept) again = again || SameTree(owner, other);
    if (again) {
      duplicates.emplace_back(owner.FindString("uid"));
    } else {
      kept.push_back(std::move(owner));
    }
  }
  owners->items() = std::move(kept);
  if (duplicates.empty()) return;
  context.warnings.push_back(absl::StrCat(
      ".metadata.ownerReferences contains duplicate entries",
      after_admission ? " after mutating admission happens" : "",
      "; API server dedups owner references in 1.20+, and may reject such requests as early as "
      "1.24; please fix your requests; duplicate UID(s) observed: ",
      absl::StrJoin(duplicates, ", ")));
}

// Requests for certificates say who made them: whatever the client or a webhook has put there.
void SetRequester(const Resource& resource, const UserInfo& user, Value& object) {
  if (resource.group != "certificates.k8s.io" || resource.plural != "certificatesigningrequests") {
    return;
  }
  Value& spec = object.MutableObject("spec");
  for (const char* member : {"username", "uid", "groups", "extra"}) spec.Remove(member);
  const auto list = [](const std::vector<std::string>& texts) {
    Value out = Value::Array();
    for (const std::string& text : texts) out.Append(Value::String(text));
    return out;
  };
  if (!user.name.empty()) spec.Set("username", Value::String(user.name));
  if (!user.uid.empty()) spec.Set("uid", Value::String(user.uid));
  if (!user.groups.empty()) spec.Set("groups", list(user.groups));
  if (user.extra.empty()) return;
  Value& extra = spec.Set("extra", Value::Object());
  for (const auto& [key, values] : user.extra) extra.Add(key, list(values));
}

}  // namespace

absl::StatusOr<int64_t> EventLeases::Get() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (lease_ == 0 || uses_ >= kEventsPerLease || now - granted_at_ >= kEventLeaseReuse) {
    absl::StatusOr<int64_t> lease = store_.GrantLease(kEventTtl + kEventLeaseReuse);
    if (!lease.ok()) return lease;
    lease_ = *lease;
    uses_ = 0;
    granted_at_ = now;
  }
  ++uses_;
  return lease_;
}

int64_t StoredObjects::NowSeconds() const {
  return std::chrono::duration_cast<seconds>(deps_.clock.WallNow().time_since_epoch()).count();
}

kube::Result<LiveObject> StoredObjects::Parsed(const Target& target,
                                               const std::optional<store::KeyValue>& kv) {
  LiveObject live;
  live.fresh = true;
  if (!kv.has_value()) return live;
  absl::StatusOr<Value> tree = json::Parse(kv->value);
  if (!tree.ok() || !tree->is_object()) {
    return kube::InternalError(absl::StrCat("the stored object ", target.key, " is not readable: ",
                                            tree.ok() ? "no object" : tree.status().message()));
  }
  live.exists = true;
  live.revision = kv->mod_revision;
  live.stored = *std::move(tree);
  return live;
}

kube::Result<LiveObject> StoredObjects::Load(const Target& target, bool fresh) {
  if (fresh) {
    absl::StatusOr<std::optional<store::KeyValue>> kv = deps_.store.Get(target.key);
    if (!kv.ok()) return FromStoreError(kv.status());
    return Parsed(target, *kv);
  }
  kube::Result<ObjectPtr> cached =
      deps_.cache.Get(target.resource.storage, target.ns, target.name, false);
  if (!cached.ok()) return cached.status();
  LiveObject live;
  if (*cached == nullptr) return live;
  live.exists = true;
  live.revision = (*cached)->mod_revision;
  live.stored = (*cached)->Tree();
  kube::MutableMetadata(live.stored).Remove("resourceVersion");
  return live;
}

Value StoredObjects::InVersion(const Target& target, LiveObject live) {
  if (!live.exists) return Value();
  Value object = std::move(live.stored);
  FromStored(target.resource, object);
  if (target.resource.schema != nullptr) DropEmpty(*target.resource.schema, object);
  // What was stored before a default was known, or is said by leaving it out.
  ApplyAllDefaults(target.resource, object);
  SetResourceVersion(live.revision, object);
  return object;
}

Value StoredObjects::Answered(const Resource& resource, Value object, store::Revision revision) {
  if (resource.schema != nullptr) AddEmpty(*resource.schema, object);
  PutHeadFirst(resource, object);
  if (revision > 0) SetResourceVersion(revision, object);
  return object;
}

void StoredObjects::Track(const Resource& resource, const WriteContext& context, const Value& live,
                          Value& object) {
  if (context.fields_tracked || resource.schema == nullptr) return;
  const FieldManager manager{
      .name = context.field_manager,
      .api_version = resource.api_version(),
      .subresource = context.subresource,
      .time = kube::FormatTime(NowSeconds()),
  };
  TrackUpdate(*resource.schema, live, manager, object);
}

AdmissionRequest StoredObjects::Asked(const Target& target, Operation operation,
                                      const WriteContext& context) {
  AdmissionRequest request;
  request.resource = &target.resource;
  request.subresource = context.subresource;
  const bool is_namespace = target.resource.group.empty() && target.resource.plural == "namespaces";
  request.ns = is_namespace ? target.name : target.ns;
  request.name = target.name;
  request.operation = operation;
  request.user = context.user;
  request.dry_run = context.dry_run;
  request.deadline = context.deadline;
  Value options = Value::Object();
  options.Add("kind", Value::String(operation == Operation::kCreate   ? "CreateOptions"
                                    : operation == Operation::kDelete ? "DeleteOptions"
                                                                      : "UpdateOptions"));
  options.Add("apiVersion", Value::String("meta.k8s.io/v1"));
  if (context.dry_run) {
    options.Add("dryRun", Value::Array()).Append(Value::String("All"));
  }
  if (operation != Operation::kDelete) {
    options.Add("fieldManager", Value::String(context.field_manager));
    options.Add("fieldValidation", Value::String(context.field_validation));
  }
  request.options = std::move(options);
  return request;
}

kube::Outcome StoredObjects::Admit(bool mutate, AdmissionRequest& request, WriteContext& context) {
  if (context.admitted) return kube::Done{};
  kube::Outcome outcome =
      mutate ? deps_.admission.Mutate(request) : deps_.admission.Validate(request);
  context.warnings.insert(context.warnings.end(), request.warnings.begin(), request.warnings.end());
  request.warnings.clear();
  return outcome;
}

kube::Result<store::TxnResult> StoredObjects::Write(const Target& target, store::Revision expected,
                                                    std::string value) {
  store::Write write{.type = store::Write::Type::kPut, .key = target.key, .value = {}};
  write.value = std::move(value);
  if (IsEvents(target.resource)) {
    absl::StatusOr<int64_t> lease = event_leases_.Get();
    if (!lease.ok()) return FromStoreError(lease.status());
    write.lease = *lease;
  }
  absl::StatusOr<store::TxnResult> done =
      deps_.store.Transact({{.key = target.key, .mod_revision = expected}}, {std::move(write)});
  if (!done.ok()) return FromStoreError(done.status());
  return *std::move(done);
}

kube::Result<store::TxnResult> StoredObjects::Remove(const Target& target,
                                                     store::Revision expected) {
  absl::StatusOr<store::TxnResult> done =
      deps_.store.Transact({{.key = target.key, .mod_revision = expected}},
                           {{.type = store::Write::Type::kDelete, .key = target.key, .value = {}}});
  if (!done.ok()) return FromStoreError(done.status());
  return *std::move(done);
}

kube::Result<Value> StoredObjects::Get(const Resource& resource, absl::string_view ns,
                                       absl::string_view name) {
  kube::Result<ObjectPtr> cached = deps_.cache.Get(resource.storage, ns, name, true);
  if (!cached.ok()) return cached.status();
  if (*cached == nullptr) return kube::NotFound(resource.group_resource(), name);
  Value object = (*cached)->Tree();
  FromStored(resource, object);
  PutHeadFirst(resource, object);
  return object;
}

// Everything up to and with mutating admission.
kube::Outcome StoredObjects::MutateNew(const Target& target, WriteContext& context, Value& object) {
  const Resource& resource = target.resource;
  if (kube::Outcome decoded = FitToSchema(resource, context, object); !decoded.ok()) return decoded;
  if (kube::Outcome matched = MatchNamespace(resource, target.ns, object); !matched.ok()) {
    return matched;
  }
  WipeSystemFields(object);
  DedupOwners(false, context, object);
  // The status is dropped by the strategy: nobody becomes its manager by sending it.
  if (resource.status_subresource && resource.strategy->DropsStatusOnCreate()) {
    object.Remove("status");
  }
  Track(resource, context, Value(), object);

  AdmissionRequest request = Asked(target, Operation::kCreate, context);
  request.object = std::move(object);
  if (kube::Outcome admitted = Admit(true, request, context); !admitted.ok()) return admitted;
  object = std::move(request.object);
  DedupOwners(true, context, object);
  ApplyAllDefaults(resource, object);
  return kube::Done{};
}

kube::Result<Written> StoredObjects::Create(const Resource& resource, absl::string_view ns,
                                            Value object, WriteContext& context) {
  Target target{resource, resource.namespaced ? std::string(ns) : "",
                std::string(kube::Name(object)), ""};
  if (kube::Outcome ready = MutateNew(target, context, object); !ready.ok()) return ready.status();
  const bool generate =
      kube::Name(object).empty() && !kube::Metadata(object).FindString("generateName").empty();
  const size_t warnings = context.warnings.size();
  for (int attempt = 1;; ++attempt) {
    context.warnings.resize(warnings);
    kube::Result<Written> written = CreateOnce(target, object, context);
    const bool taken = !written.ok() && written.status().reason == "AlreadyExists";
    if (!taken || !generate || attempt == kGenerateNameAttempts) return written;
  }
}

kube::Result<Written> StoredObjects::CreateOnce(const Target& asked, Value object,
                                                WriteContext& context) {
  const Resource& resource = asked.resource;
  const bool generated = kube::Name(object).empty();
  {
    const std::lock_guard<std::mutex> lock(random_mutex_);
    FillMetadata(NowSeconds(), deps_.random, object);
  }
  // Name and uid are there now: some kinds put them into labels and selectors.
  resource.strategy->PrepareForCreate(resource, object);
  SetRequester(resource, context.user, object);
  const std::string name(kube::Name(object));
  const kube::GroupVersionKind kind = resource.gvk();
  kube::FieldErrors errors = ValidateMetadata(resource, object);
  for (kube::FieldError& error : resource.strategy->Validate(resource, object)) {
    errors.push_back(std::move(error));
  }
  if (!errors.empty()) return kube::Invalid(kind, name, errors);
  for (std::string& warning : resource.strategy->Warnings(resource, object)) {
    context.warnings.push_back(std::move(warning));
  }
  if (!kube::ResourceVersion(object).empty() && kube::ResourceVersion(object) != "0") {
    return kube::GenericStatus(500, "resourceVersion should not be set on objects to be created");
  }
  const Target target{resource, asked.ns, name, ObjectKey(resource.storage, asked.ns, name)};
  AdmissionRequest request = Asked(target, Operation::kCreate, context);
  request.object = object;
  if (kube::Outcome admitted = Admit(false, request, context); !admitted.ok()) {
    return admitted.status();
  }
  kube::Result<std::string> value = ToStored(resource, *deps_.catalogs.current(), object);
  if (!value.ok()) return value.status();

  store::TxnResult done;
  if (context.dry_run) {
    kube::Result<LiveObject> live = Load(target, true);
    if (!live.ok()) return live.status();
    done.succeeded = !live->exists;
  } else {
    kube::Result<store::TxnResult> written = Write(target, 0, *std::move(value));
    if (!written.ok()) return written.status();
    done = *std::move(written);
  }
  if (done.succeeded) {
    return Written{.object = Answered(resource, std::move(object), done.revision), .created = true};
  }
  const kube::GroupResource group_resource = resource.group_resource();
  if (generated) return kube::GenerateNameConflict(group_resource, name, 1);
  kube::Status taken = kube::AlreadyExists(group_resource, name);
  kube::Result<LiveObject> live =
      done.current.empty() ? Load(target, true) : Parsed(target, done.current[0]);
  if (live.ok() && live->exists && kube::BeingDeleted(live->stored)) {
    taken.message = absl::StrCat("object is being deleted: ", taken.message);
  }
  return taken;
}

std::unique_ptr<Objects> NewObjects(const ObjectsDeps& deps) {
  return std::make_unique<StoredObjects>(deps);
}

}  // namespace meltemi::apiserver
