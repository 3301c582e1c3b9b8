#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

namespace security = ::istio::security::v1beta1;
using security::AuthorizationPolicy;
using security::Condition;
using security::Operation;
using security::Source;

using Strings = google::protobuf::RepeatedPtrField<std::string>;
using Grammar = std::string (*)(absl::string_view);

constexpr char kDryRun[] = "istio.io/dry-run";

std::string WhyEmpty(absl::string_view value) {
  return value.empty() ? "an empty value matches nothing; \"*\" matches any that is not empty" : "";
}

std::string WhyNoPortText(absl::string_view value) {
  uint32_t port = 0;
  if (absl::SimpleAtoi(value, &port) && port <= 65535) return "";
  return absl::StrCat("\"", value, "\": a port from 0 to 65535 is expected");
}

// Stars are for the ends: anywhere else they stand for themselves, which nobody means.
std::string WhyNoPattern(absl::string_view value) {
  if (value.empty()) return WhyEmpty(value);
  absl::string_view middle = value;
  if (!absl::ConsumePrefix(&middle, "*")) absl::ConsumeSuffix(&middle, "*");
  if (!absl::StrContains(middle, '*')) return "";
  return absl::StrCat("\"", value,
                      "\": one \"*\" at the beginning or at the end is a wildcard; others would "
                      "stand for themselves");
}

void CheckAll(const Strings& values, const Path& path, Grammar grammar, Report* report) {
  for (int i = 0; i < values.size(); ++i) {
    report->Check(path[static_cast<size_t>(i)], grammar(values[i]));
  }
}

void CheckPattern(const std::string& value, const Path& path, Report* report) {
  if (value.empty()) {
    report->Error(path, WhyEmpty(value));
  } else if (const std::string why = WhyNoPattern(value); !why.empty()) {
    report->Warning(path, why);
  }
}

void CheckPatterns(const Strings& values, const Path& path, Report* report) {
  for (int i = 0; i < values.size(); ++i) {
    CheckPattern(values[i], path[static_cast<size_t>(i)], report);
  }
}

bool IsTemplate(absl::string_view path) {
  return absl::StrContains(path, "{*}") || absl::StrContains(path, "{**}");
}

// Segments of a template are "{*}", "{**}" (after which nothing is open), or what RFC 3986 lets be
// in a path.
std::string WhyNoTemplate(absl::string_view path) {
  bool ended = false;
  if (!absl::StartsWith(path, "/")) return absl::StrCat("\"", path, "\": \"/\" must come first");
  for (const absl::string_view segment : absl::StrSplit(path.substr(1), '/')) {
    const bool open = segment == "{*}" || segment == "{**}";
    if (open && ended) return absl::StrCat("\"", path, "\": \"{**}\" is not the last operator");
    ended |= segment == "{**}";
    const bool literal = std::all_of(segment.begin(), segment.end(), [](char c) {
      return absl::ascii_isalnum(c) || absl::StrContains("-._~%!$&'()+,;:@=", c);
    });
    if (!open && !literal) {
      return absl::StrCat("\"", path, "\": \"", segment,
                          "\" is neither \"{*}\" nor \"{**}\" nor a plain segment");
    }
  }
  return "";
}

void CheckPaths(const Strings& values, const Path& path, Report* report) {
  for (int i = 0; i < values.size(); ++i) {
    const Path at = path[static_cast<size_t>(i)];
    if (IsTemplate(values[i])) {
      report->Check(at, WhyNoTemplate(values[i]));
    } else if (absl::StrContains(values[i], '{') || absl::StrContains(values[i], '}')) {
      report->Error(at, absl::StrCat("\"", values[i], "\": \"{\" and \"}\" can't be in a path"));
    } else {
      CheckPattern(values[i], at, report);
    }
  }
}

void RefuseTokens(const Strings& values, const Path& path, Report* report) {
  if (!values.empty()) report->Unsupported(path, "what a JWT says");
}

// ---- Sources ------------------------------------------------------------------------------------

// True if it asks for something that is known of connections too.
bool ValidateSource(const Source& source, const Path& path, Report* report) {
  if (source.ByteSizeLong() == 0) {
    report->Error(path, "an empty source has no meaning; leave \"from\" out to mean any");
  }
  RefuseTokens(source.request_principals(), path / "requestPrincipals", report);
  RefuseTokens(source.not_request_principals(), path / "notRequestPrincipals", report);
  CheckPatterns(source.principals(), path / "principals", report);
  CheckPatterns(source.not_principals(), path / "notPrincipals", report);
  CheckAll(source.namespaces(), path / "namespaces", WhyEmpty, report);
  CheckAll(source.not_namespaces(), path / "notNamespaces", WhyEmpty, report);
  CheckAll(source.ip_blocks(), path / "ipBlocks", WhyNoSubnet, report);
  CheckAll(source.not_ip_blocks(), path / "notIpBlocks", WhyNoSubnet, report);
  CheckAll(source.remote_ip_blocks(), path / "remoteIpBlocks", WhyNoSubnet, report);
  CheckAll(source.not_remote_ip_blocks(), path / "notRemoteIpBlocks", WhyNoSubnet, report);
  return source.principals_size() + source.not_principals_size() + source.namespaces_size() +
             source.not_namespaces_size() + source.ip_blocks_size() + source.not_ip_blocks_size() +
             source.remote_ip_blocks_size() + source.not_remote_ip_blocks_size() >
         0;
}

// ---- Operations ---------------------------------------------------------------------------------

bool ValidateOperation(const Operation& operation, const Path& path, Report* report) {
  if (operation.ByteSizeLong() == 0) {
    report->Error(path, "an empty operation has no meaning; leave \"to\" out to mean any");
  }
  CheckPatterns(operation.hosts(), path / "hosts", report);
  CheckPatterns(operation.not_hosts(), path / "notHosts", report);
  CheckPatterns(operation.methods(), path / "methods", report);
  CheckPatterns(operation.not_methods(), path / "notMethods", report);
  CheckPaths(operation.paths(), path / "paths", report);
  CheckPaths(operation.not_paths(), path / "notPaths", report);
  CheckAll(operation.ports(), path / "ports", WhyNoPortText, report);
  CheckAll(operation.not_ports(), path / "notPorts", WhyNoPortText, report);
  return operation.ports_size() + operation.not_ports_size() > 0;
}

// ---- Conditions ---------------------------------------------------------------------------------

// What a condition's values must be; null: the key is told to be wrong.
Grammar GrammarOf(const std::string& key, const Path& path, Report* report) {
  if (key == "source.ip" || key == "remote.ip" || key == "destination.ip") return WhyNoSubnet;
  if (key == "destination.port") return WhyNoPortText;
  if (key == "source.namespace" || key == "source.principal" || key == "connection.sni") {
    return WhyEmpty;
  }
  if (absl::StartsWith(key, "request.headers")) {
    absl::string_view name = key;
    const bool named = absl::ConsumePrefix(&name, "request.headers[") &&
                       absl::ConsumeSuffix(&name, "]") && !name.empty();
    if (!named) {
      report->Error(path, absl::StrCat("\"", key, "\": expected request.headers[NAME]"));
      return nullptr;
    }
    report->Check(path, WhyNoHeaderNameOrPseudo(name));
    return WhyEmpty;
  }
  if (absl::StartsWith(key, "request.auth.")) {
    report->Unsupported(path, "what a JWT says");
  } else if (absl::StartsWith(key, "experimental.envoy.filters.")) {
    report->Unsupported(path, "a condition on metadata of filters");
  } else {
    report->Error(path, absl::StrCat("unknown attribute \"", key, "\""));
  }
  return nullptr;
}

void ValidateCondition(const Condition& condition, const Path& path, Report* report) {
  if (condition.key().empty()) return report->Error(path / "key", "is required");
  if (condition.values().empty() && condition.not_values().empty()) {
    report->Error(path, "\"values\" or \"notValues\" is required");
  }
  const Grammar grammar = GrammarOf(condition.key(), path / "key", report);
  if (grammar == nullptr) return;
  CheckAll(condition.values(), path / "values", grammar, report);
  CheckAll(condition.not_values(), path / "notValues", grammar, report);
}

// ---- Rules --------------------------------------------------------------------------------------

void ValidateRule(const security::Rule& rule, bool denies, const Path& path, Report* report) {
  bool source_of_tcp = false, operation_of_tcp = false;
  for (int i = 0; i < rule.from_size(); ++i) {
    const Path at = path / "from";
    source_of_tcp |=
        ValidateSource(rule.from(i).source(), at[static_cast<size_t>(i)] / "source", report);
  }
  for (int i = 0; i < rule.to_size(); ++i) {
    const Path at = path / "to";
    operation_of_tcp |=
        ValidateOperation(rule.to(i).operation(), at[static_cast<size_t>(i)] / "operation", report);
  }
  for (int i = 0; i < rule.when_size(); ++i) {
    const Path at = path / "when";
    ValidateCondition(rule.when(i), at[static_cast<size_t>(i)], report);
  }
  const bool http_alone = (rule.to().empty() && !rule.from().empty() && !source_of_tcp) ||
                          (!rule.to().empty() && !operation_of_tcp);
  if (denies && http_alone) {
    report->Warning(path,
                    "denies all traffic of ports that are not HTTP: what it asks for is known of "
                    "requests alone; name the ports that are meant");
  }
}

void ValidateAction(const AuthorizationPolicy& spec, const Path& path, Report* report) {
  switch (spec.action()) {
    case AuthorizationPolicy::ALLOW:
    case AuthorizationPolicy::AUDIT:
      break;
    case AuthorizationPolicy::DENY:
      if (spec.rules().empty()) {
        report->Error(path / "rules",
                      "DENY without rules never denies; an empty rule, {}, denies everything");
      }
      break;
    case AuthorizationPolicy::CUSTOM:
      report->Unsupported(path / "action", "CUSTOM (external authorization)");
      break;
    default:
      report->Error(path / "action", "expected ALLOW, DENY or AUDIT");
  }
  if (spec.has_provider() && spec.action() != AuthorizationPolicy::CUSTOM) {
    report->Error(path / "provider", "is for the action CUSTOM alone");
  }
}

void ValidateDryRun(Report* report) {
  const auto& annotations = report->object().meta.annotations;
  const auto it = annotations.find(kDryRun);
  if (it == annotations.end()) return;
  for (const char* word :
       {"1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"}) {
    if (it->second == word) return;
  }
  report->Warning(
      Path("metadata.annotations").Key(kDryRun),
      absl::StrCat("\"", it->second, "\" is neither true nor false: the policy is in force"));
}

}  // namespace

void ValidateAuthorizationPolicy(const AuthorizationPolicy& spec, Report* report) {
  const Path path("spec");
  ValidateLabels(spec.selector().match_labels(), path / "selector" / "matchLabels", report);
  if (spec.has_targetref()) report->Unsupported(path / "targetRef", "a policy for a named target");
  if (spec.targetrefs_size() > 0) {
    report->Unsupported(path / "targetRefs", "a policy for named targets");
  }
  ValidateAction(spec, path, report);
  ValidateDryRun(report);
  const bool denies = spec.action() == AuthorizationPolicy::DENY;
  const Path rules = path / "rules";
  for (int i = 0; i < spec.rules_size(); ++i) {
    ValidateRule(spec.rules(i), denies, rules[static_cast<size_t>(i)], report);
  }
}

}  // namespace meltemi::pilot
