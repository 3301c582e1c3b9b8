#include "pilot/inject/pod_parts.h"

#include <initializer_list>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/json/write.h"

namespace meltemi::pilot {
namespace {

using json::Value;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value Texts(std::initializer_list<absl::string_view> texts) {
  Value list = Value::Array();
  for (absl::string_view text : texts) list.Append(Text(text));
  return list;
}

// What a shell would call quoting: the kubelet puts variables in for "$(NAME)".
std::string Literal(absl::string_view text) { return absl::StrReplaceAll(text, {{"$", "$$"}}); }

std::string AnnotationOr(const PodFacts& facts, absl::string_view name, absl::string_view setting) {
  return ValueOr(facts.annotations, name, setting);
}

std::string ImageOf(const PodFacts& facts, const InjectSettings& settings) {
  const std::string image = AnnotationOr(facts, "sidecar.istio.io/proxyImage", settings.image);
  const std::string type =
      AnnotationOr(facts, "sidecar.istio.io/proxyImageType", facts.proxy_config.image_type);
  if (type.empty() || type == "default" || absl::EndsWith(image, "-" + type)) return image;
  return absl::StrCat(image, "-", type);
}

void EnvValue(absl::string_view name, absl::string_view value, Value* env) {
  Value entry = Value::Object();
  entry.Set("name", Text(name));
  entry.Set("value", Text(value));
  env->Append(std::move(entry));
}

// With what API servers add to it: a reference is compared as a whole when manifests are applied.
void SetField(absl::string_view path, Value* of) {
  Value& reference = of->MutableObject("fieldRef");
  reference.Set("apiVersion", Text("v1"));
  reference.Set("fieldPath", Text(path));
}

void EnvField(absl::string_view name, absl::string_view path, Value* env) {
  Value entry = Value::Object();
  entry.Set("name", Text(name));
  SetField(path, &entry.MutableObject("valueFrom"));
  env->Append(std::move(entry));
}

Value Env(const PodFacts& facts) {
  Value env = Value::Array();
  EnvField("POD_NAME", "metadata.name", &env);
  EnvField("POD_NAMESPACE", "metadata.namespace", &env);
  EnvField("INSTANCE_IP", "status.podIP", &env);
  EnvField("SERVICE_ACCOUNT", "spec.serviceAccountName", &env);
  EnvField("HOST_IP", "status.hostIP", &env);
  EnvField("NODE_NAME", "spec.nodeName", &env);
  for (const auto& [name, value] : facts.proxy_config.metadata) {
    EnvValue(name, Literal(value), &env);
  }
  return env;
}

// What the control plane is told about the pod beside its labels.
std::vector<std::string> Metadata(const PodFacts& facts, const InjectSettings& settings) {
  std::vector<std::string> metadata = {
      "NODE_NAME=$(NODE_NAME)",
      absl::StrCat("INTERCEPTION_MODE=", facts.gateway ? "NONE" : "REDIRECT"),
      absl::StrCat("APP_CONTAINERS=", absl::StrJoin(facts.app_containers, ","))};
  if (!facts.workload.name.empty()) {
    metadata.push_back(absl::StrCat("OWNER=", OwnerUri(facts.workload, facts.ns)));
  }
  if (!settings.network.empty()) metadata.push_back(absl::StrCat("NETWORK=", settings.network));
  for (const auto& [name, value] : facts.proxy_config.metadata) {
    constexpr absl::string_view kPrefix = "ISTIO_META_";
    if (!absl::StartsWith(name, kPrefix)) continue;
    metadata.push_back(absl::StrCat(name.substr(kPrefix.size()), "=", Literal(value)));
  }
  return metadata;
}

// meltemi-proxy knows fewer levels than Envoy.
std::string LogLevel(const PodFacts& facts, const InjectSettings& settings) {
  const std::string level = AnnotationOr(facts, "sidecar.istio.io/logLevel", settings.log_level);
  return level == "warning" ? "warn" : level == "critical" ? "error" : level;
}

std::string ProbesPort(const PodFacts& facts, const InjectSettings& settings) {
  return AnnotationOr(facts, "status.sidecar.istio.io/port", absl::StrCat(settings.probes_port));
}

Value Args(const PodFacts& facts, const InjectSettings& settings) {
  const ProxyConfig& config = facts.proxy_config;
  const std::string xds =
      config.discovery_address.empty() ? settings.xds_address : config.discovery_address;
  Value args = Value::Array();
  const auto add = [&args](absl::string_view flag, absl::string_view value) {
    if (!value.empty()) args.Append(Value::String(absl::StrCat(flag, "=", value)));
  };
  args.Append(Text("sidecar"));
  if (facts.gateway) add("--node-type", "router");
  add("--xds-address", xds);
  add("--token-file", "/var/run/secrets/tokens/istio-token");
  add("--root-cert", "/var/run/secrets/istio/root-cert.pem");
  add("--trust-domain", settings.trust_domain);
  add("--domain", settings.domain);
  add("--cluster-id", settings.cluster_id);
  add("--mesh-id", settings.mesh_id.empty() ? settings.trust_domain : settings.mesh_id);
  add("--workload", "$(POD_NAME)");
  add("--namespace", "$(POD_NAMESPACE)");
  add("--service-account", "$(SERVICE_ACCOUNT)");
  add("--ip", "$(INSTANCE_IP)");
  add("--workload-name",
      ValueOr(facts.labels, "service.istio.io/workload-name", facts.workload.name));
  add("--labels-file", "/etc/istio/pod/labels");
  add("--status-port", "15021");
  add("--stats-port", "15090");
  add("--probes-port", ProbesPort(facts, settings));
  add("--concurrency", absl::StrCat(config.concurrency));
  add("--secret-ttl", config.secret_ttl);
  add("--drain-time", config.drain_duration);
  add("--drain-grace", config.termination_drain_duration.value_or(facts.native ? "500ms" : "5s"));
  add("--log-level", LogLevel(facts, settings));
  for (const std::string& item : Metadata(facts, settings)) add("--metadata", item);
  return args;
}

Value Resources(const PodFacts& facts, const InjectSettings& settings) {
  ProxyResources wanted = settings.resources;
  const std::pair<const char*, std::string*> annotations[] = {
      {"sidecar.istio.io/proxyCPU", &wanted.cpu_request},
      {"sidecar.istio.io/proxyMemory", &wanted.memory_request},
      {"sidecar.istio.io/proxyCPULimit", &wanted.cpu_limit},
      {"sidecar.istio.io/proxyMemoryLimit", &wanted.memory_limit}};
  // As Istio has it: one annotation, and the settings count for nothing.
  for (const auto& [name, value] : annotations) {
    if (facts.annotations.count(name) > 0) wanted = {"", "", "", ""};
  }
  for (const auto& [name, value] : annotations) *value = AnnotationOr(facts, name, *value);
  Value resources = Value::Object();
  const auto add = [&resources](const char* kind, const char* what, const std::string& quantity) {
    if (!quantity.empty()) resources.MutableObject(kind).Set(what, Text(quantity));
  };
  add("requests", "cpu", wanted.cpu_request);
  add("requests", "memory", wanted.memory_request);
  add("limits", "cpu", wanted.cpu_limit);
  add("limits", "memory", wanted.memory_limit);
  return resources;
}

Value SecurityContext(bool root) {
  Value context = Value::Object();
  context.Set("allowPrivilegeEscalation", Value::Bool(false));
  Value& capabilities = context.MutableObject("capabilities");
  if (root) capabilities.Set("add", Texts({"NET_ADMIN", "NET_RAW"}));
  capabilities.Set("drop", Texts({"ALL"}));
  context.Set("privileged", Value::Bool(false));
  context.Set("readOnlyRootFilesystem", Value::Bool(!root));
  context.Set("runAsGroup", Value::Int(root ? 0 : kProxyId));
  context.Set("runAsNonRoot", Value::Bool(!root));
  context.Set("runAsUser", Value::Int(root ? 0 : kProxyId));
  return context;
}

Value ReadinessProbe(int64_t initial_delay_s, int64_t period_s, int64_t failures) {
  Value probe = Value::Object();
  Value& get = probe.MutableObject("httpGet");
  get.Set("path", Text("/healthz/ready"));
  get.Set("port", Value::Int(15021));
  if (initial_delay_s > 0) probe.Set("initialDelaySeconds", Value::Int(initial_delay_s));
  probe.Set("periodSeconds", Value::Int(period_s));
  probe.Set("timeoutSeconds", Value::Int(3));
  probe.Set("failureThreshold", Value::Int(failures));
  return probe;
}

int64_t NumberOr(const PodFacts& facts, absl::string_view name, int64_t otherwise) {
  const auto at = facts.annotations.find(std::string(name));
  if (at == facts.annotations.end()) return otherwise;
  return Value::Number(at->second).AsInt64().value_or(otherwise);
}

Value Exec(std::initializer_list<absl::string_view> command) {
  Value handler = Value::Object();
  handler.MutableObject("exec").Set("command", Texts(command));
  return handler;
}

Value Mount(absl::string_view name, absl::string_view path) {
  Value mount = Value::Object();
  mount.Set("name", Text(name));
  mount.Set("mountPath", Text(path));
  mount.Set("readOnly", Value::Bool(true));
  return mount;
}

}  // namespace

Value ProxyContainer(const PodFacts& facts, const InjectSettings& settings) {
  Value container = Value::Object();
  container.Set("name", Text(kProxyContainer));
  container.Set("image", Text(ImageOf(facts, settings)));
  if (!settings.image_pull_policy.empty()) {
    container.Set("imagePullPolicy", Text(settings.image_pull_policy));
  }
  if (facts.native) container.Set("restartPolicy", Text("Always"));
  container.Set("args", Args(facts, settings));
  container.Set("env", Env(facts));
  Value port = Value::Object();
  port.Set("name", Text("http-envoy-prom"));
  port.Set("containerPort", Value::Int(15090));
  port.Set("protocol", Text("TCP"));
  container.Set("ports", Value::Array()).Append(std::move(port));
  if (facts.hold) {
    container.MutableObject("lifecycle").Set("postStart", Exec({"/usr/bin/meltemi-proxy", "wait"}));
  } else if (facts.native) {
    // The pod has begun to end, the application has not: clients are told to go elsewhere.
    const std::string port = absl::StrCat("--port=", ProbesPort(facts, settings));
    container.MutableObject("lifecycle")
        .Set("preStop", Exec({"/usr/bin/meltemi-proxy", "drain", port}));
  }
  container.Set("startupProbe", ReadinessProbe(0, 1, 600));
  container.Set(
      "readinessProbe",
      ReadinessProbe(NumberOr(facts, "readiness.status.sidecar.istio.io/initialDelaySeconds", 0),
                     NumberOr(facts, "readiness.status.sidecar.istio.io/periodSeconds", 15),
                     NumberOr(facts, "readiness.status.sidecar.istio.io/failureThreshold", 4)));
  container.Set("resources", Resources(facts, settings));
  container.Set("securityContext", SecurityContext(false));
  Value& mounts = container.Set("volumeMounts", Value::Array());
  mounts.Append(Mount("istiod-ca-cert", "/var/run/secrets/istio"));
  mounts.Append(Mount("istio-token", "/var/run/secrets/tokens"));
  mounts.Append(Mount("istio-podinfo", "/etc/istio/pod"));
  return container;
}

TextMap RedirectAnnotations(const PodFacts& facts, const InjectSettings& settings) {
  const std::string prefix = "traffic.sidecar.istio.io/";
  const std::pair<const char*, const std::string*> all[] = {
      {"includeOutboundIPRanges", &settings.include_ip_ranges},
      {"excludeOutboundIPRanges", &settings.exclude_ip_ranges},
      {"includeInboundPorts", &settings.include_inbound_ports},
      {"excludeInboundPorts", &settings.exclude_inbound_ports},
      {"includeOutboundPorts", &settings.include_outbound_ports},
      {"excludeOutboundPorts", &settings.exclude_outbound_ports}};
  TextMap out;
  for (const auto& [name, setting] : all) {
    const std::string key = prefix + name;
    const bool said = facts.annotations.count(key) > 0;
    if (said || !setting->empty()) out[key] = AnnotationOr(facts, key, *setting);
  }
  // The port where the kubelet asks must stay open however it is chosen.
  const std::string status = ProbesPort(facts, settings);
  std::string& excluded = out[prefix + "excludeInboundPorts"];
  if (!absl::StrContains(absl::StrCat(",", excluded, ","), absl::StrCat(",", status, ","))) {
    excluded = excluded.empty() ? status : absl::StrCat(excluded, ",", status);
  }
  return out;
}

Value InitContainer(const PodFacts& facts, const InjectSettings& settings) {
  const TextMap redirect = RedirectAnnotations(facts, settings);
  const std::string prefix = "traffic.sidecar.istio.io/";
  Value args = Texts({"intercept", "apply", "-p", "15001", "-z", "15006"});
  const auto add = [&args](absl::string_view flag, absl::string_view value) {
    args.Append(Text(flag));
    args.Append(Text(value));
  };
  add("-u", facts.proxy_uid);
  add("-g", facts.proxy_gid);
  add("-i", ValueOr(redirect, prefix + "includeOutboundIPRanges", "*"));
  add("-x", ValueOr(redirect, prefix + "excludeOutboundIPRanges", ""));
  add("-b", ValueOr(redirect, prefix + "includeInboundPorts", "*"));
  add("-d",
      absl::StrCat("15090,15021,", ValueOr(redirect, prefix + "excludeInboundPorts", "15020")));
  const std::pair<const char*, const char*> optional[] = {
      {"-q", "traffic.sidecar.istio.io/includeOutboundPorts"},
      {"-o", "traffic.sidecar.istio.io/excludeOutboundPorts"}};
  for (const auto& [flag, name] : optional) {
    if (redirect.count(name) > 0) add(flag, redirect.at(name));
  }
  const std::string guests =
      AnnotationOr(facts, "istio.io/reroute-virtual-interfaces",
                   AnnotationOr(facts, "traffic.sidecar.istio.io/kubevirtInterfaces", ""));
  if (!guests.empty()) add("-k", guests);
  const std::string left_alone =
      AnnotationOr(facts, "traffic.sidecar.istio.io/excludeInterfaces", "");
  if (!left_alone.empty()) add("-c", left_alone);
  Value container = Value::Object();
  container.Set("name", Text(kInitContainer));
  container.Set("image", Text(ImageOf(facts, settings)));
  if (!settings.image_pull_policy.empty()) {
    container.Set("imagePullPolicy", Text(settings.image_pull_policy));
  }
  container.Set("args", std::move(args));
  container.Set("resources", Resources(facts, settings));
  container.Set("securityContext", SecurityContext(true));
  return container;
}

Value Volumes() {
  Value volumes = Value::Array();
  Value info = Value::Object();
  info.Set("name", Text("istio-podinfo"));
  Value& items = info.MutableObject("downwardAPI").Set("items", Value::Array());
  for (const char* what : {"labels", "annotations"}) {
    Value item = Value::Object();
    item.Set("path", Text(what));
    SetField(absl::StrCat("metadata.", what), &item);
    items.Append(std::move(item));
  }
  volumes.Append(std::move(info));
  Value token = Value::Object();
  token.Set("name", Text("istio-token"));
  Value source = Value::Object();
  Value& account = source.MutableObject("serviceAccountToken");
  account.Set("audience", Text("istio-ca"));
  account.Set("expirationSeconds", Value::Int(43200));
  account.Set("path", Text("istio-token"));
  token.MutableObject("projected").Set("sources", Value::Array()).Append(std::move(source));
  volumes.Append(std::move(token));
  Value root = Value::Object();
  root.Set("name", Text("istiod-ca-cert"));
  root.MutableObject("configMap").Set("name", Text("istio-ca-root-cert"));
  volumes.Append(std::move(root));
  return volumes;
}

}  // namespace meltemi::pilot
