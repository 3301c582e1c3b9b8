// Asks the API server whose token it is (TokenReview): how streams and certificate requests prove
// who sends them.
//
// Threads: Authenticate from any; the answer comes on one of the executor's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pilot/push/caller.h"

namespace meltemi::kube {
class Client;
class Executor;
}  // namespace meltemi::kube

namespace meltemi::pilot {

inline constexpr absl::string_view kTokenAudience = "istio-ca";

class TokenReviewer final : public CallAuthenticator {
 public:
  // Both outlive it, and end before it is destroyed.
  TokenReviewer(kube::Client& client, kube::Executor& executor, std::string trust_domain);

  void Authenticate(std::string token, Done done) override;

 private:
  absl::StatusOr<Caller> Review(const std::string& token) const;

  kube::Client& client_;
  kube::Executor& executor_;
  const std::string trust_domain_;
};

}  // namespace meltemi::pilot
