// envoy.extensions.filters.http.fault.v3.HTTPFault. Private to filters.cc. Pure functions.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/route/policies.h"

namespace envoy::extensions::filters::http::fault::v3 {
class HTTPFault;
}

namespace meltemi::proxy {

absl::StatusOr<std::shared_ptr<const FaultPolicy>> CompileFaultPolicy(
    const envoy::extensions::filters::http::fault::v3::HTTPFault& fault, absl::string_view where);

}  // namespace meltemi::proxy
