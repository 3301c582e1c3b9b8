// envoy.config.accesslog.v3.AccessLog to AccessLog objects: file, stdout, stderr; text and JSON
// formats; filters by status, flags, duration, headers. Main loop.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/observe/access_log.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::accesslog::v3 {
class AccessLog;
}

namespace meltemi::proxy {

struct CompileContext;

// `where` begins error texts: "listener 'x'". Opens the logs' files (a file that can't be opened is
// an error that names it).
absl::StatusOr<std::vector<std::shared_ptr<const AccessLog>>> CompileAccessLogs(
    const google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>& logs,
    absl::string_view where, const CompileContext& context);

}  // namespace meltemi::proxy
