// How this proxy names itself to control planes, in /server_info and in --version.
#pragma once

#include "absl/strings/string_view.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace meltemi::proxy {

inline constexpr absl::string_view kUserAgent = "meltemi";
inline constexpr absl::string_view kVersion = "0.1.0";

// Fills user_agent_name, the build version and the client features that control planes ask for.
void SetUserAgent(envoy::config::core::v3::Node* node);

}  // namespace meltemi::proxy
