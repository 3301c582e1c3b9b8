// Names of chains: as long for every service, of letters that both tools take.
//
// Threads: a function without state. Source: kube-proxy's names (pkg/proxy/iptables), so that who
// knows those finds their way.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kubeproxy {

// 16 letters and digits: the beginning of the SHA-256 of `text` in base32.
std::string HashedName(absl::string_view text);

}  // namespace meltemi::kubeproxy
