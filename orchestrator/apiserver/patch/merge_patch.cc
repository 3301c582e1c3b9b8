#include "orchestrator/apiserver/patch/patch.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// RFC 7386, section 2, in place.
void Merge(const Value& patch, Value* target) {
  if (!patch.is_object()) {
    *target = patch;
    return;
  }
  if (!target->is_object()) *target = Value::Object();
  for (const json::Member& member : patch.members()) {
    if (member.value.is_null()) {
      target->Remove(member.key);
      continue;
    }
    Value* existing = target->Find(member.key);
    Merge(member.value, existing != nullptr ? existing : &target->Add(member.key, Value()));
  }
}

}  // namespace

Value ApplyMergePatch(const Value& object, const Value& patch) {
  Value merged = object;
  Merge(patch, &merged);
  return merged;
}

}  // namespace meltemi::apiserver
