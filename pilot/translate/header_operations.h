// Header operations of routes and destinations: set, add, remove, in order of header names.
#pragma once

#include <map>
#include <string>

#include "absl/strings/match.h"
#include "envoy/config/core/v3/base.pb.h"
#include "networking/v1/virtual_service.pb.h"

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

namespace internal {

using HeaderOptions =
    google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>;

inline bool IsHostHeader(const std::string& name) {
  return absl::EqualsIgnoreCase(name, "host") || name == ":authority";
}

template <typename Map>
void AppendHeaders(const Map& headers,
                   envoy::config::core::v3::HeaderValueOption::HeaderAppendAction action,
                   bool skip_host, HeaderOptions* out) {
  const std::map<std::string, std::string> sorted(headers.begin(), headers.end());
  for (const auto& [name, value] : sorted) {
    if (skip_host && IsHostHeader(name)) continue;
    auto* option = out->Add();
    option->mutable_header()->set_key(name);
    option->mutable_header()->set_value(value);
    option->set_append_action(action);
  }
}

}  // namespace internal

// Target is a Route or a WeightedCluster::ClusterWeight. Returns the host that the operations set,
// which is a rewrite of the authority and not a header; empty if none.
template <typename Target>
std::string AddHeaderOperations(const networking::Headers& headers, Target* out) {
  using Option = envoy::config::core::v3::HeaderValueOption;
  const auto& request = headers.request();
  const auto& response = headers.response();
  internal::AppendHeaders(request.set(), Option::OVERWRITE_IF_EXISTS_OR_ADD, true,
                          out->mutable_request_headers_to_add());
  internal::AppendHeaders(request.add(), Option::APPEND_IF_EXISTS_OR_ADD, true,
                          out->mutable_request_headers_to_add());
  internal::AppendHeaders(response.set(), Option::OVERWRITE_IF_EXISTS_OR_ADD, false,
                          out->mutable_response_headers_to_add());
  internal::AppendHeaders(response.add(), Option::APPEND_IF_EXISTS_OR_ADD, false,
                          out->mutable_response_headers_to_add());
  for (const std::string& name : request.remove()) out->add_request_headers_to_remove(name);
  for (const std::string& name : response.remove()) out->add_response_headers_to_remove(name);
  for (const auto& [name, value] : request.set()) {
    if (internal::IsHostHeader(name)) return value;
  }
  return "";
}

}  // namespace meltemi::pilot
