#include "orchestrator/apiserver/patch/strategic_merge.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/patch/go_text.h"
#include "orchestrator/apiserver/patch/patch.h"

namespace meltemi::apiserver {
namespace strategic {
namespace {

using json::Member;
using json::Value;

constexpr absl::string_view kBadRetainKeys = "invalid patch format of retainKeys";

bool IsDirective(absl::string_view key) {
  return key == kPatchDirective || key == kRetainKeys || absl::StartsWith(key, kDeleteFromList) ||
         absl::StartsWith(key, kSetOrder);
}

// The member that "$prefix/name" is about.
Failure NameAfter(absl::string_view key, absl::string_view prefix, std::string* name) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(key, absl::MaxSplits('/', 1));
  if (parts.first == prefix && key.size() > prefix.size()) {
    *name = std::string(parts.second);
    return std::nullopt;
  }
  return kube::BadRequest(prefix == kDeleteFromList
                              ? "invalid patch format of primitive list"
                              : "invalid patch format of setElementOrder list");
}

// The schema of a member; *known false: the schema is complete and has no such member.
const Schema* SchemaOf(const Schema* schema, absl::string_view name, bool* known) {
  *known = true;
  if (schema == nullptr) return nullptr;
  if (const Property* property = schema->Find(name)) return property->schema;
  if (schema->values != nullptr) return schema->values;
  *known = schema->type != SchemaType::kObject || schema->preserve_unknown;
  return nullptr;
}

kube::Status UnknownField(const Schema& schema, absl::string_view name) {
  absl::string_view type = schema.type_name;
  size_t dot = type.rfind('.');
  if (dot != absl::string_view::npos) type.remove_prefix(dot + 1);
  return PlainError(absl::StrCat("unable to find api field in struct ", type,
                                 " for the json field ", GoQuotedText(name)));
}

Failure ApplyDirective(const Value& directive, Value patch, Value* original) {
  if (directive.text() == "replace" && directive.is_string()) {
    patch.Remove(kPatchDirective);
    *original = std::move(patch);
    return std::nullopt;
  }
  if (directive.text() == "delete" && directive.is_string()) {
    *original = Value::Object();
    return std::nullopt;
  }
  return UnknownDirective(directive, patch);
}

// $retainKeys: only the listed members stay; the patch may set no others.
Failure RetainKeys(Value* patch, Value* original) {
  const Value* listed = patch->Find(kRetainKeys);
  if (listed == nullptr) return std::nullopt;
  if (!listed->is_array()) return kube::BadRequest(kBadRetainKeys);
  absl::flat_hash_set<std::string> names;
  for (const Value& name : listed->items()) {
    if (name.is_string()) names.insert(name.text());
  }
  patch->Remove(kRetainKeys);
  for (const Member& member : patch->members()) {
    if (member.value.is_null() || IsDirective(member.key)) continue;
    if (!names.contains(member.key)) return kube::BadRequest(kBadRetainKeys);
  }
  std::vector<Member>& members = original->members();
  members.erase(
      std::remove_if(members.begin(), members.end(),
                     [&names](const Member& member) { return !names.contains(member.key); }),
      members.end());
  return std::nullopt;
}

std::optional<Value> TakeMember(Value* map, absl::string_view name) {
  Value* member = map->Find(name);
  if (member == nullptr) return std::nullopt;
  Value taken = std::move(*member);
  map->Remove(name);
  return taken;
}

// Each $setElementOrder/name together with the list of that name.
Failure MergeOrderedLists(const Schema* schema, Value* patch, Value* original) {
  std::vector<std::string> keys;
  for (const Member& member : patch->members()) {
    if (absl::StartsWith(member.key, kSetOrder)) keys.push_back(member.key);
  }
  for (const std::string& key : keys) {
    Value order = *TakeMember(patch, key);
    if (!order.is_array()) return WrongType("[]interface {}", order);
    std::string name;
    if (Failure failure = NameAfter(key, kSetOrder, &name)) return failure;
    for (const Value* side : {original->Find(name), patch->Find(name)}) {
      if (side != nullptr && !side->is_array()) return WrongType("[]interface {}", *side);
    }
    bool known = true;
    const Schema* list_schema = SchemaOf(schema, name, &known);
    if (!known) return UnknownField(*schema, name);
    std::optional<Value> list;
    Value* existing = original->Find(name);
    if (existing != nullptr) list = std::move(*existing);
    Failure failure = MergeOrdered(list_schema, order, TakeMember(patch, name), &list);
    if (failure.has_value()) return failure;
    if (list.has_value()) original->Set(name, *std::move(list));
  }
  return std::nullopt;
}

// The new value of a member that the original lacks, or has in another shape.
void TakePatchValue(absl::string_view name, Value value, Value* original) {
  if (RemoveDirectives(&value, /*remove_nulls=*/true)) {
    original->Set(name, std::move(value));
  } else {
    original->Remove(name);
  }
}

Failure DeleteListed(absl::string_view key, const Value& listed, Value* original) {
  std::string name;
  if (Failure failure = NameAfter(key, kDeleteFromList, &name)) return failure;
  if (listed.is_null()) {
    original->Remove(name);
    return std::nullopt;
  }
  Value* existing = original->Find(name);
  if (existing == nullptr || !existing->is_array() || !listed.is_array()) return std::nullopt;
  return DeleteFromList(listed, existing);
}

Failure MergeMember(const Schema* schema, Member member, Value* original) {
  if (absl::StartsWith(member.key, kDeleteFromList)) {
    return DeleteListed(member.key, member.value, original);
  }
  if (member.value.is_null()) {
    original->Remove(member.key);
    return std::nullopt;
  }
  Value* existing = original->Find(member.key);
  bool structured = member.value.is_object() || member.value.is_array();
  if (existing == nullptr || existing->kind() != member.value.kind() || !structured) {
    TakePatchValue(member.key, std::move(member.value), original);
    return std::nullopt;
  }
  bool known = true;
  const Schema* member_schema = SchemaOf(schema, member.key, &known);
  if (!known) return UnknownField(*schema, member.key);
  return member.value.is_object() ? MergeMap(member_schema, std::move(member.value), existing)
                                  : MergeList(member_schema, std::move(member.value), existing);
}

}  // namespace

kube::Status PlainError(std::string message) {
  kube::Status status;
  status.code = 500;
  status.message = std::move(message);
  return status;
}

kube::Status NoMergeKey(const Value& map, absl::string_view key) {
  return PlainError(
      absl::StrCat("map: ", GoValueText(map), " does not contain declared merge key: ", key));
}

kube::Status WrongType(absl::string_view expected, const Value& actual) {
  return PlainError(absl::StrCat("expected a ", expected, ", but received a ", GoTypeName(actual)));
}

kube::Status UnknownDirective(const Value& directive, const Value& map) {
  return PlainError(
      absl::StrCat("unknown patch type: ", GoValueText(directive), " in map: ", GoValueText(map)));
}

bool RemoveDirectives(Value* value, bool remove_nulls) {
  if (value->is_object()) {
    if (value->Find(kPatchDirective) != nullptr) return false;
    std::vector<Member>& members = value->members();
    members.erase(std::remove_if(members.begin(), members.end(),
                                 [remove_nulls](Member& member) {
                                   return IsDirective(member.key) ||
                                          (remove_nulls && member.value.is_null()) ||
                                          !RemoveDirectives(&member.value, remove_nulls);
                                 }),
                  members.end());
  } else if (value->is_array()) {
    std::vector<Value>& items = value->items();
    items.erase(std::remove_if(
                    items.begin(), items.end(),
                    [remove_nulls](Value& item) { return !RemoveDirectives(&item, remove_nulls); }),
                items.end());
  }
  return true;
}

Failure MergeMap(const Schema* schema, Value patch, Value* original) {
  if (const Value* directive = patch.Find(kPatchDirective)) {
    return ApplyDirective(Value(*directive), std::move(patch), original);
  }
  if (Failure failure = RetainKeys(&patch, original)) return failure;
  if (Failure failure = MergeOrderedLists(schema, &patch, original)) return failure;
  for (Member& member : patch.members()) {
    if (Failure failure = MergeMember(schema, std::move(member), original)) return failure;
  }
  return std::nullopt;
}

}  // namespace strategic

kube::Result<json::Value> ApplyStrategicMerge(const Schema& schema, const json::Value& object,
                                              const json::Value& patch) {
  if (!patch.is_object()) {
    return kube::BadRequest(absl::StrCat("error decoding patch: json: cannot unmarshal ",
                                         GoJsonKind(patch),
                                         " into Go value of type map[string]interface {}"));
  }
  json::Value merged = object.is_object() ? object : json::Value::Object();
  if (strategic::Failure failure = strategic::MergeMap(&schema, patch, &merged)) {
    return *std::move(failure);
  }
  return merged;
}

}  // namespace meltemi::apiserver
