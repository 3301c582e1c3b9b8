#include "orchestrator/apiserver/admission/webhook/hook.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

std::vector<std::string> Texts(const Value& object, absl::string_view member) {
  std::vector<std::string> out;
  const Value* list = object.Find(member);
  if (list == nullptr) return out;
  for (const Value& item : list->items()) out.push_back(item.text());
  return out;
}

HookRule RuleOf(const Value& rule) {
  HookRule out;
  out.operations = Texts(rule, "operations");
  out.groups = Texts(rule, "apiGroups");
  out.versions = Texts(rule, "apiVersions");
  out.resources = Texts(rule, "resources");
  out.scope = std::string(rule.FindString("scope"));
  if (out.scope.empty()) out.scope = "*";
  return out;
}

// A selector that is left out takes everything.
kube::LabelSelector SelectorOf(const Value& hook, absl::string_view member, std::string* error) {
  const Value* selector = hook.Find(member);
  if (selector == nullptr || selector->is_null()) return {};
  absl::StatusOr<kube::LabelSelector> parsed = kube::LabelSelector::FromJson(selector);
  if (parsed.ok()) return *std::move(parsed);
  *error = std::string(parsed.status().message());
  return {};
}

void ReadClientConfig(const Value& config, Hook& hook) {
  hook.url = std::string(config.FindString("url"));
  absl::Base64Unescape(config.FindString("caBundle"), &hook.ca_pem);
  const Value* service = config.Find("service");
  if (service == nullptr) return;
  hook.service_ns = std::string(service->FindString("namespace"));
  hook.service_name = std::string(service->FindString("name"));
  hook.service_path = std::string(service->FindString("path"));
  hook.service_port = static_cast<uint16_t>(kube::IntAt(*service, "port", 443));
}

HookPtr HookOf(absl::string_view configuration, size_t index, const Value& source) {
  auto hook = std::make_shared<Hook>();
  hook->name = std::string(source.FindString("name"));
  hook->id = absl::StrCat(configuration, "/", hook->name, "/", index);
  const Value* rules = source.Find("rules");
  if (rules != nullptr) {
    for (const Value& rule : rules->items()) hook->rules.push_back(RuleOf(rule));
  }
  hook->namespace_selector = SelectorOf(source, "namespaceSelector", &hook->selector_error);
  hook->object_selector = SelectorOf(source, "objectSelector", &hook->selector_error);
  hook->equivalent = source.FindString("matchPolicy") != "Exact";
  hook->ignores_failure = source.FindString("failurePolicy") == "Ignore";
  hook->reinvoked_if_needed = source.FindString("reinvocationPolicy") == "IfNeeded";
  const absl::string_view side_effects = source.FindString("sideEffects");
  hook->dry_run_safe = side_effects == "None" || side_effects == "NoneOnDryRun";
  hook->timeout_seconds = kube::IntAt(source, "timeoutSeconds", 10);
  hook->review_versions = Texts(source, "admissionReviewVersions");
  if (const Value* config = source.Find("clientConfig"); config != nullptr) {
    ReadClientConfig(*config, *hook);
  }
  return hook;
}

}  // namespace

HookList HooksOf(const Value& configuration) {
  HookList out;
  const Value* hooks = configuration.Find("webhooks");
  if (hooks == nullptr) return out;
  for (size_t i = 0; i < hooks->items().size(); ++i) {
    out.push_back(HookOf(kube::Name(configuration), i, hooks->items()[i]));
  }
  return out;
}

HookIndex::HookIndex(WatchCache& cache, const std::string& resource)
    : state_(std::make_shared<State>()) {
  cache.Observe({"admissionregistration.k8s.io", resource},
                [state = state_](const CacheEvent& event) { OnEvent(*state, event); });
}

void HookIndex::OnEvent(State& state, const CacheEvent& event) {
  HookList hooks;
  const bool deleted = event.type == CacheEvent::Type::kDeleted;
  if (!deleted) hooks = HooksOf(event.object->Tree());
  const std::lock_guard<std::mutex> lock(state.mutex);
  if (deleted) {
    state.by_configuration.erase(event.object->name);
  } else {
    state.by_configuration[event.object->name] = std::move(hooks);
  }
  HookList all;
  for (const auto& [name, list] : state.by_configuration) {
    all.insert(all.end(), list.begin(), list.end());
  }
  state.all = std::make_shared<const HookList>(std::move(all));
}

std::shared_ptr<const HookList> HookIndex::current() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->all;
}

}  // namespace meltemi::apiserver
