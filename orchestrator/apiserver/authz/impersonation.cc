#include "orchestrator/apiserver/authz/impersonation.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/names/check.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kExtraPrefix = "impersonate-extra-";
constexpr absl::string_view kAuthenticated = "system:authenticated";
constexpr absl::string_view kUnauthenticated = "system:unauthenticated";

std::string PercentDecoded(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const bool hex = i + 2 < text.size() &&
                     absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) &&
                     absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]));
    if (!hex) return std::string(text);
    out.append(absl::HexStringToBytes(text.substr(i + 1, 2)));
    i += 2;
  }
  return out;
}

// "system:serviceaccount:NS:NAME".
bool SplitServiceAccount(absl::string_view user, std::string* ns, std::string* name) {
  if (!absl::ConsumePrefix(&user, "system:serviceaccount:")) return false;
  const std::vector<std::string> parts = absl::StrSplit(user, ':');
  if (parts.size() != 2 || !kube::CheckDns1123Label(parts[0]).empty() ||
      !kube::CheckDns1123Subdomain(parts[1]).empty()) {
    return false;
  }
  *ns = parts[0];
  *name = parts[1];
  return true;
}

std::vector<std::string> Values(absl::string_view joined) {
  std::vector<std::string> out;
  for (const absl::string_view value : absl::StrSplit(joined, ", ")) {
    out.emplace_back(absl::StripAsciiWhitespace(value));
  }
  return out;
}

class Impersonation {
 public:
  Impersonation(const Request& request, Authorizer& authorizer)
      : request_(request), authorizer_(authorizer) {}

  bool Wanted() {
    for (const auto& [name, value] : request_.headers) {
      if (name == "impersonate-user" || name == "impersonate-uid") {
        if (!value.empty()) any_ = true;
      } else if (name == "impersonate-group" || absl::StartsWith(name, kExtraPrefix)) {
        any_ = true;
      }
    }
    return any_;
  }

  absl::string_view Header(const std::string& name) const {
    const auto at = request_.headers.find(name);
    return at == request_.headers.end() ? absl::string_view() : at->second;
  }

  kube::Result<UserInfo> Run() {
    const std::string user(Header("impersonate-user"));
    if (user.empty()) {
      return kube::InternalError("requested groups, extra or uid without impersonating a user");
    }
    std::string ns, name;
    const auto groups = request_.headers.find("impersonate-group");
    const bool groups_given = groups != request_.headers.end();
    out_.name = user;
    if (SplitServiceAccount(user, &ns, &name)) {
      if (!groups_given) {
        out_.groups = {"system:serviceaccounts", absl::StrCat("system:serviceaccounts:", ns)};
      }
      Check("", "serviceaccounts", "", ns, name);
    } else {
      Check("", "users", "", "", user);
    }
    if (groups_given) {
      for (std::string& group : Values(groups->second)) {
        Check("", "groups", "", "", group);
        out_.groups.push_back(std::move(group));
      }
    }
    for (const auto& [header, joined] : request_.headers) {
      absl::string_view key = header;
      if (!absl::ConsumePrefix(&key, kExtraPrefix)) continue;
      const std::string decoded = PercentDecoded(key);
      for (std::string& value : Values(joined)) {
        Check("authentication.k8s.io", "userextras", decoded, "", value);
        out_.extra[decoded].push_back(std::move(value));
      }
    }
    out_.uid = std::string(Header("impersonate-uid"));
    if (!out_.uid.empty()) Check("authentication.k8s.io", "uids", "", "", out_.uid);
    if (refused_.has_value()) return *std::move(refused_);
    AddImpliedGroup();
    return std::move(out_);
  }

 private:
  void Check(absl::string_view group, absl::string_view resource, absl::string_view subresource,
             absl::string_view ns, absl::string_view name) {
    if (refused_.has_value()) return;
    Attributes attributes;
    attributes.user = request_.user;
    attributes.verb = "impersonate";
    attributes.group = std::string(group);
    attributes.version = "v1";
    attributes.resource = std::string(resource);
    attributes.subresource = std::string(subresource);
    attributes.ns = std::string(ns);
    attributes.name = std::string(name);
    const Verdict verdict = authorizer_.Authorize(attributes);
    if (verdict.decision == Decision::kAllow) return;
    refused_ = ForbiddenFor(attributes, verdict.reason);
  }

  // Who has a name is authenticated, unless the groups say otherwise.
  void AddImpliedGroup() {
    if (out_.name == "system:anonymous") {
      if (!out_.InGroup(kUnauthenticated)) out_.groups.emplace_back(kUnauthenticated);
    } else if (!out_.InGroup(kAuthenticated) && !out_.InGroup(kUnauthenticated)) {
      out_.groups.emplace_back(kAuthenticated);
    }
  }

  const Request& request_;
  Authorizer& authorizer_;
  bool any_ = false;
  UserInfo out_;
  std::optional<kube::Status> refused_;
};

}  // namespace

kube::Result<UserInfo> Impersonate(const Request& request, Authorizer& authorizer) {
  Impersonation impersonation(request, authorizer);
  if (!impersonation.Wanted()) return request.user;
  return impersonation.Run();
}

}  // namespace meltemi::apiserver
