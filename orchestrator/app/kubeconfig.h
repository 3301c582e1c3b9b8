// A kubeconfig file with one cluster, one user and one context.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/tls/tls.h"

namespace meltemi::orchestrator {

// YAML with all certificates inside. `server`: "https://127.0.0.1:6443".
std::string Kubeconfig(absl::string_view server, absl::string_view ca_pem, absl::string_view user,
                       const tls::KeyPair& identity);

}  // namespace meltemi::orchestrator
