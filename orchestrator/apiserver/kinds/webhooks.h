// The rules for webhook configurations.
//
// Threads: functions without state. Source: pkg/apis/admissionregistration/validation of
// Kubernetes 1.32.
#pragma once

#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// Rules that came later are held against an update only where the object kept them before.
struct WebhookRules {
  bool no_side_effects = true;
  bool recognized_versions = true;
  bool unique_names = true;
  bool match_conditions = true;  // false: they are as they were
};
WebhookRules RulesAfter(const json::Value& old_configuration, const json::Value& configuration);

void ValidateWebhooks(const json::Value& configuration, const WebhookRules& rules,
                      kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
