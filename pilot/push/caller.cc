#include "pilot/push/caller.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "pilot/translate/node.h"

namespace meltemi::pilot {

std::string Caller::Spiffe() const {
  return absl::StrCat("spiffe://", trust_domain, "/ns/", ns, "/sa/", service_account);
}

absl::string_view BearerToken(absl::string_view authorization) {
  constexpr size_t kSchemeLength = 7;
  if (!absl::StartsWithIgnoreCase(authorization, "bearer ")) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kSchemeLength));
}

absl::Status CheckNode(const Caller& caller, const ProxyNode& node) {
  const auto denied = [&](absl::string_view what, absl::string_view said,
                          absl::string_view proved) {
    return absl::PermissionDeniedError(absl::StrCat("the node '", node.id, "' says ", what, " '",
                                                    said, "', its token is of '", proved, "'"));
  };
  if (node.ns != caller.ns) return denied("namespace", node.ns, caller.ns);
  if (!node.service_account.empty() && node.service_account != caller.service_account) {
    return denied("service account", node.service_account, caller.service_account);
  }
  if (!caller.pod.empty() && node.name != caller.pod) return denied("pod", node.name, caller.pod);
  return absl::OkStatus();
}

}  // namespace meltemi::pilot
