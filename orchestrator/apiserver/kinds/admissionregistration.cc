// The group "admissionregistration.k8s.io".
#include <memory>
#include <vector>

#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/webhooks.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;

void DefaultWebhook(bool mutating, json::Value& hook) {
  SetDefault(hook, "failurePolicy", "Fail");
  SetDefault(hook, "matchPolicy", "Equivalent");
  SetDefault(hook, "namespaceSelector", json::Value::Object());
  SetDefault(hook, "objectSelector", json::Value::Object());
  SetDefault(hook, "timeoutSeconds", 10);
  if (mutating) SetDefault(hook, "reinvocationPolicy", "Never");
  if (std::vector<json::Value>* rules = MutableItems(hook, "rules")) {
    for (json::Value& rule : *rules) SetDefault(rule, "scope", "*");
  }
  json::Value* config = MutableMember(hook, "clientConfig");
  json::Value* service = config == nullptr ? nullptr : MutableMember(*config, "service");
  if (service != nullptr) SetDefault(*service, "port", 443);
}

class WebhookConfigurationStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    std::vector<json::Value>* hooks = MutableItems(object, "webhooks");
    if (hooks == nullptr) return;
    const bool mutating = resource.kind == "MutatingWebhookConfiguration";
    for (json::Value& hook : *hooks) DefaultWebhook(mutating, hook);
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool AllowUnconditionalUpdate() const override { return false; }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateWebhooks(object, {}, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    ValidateWebhooks(object, RulesAfter(old_object, object), errors);
    return errors;
  }
};

}  // namespace

void AddAdmissionRegistration(KindTable& table) {
  for (const char* plural : {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}) {
    table.Add(
        "admissionregistration.k8s.io", plural, std::make_unique<WebhookConfigurationStrategy>(),
        MakeColumns(
            {NameColumn(), NumberColumn("Webhooks", "How many webhooks it has."), AgeColumn()},
            [](const json::Value& object, int64_t now_s) {
              const size_t count = Items(object, "webhooks").size();
              return std::vector<json::Value>{NameCell(object),
                                              json::Value::Int(static_cast<int64_t>(count)),
                                              AgeCell(object, now_s)};
            }));
  }
}

}  // namespace meltemi::apiserver
