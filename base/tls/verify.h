// A peer's chain against PeerRules.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "base/tls/handles.h"
#include "base/tls/tls.h"

namespace meltemi::tls {

struct Verdict {
  HandshakeFailure failure = HandshakeFailure::kNone;
  std::string words;  // why it was refused
};

// `name_fits`: in place of the rules' own when it is set. `trusts`: signatures are looked at (there
// is somebody who is trusted).
Verdict VerifyChain(X509_STORE_CTX* chain, const PeerRules& rules, const NameFits& name_fits,
                    bool trusts);

}  // namespace meltemi::tls
