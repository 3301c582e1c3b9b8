// Who may see a component's pages: asked of the API server (TokenReview, SubjectAccessReview),
// whose answers count for a short while.
//
// Threads: thread-safe; blocks.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::orchestrator {

class DelegatedAccess {
 public:
  // Both outlive it.
  DelegatedAccess(kube::Client& client, const Clock& clock) : client_(client), clock_(clock) {}

  // By the verified client certificate, or by the bearer token. 401 when there is neither or the
  // token is not good; what the API server says when it can't be asked.
  kube::Result<apiserver::UserInfo> Authenticate(const apiserver::Request& request);
  // GET of /metrics and the like: a non-resource URL.
  kube::Outcome AuthorizePath(const apiserver::UserInfo& user, absl::string_view verb,
                              absl::string_view path);
  // A resource: what kubelets ask about "nodes/proxy", "nodes/stats" …
  kube::Outcome AuthorizeNode(const apiserver::UserInfo& user, absl::string_view verb,
                              absl::string_view node, absl::string_view subresource);

 private:
  template <typename T>
  struct Remembered {
    T value;
    MonotonicTime until;
  };
  kube::Outcome Review(const apiserver::UserInfo& user, absl::string_view what,
                       absl::string_view attributes_json);

  kube::Client& client_;
  const Clock& clock_;
  std::mutex mutex_;
  // By the token's SHA-256, and by user and question; both bounded.
  std::map<std::string, Remembered<apiserver::UserInfo>> users_;
  std::map<std::string, Remembered<bool>> verdicts_;
};

}  // namespace meltemi::orchestrator
