// Role-based access control: who (principals) may do what (permissions), compiled. The same rules
// judge requests (HTTP filter) and connections (network filter).
//
// Immutable, thread-safe, without IO; judging allocates nothing. Semantics: envoy.config.rbac.v3
// and Envoy's engine. Of a header that comes several times one value that matches is enough.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "base/net/address.h"
#include "proxy/route/matchers.h"

namespace meltemi::proxy {

struct TlsInfo;

// What rules ask about. Valid for the call alone.
struct RbacFacts {
  const http::HeaderMap& request;  // of a connection: one without content
  const net::Address& local;       // the original destination when redirected
  const net::Address& direct_remote;
  const net::Address& remote;  // after x-forwarded-for
  absl::string_view server_name;
  const TlsInfo* tls = nullptr;  // null: plaintext
};

struct RbacRule;

// The conditions of rules.
namespace rbac {

// All of them, or any of them. An empty set of all is always true, one of any never.
struct Set {
  bool all = true;
  std::vector<RbacRule> rules;
};
// The path without query and fragment; false where there is no path.
struct UrlPath {
  StringMatcher matcher;
};
struct Port {
  uint32_t from = 0, to = 0;  // [from, to)
};
enum class Whose : uint8_t { kLocal, kDirectRemote, kRemote };
struct Ip {
  Whose whose = Whose::kLocal;
  net::Cidr range;
};
struct ServerName {
  StringMatcher matcher;
};
// A verified certificate of the peer: any, or one of whose names matches (URI names, DNS names, the
// subject).
struct Authenticated {
  bool any_name = true;
  StringMatcher name;
};
// Istio's filter state io.istio.peer_principal.
struct PeerPrincipal {
  StringMatcher name;
};

}  // namespace rbac

// A permission or a principal: a tree of conditions. The default is always true.
struct RbacRule {
  std::variant<rbac::Set, HeaderMatcher, rbac::UrlPath, rbac::Port, rbac::Ip, rbac::ServerName,
               rbac::Authenticated, rbac::PeerPrincipal>
      condition;
  bool negated = false;

  bool Matches(const RbacFacts& facts) const;
};

// Matches when one of the permissions and one of the principals do.
struct RbacPolicy {
  RbacPolicy(std::string policy_name, std::vector<RbacRule> what, std::vector<RbacRule> who);

  const std::string name;
  // "rbac_access_denied_matched_policy[NAME]", white space in the name as "_".
  const std::string denied_details;
  const std::vector<RbacRule> permissions, principals;

  bool Matches(const RbacFacts& facts) const;
};

enum class RbacAction : uint8_t { kAllow, kDeny, kLog };

struct RbacRules {
  struct Decision {
    bool allowed = true;
    const RbacPolicy* policy = nullptr;  // that matched; null: none did
    // For a log, where it was refused.
    absl::string_view denied_details() const;
  };

  RbacAction action = RbacAction::kAllow;
  std::vector<RbacPolicy> policies;  // by name, which is the order in which they are asked

  Decision Judge(const RbacFacts& facts) const;
};

}  // namespace meltemi::proxy
