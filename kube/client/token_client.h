// A client that acts as a service account, over the connections of another one: how the controllers
// of one process each keep to their own rights.
//
// Threads: thread-safe (client.h). Source: the TokenRequest API; kube-controller-manager's
// --use-service-account-credentials.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/status/status.h"

namespace meltemi::kube {

class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // Blocks while one is asked for.
  virtual Result<std::string> Token() = 0;
  // The server does not accept this one: the next is asked for anew.
  virtual void Drop(absl::string_view token) = 0;
};

// Tokens of one hour, asked for by TokenRequest and renewed when four fifths of their life are
// over; the service account is created when it is missing. Both outlive it; `client` needs the
// rights for that.
std::unique_ptr<TokenSource> NewServiceAccountTokens(Client& client, const Clock& clock,
                                                     absl::string_view ns, absl::string_view name);

// Both outlive it. A token that is not accepted (401) is replaced once per call. Watch asks for a
// token, too: it may block then.
std::unique_ptr<Client> NewTokenClient(Client& base, TokenSource& tokens);

}  // namespace meltemi::kube
