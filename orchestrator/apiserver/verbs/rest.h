// The REST handlers: requests for resources (/api/…, /apis/…) become calls of Objects, reads of the
// watch cache, watches, and tunnels to kubelets.
//
// Threads: thread-safe; a handler runs on a thread of the request pool and blocks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "base/random/random.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// Answers a question that is created and never stored (TokenReview, SubjectAccessReview …):
// `review` is what was sent, the answer is it with its status. The same as ReviewFunction of
// authz/reviews.h.
using ReviewHandler =
    std::function<kube::Result<json::Value>(const Request& request, json::Value review)>;

// Gives objects that are made when somebody asks (metrics): one by `name`, or all that match, in
// the resource's version. Empty with a name: NotFound is answered.
using ObjectReader = std::function<kube::Result<std::vector<ObjectPtr>>(
    const Resource& resource, absl::string_view ns, absl::string_view name,
    const kube::LabelSelector& labels, const kube::FieldSelector& fields)>;

struct ResourceHandlerDeps {
  Objects& objects;
  WatchCache& cache;
  const CatalogSource& catalogs;
  Admission& admission;
  TokenIssuer* tokens = nullptr;  // serviceaccounts/token; null: 404
  // Whether the user may create the object that an update or an apply makes; null: always.
  std::function<kube::Outcome(const Request& request)> may_create = nullptr;
  std::map<kube::GroupResource, ReviewHandler> reviews = {};
  std::map<kube::GroupResource, ObjectReader> readers = {};
  const Clock& clock;
  Random& random;  // used under a lock of the handler's own; nobody else's
  std::vector<std::string> api_audiences = {"https://kubernetes.default.svc.cluster.local"};
  // Watches without timeoutSeconds end after this, or up to twice as long.
  Duration watch_timeout_min = minutes(30);
};

// For every request whose info.is_resource holds. What `deps` refers to outlives it.
std::unique_ptr<Handler> NewResourceHandler(ResourceHandlerDeps deps);

}  // namespace meltemi::apiserver
