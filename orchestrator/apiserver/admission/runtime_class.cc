// The plugin RuntimeClass: a pod that names a class gets what the class says of resources and
// nodes; one that names a class that there is not is refused.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/admission/plugin.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kOtherOverhead =
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

const std::vector<json::Member>& MembersOf(const Value* object) {
  static const std::vector<json::Member>& none = *new std::vector<json::Member>();
  return object == nullptr ? none : object->members();
}

// The same amounts, however they are written.
bool SameAmounts(const Value* a, const Value* b) {
  const std::vector<json::Member>& members = MembersOf(a);
  if (members.size() != MembersOf(b).size()) return false;
  return std::all_of(members.begin(), members.end(), [&](const json::Member& member) {
    const Value* const other = b->Find(member.key);
    if (other == nullptr) return false;
    const auto one = kube::Quantity::Parse(member.value.text());
    const auto two = kube::Quantity::Parse(other->text());
    return one.has_value() && two.has_value() && *one == *two;
  });
}

std::optional<int64_t> SecondsOf(const Value& toleration) {
  const Value* const seconds = toleration.Find("tolerationSeconds");
  return seconds == nullptr ? std::nullopt : seconds->AsInt64();
}

// Whatever `less` tolerates, `more` does, too.
bool Covers(const Value& more, const Value& less) {
  const auto text = [](const Value& of, absl::string_view key) { return of.FindString(key); };
  if (more == less) return true;
  const absl::string_view how = text(more, "operator");
  const bool all_keys = text(more, "key").empty() && how == "Exists";
  if (text(more, "key") != text(less, "key") && !all_keys) return false;
  const absl::string_view effect = text(more, "effect");
  if (!effect.empty() && effect != text(less, "effect")) return false;
  if (effect == "NoExecute" && SecondsOf(more).has_value() &&
      (!SecondsOf(less).has_value() || *SecondsOf(less) > *SecondsOf(more))) {
    return false;
  }
  if (how == "Exists") return true;
  return text(less, "operator") == "Equal" && text(more, "value") == text(less, "value");
}

// All of both without those that another one covers.
Value Merged(std::vector<Value> all) {
  Value out = Value::Array();
  for (size_t i = 0; i < all.size(); ++i) {
    const auto covers = [&](const Value& other) { return Covers(other, all[i]); };
    const bool before = std::any_of(out.items().begin(), out.items().end(), covers);
    const bool after = std::any_of(
        all.begin() + static_cast<ptrdiff_t>(i) + 1, all.end(),
        [&](const Value& other) { return !(other == all[i]) && Covers(other, all[i]); });
    if (!before && !after) out.Append(all[i]);
  }
  return out;
}

class RuntimeClassPlugin final : public AdmissionPlugin {
 public:
  explicit RuntimeClassPlugin(WatchCache& cache) : cache_(cache) {}
  absl::string_view name() const override { return "RuntimeClass"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (!Concerns(request)) return kube::Done{};
    const kube::Result<Value> found = ClassOf(request);
    if (!found.ok()) return found.status();
    Value& spec = request.object.MutableObject("spec");
    if (found->Find("overhead") != nullptr) {
      const Value* const fixed = found->Find("overhead", "podFixed");
      if (!MembersOf(spec.Find("overhead")).empty() && !SameAmounts(spec.Find("overhead"), fixed)) {
        return Refuse(request, kOtherOverhead);
      }
      if (fixed != nullptr) spec.Set("overhead", *fixed);
    }
    return SetScheduling(request, *found, spec);
  }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (!Concerns(request)) return kube::Done{};
    const kube::Result<Value> found = ClassOf(request);
    if (!found.ok()) return found.status();
    const Value* const has = request.object.Find("spec", "overhead");
    if (found->Find("overhead") != nullptr) {
      if (SameAmounts(has, found->Find("overhead", "podFixed"))) return kube::Done{};
      return Refuse(request, kOtherOverhead);
    }
    if (MembersOf(has).empty()) return kube::Done{};
    return Refuse(request,
                  "pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
                  "Overhead");
  }

 private:
  static bool Concerns(const AdmissionRequest& request) {
    return IsMain(request, "", "pods") && request.operation == Operation::kCreate;
  }

  // Empty: it names none.
  kube::Result<Value> ClassOf(const AdmissionRequest& request) {
    const Value* const given = request.object.Find("spec", "runtimeClassName");
    if (given == nullptr || !given->is_string()) return Value::Object();
    const std::string& class_name = given->text();
    kube::Result<ObjectPtr> found = cache_.Get(storage_, "", class_name, false);
    if (found.ok() && *found == nullptr) found = cache_.Get(storage_, "", class_name, true);
    if (!found.ok()) return found.status();
    if (*found != nullptr) return (*found)->Tree();
    return Refuse(request,
                  absl::StrCat("pod rejected: RuntimeClass \"", class_name, "\" not found"));
  }

  static kube::Outcome SetScheduling(const AdmissionRequest& request, const Value& found,
                                     Value& spec) {
    const Value* const scheduling = found.Find("scheduling");
    if (scheduling == nullptr) return kube::Done{};
    for (const json::Member& label : MembersOf(scheduling->Find("nodeSelector"))) {
      Value& selector = spec.MutableObject("nodeSelector");
      const Value* const held = selector.Find(label.key);
      if (held != nullptr && held->text() != label.value.text()) {
        return Refuse(
            request, absl::StrCat("conflict: runtimeClass.scheduling.nodeSelector[", label.key,
                                  "] = ", label.value.text(), "; pod.spec.nodeSelector[", label.key,
                                  "] = ", held->text()));
      }
      selector.Set(label.key, label.value);
    }
    const Value* const tolerations = scheduling->Find("tolerations");
    if (tolerations == nullptr) return kube::Done{};
    std::vector<Value> all = MutableArray(spec, "tolerations").items();
    all.insert(all.end(), tolerations->items().begin(), tolerations->items().end());
    spec.Set("tolerations", Merged(std::move(all)));
    return kube::Done{};
  }

  const kube::GroupResource storage_{"node.k8s.io", "runtimeclasses"};
  WatchCache& cache_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewRuntimeClassPlugin(WatchCache& cache) {
  return std::make_unique<RuntimeClassPlugin>(cache);
}

}  // namespace meltemi::apiserver
