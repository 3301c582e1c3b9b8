#include "orchestrator/controllers/garbage/patches.h"

#include <algorithm>
#include <utility>

#include "base/json/value.h"
#include "base/json/write.h"

namespace meltemi::controllers {
namespace {

using json::Value;
using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value ReferenceTree(const OwnerReference& owner, bool keeps_blocking) {
  Value out = Value::Object();
  out.Add("apiVersion", Text(owner.api_version()));
  out.Add("kind", Text(owner.kind()));
  out.Add("name", Text(owner.name()));
  out.Add("uid", Text(owner.uid()));
  if (owner.has_controller()) out.Add("controller", Value::Bool(owner.controller()));
  if (!keeps_blocking) {
    out.Add("blockOwnerDeletion", Value::Bool(false));
  } else if (owner.has_block_owner_deletion()) {
    out.Add("blockOwnerDeletion", Value::Bool(owner.block_owner_deletion()));
  }
  return out;
}

std::string PatchOf(Value metadata) {
  Value patch = Value::Object();
  patch.Add("metadata", std::move(metadata));
  return json::ToString(patch);
}

// What only the version that was read may be patched with.
Value MetadataAt(const ObjectMeta& latest) {
  Value metadata = Value::Object();
  metadata.Add("resourceVersion", Text(latest.resource_version()));
  metadata.Add("uid", Text(latest.uid()));
  return metadata;
}

void AddList(const char* key, Value list, Value& metadata) {
  metadata.Add(key, list.items().empty() ? Value() : std::move(list));
}

}  // namespace

std::string DropOwnersPatch(absl::string_view uid, const std::vector<std::string>& owner_uids) {
  Value owners = Value::Array();
  for (const std::string& owner_uid : owner_uids) {
    Value owner = Value::Object();
    owner.Add("$patch", Text("delete"));
    owner.Add("uid", Text(owner_uid));
    owners.Append(std::move(owner));
  }
  Value metadata = Value::Object();
  metadata.Add("uid", Text(uid));
  metadata.Add("ownerReferences", std::move(owners));
  return PatchOf(std::move(metadata));
}

std::string DropOwnersMergePatch(const ObjectMeta& latest,
                                 const std::vector<std::string>& owner_uids) {
  Value owners = Value::Array();
  for (const OwnerReference& owner : latest.owner_references()) {
    if (std::find(owner_uids.begin(), owner_uids.end(), owner.uid()) == owner_uids.end()) {
      owners.Append(ReferenceTree(owner, true));
    }
  }
  Value metadata = MetadataAt(latest);
  AddList("ownerReferences", std::move(owners), metadata);
  return PatchOf(std::move(metadata));
}

std::string UnblockPatch(const ObjectMeta& latest) {
  Value owners = Value::Array();
  for (const OwnerReference& owner : latest.owner_references()) {
    owners.Append(ReferenceTree(owner, false));
  }
  Value metadata = MetadataAt(latest);
  AddList("ownerReferences", std::move(owners), metadata);
  return PatchOf(std::move(metadata));
}

std::string DropFinalizerPatch(const ObjectMeta& latest, absl::string_view finalizer) {
  Value left = Value::Array();
  bool found = false;
  for (const std::string& each : latest.finalizers()) {
    if (each == finalizer) {
      found = true;
    } else {
      left.Append(Text(each));
    }
  }
  if (!found) return "";
  Value metadata = MetadataAt(latest);
  AddList("finalizers", std::move(left), metadata);
  return PatchOf(std::move(metadata));
}

}  // namespace meltemi::controllers
