// Texts in PEM, taken apart.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// Each certificate's block, with a line feed at its end; what lies between and behind them is left
// out.
std::vector<std::string> CertificatesOfPem(absl::string_view pem);

// All certificates of `texts`, each once, in their order.
std::string JoinCertificates(const std::vector<absl::string_view>& texts);

}  // namespace meltemi::proxy
