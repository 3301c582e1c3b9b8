#include "orchestrator/apiserver/patch/managed_fields.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/patch/field_path.h"
#include "orchestrator/apiserver/patch/field_set.h"
#include "orchestrator/apiserver/patch/field_walk.h"
#include "orchestrator/apiserver/patch/last_applied.h"
#include "orchestrator/apiserver/patch/managers.h"
#include "orchestrator/apiserver/patch/same_json.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kBeforeFirstApply = "before-first-apply";

FieldSet SetOf(const std::vector<std::string>& dotted_paths) {
  FieldSet set;
  for (const std::string& dotted : dotted_paths) {
    std::vector<std::string> path;
    for (absl::string_view name : absl::StrSplit(dotted, '.')) path.push_back(FieldElement(name));
    set.Insert(path);
  }
  return set;
}

// What the server sets, and what names the object, is nobody's.
FieldSet Owned(const FieldSet& fields) {
  static const FieldSet* const kNever = new FieldSet(SetOf(
      {"apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace",
       "metadata.creationTimestamp", "metadata.selfLink", "metadata.uid", "metadata.clusterName",
       "metadata.generation", "metadata.managedFields", "metadata.resourceVersion"}));
  return Difference(fields, *kNever);
}

const Value* ManagedFieldsOf(const Value& object) {
  return object.Find("metadata", "managedFields");
}

// Null when there are none.
Value TakeManagedFields(Value* object) {
  Value* metadata = object->Find("metadata");
  Value* fields = metadata == nullptr ? nullptr : metadata->Find("managedFields");
  if (fields == nullptr) return Value();
  Value taken = std::move(*fields);
  metadata->Remove("managedFields");
  return taken;
}

void SetManagers(Managers managers, Value* object) {
  Value encoded = std::move(managers).ToJson();
  if (encoded.is_null()) {
    if (Value* metadata = object->Find("metadata")) metadata->Remove("managedFields");
  } else {
    object->MutableObject("metadata").Set("managedFields", std::move(encoded));
  }
}

// `before` null: creation.
Comparison Changes(const Schema& schema, const Value& before, const Value& after) {
  return CompareObjects(schema, before.is_null() ? Value::Object() : before, after);
}

ManagerEntry Identity(const FieldManager& manager, bool applies) {
  ManagerEntry entry;
  entry.manager = manager.name.empty() ? "unknown" : manager.name;
  entry.applies = applies;
  entry.api_version = manager.api_version;
  entry.subresource = manager.subresource;
  return entry;
}

void ReconcileAll(const Schema& schema, Managers* managers) {
  for (ManagerEntry& entry : managers->entries()) {
    if (Reconcile(schema, entry.fields)) entry.written.reset();
  }
}

// `changed` becomes the manager's, `removed` nobody's.
void RecordUpdate(const Comparison& comparison, const ManagerEntry& identity,
                  const std::string& time, Managers* managers) {
  if (comparison.same()) return;
  FieldSet changed = Union(comparison.modified, comparison.added);
  FieldSet gone = Union(changed, comparison.removed);
  for (ManagerEntry& entry : managers->entries()) {
    if (entry.fields.Intersects(gone)) entry.SetFields(Difference(entry.fields, gone));
  }
  FieldSet own = Owned(changed);
  if (!own.empty()) {
    ManagerEntry& entry = managers->Of(identity);
    entry.SetFields(Union(own, entry.fields));
    entry.time = time;
  }
  managers->RemoveEmpty();
  managers->Cap();
}

bool AsksForReset(const Value& managed_fields) {
  if (!managed_fields.is_array()) return false;
  const std::vector<Value>& items = managed_fields.items();
  if (items.empty()) return true;
  return items.size() == 1 && std::all_of(items[0].members().begin(), items[0].members().end(),
                                          [](const json::Member& m) { return m.value.is_null(); });
}

// The managers that an update begins with; `sent`: what the client says.
Managers ManagersBefore(const Value& live, const FieldManager& manager, Value sent) {
  if (manager.subresource.empty() && !sent.is_null()) {
    if (AsksForReset(sent)) return {};
    std::optional<Managers> managers = Managers::FromJson(std::move(sent));
    if (managers.has_value() && !managers->empty()) return *std::move(managers);
  }
  const Value* fields = ManagedFieldsOf(live);
  if (fields == nullptr) return {};
  return Managers::FromJson(*fields).value_or(Managers());
}

std::string GroupVersionKindText(const Value& object) {
  kube::GroupVersionKind kind =
      kube::GroupVersionKind::Of(object.FindString("apiVersion"), object.FindString("kind"));
  return absl::StrCat(kind.group, "/", kind.version, ", Kind=", kind.kind);
}

// An error that Kubernetes knows no status for.
kube::Status Plain(std::string message) {
  kube::Status status;
  status.code = 500;
  status.message = std::move(message);
  return status;
}

std::optional<kube::Status> CheckRequest(const Schema& schema, const Value& applied,
                                         const FieldManager& manager) {
  if (applied.FindString("apiVersion") != manager.api_version) {
    return kube::BadRequest(absl::StrCat("invalid object type: ", GroupVersionKindText(applied)));
  }
  const Value* managed_fields = ManagedFieldsOf(applied);
  if (managed_fields != nullptr && !managed_fields->is_null()) {
    return kube::BadRequest("metadata.managedFields must be nil");
  }
  std::string wrong = CheckApplied(schema, applied);
  if (wrong.empty()) return std::nullopt;
  const Value* metadata = applied.Find("metadata");
  absl::string_view ns = metadata == nullptr ? "" : metadata->FindString("namespace");
  absl::string_view name = metadata == nullptr ? "" : metadata->FindString("name");
  return Plain(absl::StrCat("failed to create typed patch object (", ns, "/", name, "; ",
                            GroupVersionKindText(applied), "): ", wrong));
}

struct Conflict {
  ManagerEntry manager;
  FieldSet fields;
};

kube::Status ConflictStatus(std::vector<Conflict> conflicts) {
  std::stable_sort(conflicts.begin(), conflicts.end(), [](const Conflict& a, const Conflict& b) {
    return a.manager.Text() < b.manager.Text();
  });
  kube::Status status;
  status.code = 409;
  status.reason = "Conflict";
  std::string lines;
  for (const Conflict& conflict : conflicts) {
    std::string who = conflict.manager.Text();
    absl::StrAppend(&lines, lines.empty() ? "" : "\n", "conflicts with ", who, ":");
    conflict.fields.ForEach([&](const std::string& path) {
      status.causes.push_back({"FieldManagerConflict", absl::StrCat("conflict with ", who), path});
      absl::StrAppend(&lines, "\n- ", path);
    });
  }
  if (status.causes.size() == 1) {
    status.message = absl::StrCat("Apply failed with 1 conflict: ", status.causes[0].message, ": ",
                                  status.causes[0].field);
  } else {
    status.message =
        absl::StrCat("Apply failed with ", status.causes.size(), " conflicts: ", lines);
  }
  return status;
}

// Of `merged`: what the manager had applied (`last`) and applies no longer, as far as nobody owns
// it.
FieldSet Abandoned(const Schema& schema, const Value& merged, const FieldSet& last,
                   const Managers& managers) {
  if (last.empty()) return {};
  // A container that became empty still counts as there, as in the reference.
  auto fields_without = [&](const FieldSet& fields) {
    return WithNamedParents(
        schema, FieldsOf(schema, WithoutFields(schema, merged, fields, Emptied::kNull)));
  };
  FieldSet last_named = WithNamedParents(schema, last);
  FieldSet managed;
  for (const ManagerEntry& entry : managers.entries()) managed = Union(managed, entry.fields);
  FieldSet all = WithNamedParents(schema, FieldsOf(schema, merged));
  // First everything that somebody owns comes back, and then what was never applied.
  FieldSet kept = Union(fields_without(last_named), WithNamedParents(schema, managed));
  FieldSet remaining = fields_without(Difference(all, kept));
  return Intersection(Difference(all, remaining), last_named);
}

// One application at work. `live` has no managedFields.
class Applier {
 public:
  Applier(const Schema& schema, const Value& live, const Value& applied,
          const FieldManager& manager)
      : schema_(schema),
        live_(live),
        applied_(applied),
        manager_(manager),
        identity_(Identity(manager, /*applies=*/true)) {}

  kube::Result<Value> Run(Managers managers, bool force) {
    FieldSet last;
    if (const ManagerEntry* before = managers.Find(identity_)) last = before->fields;
    ManagerEntry& own = managers.Of(identity_);
    own.SetFields(FieldsOf(schema_, applied_));
    own.api_version = manager_.api_version;
    Value result = MergeApplied(schema_, live_, applied_);
    FieldSet abandoned = Abandoned(schema_, result, last, managers);
    // What is empty now has not gone: whoever owns it keeps it.
    Comparison comparison;
    if (abandoned.empty()) {
      comparison = Changes(schema_, live_, result);
    } else {
      comparison =
          Changes(schema_, live_, WithoutFields(schema_, result, abandoned, Emptied::kNull));
      result = WithoutFields(schema_, result, abandoned, Emptied::kGone);
    }
    if (std::optional<kube::Status> conflict = TakeOver(comparison, force, &managers)) {
      return *std::move(conflict);
    }
    ManagerEntry& mine = managers.Of(identity_);
    mine.SetFields(Owned(mine.fields));
    // Who applies what is there already changes nothing, and the time of the entry stays.
    if (!SameJson(live_, result)) mine.time = manager_.time;
    managers.RemoveEmpty();
    if (manager_.name == "kubectl") UpdateLastApplied(applied_, &result);
    SetManagers(std::move(managers), &result);
    return result;
  }

 private:
  std::optional<kube::Status> TakeOver(const Comparison& comparison, bool force,
                                       Managers* managers) {
    FieldSet changed = Union(comparison.modified, comparison.added);
    std::vector<Conflict> conflicts;
    for (const ManagerEntry& entry : managers->entries()) {
      if (entry.SameManager(identity_)) continue;
      FieldSet taken = Intersection(entry.fields, changed);
      if (!taken.empty()) conflicts.push_back({entry, std::move(taken)});
    }
    if (!force && !conflicts.empty()) {
      RemoveAllowed(&conflicts);
      if (!conflicts.empty()) return ConflictStatus(std::move(conflicts));
    }
    FieldSet gone = Union(changed, comparison.removed);
    for (ManagerEntry& entry : managers->entries()) {
      if (entry.SameManager(identity_) || !entry.fields.Intersects(gone)) continue;
      entry.SetFields(Difference(entry.fields, gone));
    }
    return std::nullopt;
  }

  void RemoveAllowed(std::vector<Conflict>* conflicts) const {
    if (manager_.name != "kubectl") return;
    FieldSet allowed = LastAppliedFields(schema_, live_, manager_.api_version);
    for (Conflict& conflict : *conflicts) conflict.fields = Difference(conflict.fields, allowed);
    conflicts->erase(std::remove_if(conflicts->begin(), conflicts->end(),
                                    [](const Conflict& c) { return c.fields.empty(); }),
                     conflicts->end());
  }

  const Schema& schema_;
  const Value& live_;
  const Value& applied_;
  const FieldManager& manager_;
  const ManagerEntry identity_;
};

}  // namespace

kube::Result<Value> Apply(const Schema& schema, const Value& live, const Value& applied,
                          const FieldManager& manager, bool force) {
  if (std::optional<kube::Status> wrong = CheckRequest(schema, applied, manager)) {
    return *std::move(wrong);
  }
  Value bare = live;
  std::optional<Managers> managers = Managers::FromJson(TakeManagedFields(&bare));
  if (!managers.has_value()) return Plain("failed to decode managed fields");
  ReconcileAll(schema, &*managers);
  if (managers->empty() && !live.is_null()) {
    FieldManager before = manager;
    before.name = std::string(kBeforeFirstApply);
    RecordUpdate(Changes(schema, Value(), bare), Identity(before, /*applies=*/false), manager.time,
                 &*managers);
  }
  return Applier(schema, bare, applied, manager).Run(*std::move(managers), force);
}

void TrackUpdate(const Schema& schema, const Value& live, const FieldManager& manager,
                 Value& updated) {
  Managers managers = ManagersBefore(live, manager, TakeManagedFields(&updated));
  // An object that nobody applies to and that was not recorded from its creation stays so.
  if (managers.empty() && !live.is_null()) return;
  ReconcileAll(schema, &managers);
  RecordUpdate(Changes(schema, live, updated), Identity(manager, /*applies=*/false), manager.time,
               &managers);
  SetManagers(std::move(managers), &updated);
}

}  // namespace meltemi::apiserver
