// Where the authority's keys are kept, so that all replicas of pilot sign with the same ones: in
// Secrets of pilot's namespace. One that the user has made (`cacerts`: an intermediate, its key,
// its chain and the root) comes first; without it the first replica makes a root
// (`istio-ca-secret`) and the others take it.
//
// Threads: blocks on API calls; run on an executor's thread. Source: Istio's Secrets and their
// keys.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "pilot/ca/authority.h"

namespace meltemi::kube {
class Client;
}

namespace meltemi::pilot {

inline constexpr absl::string_view kGivenKeysSecret = "cacerts";
inline constexpr absl::string_view kOwnKeysSecret = "istio-ca-secret";

// Errors: UNAVAILABLE when the API server can't be asked (worth another try); anything else names
// the Secret and what is wrong with it.
absl::StatusOr<AuthorityKeys> LoadOrMakeKeys(kube::Client& client, absl::string_view ns,
                                             absl::string_view trust_domain, WallTime now);

}  // namespace meltemi::pilot
