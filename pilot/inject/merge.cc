#include "pilot/inject/merge.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

using json::Member;
using json::Value;

// By which member the items of a list of a container are told apart: Kubernetes' merge keys.
absl::string_view MergeKey(absl::string_view list) {
  if (list == "env") return "name";
  if (list == "ports") return "containerPort";
  if (list == "volumeMounts") return "mountPath";
  if (list == "volumeDevices") return "devicePath";
  if (list == "resizePolicy") return "resourceName";
  return "";
}

const char* const kHandlers[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};

bool IsHandler(absl::string_view name) {
  for (const char* handler : kHandlers) {
    if (name == handler) return true;
  }
  return false;
}

void MergeInto(const Value& user, Value* own);

void MergeList(absl::string_view key, const Value& user, Value* own) {
  for (const Value& item : user.items()) {
    const Value* const name = item.Find(key);
    Value* same = nullptr;
    for (Value& candidate : own->items()) {
      const Value* const other = candidate.Find(key);
      if (name != nullptr && other != nullptr && *other == *name) same = &candidate;
    }
    if (same == nullptr) {
      own->Append(item);
    } else if (key == "name") {
      *same = item;  // a variable has a value or a source, never both
    } else {
      MergeInto(item, same);
    }
  }
}

void MergeInto(const Value& user, Value* own) {
  for (const Member& member : user.members()) {
    Value* const mine = own->Find(member.key);
    const absl::string_view key = MergeKey(member.key);
    if (mine == nullptr) {
      if (IsHandler(member.key)) {
        for (const char* handler : kHandlers) own->Remove(handler);
      }
      own->Set(member.key, member.value);
    } else if (!key.empty() && member.value.is_array() && mine->is_array()) {
      MergeList(key, member.value, mine);
    } else if (member.value.is_object() && mine->is_object() && !IsHandler(member.key)) {
      MergeInto(member.value, mine);
    } else {
      *mine = member.value;
    }
  }
}

}  // namespace

Value MergeContainer(const Value& own, const Value& user) {
  Value merged = own;
  Value overlay = user;
  if (overlay.FindString("image") == "auto") {
    overlay.Remove("image");
    // API servers say so of every image without a tag before webhooks are asked.
    if (overlay.FindString("imagePullPolicy") == "Always") overlay.Remove("imagePullPolicy");
  }
  MergeInto(overlay, &merged);
  return merged;
}

}  // namespace meltemi::pilot
