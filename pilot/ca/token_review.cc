#include "pilot/ca/token_review.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/authentication/v1/authentication.pb.h"
#include "kube/client/client.h"
#include "kube/client/typed.h"
#include "kube/executor/executor.h"

namespace meltemi::pilot {
namespace {

using kube::authentication::v1::TokenReview;
using kube::authentication::v1::TokenReviewStatus;

constexpr char kPodName[] = "authentication.kubernetes.io/pod-name";
constexpr size_t kTokenBytesMax = 16 * 1024;

bool IsFor(const TokenReviewStatus& status, absl::string_view audience) {
  for (const std::string& one : status.audiences()) {
    if (one == audience) return true;
  }
  return false;
}

absl::StatusOr<Caller> CallerOf(const TokenReviewStatus& status, const std::string& trust_domain) {
  if (!status.authenticated()) {
    return absl::UnauthenticatedError(
        absl::StrCat("the token is not valid", status.error().empty() ? "" : ": ", status.error()));
  }
  if (!IsFor(status, kTokenAudience)) {
    return absl::UnauthenticatedError(
        absl::StrCat("the token is not for the audience '", kTokenAudience, "'"));
  }
  const std::vector<absl::string_view> user = absl::StrSplit(status.user().username(), ':');
  if (user.size() != 4 || user[0] != "system" || user[1] != "serviceaccount") {
    return absl::UnauthenticatedError(absl::StrCat("the token is of '", status.user().username(),
                                                   "', which is no service account"));
  }
  Caller caller;
  caller.trust_domain = trust_domain;
  caller.ns = std::string(user[2]);
  caller.service_account = std::string(user[3]);
  const auto pod = status.user().extra().find(kPodName);
  if (pod != status.user().extra().end() && pod->second.items_size() > 0) {
    caller.pod = pod->second.items(0);
  }
  return caller;
}

}  // namespace

TokenReviewer::TokenReviewer(kube::Client& client, kube::Executor& executor,
                             std::string trust_domain)
    : client_(client), executor_(executor), trust_domain_(std::move(trust_domain)) {}

void TokenReviewer::Authenticate(std::string token, Done done) {
  if (token.empty()) {
    done(absl::UnauthenticatedError(
        "no token: send the pod's token as \"authorization: Bearer TOKEN\""));
    return;
  }
  if (token.size() > kTokenBytesMax) {
    done(absl::UnauthenticatedError("the token is too long to be one"));
    return;
  }
  executor_.Run([this, token = std::move(token), done = std::move(done)] { done(Review(token)); });
}

absl::StatusOr<Caller> TokenReviewer::Review(const std::string& token) const {
  TokenReview review;
  review.mutable_spec()->set_token(token);
  review.mutable_spec()->add_audiences(std::string(kTokenAudience));
  const kube::Result<TokenReview> answer = kube::Create(client_, review);
  if (!answer.ok()) {
    return absl::UnavailableError(
        absl::StrCat("the API server can't be asked about the token: ", answer.status().message));
  }
  return CallerOf(answer->status(), trust_domain_);
}

}  // namespace meltemi::pilot
