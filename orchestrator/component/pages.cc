#include "orchestrator/component/pages.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/chain/chain.h"

namespace meltemi::orchestrator {

using apiserver::Body;
using apiserver::Reply;
using apiserver::StatusReply;

Reply Pages::Handle(apiserver::Request& request) {
  const std::string& path = request.info.path;
  for (const char* health : {"/healthz", "/livez", "/readyz"}) {
    if (absl::StartsWith(path, health)) return health_.Answer(request, path);
  }
  kube::Result<apiserver::UserInfo> user = access_.Authenticate(request);
  if (!user.ok()) return StatusReply(user.status());
  const kube::Outcome allowed = access_.AuthorizePath(*user, request.info.verb, path);
  if (!allowed.ok()) return StatusReply(allowed.status());
  return Allowed(request);
}

Reply Pages::Allowed(const apiserver::Request& request) const {
  const std::string& path = request.info.path;
  if (request.method != "GET" && request.method != "HEAD") {
    return StatusReply(kube::GenericStatus(405, ""));
  }
  if (path == "/metrics") {
    return Body{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                .bytes = metrics_.RenderPrometheus()};
  }
  if (path == "/version") return apiserver::JsonReply(200, apiserver::VersionJson());
  if (const auto page = debug_.find(path); page != debug_.end()) {
    return Body{.content_type = "text/plain; charset=utf-8", .bytes = page->second()};
  }
  if (path == "/" || path == "/debug") {
    std::string list = "/healthz\n/livez\n/readyz\n/metrics\n/version\n";
    for (const auto& [name, unused] : debug_) absl::StrAppend(&list, name, "\n");
    return Body{.content_type = "text/plain; charset=utf-8", .bytes = list};
  }
  return StatusReply(kube::GenericStatus(404, ""));
}

}  // namespace meltemi::orchestrator
