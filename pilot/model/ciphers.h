// The cipher suites that proxies know below TLS 1.3 (BoringSSL's, by OpenSSL's names).
#pragma once

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

// True for a name that may stand in cipherSuites. Expressions ("-…", "!…") and "ALL" are taken as
// they are.
bool IsCipherSuite(absl::string_view name);

}  // namespace meltemi::pilot
