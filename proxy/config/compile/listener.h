// LDS: envoy.config.listener.v3.Listener to the immutable ListenerConfig that workers run.
// Pure functions (but for the files of access logs, which are opened); main loop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "proxy/listener/listener_config.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace meltemi::proxy {

struct CompileContext;

// Error (INVALID_ARGUMENT): names the listener, the filter chain and the field, and says what is
// not supported or wrong. A field that would change meaning is never ignored.
absl::StatusOr<std::shared_ptr<const ListenerConfig>> CompileListener(
    const envoy::config::listener::v3::Listener& config, const CompileContext& context);

}  // namespace meltemi::proxy
