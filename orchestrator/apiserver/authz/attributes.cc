#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "orchestrator/apiserver/authz/authorizer.h"

namespace meltemi::apiserver {

Attributes Attributes::Of(const Request& request) {
  const RequestInfo& info = request.info;
  Attributes out;
  out.user = request.user;
  out.is_resource = info.is_resource;
  out.verb = info.verb;
  out.path = info.path;
  if (!info.is_resource) return out;
  out.group = info.group;
  out.version = info.version;
  out.resource = info.resource;
  out.subresource = info.subresource;
  out.ns = info.ns;
  out.name = info.name;
  if (info.verb == "list" || info.verb == "watch" || info.verb == "deletecollection") {
    const std::optional<std::string> text = request.query.Get("fieldSelector");
    absl::StatusOr<kube::FieldSelector> selector =
        kube::FieldSelector::Parse(text.value_or(std::string()));
    if (selector.ok()) out.field_selector = *std::move(selector);
  }
  return out;
}

}  // namespace meltemi::apiserver
