// Services.
//
// Threads: stateless. Source: pkg/registry/core/service and pkg/apis/core of Kubernetes 1.32.
// Addresses and node ports are given out by service_allocation.h.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> ServiceStrategy();
std::unique_ptr<const TableColumns> ServiceColumns();

// What an update leaves out and keeps, or must lose: clusterIP and clusterIPs agree, addresses and
// ports that were given stay, what a new type has no use for goes. Idempotent: allocation needs it
// before the strategy's turn comes.
void PrepareServiceUpdate(const json::Value& old_service, json::Value& service);

// service_validation.cc
kube::FieldErrors ValidateService(const json::Value& service);
kube::FieldErrors ValidateServiceUpdate(const json::Value& old_service, const json::Value& service);
kube::FieldErrors ValidateServiceStatus(const json::Value& service);
// "may not be in the loopback range (127.0.0.0/8, ::1/128)" and the like: addresses of endpoints.
void ValidateNonSpecialIp(absl::string_view ip, const kube::FieldPath& path,
                          kube::FieldErrors& errors);

// What kind of service it is.
bool IsHeadless(const json::Value& service);
bool NeedsClusterIp(const json::Value& service);        // is no ExternalName
bool NeedsNodePorts(const json::Value& service);        // NodePort, LoadBalancer
bool NeedsHealthCheckPort(const json::Value& service);  // LoadBalancer with policy Local
bool IsExternallyAccessible(const json::Value& service);

}  // namespace meltemi::apiserver
