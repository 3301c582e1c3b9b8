// request_headers_to_add and its three sisters. Pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/route/header_ops.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::core::v3 {
class HeaderValueOption;
}

namespace meltemi::proxy {

struct FormatEnvironment;

// `field` names the pair in errors: "request_headers". Pseudo headers may be set on requests,
// removed nowhere.
absl::StatusOr<HeaderOps> CompileHeaderOps(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
    const google::protobuf::RepeatedPtrField<std::string>& remove, absl::string_view where,
    absl::string_view field, const FormatEnvironment& environment);

}  // namespace meltemi::proxy
