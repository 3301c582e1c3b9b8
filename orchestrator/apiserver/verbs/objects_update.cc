#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
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

constexpr int kAttemptsMax = 100;

bool IsCoreNamespace(const Resource& resource) {
  return resource.group.empty() && resource.plural == "namespaces";
}

Scope ScopeOf(const WriteContext& context) {
  return context.subresource == "status" ? Scope::kStatus : Scope::kMain;
}

// Handlers of other subresources change exactly what they may: the rules for clients' updates of
// the main resource (which fields are immutable, which are put back) are not meant for them.
bool FollowsStrategy(const WriteContext& context) {
  return context.subresource.empty() || context.subresource == "status" ||
         context.subresource == "scale";
}

// What the endpoint can't change is put back before ownership is tracked: a client that sends it
// does not become its manager.
void PutBackUntouchable(const Resource& resource, const WriteContext& context, const Value& current,
                        Value& object) {
  const auto put_back = [&](absl::string_view key) {
    if (const Value* old = current.Find(key)) {
      object.Set(key, *old);
    } else {
      object.Remove(key);
    }
  };
  if (context.subresource == "status") {
    put_back("spec");
  } else if (context.subresource.empty() && resource.status_subresource) {
    put_back("status");
  }
}

// 0 when there is none.
uint64_t VersionOf(const Value& object) {
  uint64_t version;
  return absl::SimpleAtoi(kube::ResourceVersion(object), &version) ? version : 0;
}

void CopyGeneration(const Value& from, Value& to) {
  Value& metadata = kube::MutableMetadata(to);
  if (const Value* generation = kube::Metadata(from).Find("generation")) {
    metadata.Set("generation", *generation);
  } else {
    metadata.Remove("generation");
  }
}

// A cheap answer for what most updates are: they change more than who manages what.
bool ChangesContent(const Value& current, const Value& object) {
  for (const json::Member& member : object.members()) {
    const Value* old = current.Find(member.key);
    if (member.key != "metadata" && old != nullptr && SurelyDiffer(*old, member.value)) return true;
  }
  for (const json::Member& member : kube::Metadata(object).members()) {
    if (member.key == "managedFields" || member.key == "resourceVersion") continue;
    const Value* old = kube::Metadata(current).Find(member.key);
    if (old != nullptr && SurelyDiffer(*old, member.value)) return true;
  }
  return false;
}

// managedFields without their times, to see whether anything else has changed.
Value WithoutTimes(const Value& object) {
  Value out = object;
  if (Value* entries = kube::MutableMetadata(out).Find("managedFields")) {
    for (Value& entry : entries->items()) entry.Remove("time");
  }
  return out;
}

// A write that would do nothing but move the times of managedFields keeps the old ones.
void KeepTimesOfNoChange(const Value& current, Value& object) {
  const Value* old_entries = kube::Metadata(current).Find("managedFields");
  if (old_entries == nullptr || ChangesContent(current, object) ||
      !SameTree(WithoutTimes(current), WithoutTimes(object)))
    return;
  kube::MutableMetadata(object).Set("managedFields", *old_entries);
}

// The last finalizer is gone of what was deleted before.
bool DeletedByThis(const Resource& resource, const Value& current, const Value& object) {
  if (HasFinalizers(resource, object) || !kube::BeingDeleted(current)) return false;
  return kube::IntAt(current, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

}  // namespace

bool HasFinalizers(const Resource& resource, const Value& object) {
  if (!kube::Finalizers(object).empty()) return true;
  if (!IsCoreNamespace(resource)) return false;
  const Value* finalizers = object.Find("spec", "finalizers");
  return finalizers != nullptr && !finalizers->items().empty();
}

kube::Outcome StoredObjects::CheckIdentity(const Target& target, const Value& current,
                                           const WriteContext& context, Value& object) {
  const Resource& resource = target.resource;
  const kube::GroupResource group_resource = resource.group_resource();
  if (kube::Outcome named = CheckObjectName(kube::Name(object), target.name); !named.ok()) {
    return named;
  }
  const absl::string_view uid = kube::Uid(object);
  const absl::string_view live_uid = kube::Uid(current);
  if (!uid.empty() && uid != live_uid && !(context.is_patch && !live_uid.empty())) {
    if (context.is_patch) {
      return kube::Conflict(group_resource, target.name,
                            absl::StrCat("uid mismatch: the provided object specified uid ", uid,
                                         ", and no existing object was found"));
    }
    return kube::Conflict(
        group_resource, target.name,
        absl::StrCat("StorageError: invalid object, Code: 4, Key: ", target.key,
                     ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
                     "precondition: ",
                     uid, ", UID in object meta: ", live_uid));
  }
  if (!current.is_object()) return kube::Done{};
  const uint64_t version = VersionOf(object);
  if (version == 0) {
    if (resource.strategy->AllowUnconditionalUpdate()) return kube::Done{};
    kube::FieldError error = kube::InvalidField(kube::FieldPath("metadata.resourceVersion"), "",
                                                "must be specified for an update");
    error.bad_value = "0x0";
    return kube::Invalid({resource.group, resource.version, resource.plural}, target.name,
                         {std::move(error)});
  }
  if (version != VersionOf(current)) {
    return kube::ModifiedConflict(group_resource, target.name);
  }
  return kube::Done{};
}

kube::Outcome StoredObjects::PrepareUpdate(const Target& target, const Value& current,
                                           WriteContext& context, Value& object) {
  const Resource& resource = target.resource;
  const Scope scope = ScopeOf(context);
  const bool follows = FollowsStrategy(context);
  if (kube::Outcome matched = MatchNamespace(resource, target.ns, object); !matched.ok()) {
    return matched;
  }
  if (kube::Outcome same = CheckIdentity(target, current, context, object); !same.ok()) {
    return same;
  }
  PutBackUntouchable(resource, context, current, object);
  Track(resource, context, current, object);

  AdmissionRequest request = Asked(target, Operation::kUpdate, context);
  request.object = std::move(object);
  if (!context.admitted) request.old_object = current;
  if (kube::Outcome admitted = Admit(true, request, context); !admitted.ok()) return admitted;
  object = std::move(request.object);
  ApplyAllDefaults(resource, object);

  CopyGeneration(current, object);
  if (follows) resource.strategy->PrepareForUpdate(resource, scope, current, object);
  KeepMetadata(current, object);
  kube::FieldErrors errors = ValidateMetadataUpdate(resource, current, object);
  if (follows) {
    for (kube::FieldError& error :
         resource.strategy->ValidateUpdate(resource, scope, current, object)) {
      errors.push_back(std::move(error));
    }
  }
  if (!errors.empty()) return kube::Invalid(resource.gvk(), target.name, errors);
  if (scope == Scope::kMain && follows) {
    for (std::string& warning : resource.strategy->Warnings(resource, object)) {
      context.warnings.push_back(std::move(warning));
    }
  }
  KeepTimesOfNoChange(current, object);
  request.object = std::move(object);
  kube::Outcome admitted = Admit(false, request, context);
  object = std::move(request.object);
  return admitted;
}

StoredObjects::Attempt StoredObjects::Unchanged(const Target& target, const LiveObject& live,
                                                const Value& current) {
  Attempt attempt;
  if (!live.fresh) {
    // The cache may lag: that nothing changes is said of what the store holds.
    absl::StatusOr<std::optional<store::KeyValue>> kv = deps_.store.Get(target.key);
    if (!kv.ok()) {
      attempt.result = FromStoreError(kv.status());
      return attempt;
    }
    if (!kv->has_value() || (*kv)->mod_revision != live.revision) {
      kube::Result<LiveObject> parsed = Parsed(target, *kv);
      if (parsed.ok()) {
        attempt.live = *std::move(parsed);
      } else {
        attempt.result = parsed.status();
      }
      return attempt;
    }
  }
  attempt.result = Written{.object = Answered(target.resource, current, live.revision)};
  return attempt;
}

StoredObjects::Attempt StoredObjects::WriteUpdate(const Target& target, const LiveObject& live,
                                                  const Value& current, Value object,
                                                  const WriteContext& context) {
  const Resource& resource = target.resource;
  Attempt attempt;
  const bool deletes = DeletedByThis(resource, current, object);
  kube::Result<std::string> value = ToStored(resource, *deps_.catalogs.current(), object);
  if (!value.ok()) {
    attempt.result = value.status();
    return attempt;
  }
  if (!deletes && !ChangesContent(current, object)) {
    // Empty members are written where they belong: equal objects have equal trees.
    Value was = current, is = object;
    if (resource.schema != nullptr) {
      AddEmpty(*resource.schema, was);
      AddEmpty(*resource.schema, is);
    }
    kube::MutableMetadata(was).Remove("resourceVersion");
    kube::MutableMetadata(is).Remove("resourceVersion");
    if (SameTree(was, is)) return Unchanged(target, live, current);
  }
  if (context.dry_run) {
    attempt.result = Written{.object = Answered(resource, std::move(object), live.revision)};
    return attempt;
  }
  kube::Result<store::TxnResult> done =
      deletes ? Remove(target, live.revision) : Write(target, live.revision, *std::move(value));
  if (!done.ok()) {
    attempt.result = done.status();
  } else if (done->succeeded) {
    attempt.result = Written{.object = Answered(resource, std::move(object), done->revision)};
  } else {
    kube::Result<LiveObject> parsed =
        done->current.empty() ? Load(target, true) : Parsed(target, done->current[0]);
    if (parsed.ok()) {
      attempt.live = *std::move(parsed);
    } else {
      attempt.result = parsed.status();
    }
  }
  return attempt;
}

StoredObjects::Attempt StoredObjects::CreateByUpdate(const Target& target, Value object,
                                                     WriteContext& context) {
  Attempt attempt;
  if (kube::Outcome same = CheckIdentity(target, Value(), context, object); !same.ok()) {
    attempt.result = same.status();
    return attempt;
  }
  kube::MutableMetadata(object).Remove("resourceVersion");  // of one that is gone by now
  kube::Result<Written> created = Create(target.resource, target.ns, std::move(object), context);
  if (created.ok() || created.status().reason != "AlreadyExists") {
    attempt.result = std::move(created);
    return attempt;
  }
  // Somebody else was faster: now it is an update.
  kube::Result<LiveObject> live = Load(target, true);
  if (live.ok()) {
    attempt.live = *std::move(live);
  } else {
    attempt.result = live.status();
  }
  return attempt;
}

StoredObjects::Attempt StoredObjects::UpdateOnce(const Target& target, LiveObject& live,
                                                 const UpdateFunction& update, bool allow_create,
                                                 WriteContext& context) {
  Attempt attempt;
  if (!live.exists && !allow_create) {
    attempt.result = kube::NotFound(target.resource.group_resource(), target.name);
    return attempt;
  }
  // Its tree is of no use afterwards: another attempt brings its own.
  const Value current = InVersion(target, std::move(live));
  kube::Result<Value> updated = update(current, live.exists);
  if (!updated.ok()) {
    attempt.result = updated.status();
    return attempt;
  }
  Value object = *std::move(updated);
  if (!live.exists) return CreateByUpdate(target, std::move(object), context);
  kube::Outcome ready = FitToSchema(target.resource, context, object);
  if (ready.ok()) ready = PrepareUpdate(target, current, context, object);
  if (!ready.ok()) {
    attempt.result = ready.status();
    return attempt;
  }
  return WriteUpdate(target, live, current, std::move(object), context);
}

kube::Result<Written> StoredObjects::Update(const Resource& resource, absl::string_view ns,
                                            absl::string_view name, const UpdateFunction& update,
                                            bool allow_create, WriteContext& context) {
  const std::string in(resource.namespaced ? ns : "");
  const Target target{resource, in, std::string(name), ObjectKey(resource.storage, in, name)};
  kube::Result<LiveObject> loaded = Load(target, false);
  if (!loaded.ok()) return loaded.status();
  LiveObject live = *std::move(loaded);
  const size_t warnings = context.warnings.size();
  for (int i = 0; i < kAttemptsMax; ++i) {
    context.warnings.resize(warnings);
    Attempt attempt = UpdateOnce(target, live, update, allow_create, context);
    if (!attempt.result.has_value()) {
      live = std::move(attempt.live);
    } else if (attempt.result->ok() || live.fresh || attempt.result->status().code >= 500) {
      // A write whose outcome is not known is not tried again: it would conflict with itself.
      return *std::move(attempt.result);
    } else {
      // The cache may lag behind what made the update impossible.
      const bool existed = live.exists;
      const store::Revision before = live.revision;
      kube::Result<LiveObject> fresh = Load(target, true);
      if (!fresh.ok()) return fresh.status();
      live = *std::move(fresh);
      if (live.exists == existed && live.revision == before) return *std::move(attempt.result);
    }
    if (deps_.clock.Now() > context.deadline && context.deadline != MonotonicTime()) break;
  }
  return kube::ModifiedConflict(resource.group_resource(), name);
}

}  // namespace meltemi::apiserver
