// What x-forwarded-client-cert says of a connection's client.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "proxy/listener/listener_config.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {

// "By=…;Hash=…;URI=…", by the configuration; "" when the client showed no certificate or nothing is
// to be said. `pem` and `chain_pem`: where the configuration asks for them.
std::string ClientCertText(const HttpConfig& config, const TlsInfo& info, absl::string_view pem,
                           absl::string_view chain_pem);

}  // namespace meltemi::proxy
