#include "orchestrator/apiserver/admission/chain.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/admission/plugin.h"
#include "orchestrator/apiserver/admission/webhook/webhooks.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kMutatingWebhooks = "MutatingAdmissionWebhook";
constexpr absl::string_view kValidatingWebhooks = "ValidatingAdmissionWebhook";

// kube-apiserver's order, of those that there are.
constexpr absl::string_view kPlugins[] = {
    "NamespaceLifecycle",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    kMutatingWebhooks,
    kValidatingWebhooks,
};

class Chain final : public Admission {
 public:
  Chain(const AdmissionDeps& deps, std::vector<std::unique_ptr<AdmissionPlugin>> plugins,
        bool mutating_webhooks, bool validating_webhooks)
      : deps_(deps),
        plugins_(std::move(plugins)),
        mutating_webhooks_(mutating_webhooks),
        validating_webhooks_(validating_webhooks),
        webhooks_(mutating_webhooks || validating_webhooks
                      ? NewWebhooks(deps.clock, deps.cache, deps.catalogs)
                      : nullptr) {}

  kube::Outcome Mutate(AdmissionRequest& request) override {
    ReinvocationState state;
    kube::Outcome outcome = MutateOnce(request, state);
    // A webhook has changed something: the others may want to see it, once.
    if (outcome.ok() && state.wanted) {
      state.is_reinvocation = true;
      outcome = MutateOnce(request, state);
    }
    if (!outcome.ok()) return outcome;
    return CheckEscalation(request, deps_.authorizer, deps_.rbac);
  }

  kube::Outcome Validate(AdmissionRequest& request) override {
    kube::Outcome outcome = CheckWebhookConfiguration(request);
    if (!outcome.ok()) return outcome;
    for (const std::unique_ptr<AdmissionPlugin>& plugin : plugins_) {
      outcome = plugin->Validate(request);
      if (!outcome.ok()) return outcome;
    }
    if (!validating_webhooks_) return kube::Done{};
    return webhooks_->Validate(request);
  }

 private:
  kube::Outcome MutateOnce(AdmissionRequest& request, ReinvocationState& state) {
    for (const std::unique_ptr<AdmissionPlugin>& plugin : plugins_) {
      kube::Outcome outcome = plugin->Mutate(request);
      if (!outcome.ok()) return outcome;
    }
    if (!mutating_webhooks_) return kube::Done{};
    return webhooks_->Mutate(request, state);
  }

  const AdmissionDeps deps_;
  const std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
  const bool mutating_webhooks_, validating_webhooks_;
  const std::unique_ptr<Webhooks> webhooks_;  // null: none are called
};

std::unique_ptr<AdmissionPlugin> NewPlugin(absl::string_view name, const AdmissionOptions& options,
                                           const AdmissionDeps& deps) {
  if (name == "NamespaceLifecycle") return NewNamespaceLifecycle(deps.clock, deps.cache);
  if (name == "ServiceAccount") return NewServiceAccountPlugin(deps.cache);
  if (name == "NodeRestriction") return NewNodeRestriction(deps.cache);
  if (name == "TaintNodesByCondition") return NewTaintNodesByCondition();
  if (name == "Priority") return NewPriorityPlugin(deps.cache);
  if (name == "DefaultTolerationSeconds") {
    return NewDefaultTolerationSeconds(options.default_not_ready_toleration_seconds,
                                       options.default_unreachable_toleration_seconds);
  }
  if (name == "DefaultStorageClass") return NewDefaultStorageClass(deps.cache);
  if (name == "DefaultIngressClass") return NewDefaultIngressClass(deps.cache);
  if (name == "StorageObjectInUseProtection") return NewStorageObjectInUseProtection();
  if (name == "RuntimeClass") return NewRuntimeClassPlugin(deps.cache);
  if (name == "CertificateApproval") return NewCertificateApproval(deps.authorizer);
  if (name == "CertificateSigning") return NewCertificateSigning(deps.authorizer);
  if (name == "CertificateSubjectRestriction") return NewCertificateSubjectRestriction();
  return nullptr;
}

}  // namespace

std::vector<std::string> AdmissionPluginNames() {
  return {std::begin(kPlugins), std::end(kPlugins)};
}

absl::StatusOr<std::unique_ptr<Admission>> NewAdmission(const AdmissionOptions& options,
                                                        const AdmissionDeps& deps) {
  const std::vector<std::string> names = AdmissionPluginNames();
  for (const std::vector<std::string>* list : {&options.enabled, &options.disabled}) {
    for (const std::string& name : *list) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      return absl::InvalidArgumentError(absl::StrCat("unknown admission plugin \"", name,
                                                     "\": there are ", absl::StrJoin(names, ", ")));
    }
  }
  const auto in = [](const std::vector<std::string>& list, absl::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins;
  for (const std::string& name : names) {
    if (in(options.enabled, name) && in(options.disabled, name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("admission plugin \"", name, "\" is both enabled and disabled"));
    }
    if (in(options.disabled, name)) continue;
    std::unique_ptr<AdmissionPlugin> plugin = NewPlugin(name, options, deps);
    if (plugin != nullptr) plugins.push_back(std::move(plugin));
  }
  return std::unique_ptr<Admission>(
      std::make_unique<Chain>(deps, std::move(plugins), !in(options.disabled, kMutatingWebhooks),
                              !in(options.disabled, kValidatingWebhooks)));
}

}  // namespace meltemi::apiserver
