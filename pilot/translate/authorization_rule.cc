#include "pilot/translate/authorization_rule.h"

#include <google/protobuf/repeated_field.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb.h"
#include "pilot/translate/resource.h"
#include "re2/re2.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

namespace security = ::istio::security::v1beta1;
using envoy::config::core::v3::CidrRange;
using envoy::config::rbac::v3::Permission;
using envoy::config::rbac::v3::Policy;
using envoy::config::rbac::v3::Principal;
using envoy::config::route::v3::HeaderMatcher;
using envoy::type::matcher::v3::StringMatcher;

using Strings = google::protobuf::RepeatedPtrField<std::string>;

constexpr char kSpiffe[] = "spiffe://";
constexpr char kDefaultTrustDomain[] = "cluster.local";

// What a clause of a rule is about.
enum class Attribute : uint8_t {
  // Permissions.
  kHost,
  kMethod,
  kPath,
  kPort,
  kDestinationIp,
  kServerName,
  // Principals.
  kPrincipal,
  kNamespace,
  kSourceIp,
  kRemoteIp,
  kHeader,
  kToken,  // whatever a JWT says: nothing reads them, so nobody has one
};

// One of `values`, and none of `not_values`.
struct Clause {
  Attribute attribute;
  Strings values, not_values;
  std::string header;  // kHeader alone
};
using Clauses = std::vector<Clause>;

void Add(Attribute attribute, const Strings& values, const Strings& not_values, Clauses* out,
         std::string header = "") {
  if (values.empty() && not_values.empty()) return;
  out->push_back({attribute, values, not_values, std::move(header)});
}

std::string Quoted(absl::string_view text) {
  return RE2::QuoteMeta(re2::StringPiece(text.data(), text.size()));
}

// ---- Values -------------------------------------------------------------------------------------

void SetRegex(std::string regex, StringMatcher* out) {
  out->mutable_safe_regex()->set_regex(std::move(regex));
}

// "*" is whatever is not empty; a star at one end leaves that end open.
StringMatcher MatchText(absl::string_view value, absl::string_view prefix = "") {
  StringMatcher out;
  if (value == "*") {
    SetRegex(".+", &out);
  } else if (absl::ConsumePrefix(&value, "*")) {
    if (prefix.empty()) {
      out.set_suffix(std::string(value));
    } else {
      SetRegex(absl::StrCat(prefix, ".*", Quoted(value)), &out);
    }
  } else if (absl::ConsumeSuffix(&value, "*")) {
    out.set_prefix(absl::StrCat(prefix, value));
  } else {
    out.set_exact(absl::StrCat(prefix, value));
  }
  return out;
}

HeaderMatcher MatchHeader(absl::string_view name, absl::string_view value, bool ignore_case) {
  HeaderMatcher out;
  out.set_name(std::string(name));
  if (value == "*") {
    out.set_present_match(true);
    return out;
  }
  StringMatcher& text = *out.mutable_string_match();
  text = MatchText(value);
  if (ignore_case) text.set_ignore_case(true);
  return out;
}

bool FillRange(absl::string_view value, CidrRange* out) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(value, absl::MaxSplits('/', 1));
  uint32_t bits = absl::StrContains(parts.first, ':') ? 128 : 32;
  if (absl::StrContains(value, '/') && !absl::SimpleAtoi(parts.second, &bits)) return false;
  out->set_address_prefix(std::string(parts.first));
  out->mutable_prefix_len()->set_value(bits);
  return true;
}

// "TRUST DOMAIN/ns/NS/sa/SA": the default trust domain stands for the mesh's own.
std::string InTrustDomain(const std::string& principal, const std::string& trust_domain) {
  const std::vector<std::string> parts = absl::StrSplit(principal, '/');
  if (parts.size() != 5 || parts[0] != kDefaultTrustDomain || trust_domain.empty()) {
    return principal;
  }
  return absl::StrCat(trust_domain, principal.substr(parts[0].size()));
}

// The path between "/ns/" and the next "/"; a star is any part of it.
StringMatcher MatchNamespace(absl::string_view value) {
  std::string pattern = ".*/ns/";
  bool first = true;
  for (const absl::string_view part : absl::StrSplit(value, '*')) {
    absl::StrAppend(&pattern, first ? "" : ".*", Quoted(part));
    first = false;
  }
  StringMatcher out;
  SetRegex(pattern + "/.*", &out);
  return out;
}

// A path, or a template of one: "/shops/{*}/items/{**}".
void FillPath(const std::string& value, Permission* out) {
  if (!absl::StrContains(value, "{*}") && !absl::StrContains(value, "{**}")) {
    *out->mutable_url_path()->mutable_path() = MatchText(value);
    return;
  }
  envoy::extensions::path::match::uri_template::v3::UriTemplateMatchConfig config;
  config.set_path_template(absl::StrReplaceAll(value, {{"{*}", "*"}, {"{**}", "**"}}));
  out->mutable_uri_template()->set_name("uri-template");
  PackAny(config, out->mutable_uri_template()->mutable_typed_config());
}

// ---- Clauses ------------------------------------------------------------------------------------

bool OfRequests(Attribute attribute) {
  switch (attribute) {
    case Attribute::kHost:
    case Attribute::kMethod:
    case Attribute::kPath:
    case Attribute::kHeader:
    case Attribute::kToken:
      return true;
    default:
      return false;
  }
}

// False: the value can't be told, there or at all.
bool Fill(const Clause& clause, const std::string& value, const RuleTarget& target,
          Permission* out) {
  if (target.tcp && OfRequests(clause.attribute)) return false;
  switch (clause.attribute) {
    case Attribute::kHost:
      *out->mutable_header() = MatchHeader(":authority", value, /*ignore_case=*/true);
      return true;
    case Attribute::kMethod:
      *out->mutable_header() = MatchHeader(":method", value, /*ignore_case=*/false);
      return true;
    case Attribute::kPath:
      FillPath(value, out);
      return true;
    case Attribute::kPort: {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(value, &port) || port > 65535) return false;
      out->set_destination_port(port);
      return true;
    }
    case Attribute::kDestinationIp:
      return FillRange(value, out->mutable_destination_ip());
    case Attribute::kServerName:
      *out->mutable_requested_server_name() = MatchText(value);
      return true;
    default:
      return false;
  }
}

bool Fill(const Clause& clause, const std::string& value, const RuleTarget& target,
          Principal* out) {
  if (target.tcp && OfRequests(clause.attribute)) return false;
  switch (clause.attribute) {
    case Attribute::kPrincipal:
      *out->mutable_authenticated()->mutable_principal_name() =
          MatchText(InTrustDomain(value, target.trust_domain), kSpiffe);
      return true;
    case Attribute::kNamespace:
      *out->mutable_authenticated()->mutable_principal_name() = MatchNamespace(value);
      return true;
    case Attribute::kSourceIp:
      return FillRange(value, out->mutable_direct_remote_ip());
    case Attribute::kRemoteIp:
      return FillRange(value, out->mutable_remote_ip());
    case Attribute::kHeader:
      *out->mutable_header() = MatchHeader(clause.header, value, /*ignore_case=*/false);
      return true;
    case Attribute::kToken:
      out->mutable_not_id()->set_any(true);
      return true;
    default:
      return false;
  }
}

// The two kinds of sets under one name.
auto* AddTo(Permission::Set* set) { return set->add_rules(); }
auto* AddTo(Principal::Set* set) { return set->add_ids(); }
Permission::Set* AllOf(Permission* rule) { return rule->mutable_and_rules(); }
Principal::Set* AllOf(Principal* rule) { return rule->mutable_and_ids(); }
Permission::Set* AnyOf(Permission* rule) { return rule->mutable_or_rules(); }
Principal::Set* AnyOf(Principal* rule) { return rule->mutable_or_ids(); }
Permission* Not(Permission* rule) { return rule->mutable_not_rule(); }
Principal* Not(Principal* rule) { return rule->mutable_not_id(); }

// Any of `values`, into `*out`. False: a value that can't be told makes the rule void.
template <typename Matcher>
bool FillAny(const Clause& clause, const Strings& values, const RuleTarget& target, bool* empty,
             Matcher* out) {
  *empty = true;
  for (const std::string& value : values) {
    Matcher one;
    if (!Fill(clause, value, target, &one)) {
      if (target.allows) return false;
      continue;
    }
    *AddTo(AnyOf(out)) = std::move(one);
    *empty = false;
  }
  return true;
}

// All of `clauses`.
template <typename Matcher>
bool FillAll(const Clauses& clauses, const RuleTarget& target, Matcher* out) {
  auto* all = AllOf(out);
  bool any = false;
  for (const Clause& clause : clauses) {
    Matcher wanted, unwanted;
    bool empty = true;
    if (!FillAny(clause, clause.values, target, &empty, &wanted)) return false;
    if (!empty) *AddTo(all) = std::move(wanted);
    any |= !empty;
    if (!FillAny(clause, clause.not_values, target, &empty, Not(&unwanted))) return false;
    if (!empty) *AddTo(all) = std::move(unwanted);
    any |= !empty;
  }
  if (!any) AddTo(all)->set_any(true);
  return true;
}

// ---- Rules --------------------------------------------------------------------------------------

// False: no such attribute.
bool AddCondition(const security::Condition& condition, Clauses* permissions, Clauses* principals) {
  const std::string& key = condition.key();
  const auto add = [&](Attribute attribute, Clauses* out, std::string header = "") {
    Add(attribute, condition.values(), condition.not_values(), out, std::move(header));
    return true;
  };
  if (key == "destination.ip") return add(Attribute::kDestinationIp, permissions);
  if (key == "destination.port") return add(Attribute::kPort, permissions);
  if (key == "connection.sni") return add(Attribute::kServerName, permissions);
  if (key == "source.ip") return add(Attribute::kSourceIp, principals);
  if (key == "remote.ip") return add(Attribute::kRemoteIp, principals);
  if (key == "source.namespace") return add(Attribute::kNamespace, principals);
  if (key == "source.principal") return add(Attribute::kPrincipal, principals);
  if (absl::StartsWith(key, "request.auth.")) return add(Attribute::kToken, principals);
  std::optional<std::string> header = HeaderOfCondition(key);
  return header.has_value() && add(Attribute::kHeader, principals, *std::move(header));
}

Clauses ClausesOf(const security::Source& source) {
  Clauses out;
  Add(Attribute::kPrincipal, source.principals(), source.not_principals(), &out);
  Add(Attribute::kToken, source.request_principals(), source.not_request_principals(), &out);
  Add(Attribute::kNamespace, source.namespaces(), source.not_namespaces(), &out);
  Add(Attribute::kRemoteIp, source.remote_ip_blocks(), source.not_remote_ip_blocks(), &out);
  Add(Attribute::kSourceIp, source.ip_blocks(), source.not_ip_blocks(), &out);
  return out;
}

Clauses ClausesOf(const security::Operation& operation) {
  Clauses out;
  Add(Attribute::kHost, operation.hosts(), operation.not_hosts(), &out);
  Add(Attribute::kMethod, operation.methods(), operation.not_methods(), &out);
  Add(Attribute::kPath, operation.paths(), operation.not_paths(), &out);
  Add(Attribute::kPort, operation.ports(), operation.not_ports(), &out);
  return out;
}

// The conditions hold for each of the alternatives.
Clauses With(Clauses clauses, const Clauses& conditions) {
  clauses.insert(clauses.end(), conditions.begin(), conditions.end());
  return clauses;
}

}  // namespace

std::optional<std::string> HeaderOfCondition(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, "request.headers[") || !absl::ConsumeSuffix(&key, "]") ||
      key.empty()) {
    return std::nullopt;
  }
  return std::string(key);
}

bool TranslateRule(const security::Rule& rule, const RuleTarget& target, Policy* policy) {
  Clauses permissions, principals;
  for (const security::Condition& condition : rule.when()) {
    if (!AddCondition(condition, &permissions, &principals)) return false;
  }
  for (const auto& to : rule.to()) {
    const Clauses all = With(ClausesOf(to.operation()), permissions);
    if (!FillAll(all, target, policy->add_permissions())) return false;
  }
  if (rule.to().empty() && !FillAll(permissions, target, policy->add_permissions())) return false;
  for (const auto& from : rule.from()) {
    const Clauses all = With(ClausesOf(from.source()), principals);
    if (!FillAll(all, target, policy->add_principals())) return false;
  }
  return !rule.from().empty() || FillAll(principals, target, policy->add_principals());
}

void FillNever(Policy* policy) {
  policy->add_permissions()->mutable_not_rule()->set_any(true);
  policy->add_principals()->mutable_not_id()->set_any(true);
}

}  // namespace meltemi::pilot
