#include "orchestrator/apiserver/kinds/ingress.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/references.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kClassAnnotation = "kubernetes.io/ingress.class";

// What Kubernetes has let in before and leaves alone in updates.
struct Leniency {
  bool secret_names = false;
  bool wildcard_rules = false;
};

void ValidateServiceBackend(const json::Value& service, const FieldPath& path,
                            FieldErrors& errors) {
  const FieldPath service_path = path.Child("service");
  const absl::string_view name = Text(service, "name");
  if (name.empty()) {
    errors.push_back(kube::Required(service_path.Child("name")));
  } else {
    AddInvalid(service_path.Child("name"), name, NameIsDns1035Label(name, false), errors);
  }
  const json::Value& port = Get(service, "port");
  const FieldPath port_path = service_path.Child("port");
  const absl::string_view port_name = Text(port, "name");
  const int64_t number = Int(port, "number");
  if (!port_name.empty() && number != 0) {
    errors.push_back(kube::InvalidField(path, "", "cannot set both port name & port number"));
  } else if (!port_name.empty()) {
    AddInvalid(port_path.Child("name"), port_name, CheckPortName(port_name), errors);
  } else if (number != 0) {
    AddInvalid(port_path.Child("number"), number, CheckPortNumber(number), errors);
  } else {
    errors.push_back(kube::Required(path, "port name or number is required"));
  }
}

void ValidateBackend(const json::Value& backend, const FieldPath& path, FieldErrors& errors) {
  const bool resource = Has(backend, "resource"), service = Has(backend, "service");
  if (resource && service) {
    errors.push_back(kube::InvalidField(path, "", "cannot set both resource and service backends"));
  } else if (resource) {
    ValidateTypedReference(Get(backend, "resource"), path.Child("resource"), errors);
  } else if (service) {
    ValidateServiceBackend(Get(backend, "service"), path, errors);
  } else {
    errors.push_back(kube::InvalidField(path, "", "resource or service backend is required"));
  }
}

void ValidatePath(const json::Value& rule, const FieldPath& path, FieldErrors& errors) {
  if (!Has(rule, "pathType")) {
    errors.push_back(kube::Required(path.Child("pathType"), "pathType must be specified"));
    return;
  }
  const absl::string_view type = Text(rule, "pathType");
  const absl::string_view text = Text(rule, "path");
  const FieldPath text_path = path.Child("path");
  const bool literal = type == "Exact" || type == "Prefix";
  if (!literal && type != "ImplementationSpecific") {
    errors.push_back(kube::NotSupported(path.Child("pathType"), Get(rule, "pathType"),
                                        {"Exact", "ImplementationSpecific", "Prefix"}));
  } else if (!absl::StartsWith(text, "/") && (literal || !text.empty())) {
    errors.push_back(kube::InvalidField(text_path, text, "must be an absolute path"));
  }
  if (literal) {
    for (const char* sequence : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (!absl::StrContains(text, sequence)) continue;
      errors.push_back(
          kube::InvalidField(text_path, text, absl::StrCat("must not contain '", sequence, "'")));
    }
    for (const char* end : {"/..", "/."}) {
      if (!absl::EndsWith(text, end)) continue;
      errors.push_back(
          kube::InvalidField(text_path, text, absl::StrCat("cannot end with '", end, "'")));
    }
  }
  ValidateBackend(Get(rule, "backend"), path.Child("backend"), errors);
}

void ValidateHttpRule(const json::Value& rule, const FieldPath& path, FieldErrors& errors) {
  if (!Has(rule, "http")) return;
  const FieldPath paths_path = path.Child("http").Child("paths");
  const auto& paths = Items(Get(rule, "http"), "paths");
  if (paths.empty()) errors.push_back(kube::Required(paths_path));
  for (size_t i = 0; i < paths.size(); ++i) ValidatePath(paths[i], paths_path.Index(i), errors);
}

bool IsWildcard(absl::string_view host) { return absl::StrContains(host, "*"); }

void ValidateHost(absl::string_view host, const FieldPath& path, FieldErrors& errors) {
  AddInvalid(path, host,
             IsWildcard(host) ? CheckWildcardDns1123Subdomain(host) : CheckDns1123Subdomain(host),
             errors);
}

void ValidateRules(const std::vector<json::Value>& rules, const Leniency& leniency,
                   const FieldPath& path, FieldErrors& errors) {
  for (size_t i = 0; i < rules.size(); ++i) {
    const absl::string_view host = Text(rules[i], "host");
    const FieldPath host_path = path.Index(i).Child("host");
    if (!host.empty()) {
      if (IsIp(host)) {
        errors.push_back(
            kube::InvalidField(host_path, host, "must be a DNS name, not an IP address"));
      }
      ValidateHost(host, host_path, errors);
    }
    if (!IsWildcard(host) || !leniency.wildcard_rules) {
      ValidateHttpRule(rules[i], path.Index(i), errors);
    }
  }
}

void ValidateTls(const std::vector<json::Value>& tls, const Leniency& leniency,
                 const FieldPath& path, FieldErrors& errors) {
  for (size_t i = 0; i < tls.size(); ++i) {
    const auto& hosts = Items(tls[i], "hosts");
    for (size_t j = 0; j < hosts.size(); ++j) {
      ValidateHost(hosts[j].text(), path.Index(i).Child("hosts").Index(j), errors);
    }
    const absl::string_view secret = Text(tls[i], "secretName");
    if (!secret.empty() && !leniency.secret_names) {
      AddInvalid(path.Index(i).Child("secretName"), secret, NameIsDnsSubdomain(secret, false),
                 errors);
    }
  }
}

void ValidateIngressSpec(const json::Value& spec, const Leniency& leniency, FieldErrors& errors) {
  const FieldPath path("spec");
  const auto& rules = Items(spec, "rules");
  if (rules.empty() && !Has(spec, "defaultBackend")) {
    errors.push_back(InvalidPrinted(path, "[]networking.IngressRule(nil)",
                                    "either `defaultBackend` or `rules` must be specified"));
  }
  if (Has(spec, "defaultBackend")) {
    ValidateBackend(Get(spec, "defaultBackend"), path.Child("defaultBackend"), errors);
  }
  ValidateRules(rules, leniency, path.Child("rules"), errors);
  ValidateTls(Items(spec, "tls"), leniency, path.Child("tls"), errors);
  if (Has(spec, "ingressClassName")) {
    const absl::string_view name = Text(spec, "ingressClassName");
    AddInvalid(path.Child("ingressClassName"), name, NameIsDnsSubdomain(name, false), errors);
  }
}

Leniency LeniencyOf(const json::Value& old_object) {
  Leniency leniency;
  const json::Value& spec = Get(old_object, "spec");
  for (const json::Value& tls : Items(spec, "tls")) {
    const absl::string_view secret = Text(tls, "secretName");
    if (!secret.empty() && !NameIsDnsSubdomain(secret, false).empty()) {
      leniency.secret_names = true;
    }
  }
  for (const json::Value& rule : Items(spec, "rules")) {
    FieldErrors errors;
    if (IsWildcard(Text(rule, "host"))) ValidateHttpRule(rule, FieldPath(), errors);
    if (!errors.empty()) leniency.wildcard_rules = true;
  }
  return leniency;
}

void ValidateLoadBalancer(const json::Value& status, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").Child("loadBalancer").Child("ingress");
  const auto& entries = Items(Get(status, "loadBalancer"), "ingress");
  for (size_t i = 0; i < entries.size(); ++i) {
    const absl::string_view ip = Text(entries[i], "ip"), host = Text(entries[i], "hostname");
    if (!ip.empty()) ValidateIp(path.Index(i).Child("ip"), ip, errors);
    if (host.empty()) continue;
    const FieldPath host_path = path.Index(i).Child("hostname");
    AddInvalid(host_path, host, CheckDns1123Subdomain(host), errors);
    if (IsIp(host)) {
      errors.push_back(
          kube::InvalidField(host_path, host, "must be a DNS name, not an IP address"));
    }
  }
}

class Ingresses final : public Strategy {
 public:
  bool CountsGenerations(const Resource& resource) const override { return true; }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateIngressSpec(Get(object, "spec"), {}, errors);
    const auto annotation = kube::Annotation(object, kClassAnnotation);
    const json::Value& spec = Get(object, "spec");
    if (annotation.has_value() && Has(spec, "ingressClassName") &&
        *annotation != Text(spec, "ingressClassName")) {
      errors.push_back(kube::InvalidField(FieldPath("annotations").Child(kClassAnnotation),
                                          *annotation,
                                          "must match `ingressClassName` when both are specified"));
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      ValidateLoadBalancer(Get(object, "status"), errors);
    } else {
      ValidateIngressSpec(Get(object, "spec"), LeniencyOf(old_object), errors);
    }
    return errors;
  }
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override {
    if (!kube::Annotation(object, kClassAnnotation).has_value() ||
        Has(Get(object, "spec"), "ingressClassName")) {
      return {};
    }
    return {absl::StrCat("annotation ", GoText(kClassAnnotation),
                         " is deprecated, please use 'spec.ingressClassName' instead")};
  }
};

class IngressClasses final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    json::Value* parameters = spec == nullptr ? nullptr : MutableMember(*spec, "parameters");
    if (parameters != nullptr) SetDefault(*parameters, "scope", "Cluster");
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    constexpr size_t kControllerBytesMax = 250;
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    const absl::string_view controller = Text(spec, "controller");
    if (controller.size() > kControllerBytesMax) {
      errors.push_back(kube::TooLong(path.Child("controller"), kControllerBytesMax));
    }
    ValidateDomainPrefixedPath(controller, path.Child("controller"), errors);
    if (Has(spec, "parameters")) {
      ValidateParameters(Get(spec, "parameters"), path.Child("parameters"), errors);
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    ValidateImmutable(Get(old_object, "spec", "controller"), Get(object, "spec", "controller"),
                      FieldPath("spec").Child("controller"), errors);
    for (kube::FieldError& error : Validate(resource, object)) errors.push_back(std::move(error));
    return errors;
  }

 private:
  static void ValidateParameters(const json::Value& parameters, const FieldPath& path,
                                 FieldErrors& errors) {
    ValidateTypedReference(parameters, path, errors);
    const size_t before = errors.size();
    ValidateOneOf(parameters, "scope", path, {"Cluster", "Namespace"}, true, errors);
    if (errors.size() != before) return;
    const bool has_namespace = Has(parameters, "namespace");
    if (Text(parameters, "scope") == "Cluster") {
      if (!has_namespace) return;
      errors.push_back(
          kube::ForbiddenField(path.Child("namespace"), "`parameters.scope` is set to 'Cluster'"));
    } else if (!has_namespace) {
      errors.push_back(
          kube::Required(path.Child("namespace"), "`parameters.scope` is set to 'Namespace'"));
    } else {
      const absl::string_view ns = Text(parameters, "namespace");
      AddInvalid(path.Child("namespace"), ns, NameIsDnsLabel(ns, false), errors);
    }
  }
};

std::string HostsText(const std::vector<json::Value>& rules) {
  constexpr size_t kShown = 3;
  std::vector<absl::string_view> hosts;
  bool more = false;
  for (const json::Value& rule : rules) {
    if (hosts.size() == kShown) more = true;
    if (!more && !Text(rule, "host").empty()) hosts.push_back(Text(rule, "host"));
  }
  if (hosts.empty()) return "*";
  const std::string text = absl::StrJoin(hosts, ",");
  return more ? absl::StrCat(text, " + ", rules.size() - kShown, " more...") : text;
}

std::string AddressesText(const json::Value& ingress) {
  std::set<std::string> addresses;
  for (const json::Value& entry : Items(Get(ingress, "status", "loadBalancer"), "ingress")) {
    const absl::string_view ip = Text(entry, "ip"), host = Text(entry, "hostname");
    if (!ip.empty() || !host.empty()) addresses.emplace(ip.empty() ? host : ip);
  }
  return absl::StrJoin(addresses, ",");
}

std::vector<json::Value> IngressRow(const json::Value& ingress, int64_t now_s) {
  const json::Value& spec = Get(ingress, "spec");
  return {NameCell(ingress),
          TextCell(Has(spec, "ingressClassName") ? Text(spec, "ingressClassName") : "<none>"),
          TextCell(HostsText(Items(spec, "rules"))),
          TextCell(AddressesText(ingress)),
          TextCell(Items(spec, "tls").empty() ? "80" : "80, 443"),
          AgeCell(ingress, now_s)};
}

std::vector<json::Value> IngressClassRow(const json::Value& object, int64_t now_s) {
  const json::Value& spec = Get(object, "spec");
  const json::Value& parameters = Get(spec, "parameters");
  std::string text = "<none>";
  if (!parameters.is_null()) {
    text = std::string(Text(parameters, "kind"));
    if (Has(parameters, "apiGroup")) absl::StrAppend(&text, ".", Text(parameters, "apiGroup"));
    absl::StrAppend(&text, "/", Text(parameters, "name"));
  }
  return {NameCell(object), TextCell(Text(spec, "controller")), TextCell(text),
          AgeCell(object, now_s)};
}

}  // namespace

std::unique_ptr<const Strategy> IngressStrategy() { return std::make_unique<Ingresses>(); }

std::unique_ptr<const TableColumns> IngressColumns() {
  return MakeColumns({NameColumn(), TextColumn("Class", "The class whose controller serves it."),
                      TextColumn("Hosts", "The hosts of its rules."),
                      TextColumn("Address", "Where it is reached."),
                      TextColumn("Ports", "The ports at which it is reached."), AgeColumn()},
                     IngressRow);
}

std::unique_ptr<const Strategy> IngressClassStrategy() {
  return std::make_unique<IngressClasses>();
}

std::unique_ptr<const TableColumns> IngressClassColumns() {
  return MakeColumns({NameColumn(), TextColumn("Controller", "The controller that serves it."),
                      TextColumn("Parameters", "The object with its settings."), AgeColumn()},
                     IngressClassRow);
}

}  // namespace meltemi::apiserver
