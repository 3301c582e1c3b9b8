#include "pilot/translate/route_filters.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/route_action.h"
#include "pilot/translate/route_match.h"

namespace meltemi::pilot {
namespace {

using envoy::type::v3::FractionalPercent;

void SetPercent(double percent, FractionalPercent* out) {
  out->set_numerator(static_cast<uint32_t>(std::lround(percent * 10'000)));
  out->set_denominator(FractionalPercent::MILLION);
}

// Unset is none (Istio); the deprecated whole number counts where it alone is given.
template <typename Fault>
double FaultPercent(const Fault& fault, int32_t deprecated_percent) {
  return fault.has_percentage() ? fault.percentage().value() : deprecated_percent;
}

// gRPC's status names and numbers; an unknown word is UNKNOWN (2), validation reports it.
uint32_t GrpcStatusCode(const std::string& word) {
  constexpr absl::string_view kNames[] = {"OK",
                                          "CANCELLED",
                                          "UNKNOWN",
                                          "INVALID_ARGUMENT",
                                          "DEADLINE_EXCEEDED",
                                          "NOT_FOUND",
                                          "ALREADY_EXISTS",
                                          "PERMISSION_DENIED",
                                          "RESOURCE_EXHAUSTED",
                                          "FAILED_PRECONDITION",
                                          "ABORTED",
                                          "OUT_OF_RANGE",
                                          "UNIMPLEMENTED",
                                          "INTERNAL",
                                          "UNAVAILABLE",
                                          "DATA_LOSS",
                                          "UNAUTHENTICATED"};
  uint32_t number = 0;
  if (absl::SimpleAtoi(word, &number)) return number;
  for (uint32_t code = 0; code < std::size(kNames); ++code) {
    if (word == kNames[code]) return code;
  }
  return 2;
}

void AddFault(const networking::HTTPFaultInjection& wanted, envoy::config::route::v3::Route* out) {
  envoy::extensions::filters::http::fault::v3::HTTPFault fault;
  if (wanted.has_delay()) {
    auto& delay = *fault.mutable_delay();
    *delay.mutable_fixed_delay() = wanted.delay().fixed_delay();
    SetPercent(FaultPercent(wanted.delay(), wanted.delay().percent()), delay.mutable_percentage());
  }
  if (wanted.has_abort()) {
    auto& abort = *fault.mutable_abort();
    if (wanted.abort().has_grpc_status()) {
      abort.set_grpc_status(GrpcStatusCode(wanted.abort().grpc_status()));
    } else {
      abort.set_http_status(static_cast<uint32_t>(wanted.abort().http_status()));
    }
    SetPercent(FaultPercent(wanted.abort(), 0), abort.mutable_percentage());
  }
  PackAny(fault, &(*out->mutable_typed_per_filter_config())[kFaultFilter]);
}

void AddCors(const networking::CorsPolicy& wanted, envoy::config::route::v3::Route* out) {
  envoy::extensions::filters::http::cors::v3::CorsPolicy cors;
  for (const auto& origin : wanted.allow_origins()) {
    TranslateStringMatch(origin, cors.add_allow_origin_string_match());
  }
  for (const std::string& origin : wanted.allow_origin()) {  // deprecated form
    auto* matcher = cors.add_allow_origin_string_match();
    if (origin == "*") {
      matcher->mutable_safe_regex()->set_regex(".*");
    } else {
      matcher->set_exact(origin);
    }
  }
  auto& enabled = *cors.mutable_filter_enabled()->mutable_default_value();
  enabled.set_numerator(100);
  enabled.set_denominator(FractionalPercent::HUNDRED);
  cors.set_allow_methods(absl::StrJoin(wanted.allow_methods(), ","));
  cors.set_allow_headers(absl::StrJoin(wanted.allow_headers(), ","));
  cors.set_expose_headers(absl::StrJoin(wanted.expose_headers(), ","));
  if (wanted.has_max_age()) cors.set_max_age(absl::StrCat(wanted.max_age().seconds()));
  if (wanted.has_allow_credentials()) {
    cors.mutable_allow_credentials()->set_value(wanted.allow_credentials().value());
  }
  if (wanted.unmatched_preflights() == networking::CorsPolicy::IGNORE) {
    cors.mutable_forward_not_matching_preflights()->set_value(false);
  }
  PackAny(cors, &(*out->mutable_typed_per_filter_config())[kCorsFilter]);
}

void AddMirror(const networking::Destination& destination, double percent, const Scope& scope,
               uint32_t listen_port, envoy::config::route::v3::RouteAction* out) {
  if (percent <= 0) return;
  auto* mirror = out->add_request_mirror_policies();
  mirror->set_cluster(DestinationCluster(destination, scope, listen_port));
  SetPercent(percent, mirror->mutable_runtime_fraction()->mutable_default_value());
}

}  // namespace

void AddRouteFilters(const networking::HTTPRoute& route, envoy::config::route::v3::Route* out) {
  if (route.has_fault()) AddFault(route.fault(), out);
  if (route.has_cors_policy()) AddCors(route.cors_policy(), out);
}

void AddMirrors(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                envoy::config::route::v3::RouteAction* out) {
  if (route.has_mirror()) {
    double percent = 100;
    if (route.has_mirror_percentage()) {
      percent = route.mirror_percentage().value();
    } else if (route.has_mirror_percent()) {  // deprecated form
      percent = route.mirror_percent().value();
    }
    AddMirror(route.mirror(), percent, scope, listen_port, out);
  }
  for (const auto& mirror : route.mirrors()) {
    const double percent = mirror.has_percentage() ? mirror.percentage().value() : 100;
    AddMirror(mirror.destination(), percent, scope, listen_port, out);
  }
}

}  // namespace meltemi::pilot
