// The two terminal network filters: HttpConnectionManager and TcpProxy. Pure functions; main loop.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "proxy/listener/listener_config.h"

namespace google::protobuf {
class Any;
class Duration;
}  // namespace google::protobuf

namespace meltemi::proxy {

struct CompileContext;

// `where` begins error texts: "listener 'x': filter chain 'y'".
absl::StatusOr<std::shared_ptr<const HttpConfig>> CompileHttpManager(
    const google::protobuf::Any& any, const std::string& where, bool inbound,
    const CompileContext& context);
absl::StatusOr<std::shared_ptr<const TcpProxyConfig>> CompileTcpProxy(
    const google::protobuf::Any& any, const std::string& where, bool inbound,
    const CompileContext& context);

}  // namespace meltemi::proxy
