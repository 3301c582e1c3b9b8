#include "orchestrator/kubelet/pods/status_patch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/codec/codec.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::PodStatus;

// Members that a kubelet writes, and how a patch changes them.
enum class Form : uint8_t { kPlain, kAddresses };
constexpr std::pair<absl::string_view, Form> kOwned[] = {
    {"phase", Form::kPlain},
    {"message", Form::kPlain},
    {"reason", Form::kPlain},
    {"hostIP", Form::kPlain},
    {"hostIPs", Form::kAddresses},
    {"podIP", Form::kPlain},
    {"podIPs", Form::kAddresses},
    {"startTime", Form::kPlain},
    {"initContainerStatuses", Form::kPlain},
    {"containerStatuses", Form::kPlain},
    {"qosClass", Form::kPlain},
};

json::Value Tree(const PodStatus& status) {
  absl::StatusOr<json::Value> tree = json::Parse(kube::ToJson(status));
  return tree.ok() ? *std::move(tree) : json::Value::Object();
}

bool Equal(const json::Value* a, const json::Value* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return *a == *b;
}

// Lists of addresses are merged by address unless they are said to be replaced.
json::Value Replacing(const json::Value& list) {
  json::Value out = list;
  json::Value directive = json::Value::Object();
  directive.Set("$patch", json::Value::String("replace"));
  out.Append(std::move(directive));
  return out;
}

const json::Value* FindCondition(const json::Value& status, absl::string_view type) {
  const json::Value* conditions = status.Find("conditions");
  if (conditions == nullptr) return nullptr;
  for (const json::Value& condition : conditions->items()) {
    if (condition.FindString("type") == type) return &condition;
  }
  return nullptr;
}

// Those that are new or different; what a condition does not say any more is taken away.
json::Value Conditions(const json::Value& written, const json::Value& wanted) {
  json::Value out = json::Value::Array();
  const json::Value* conditions = wanted.Find("conditions");
  if (conditions == nullptr) return out;
  for (const json::Value& condition : conditions->items()) {
    const json::Value* before = FindCondition(written, condition.FindString("type"));
    if (Equal(before, &condition)) continue;
    json::Value changed = condition;
    if (before != nullptr) {
      for (const json::Member& member : before->members()) {
        if (condition.Find(member.key) == nullptr) changed.Set(member.key, json::Value());
      }
    }
    out.Append(std::move(changed));
  }
  return out;
}

}  // namespace

std::string PodStatusPatch(absl::string_view uid, const PodStatus& written,
                           const PodStatus& wanted) {
  const json::Value from = Tree(written), to = Tree(wanted);
  json::Value status = json::Value::Object();
  for (const auto& [key, form] : kOwned) {
    const json::Value* before = from.Find(key);
    const json::Value* now = to.Find(key);
    if (Equal(before, now)) continue;
    if (now == nullptr) {
      status.Set(key, json::Value());
    } else {
      status.Set(key, form == Form::kAddresses ? Replacing(*now) : *now);
    }
  }
  json::Value conditions = Conditions(from, to);
  if (!conditions.items().empty()) status.Set("conditions", std::move(conditions));
  if (status.members().empty()) return "";
  json::Value patch = json::Value::Object();
  patch.MutableObject("metadata").Set("uid", json::Value::String(std::string(uid)));
  patch.Set("status", std::move(status));
  return json::ToString(patch);
}

}  // namespace meltemi::kubelet
