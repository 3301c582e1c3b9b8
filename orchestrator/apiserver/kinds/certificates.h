// The group "certificates.k8s.io": requests, and who may say what of them.
//
// Threads: functions without state. Source: pkg/registry/certificates, pkg/apis/certificates of
// Kubernetes 1.32.
#pragma once

#include <string>

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/kind_table.h"

namespace meltemi::apiserver {

void AddCertificates(KindTable& table);

// An update of /approval: the current request with the conditions of `sent`, times filled in. `now`
// is a metav1.Time.
json::Value WithApproval(const json::Value& current, const json::Value& sent,
                         const std::string& now);
kube::FieldErrors ValidateApproval(const json::Value& current, const json::Value& next);

}  // namespace meltemi::apiserver
