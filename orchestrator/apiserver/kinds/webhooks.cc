// What is wrong with a webhook's configuration.
#include <set>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/webhooks.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kMatchConditionsMax = 64;
constexpr absl::string_view kUrlForm = "; desired format: https://host[/path]";

bool HasText(const std::vector<json::Value>& list, absl::string_view text) {
  return absl::c_any_of(list, [text](const json::Value& item) { return item.text() == text; });
}

void ValidateName(absl::string_view name, const FieldPath& path, FieldErrors& errors) {
  const Complaints complaints = CheckDns1123Subdomain(name);
  if (name.empty()) {
    errors.push_back(kube::Required(path));
  } else if (!complaints.empty()) {
    errors.push_back(kube::InvalidField(path, name, absl::StrJoin(complaints, ",")));
  } else if (absl::c_count(name, '.') < 2) {
    errors.push_back(kube::InvalidField(
        path, name, "should be a domain with at least three segments separated by dots"));
  }
}

void ValidateResources(const json::Value& rule, const FieldPath& path, FieldErrors& errors) {
  const auto& resources = Items(rule, "resources");
  if (resources.empty()) errors.push_back(kube::Required(path));
  std::set<std::string> with_any_subresource, of_any_resource;
  bool plain = false;  // the last one without a subresource is not "*"
  for (size_t i = 0; i < resources.size(); ++i) {
    const std::string& text = resources[i].text();
    if (text.empty()) {
      errors.push_back(kube::Required(path.Index(i)));
      continue;
    }
    const size_t slash = text.find('/');
    if (slash == std::string::npos) {
      plain = text != "*";
      continue;
    }
    const std::string resource = text.substr(0, slash), subresource = text.substr(slash + 1);
    if (with_any_subresource.count(resource) > 0) {
      errors.push_back(kube::InvalidField(
          path.Index(i), text,
          absl::StrCat("if '", resource, "/*' is present, must not specify ", text)));
    }
    if (of_any_resource.count(subresource) > 0) {
      errors.push_back(kube::InvalidField(
          path.Index(i), text,
          absl::StrCat("if '*/", subresource, "' is present, must not specify ", text)));
    }
    if (subresource == "*") with_any_subresource.insert(resource);
    if (resource == "*") of_any_resource.insert(subresource);
  }
  const std::string printed = GoTextList(Get(rule, "resources"));
  if (resources.size() > 1 && HasText(resources, "*/*")) {
    errors.push_back(
        InvalidPrinted(path, printed, "if '*/*' is present, must not specify other resources"));
  }
  if (plain && HasText(resources, "*")) {
    errors.push_back(InvalidPrinted(
        path, printed, "if '*' is present, must not specify other resources without subresources"));
  }
}

// A list that must not be empty and holds nothing beside a "*".
void ValidateWildcardList(const json::Value& rule, absl::string_view key, absl::string_view what,
                          const std::string& printed, const FieldPath& path, FieldErrors& errors) {
  const auto& list = Items(rule, key);
  if (list.empty()) errors.push_back(kube::Required(path.Child(key)));
  if (list.size() > 1 && HasText(list, "*")) {
    errors.push_back(
        InvalidPrinted(path.Child(key), printed,
                       absl::StrCat("if '*' is present, must not specify other ", what)));
  }
}

void ValidateRule(const json::Value& rule, const FieldPath& path, FieldErrors& errors) {
  std::string operations = GoTextList(Get(rule, "operations"));
  operations.replace(0, absl::string_view("[]string").size(),
                     "[]admissionregistration.OperationType");
  ValidateWildcardList(rule, "operations", "operations", operations, path, errors);
  static const auto& known =
      *new std::vector<std::string>{"*", "CONNECT", "CREATE", "DELETE", "UPDATE"};
  const auto& listed = Items(rule, "operations");
  for (size_t i = 0; i < listed.size(); ++i) {
    if (absl::c_linear_search(known, listed[i].text())) continue;
    errors.push_back(kube::NotSupported(path.Child("operations").Index(i), listed[i], known));
  }
  ValidateWildcardList(rule, "apiGroups", "API groups", GoTextList(Get(rule, "apiGroups")), path,
                       errors);
  ValidateWildcardList(rule, "apiVersions", "API versions", GoTextList(Get(rule, "apiVersions")),
                       path, errors);
  const auto& versions = Items(rule, "apiVersions");
  for (size_t i = 0; i < versions.size(); ++i) {
    if (versions[i].text().empty()) {
      errors.push_back(kube::Required(path.Child("apiVersions").Index(i)));
    }
  }
  ValidateResources(rule, path.Child("resources"), errors);
  ValidateOneOf(rule, "scope", path, {"*", "Cluster", "Namespaced"}, false, errors);
}

// scheme://[user@]host[/path][?query][#fragment], as far as rules go.
void ValidateUrl(absl::string_view url, const FieldPath& path, FieldErrors& errors) {
  const size_t colon = url.find("://");
  const absl::string_view scheme = colon == absl::string_view::npos ? "" : url.substr(0, colon);
  absl::string_view rest = scheme.empty() ? url : url.substr(colon + 3);
  const bool printable =
      absl::c_all_of(url, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
  if (!printable) {
    errors.push_back(kube::Required(
        path, absl::StrCat("url must be a valid URL: parse ", kube::GoQuote(url),
                           ": net/url: invalid control character in URL", kUrlForm)));
    return;
  }
  const auto cut = [&rest](char separator) {
    const size_t at = rest.find(separator);
    if (at == absl::string_view::npos) return absl::string_view();
    const absl::string_view tail = rest.substr(at + 1);
    rest = rest.substr(0, at);
    return tail;
  };
  const absl::string_view fragment = cut('#'), query = cut('?');
  absl::string_view host = scheme.empty() ? "" : rest.substr(0, rest.find('/'));
  const size_t at = host.rfind('@');
  const absl::string_view user = at == absl::string_view::npos ? "" : host.substr(0, at);
  if (at != absl::string_view::npos) host.remove_prefix(at + 1);
  const auto invalid = [&](absl::string_view value, absl::string_view detail) {
    errors.push_back(kube::InvalidField(path, value, detail));
  };
  if (scheme != "https") {
    invalid(scheme, absl::StrCat("'https' is the only allowed URL scheme", kUrlForm));
  }
  if (host.empty()) invalid(host, absl::StrCat("host must be specified", kUrlForm));
  if (!user.empty()) invalid(user, "user information is not permitted in the URL");
  if (!fragment.empty()) invalid(fragment, "fragments are not permitted in the URL");
  if (!query.empty()) invalid(query, "query parameters are not permitted in the URL");
}

void ValidateServicePath(absl::string_view text, const FieldPath& path, FieldErrors& errors) {
  const auto invalid = [&](const std::string& detail) {
    errors.push_back(kube::InvalidField(path, text, detail));
  };
  if (text.empty() || text == "/") return;
  if (text == "//") return invalid("segment[0] may not be empty");
  if (text[0] != '/') invalid("must start with a '/'");
  absl::string_view steps = text.substr(1);
  absl::ConsumeSuffix(&steps, "/");
  size_t index = 0;
  for (absl::string_view step : absl::StrSplit(steps, '/')) {
    if (step.empty()) invalid(absl::StrCat("segment[", index, "] may not be empty"));
    if (!step.empty()) {
      for (const std::string& complaint : CheckDns1123Subdomain(step)) {
        invalid(absl::StrCat("segment[", index, "]: ", complaint));
      }
    }
    ++index;
  }
}

// Kubernetes takes name and namespace for each other when it says which one is missing.
void ValidateService(const json::Value& service, const FieldPath& path, FieldErrors& errors) {
  if (Text(service, "namespace").empty()) {
    errors.push_back(kube::Required(path.Child("name"), "service name is required"));
  }
  if (Text(service, "name").empty()) {
    errors.push_back(kube::Required(path.Child("namespace"), "service namespace is required"));
  }
  const int64_t port = Int(service, "port");
  const Complaints complaints = CheckPortNumber(port);
  if (!complaints.empty()) {
    errors.push_back(
        kube::InvalidField(path.Child("port"), port,
                           absl::StrCat("port is not valid: ", absl::StrJoin(complaints, ", "))));
  }
  ValidateServicePath(Text(service, "path"), path.Child("path"), errors);
}

void ValidateClientConfig(const json::Value& config, const FieldPath& path, FieldErrors& errors) {
  const bool url = Has(config, "url"), service = Has(config, "service");
  if (url == service) {
    errors.push_back(kube::Required(path, "exactly one of url or service is required"));
  } else if (url) {
    ValidateUrl(Text(config, "url"), path.Child("url"), errors);
  } else {
    ValidateService(Get(config, "service"), path.Child("service"), errors);
  }
}

// Whether the expression is CEL is the matter of who evaluates it.
void ValidateMatchConditions(const json::Value& hook, const FieldPath& path, FieldErrors& errors) {
  const auto& conditions = Items(hook, "matchConditions");
  if (conditions.size() > kMatchConditionsMax) {
    errors.push_back(kube::TooMany(path, conditions.size(), kMatchConditionsMax));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath name_path = path.Index(i).Child("name");
    const absl::string_view name = Text(conditions[i], "name");
    if (absl::StripAsciiWhitespace(Text(conditions[i], "expression")).empty()) {
      errors.push_back(kube::Required(path.Index(i).Child("expression")));
    }
    if (name.empty()) {
      errors.push_back(kube::Required(name_path));
      continue;
    }
    AddInvalid(name_path, name, CheckQualifiedName(name), errors);
    if (!names.emplace(name).second) {
      errors.push_back(kube::DuplicateField(name_path, Get(conditions[i], "name")));
    }
  }
}

void ValidateReviewVersions(const json::Value& hook, bool recognized, const FieldPath& path,
                            FieldErrors& errors) {
  const auto& versions = Items(hook, "admissionReviewVersions");
  if (versions.empty()) {
    errors.push_back(kube::Required(path, "must specify one of v1, v1beta1"));
    return;
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < versions.size(); ++i) {
    const std::string& version = versions[i].text();
    if (!seen.insert(version).second) {
      errors.push_back(kube::InvalidField(path.Index(i), version, "duplicate version"));
      continue;
    }
    AddInvalid(path.Index(i), version, CheckDns1035Label(version), errors);
  }
  if (recognized && seen.count("v1") + seen.count("v1beta1") == 0) {
    errors.push_back(InvalidPrinted(path, GoTextList(Get(hook, "admissionReviewVersions")),
                                    "must include at least one of v1, v1beta1"));
  }
}

void ValidateSideEffects(const json::Value& hook, bool none_required, const FieldPath& path,
                         FieldErrors& errors) {
  const std::vector<std::string> allowed =
      none_required ? std::vector<std::string>{"None", "NoneOnDryRun"}
                    : std::vector<std::string>{"None", "NoneOnDryRun", "Some", "Unknown"};
  if (!Has(hook, "sideEffects")) {
    errors.push_back(
        kube::Required(path, absl::StrCat("must specify one of ", absl::StrJoin(allowed, ", "))));
  } else if (!absl::c_linear_search(allowed, Text(hook, "sideEffects"))) {
    errors.push_back(kube::NotSupported(path, Get(hook, "sideEffects"), allowed));
  }
}

void ValidateWebhook(const json::Value& hook, const WebhookRules& rules, const FieldPath& path,
                     FieldErrors& errors) {
  ValidateName(Text(hook, "name"), path.Child("name"), errors);
  const auto& matched = Items(hook, "rules");
  for (size_t i = 0; i < matched.size(); ++i) {
    ValidateRule(matched[i], path.Child("rules").Index(i), errors);
  }
  ValidateOneOf(hook, "failurePolicy", path, {"Fail", "Ignore"}, false, errors);
  ValidateOneOf(hook, "matchPolicy", path, {"Equivalent", "Exact"}, false, errors);
  ValidateSideEffects(hook, rules.no_side_effects, path.Child("sideEffects"), errors);
  const int64_t timeout_s = Int(hook, "timeoutSeconds", 1);
  if (timeout_s < 1 || timeout_s > 30) {
    errors.push_back(kube::InvalidField(path.Child("timeoutSeconds"), timeout_s,
                                        "the timeout value must be between 1 and 30 seconds"));
  }
  for (const char* key : {"namespaceSelector", "objectSelector"}) {
    if (Has(hook, key)) ValidateLabelSelector(hook.Find(key), path.Child(key), errors);
  }
  ValidateOneOf(hook, "reinvocationPolicy", path, {"IfNeeded", "Never"}, false, errors);
  ValidateClientConfig(Get(hook, "clientConfig"), path.Child("clientConfig"), errors);
  if (rules.match_conditions) {
    ValidateMatchConditions(hook, path.Child("matchConditions"), errors);
  }
  ValidateReviewVersions(hook, rules.recognized_versions, path.Child("admissionReviewVersions"),
                         errors);
}

}  // namespace

void ValidateWebhooks(const json::Value& configuration, const WebhookRules& rules,
                      FieldErrors& errors) {
  const FieldPath path("webhooks");
  std::set<std::string> names;
  const auto& hooks = Items(configuration, "webhooks");
  for (size_t i = 0; i < hooks.size(); ++i) {
    ValidateWebhook(hooks[i], rules, path.Index(i), errors);
    const absl::string_view name = Text(hooks[i], "name");
    if (rules.unique_names && !name.empty() && !names.emplace(name).second) {
      errors.push_back(kube::DuplicateField(path.Index(i).Child("name"), Get(hooks[i], "name")));
    }
  }
}

WebhookRules RulesAfter(const json::Value& old_configuration, const json::Value& configuration) {
  WebhookRules rules;
  std::set<std::string> names;
  const auto& old_hooks = Items(old_configuration, "webhooks");
  const auto& hooks = Items(configuration, "webhooks");
  rules.match_conditions = hooks.size() != old_hooks.size();
  for (size_t i = 0; i < old_hooks.size(); ++i) {
    const json::Value& hook = old_hooks[i];
    const absl::string_view effects = Text(hook, "sideEffects");
    if (effects != "None" && effects != "NoneOnDryRun") rules.no_side_effects = false;
    if (!names.emplace(Text(hook, "name")).second) rules.unique_names = false;
    const auto& versions = Items(hook, "admissionReviewVersions");
    if (!versions.empty() && !HasText(versions, "v1") && !HasText(versions, "v1beta1")) {
      rules.recognized_versions = false;
    }
    if (!rules.match_conditions && !SameMember(hook, hooks[i], "matchConditions")) {
      rules.match_conditions = true;
    }
  }
  return rules;
}

}  // namespace meltemi::apiserver
