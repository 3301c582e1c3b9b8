#include "orchestrator/controllers/runtime/owners.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"

namespace meltemi::controllers {
namespace {

using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;

json::Value MatchLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  json::Value out = json::Value::Object();
  for (const auto& [key, value] : labels) out.Add(key, json::Value::String(value));
  return out;
}

kube::LabelSelector ParseSelector(const json::Value& selector) {
  absl::StatusOr<kube::LabelSelector> parsed = kube::LabelSelector::FromJson(&selector);
  // The API server lets no other one in; matching nothing harms nothing.
  return parsed.ok() ? *std::move(parsed) : kube::LabelSelector::Nothing();
}

// {"metadata":{"uid":UID,"ownerReferences":[REFERENCE]}}: the uid makes the server refuse it for
// another object of that name.
std::string ReferencePatch(absl::string_view uid, json::Value reference) {
  json::Value references = json::Value::Array();
  references.Append(std::move(reference));
  json::Value metadata = json::Value::Object();
  metadata.Add("uid", json::Value::String(std::string(uid)));
  metadata.Add("ownerReferences", std::move(references));
  json::Value patch = json::Value::Object();
  patch.Add("metadata", std::move(metadata));
  return json::ToString(patch);
}

kube::Outcome PatchReferences(kube::Client& client, const google::protobuf::Message& object,
                              json::Value reference) {
  const ObjectMeta& meta = kube::MetaOf(object);
  return kube::internal::PatchInto(client, kube::ResourceOf(*object.GetDescriptor()),
                                   meta.namespace_(), meta.name(), "",
                                   kube::PatchType::kStrategicMerge,
                                   ReferencePatch(meta.uid(), std::move(reference)), "", nullptr);
}

// False: the object is gone.
kube::Result<bool> Adopt(kube::Client& client, const google::protobuf::Message& owner,
                         const google::protobuf::Message& object) {
  const OwnerReference reference = ControllerReference(owner);
  json::Value value = json::Value::Object();
  value.Add("apiVersion", json::Value::String(reference.api_version()));
  value.Add("kind", json::Value::String(reference.kind()));
  value.Add("name", json::Value::String(reference.name()));
  value.Add("uid", json::Value::String(reference.uid()));
  value.Add("controller", json::Value::Bool(true));
  value.Add("blockOwnerDeletion", json::Value::Bool(true));
  const kube::Outcome outcome = PatchReferences(client, object, std::move(value));
  if (outcome.ok()) return true;
  if (kube::IsNotFound(outcome.status())) return false;
  return outcome.status();
}

kube::Outcome Release(kube::Client& client, const google::protobuf::Message& owner,
                      const google::protobuf::Message& object) {
  json::Value value = json::Value::Object();
  value.Add("$patch", json::Value::String("delete"));
  value.Add("uid", json::Value::String(kube::MetaOf(owner).uid()));
  kube::Outcome outcome = PatchReferences(client, object, std::move(value));
  if (outcome.ok()) return outcome;
  // Invalid, or a conflict: there is another object of that name by now.
  const std::string& reason = outcome.status().reason;
  if (reason == "NotFound" || reason == "Invalid" || reason == "Conflict") return kube::Done{};
  return outcome;
}

}  // namespace

const OwnerReference* ControllerOf(const google::protobuf::Message& object) {
  for (const OwnerReference& reference : kube::MetaOf(object).owner_references()) {
    if (reference.controller()) return &reference;
  }
  return nullptr;
}

OwnerReference ControllerReference(const google::protobuf::Message& owner) {
  const ObjectMeta& meta = kube::MetaOf(owner);
  const kube::GroupVersionKind kind = kube::ResourceOf(*owner.GetDescriptor()).group_version_kind();
  OwnerReference reference;
  reference.set_api_version(kind.ApiVersion());
  reference.set_kind(kind.kind);
  reference.set_name(meta.name());
  reference.set_uid(meta.uid());
  reference.set_controller(true);
  reference.set_block_owner_deletion(true);
  return reference;
}

bool IsControlledBy(const google::protobuf::Message& object,
                    const google::protobuf::Message& owner) {
  const OwnerReference* reference = ControllerOf(object);
  return reference != nullptr && reference->uid() == kube::MetaOf(owner).uid();
}

std::vector<std::string> ByController(const google::protobuf::Message& object) {
  const OwnerReference* reference = ControllerOf(object);
  if (reference == nullptr) return {};
  return {reference->uid()};
}

std::vector<std::string> OrphansByNamespace(const google::protobuf::Message& object) {
  if (ControllerOf(object) != nullptr) return {};
  return {kube::MetaOf(object).namespace_()};
}

kube::LabelSelector SelectorOf(const kube::meta::v1::LabelSelector* selector) {
  if (selector == nullptr) return kube::LabelSelector::Nothing();
  json::Value expressions = json::Value::Array();
  for (const kube::meta::v1::LabelSelectorRequirement& from : selector->match_expressions()) {
    json::Value expression = json::Value::Object();
    expression.Add("key", json::Value::String(from.key()));
    expression.Add("operator", json::Value::String(from.operator_()));
    json::Value values = json::Value::Array();
    for (const std::string& value : from.values()) values.Append(json::Value::String(value));
    expression.Add("values", std::move(values));
    expressions.Append(std::move(expression));
  }
  json::Value out = json::Value::Object();
  out.Add("matchLabels", MatchLabels(selector->match_labels()));
  out.Add("matchExpressions", std::move(expressions));
  return ParseSelector(out);
}

kube::LabelSelector SelectorOf(const google::protobuf::Map<std::string, std::string>& labels) {
  json::Value out = json::Value::Object();
  out.Add("matchLabels", MatchLabels(labels));
  return ParseSelector(out);
}

bool Matches(const kube::LabelSelector& selector, const google::protobuf::Message& object) {
  const auto& labels = kube::MetaOf(object).labels();
  kube::StringPairs pairs(labels.begin(), labels.end());
  std::sort(pairs.begin(), pairs.end());
  return selector.Matches(pairs);
}

kube::Result<std::vector<kube::MessagePtr>> Claim(const ClaimOptions& options,
                                                  const std::vector<kube::MessagePtr>& controlled,
                                                  const std::vector<kube::MessagePtr>& orphans) {
  const ObjectMeta& owner = kube::MetaOf(options.owner);
  const bool going = owner.has_deletion_timestamp();
  const auto wanted = [&](const google::protobuf::Message& object) {
    return Matches(options.selector, object) && (!options.filter || options.filter(object));
  };
  std::optional<kube::Status> failure;
  std::vector<kube::MessagePtr> claimed;
  for (const kube::MessagePtr& object : controlled) {
    if (wanted(*object)) {
      claimed.push_back(object);
    } else if (!going) {
      const kube::Outcome released = Release(options.client, options.owner, *object);
      if (!released.ok()) failure = released.status();
    }
  }
  std::optional<bool> may_adopt;
  for (const kube::MessagePtr& object : orphans) {
    const ObjectMeta& meta = kube::MetaOf(*object);
    if (going || meta.has_deletion_timestamp() || !wanted(*object)) continue;
    if (!owner.namespace_().empty() && meta.namespace_() != owner.namespace_()) continue;
    if (!may_adopt.has_value() && options.may_adopt) {
      const kube::Result<bool> asked = options.may_adopt();
      if (!asked.ok()) return asked.status();
      may_adopt = *asked;
    }
    if (!may_adopt.value_or(true)) break;
    const kube::Result<bool> adopted = Adopt(options.client, options.owner, *object);
    if (!adopted.ok()) {
      failure = adopted.status();
    } else if (*adopted) {
      claimed.push_back(object);
    }
  }
  if (failure.has_value()) return *std::move(failure);
  return claimed;
}

}  // namespace meltemi::controllers
