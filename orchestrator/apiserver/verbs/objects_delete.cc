#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/verbs/stored_form.h"
#include "orchestrator/apiserver/verbs/stored_objects_impl.h"
#include "orchestrator/apiserver/watch/keys.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr int kAttemptsMax = 100;
constexpr absl::string_view kOrphan = "orphan";
constexpr absl::string_view kForeground = "foregroundDeletion";

bool IsCoreNamespace(const Resource& resource) {
  return resource.group.empty() && resource.plural == "namespaces";
}

struct Propagation {
  bool orphan = false;
  bool foreground = false;
};

// Options decide, then finalizers that are there already, then the kind's default.
Propagation PropagationOf(const Resource& resource, const Value& object,
                          const DeleteRequest& request) {
  if (request.orphan_dependents.has_value()) {
    // Namespaces read "do not orphan" as "in the foreground".
    return {*request.orphan_dependents, IsCoreNamespace(resource) && !*request.orphan_dependents};
  }
  if (!request.propagation.empty()) {
    return {request.propagation == "Orphan", request.propagation == "Foreground"};
  }
  for (const std::string& finalizer : kube::Finalizers(object)) {
    if (finalizer == kOrphan) return {true, false};
    if (finalizer == kForeground) return {false, true};
  }
  return {resource.strategy->OrphansDependentsByDefault(), false};
}

void SetFinalizers(const std::vector<std::string>& names, Value& object) {
  Value& metadata = kube::MutableMetadata(object);
  if (names.empty()) {
    metadata.Remove("finalizers");
    return;
  }
  Value list = Value::Array();
  for (const std::string& name : names) list.Append(Value::String(name));
  metadata.Set("finalizers", std::move(list));
}

void ApplyPropagation(const Propagation& propagation, Value& object) {
  const std::vector<std::string> before = kube::Finalizers(object);
  std::vector<std::string> after;
  for (const std::string& name : before) {
    if (name != kOrphan && name != kForeground) after.push_back(name);
  }
  if (propagation.orphan) after.emplace_back(kOrphan);
  if (propagation.foreground) after.emplace_back(kForeground);
  const auto has = [&before](const std::string& name) {
    return std::find(before.begin(), before.end(), name) != before.end();
  };
  if (after.size() == before.size() && std::all_of(after.begin(), after.end(), has)) return;
  SetFinalizers(after, object);
}

void BumpGeneration(Value& object) {
  const int64_t generation = kube::Generation(object);
  if (generation > 0) {
    kube::MutableMetadata(object).Set("generation", Value::Int(generation + 1));
  }
}

void SetDeletion(int64_t at_s, int64_t grace_s, Value& object) {
  Value& metadata = kube::MutableMetadata(object);
  metadata.Set("deletionTimestamp", Value::String(kube::FormatTime(at_s)));
  metadata.Set("deletionGracePeriodSeconds", Value::Int(grace_s));
}

int64_t DeletionSeconds(const Value& object) {
  return kube::ParseTimeMicros(kube::Metadata(object).FindString("deletionTimestamp")).value_or(0) /
         1000000;
}

kube::Outcome CheckPreconditions(const Resource& resource, const Value& object,
                                 const Preconditions& preconditions) {
  const absl::string_view name = kube::Name(object);
  const absl::string_view uid = kube::Uid(object);
  const absl::string_view version = kube::ResourceVersion(object);
  const bool is_namespace = IsCoreNamespace(resource);
  const kube::GroupResource who{resource.group, is_namespace ? resource.plural : resource.kind};
  if (!preconditions.uid.empty() && preconditions.uid != uid) {
    return kube::Conflict(
        who, name,
        is_namespace ? absl::StrCat("Precondition failed: UID in precondition: ", preconditions.uid,
                                    ", UID in object meta: ", uid)
                     : absl::StrCat("the UID in the precondition (", preconditions.uid,
                                    ") does not match the UID in record (", uid,
                                    "). The object might have been deleted and then recreated"));
  }
  if (!preconditions.resource_version.empty() && preconditions.resource_version != version) {
    return kube::Conflict(
        who, name,
        is_namespace ? absl::StrCat("Precondition failed: ResourceVersion in precondition: ",
                                    preconditions.resource_version,
                                    ", ResourceVersion in object meta: ", version)
                     : absl::StrCat("the ResourceVersion in the precondition (",
                                    preconditions.resource_version,
                                    ") does not match the ResourceVersion in record (", version,
                                    "). The object might have been modified"));
  }
  return kube::Done{};
}

}  // namespace

// What a deletion comes to.
struct StoredObjects::Deletion {
  enum class Kind : uint8_t {
    kNothing,  // it is on its way already
    kMark,     // `object` is written: somebody has to finish first
    kRemove,
  };
  Kind kind = Kind::kRemove;
  Value object;
};

// States of an object: live -> (grace period or finalizers) being deleted -> gone. A grace period
// can only get shorter; what waits for finalizers alone has the grace period 0.
kube::Result<StoredObjects::Deletion> StoredObjects::PlanDeletion(const Target& target,
                                                                  const LiveObject& live,
                                                                  const DeleteRequest& request) {
  const Resource& resource = target.resource;
  Deletion out;
  out.object = InVersion(target, live);
  Value& object = out.object;
  if (kube::Outcome met = CheckPreconditions(resource, object, request.preconditions); !met.ok()) {
    return met.status();
  }
  const int64_t now_s = NowSeconds();
  const bool deleting = kube::BeingDeleted(object);
  if (IsCoreNamespace(resource)) {
    if (deleting && HasFinalizers(resource, object)) {
      out.kind = Deletion::Kind::kNothing;
    } else if (!deleting) {
      out.kind = Deletion::Kind::kMark;
      kube::MutableMetadata(object).Set("deletionTimestamp",
                                        Value::String(kube::FormatTime(now_s)));
      object.MutableObject("status").Set("phase", Value::String("Terminating"));
      ApplyPropagation(PropagationOf(resource, object, request), object);
    }
    return out;
  }
  std::optional<int64_t> requested = request.grace_period_seconds;
  if (requested.has_value() && *requested < 0) requested = 1;
  int64_t grace_s = 0;
  bool graceful = false;
  if (deleting) {
    const int64_t pending_s = kube::IntAt(object, "metadata.deletionGracePeriodSeconds", 0);
    if (pending_s != 0) {
      if (!requested.has_value() || *requested >= pending_s) {
        out.kind = Deletion::Kind::kNothing;
        return out;
      }
      grace_s = *requested;
      graceful = true;
      SetDeletion(DeletionSeconds(object) - pending_s + grace_s, grace_s, object);
    }
  } else {
    grace_s = resource.strategy->GracePeriodSeconds(object, requested);
    graceful = grace_s > 0;
    if (graceful) {
      SetDeletion(now_s + grace_s, grace_s, object);
      BumpGeneration(object);
    }
  }
  ApplyPropagation(PropagationOf(resource, object, request), object);
  const bool waits = HasFinalizers(resource, object);
  if (graceful && grace_s > 0) {
    out.kind = Deletion::Kind::kMark;
  } else if (waits) {
    out.kind = Deletion::Kind::kMark;
    if (!kube::BeingDeleted(object)) BumpGeneration(object);
    const bool later = !kube::BeingDeleted(object) || DeletionSeconds(object) > now_s;
    SetDeletion(later ? now_s : DeletionSeconds(object), 0, object);
  }
  return out;
}

StoredObjects::Attempt StoredObjects::DeleteOnce(const Target& target, const LiveObject& live,
                                                 const DeleteRequest& request,
                                                 WriteContext& context, bool* deleted_now) {
  const Resource& resource = target.resource;
  Attempt attempt;
  *deleted_now = false;
  if (!live.exists) {
    attempt.result = kube::NotFound(resource.group_resource(), target.name);
    return attempt;
  }
  kube::Result<Deletion> plan = PlanDeletion(target, live, request);
  if (!plan.ok()) {
    attempt.result = plan.status();
    return attempt;
  }
  if (plan->kind == Deletion::Kind::kNothing) return Unchanged(target, live, plan->object);
  AdmissionRequest asked = Asked(target, Operation::kDelete, context);
  if (request.options.is_object()) asked.options = request.options;
  asked.old_object = InVersion(target, live);
  kube::Outcome admitted = Admit(true, asked, context);
  if (admitted.ok()) admitted = Admit(false, asked, context);
  if (!admitted.ok()) {
    attempt.result = admitted.status();
    return attempt;
  }
  const bool removes = plan->kind == Deletion::Kind::kRemove;
  if (!removes && SameTree(plan->object, InVersion(target, live))) {
    return Unchanged(target, live, plan->object);
  }
  if (context.dry_run) {
    *deleted_now = removes;
    attempt.result = Written{.object = Answered(resource, std::move(plan->object), live.revision)};
    return attempt;
  }
  kube::Result<std::string> value = std::string();
  if (!removes) value = ToStored(resource, *deps_.catalogs.current(), plan->object);
  kube::Result<store::TxnResult> done = store::TxnResult();
  if (!value.ok()) {
    done = value.status();
  } else {
    done =
        removes ? Remove(target, live.revision) : Write(target, live.revision, *std::move(value));
  }
  if (!done.ok()) {
    attempt.result = done.status();
  } else if (done->succeeded) {
    *deleted_now = removes;
    // Of what is gone the last state is answered, as it was.
    attempt.result = Written{.object = Answered(resource, std::move(plan->object),
                                                removes ? live.revision : done->revision)};
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

kube::Result<Value> StoredObjects::Delete(const Resource& resource, absl::string_view ns,
                                          absl::string_view name, const DeleteRequest& request,
                                          WriteContext& context, bool* deleted_now) {
  bool ignored;
  if (deleted_now == nullptr) deleted_now = &ignored;
  const std::string in(resource.namespaced ? ns : "");
  const Target target{resource, in, std::string(name), ObjectKey(resource.storage, in, name)};
  kube::Result<LiveObject> loaded = Load(target, false);
  if (!loaded.ok()) return loaded.status();
  LiveObject live = *std::move(loaded);
  const size_t warnings = context.warnings.size();
  for (int i = 0; i < kAttemptsMax; ++i) {
    context.warnings.resize(warnings);
    Attempt attempt = DeleteOnce(target, live, request, context, deleted_now);
    if (!attempt.result.has_value()) {
      live = std::move(attempt.live);
    } else if (attempt.result->ok()) {
      return std::move((**attempt.result).object);
    } else if (live.fresh || attempt.result->status().code >= 500) {
      // A deletion whose outcome is not known is not tried again: it would not find the object.
      return attempt.result->status();
    } else {
      // The cache may lag behind what made the deletion impossible.
      const store::Revision before = live.revision;
      kube::Result<LiveObject> fresh = Load(target, true);
      if (!fresh.ok()) return fresh.status();
      live = *std::move(fresh);
      if (live.revision == before) return attempt.result->status();
    }
    if (deps_.clock.Now() > context.deadline && context.deadline != MonotonicTime()) break;
  }
  return kube::ModifiedConflict(resource.group_resource(), name);
}

}  // namespace meltemi::apiserver
