#include "orchestrator/apiserver/crd/naming.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using NameSet = std::set<std::string>;

void Collect(const Value& names, NameSet& resources, NameSet& kinds) {
  resources.emplace(Text(names, "plural"));
  resources.emplace(Text(names, "singular"));
  for (const Value& name : Items(names, "shortNames")) resources.insert(name.text());
  kinds.emplace(Text(names, "kind"));
  kinds.emplace(Text(names, "listKind"));
}

// One pass over the names of a definition.
class Acceptance {
 public:
  Acceptance(const Value& wanted, Value accepted, NameSet resources, NameSet kinds)
      : wanted_(wanted),
        accepted_(std::move(accepted)),
        resources_(std::move(resources)),
        kinds_(std::move(kinds)) {
    if (!accepted_.is_object()) accepted_ = Value::Object();
  }

  Value Run() {
    One("plural", "PluralConflict", resources_);
    One("singular", "SingularConflict", resources_);
    ShortNames();
    One("kind", "KindConflict", kinds_);
    One("listKind", "ListKindConflict", kinds_);
    CopyMember(wanted_, "categories", accepted_);
    return std::move(accepted_);
  }

  bool conflict() const { return !reason_.empty(); }
  const std::string& reason() const { return reason_; }
  const std::string& message() const { return message_; }

 private:
  static std::string InUse(absl::string_view name) {
    return absl::StrCat(kube::GoQuote(name), " is already in use");
  }
  void Conflict(absl::string_view reason, std::string message) {
    reason_ = std::string(reason);
    message_ = std::move(message);
  }

  void One(absl::string_view key, absl::string_view reason, const NameSet& taken) {
    const std::string name(Text(wanted_, key));
    if (name != Text(accepted_, key) && taken.count(name) > 0) return Conflict(reason, InUse(name));
    accepted_.Set(key, Value::String(name));
  }

  void ShortNames() {
    NameSet own;
    for (const Value& name : Items(accepted_, "shortNames")) own.insert(name.text());
    std::vector<std::string> problems;
    for (const Value& name : Items(wanted_, "shortNames")) {
      if (own.count(name.text()) == 0 && resources_.count(name.text()) > 0) {
        problems.push_back(InUse(name.text()));
      }
    }
    if (problems.empty()) return CopyMember(wanted_, "shortNames", accepted_);
    std::string all = absl::StrJoin(problems, ", ");
    Conflict("ShortNamesConflict", problems.size() > 1 ? absl::StrCat("[", all, "]") : all);
  }

  const Value& wanted_;
  Value accepted_;
  const NameSet resources_, kinds_;
  std::string reason_, message_;
};

}  // namespace

void SetCondition(absl::string_view type, absl::string_view status, absl::string_view reason,
                  absl::string_view message, absl::string_view now, Value& definition) {
  Value& status_value = definition.MutableObject("status");
  Value* conditions = status_value.Find("conditions");
  if (conditions == nullptr || !conditions->is_array()) {
    conditions = &status_value.Set("conditions", Value::Array());
  }
  Value* found = nullptr;
  for (Value& condition : conditions->items()) {
    if (Text(condition, "type") == type) found = &condition;
  }
  if (found == nullptr) found = &conditions->Append(Value::Object());
  if (Text(*found, "status") != status) {
    found->Set("lastTransitionTime", Value::String(std::string(now)));
  }
  found->Set("message", Value::String(std::string(message)));
  found->Set("reason", Value::String(std::string(reason)));
  found->Set("status", Value::String(std::string(status)));
  found->Set("type", Value::String(std::string(type)));
}

void AcceptNames(const std::vector<const Value*>& others, absl::string_view now,
                 Value& definition) {
  const Value wanted = Get(definition, "spec", "names");
  const Value accepted = Get(definition, "status", "acceptedNames");
  NameSet resources, kinds;
  for (const Value* other : others) {
    if (Text(Get(*other, "spec"), "group") != Text(Get(definition, "spec"), "group")) continue;
    if (kube::Name(*other) == kube::Name(definition)) continue;
    Collect(Get(*other, "status", "acceptedNames"), resources, kinds);
  }
  resources.erase("");
  kinds.erase("");
  Collect(accepted, resources, kinds);
  Acceptance acceptance(wanted, accepted, std::move(resources), std::move(kinds));
  Value names = acceptance.Run();
  definition.MutableObject("status").Set("acceptedNames", std::move(names));
  if (acceptance.conflict()) {
    SetCondition("NamesAccepted", "False", acceptance.reason(), acceptance.message(), now,
                 definition);
    if (!HasCondition(definition, "Established")) {
      SetCondition("Established", "False", "NotAccepted", "not all names are accepted", now,
                   definition);
    }
    return;
  }
  SetCondition("NamesAccepted", "True", "NoConflicts", "no conflicts found", now, definition);
  if (!HasCondition(definition, "Established")) {
    SetCondition("Established", "True", "InitialNamesAccepted",
                 "the initial names have been accepted", now, definition);
  }
}

}  // namespace meltemi::apiserver
