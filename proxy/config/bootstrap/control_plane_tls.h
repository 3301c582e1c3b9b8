// TLS to the control plane, as a bootstrap's cluster describes it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace envoy::config::core::v3 {
class TransportSocket;
}

namespace meltemi::proxy {

struct CredentialFiles;

// Takes raw_buffer and tls with roots, one certificate and exact names, in files or inline. As in
// Envoy a certificate may be for any name where none is asked for. Error: `where`, and the field
// that is not supported.
absl::Status ReadControlPlaneTls(const envoy::config::core::v3::TransportSocket& socket,
                                 absl::string_view where, CredentialFiles* out);

}  // namespace meltemi::proxy
