#include "proxy/config/compile/fault_policy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/extensions/filters/common/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace fault_v3 = envoy::extensions::filters::http::fault::v3;

absl::Status CompileDelay(const envoy::extensions::filters::common::fault::v3::FaultDelay& delay,
                          absl::string_view where, FaultPolicy* out) {
  out->delay_share = CompileFraction(delay.percentage());
  if (delay.has_header_delay()) {
    out->delay_from_header = true;
    return absl::OkStatus();
  }
  if (!delay.has_fixed_delay()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": no delay is set"));
  }
  ASSIGN_OR_RETURN(out->delay,
                   CompileDuration(delay.fixed_delay(), absl::StrCat(where, ".fixed_delay")));
  return absl::OkStatus();
}

absl::Status CompileAbort(const fault_v3::FaultAbort& abort, absl::string_view where,
                          FaultPolicy* out) {
  out->abort_share = CompileFraction(abort.percentage());
  switch (abort.error_type_case()) {
    case fault_v3::FaultAbort::kHttpStatus:
      if (abort.http_status() < 200 || abort.http_status() > 599) {
        return absl::InvalidArgumentError(absl::StrCat(where, ".http_status ", abort.http_status(),
                                                       " is not between 200 and 599"));
      }
      out->abort_status = static_cast<int>(abort.http_status());
      return absl::OkStatus();
    case fault_v3::FaultAbort::kGrpcStatus:
      if (abort.grpc_status() > 16) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ".grpc_status ", abort.grpc_status(), " is not a gRPC status"));
      }
      out->abort_grpc_status = static_cast<int>(abort.grpc_status());
      return absl::OkStatus();
    case fault_v3::FaultAbort::kHeaderAbort:
      out->abort_from_header = true;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat(where, ": no error is set"));
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const FaultPolicy>> CompileFaultPolicy(
    const fault_v3::HTTPFault& fault, absl::string_view where) {
  // The names of runtime keys override nothing, because there is no runtime.
  RETURN_IF_ERROR(
      CheckSupported(fault, where,
                     {"delay.**", "abort.**", "upstream_cluster", "headers", "downstream_nodes",
                      "max_active_faults.**", "delay_percent_runtime", "abort_percent_runtime",
                      "delay_duration_runtime", "abort_http_status_runtime",
                      "max_active_faults_runtime", "response_rate_limit_percent_runtime",
                      "abort_grpc_status_runtime", "disable_downstream_cluster_stats"}));
  auto out = std::make_shared<FaultPolicy>();
  if (fault.has_delay()) {
    RETURN_IF_ERROR(CompileDelay(fault.delay(), absl::StrCat(where, ".delay"), out.get()));
  }
  if (fault.has_abort()) {
    RETURN_IF_ERROR(CompileAbort(fault.abort(), absl::StrCat(where, ".abort"), out.get()));
  }
  ASSIGN_OR_RETURN(out->headers,
                   CompileHeaderMatchers(fault.headers(), absl::StrCat(where, ".headers")));
  out->upstream_cluster = fault.upstream_cluster();
  out->downstream_nodes.assign(fault.downstream_nodes().begin(), fault.downstream_nodes().end());
  if (fault.has_max_active_faults()) out->active_faults_max = fault.max_active_faults().value();
  return std::shared_ptr<const FaultPolicy>(std::move(out));
}

}  // namespace meltemi::proxy
