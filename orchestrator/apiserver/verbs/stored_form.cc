#include "orchestrator/apiserver/verbs/stored_form.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/schema/empty.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// Moves the member to `position`, if it is there.
void MoveTo(Value& object, absl::string_view key, size_t position) {
  std::vector<json::Member>& members = object.members();
  const auto found = std::find_if(members.begin(), members.end(),
                                  [key](const json::Member& member) { return member.key == key; });
  if (found == members.end()) return;
  const auto target = members.begin() + static_cast<ptrdiff_t>(std::min(position, members.size()));
  if (found > target) {
    std::rotate(target, found, found + 1);
  } else if (found < target) {
    std::rotate(found, found + 1, target + 1);
  }
}

}  // namespace

bool StoredAsServed(const Resource& resource) {
  // The schema of a custom resource may have changed since its objects were written.
  return !resource.custom && resource.from_storage == nullptr &&
         resource.api_version() == resource.storage_version &&
         resource.kind == resource.storage_kind;
}

void FromStored(const Resource& resource, Value& object) {
  if (StoredAsServed(resource)) return;
  if (resource.from_storage != nullptr) resource.from_storage(object);
  object.Set("apiVersion", Value::String(resource.api_version()));
  object.Set("kind", Value::String(resource.kind));
  if (resource.schema == nullptr) return;
  if (resource.custom) {
    Prune(*resource.schema, object);
    ApplyDefaults(*resource.schema, object);
  }
  AddEmpty(*resource.schema, object);
}

kube::Result<std::string> ToStored(const Resource& resource, const Catalog& catalog, Value object) {
  const Resource* stored = &resource;
  if (!StoredAsServed(resource)) {
    if (resource.to_storage != nullptr) resource.to_storage(object);
    object.Set("apiVersion", Value::String(resource.storage_version));
    object.Set("kind", Value::String(resource.storage_kind));
    if (const Resource* found = catalog.FindKind(kube::KindOf(object))) stored = found;
  }
  if (stored->schema != nullptr) AddEmpty(*stored->schema, object);
  kube::MutableMetadata(object).Remove("resourceVersion");
  MoveTo(object, "metadata", 0);
  std::string text = json::ToString(object);
  if (text.size() > kStoredBytesMax) {
    return kube::RequestEntityTooLarge(absl::StrCat("limit is ", kStoredBytesMax));
  }
  return text;
}

void PutHeadFirst(const Resource& resource, Value& object) {
  object.Set("kind", Value::String(resource.kind));
  object.Set("apiVersion", Value::String(resource.api_version()));
  kube::MutableMetadata(object);
  MoveTo(object, "kind", 0);
  MoveTo(object, "apiVersion", 1);
  MoveTo(object, "metadata", 2);
}

void SetResourceVersion(store::Revision revision, Value& object) {
  kube::MutableMetadata(object).Set("resourceVersion", Value::String(absl::StrCat(revision)));
}

}  // namespace meltemi::apiserver
