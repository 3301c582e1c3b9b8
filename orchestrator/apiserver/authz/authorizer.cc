#include "orchestrator/apiserver/authz/authorizer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace meltemi::apiserver {
namespace {

using kube::GoQuote;

std::string ForbiddenText(const Attributes& attributes) {
  if (!attributes.is_resource) {
    return absl::StrCat("User ", GoQuote(attributes.user.name), " cannot ", attributes.verb,
                        " path ", GoQuote(attributes.path));
  }
  std::string resource = attributes.resource;
  if (!attributes.subresource.empty()) absl::StrAppend(&resource, "/", attributes.subresource);
  return absl::StrCat("User ", GoQuote(attributes.user.name), " cannot ", attributes.verb,
                      " resource ", GoQuote(resource), " in API group ", GoQuote(attributes.group),
                      attributes.ns.empty()
                          ? std::string(" at the cluster scope")
                          : absl::StrCat(" in the namespace ", GoQuote(attributes.ns)));
}

}  // namespace

kube::Status ForbiddenFor(const Attributes& attributes, absl::string_view reason) {
  // Not to be taken for HTML by a browser that shows it.
  std::string why = absl::StrReplaceAll(ForbiddenText(attributes),
                                        {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
  if (!reason.empty()) absl::StrAppend(&why, ": ", reason);
  return kube::Forbidden({attributes.group, attributes.resource}, attributes.name, why);
}

}  // namespace meltemi::apiserver
