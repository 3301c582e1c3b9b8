#include "orchestrator/apiserver/authz/authorizer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  json::AppendEscaped(text, &out);
  out.push_back('"');
  return out;
}

std::string ForbiddenText(const Attributes& attributes) {
  if (!attributes.is_resource) {
    return absl::StrCat("User ", Quoted(attributes.user.name), " cannot ", attributes.verb,
                        " path ", Quoted(attributes.path));
  }
  std::string resource = attributes.resource;
  if (!attributes.subresource.empty()) absl::StrAppend(&resource, "/", attributes.subresource);
  return absl::StrCat("User ", Quoted(attributes.user.name), " cannot ", attributes.verb,
                      " resource ", Quoted(resource), " in API group ", Quoted(attributes.group),
                      attributes.ns.empty()
                          ? std::string(" at the cluster scope")
                          : absl::StrCat(" in the namespace ", Quoted(attributes.ns)));
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
