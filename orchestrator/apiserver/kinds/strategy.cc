#include "orchestrator/apiserver/kinds/strategy.h"

#include <utility>

#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

bool IsEnvelope(absl::string_view key) {
  return key == "apiVersion" || key == "kind" || key == "metadata" || key == "status";
}

}  // namespace

void Strategy::PrepareForCreate(const Resource& resource, json::Value& object) const {
  if (resource.status_subresource && DropsStatusOnCreate()) object.Remove("status");
  if (CountsGenerations(resource)) {
    object.MutableObject("metadata").Set("generation", json::Value::Int(1));
  }
}

void Strategy::PrepareForUpdate(const Resource& resource, Scope scope,
                                const json::Value& old_object, json::Value& object) const {
  if (scope == Scope::kStatus) {
    json::Value kept = old_object;
    CopyMember(object, "status", kept);
    json::Value& metadata = kept.MutableObject("metadata");
    const json::Value& sent = Get(object, "metadata");
    for (const char* key : {"resourceVersion", "managedFields", "uid"}) {
      if (Has(sent, key)) CopyMember(sent, key, metadata);
    }
    if (StatusUpdatesMetadata()) {
      for (const char* key : {"labels", "annotations", "finalizers"}) {
        CopyMember(sent, key, metadata);
      }
    }
    CopyMember(object, "apiVersion", kept);
    object = std::move(kept);
    return;
  }
  if (resource.status_subresource) CopyMember(old_object, "status", object);
  const int64_t generation = Int(Get(old_object, "metadata"), "generation");
  json::Value& metadata = object.MutableObject("metadata");
  if (CountsGenerations(resource) && SpecChanged(old_object, object)) {
    metadata.Set("generation", json::Value::Int(generation + 1));
  } else {
    CopyMember(Get(old_object, "metadata"), "generation", metadata);
  }
}

bool Strategy::SpecChanged(const json::Value& old_object, const json::Value& object) const {
  for (const json::Member& member : object.members()) {
    if (!IsEnvelope(member.key) && !Same(Get(old_object, member.key), member.value)) return true;
  }
  for (const json::Member& member : old_object.members()) {
    if (!IsEnvelope(member.key) && !Has(object, member.key) &&
        !Same(member.value, Get(object, member.key))) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> Strategy::CheckName(absl::string_view name, bool prefix) const {
  return NameIsDnsSubdomain(name, prefix);
}

}  // namespace meltemi::apiserver
