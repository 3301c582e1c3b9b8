// What is passed on to kubelets, pods and services: log, exec, attach, portforward, proxy.
// Source: k8s.io/kubernetes/pkg/registry/core/{pod,node,service}.
#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/verbs/resource_handler.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr int64_t kKubeletPort = 10250;

std::string EscapeQuery(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
        c == '~') {
      out.push_back(c);
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned>(static_cast<uint8_t>(c)));
    }
  }
  return out;
}

class QueryBuilder {
 public:
  void Add(absl::string_view key, absl::string_view value) {
    absl::StrAppend(&text_, text_.empty() ? "?" : "&", EscapeQuery(key), "=", EscapeQuery(value));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::vector<std::string> ContainerNames(const Value& pod, bool all) {
  std::vector<std::string> names;
  const auto collect = [&](absl::string_view key) {
    const Value* list = pod.Find("spec", key);
    if (list == nullptr) return;
    for (const Value& container : list->items()) names.emplace_back(container.FindString("name"));
  };
  if (all) collect("initContainers");
  collect("containers");
  if (all) collect("ephemeralContainers");
  return names;
}

// The container that is meant; a pod with one needs not say which.
kube::Result<std::string> ContainerOf(const Value& pod, const std::string& asked) {
  const absl::string_view pod_name = kube::Name(pod);
  const std::vector<std::string> all = ContainerNames(pod, true);
  if (!asked.empty()) {
    if (std::find(all.begin(), all.end(), asked) != all.end()) return asked;
    return kube::BadRequest(absl::StrCat("container ", asked, " is not valid for pod ", pod_name));
  }
  const std::vector<std::string> containers = ContainerNames(pod, false);
  if (containers.size() == 1) return containers[0];
  std::string text = absl::StrCat("a container name must be specified for pod ", pod_name);
  if (!containers.empty()) {
    absl::StrAppend(&text, ", choose one of: [", absl::StrJoin(all, " "), "]");
  }
  return kube::BadRequest(text);
}

// The options of a log that are handed on; checked as Kubernetes does.
kube::Result<std::string> LogQuery(const Request& request, absl::string_view pod) {
  QueryBuilder out;
  kube::FieldErrors errors;
  for (const absl::string_view key : {"follow", "previous", "timestamps"}) {
    const kube::Result<bool> value = request.query.Bool(key);
    if (!value.ok()) return value.status();
    if (*value) out.Add(key, "true");
  }
  const std::optional<std::string> since_time = request.query.Get("sinceTime");
  for (const absl::string_view key : {"sinceSeconds", "tailLines", "limitBytes"}) {
    const kube::Result<std::optional<int64_t>> value = request.query.Int(key);
    if (!value.ok()) return value.status();
    if (!value->has_value()) continue;
    const kube::FieldPath path(key);
    if (key == "tailLines" && **value < 0) {
      errors.push_back(kube::InvalidField(path, **value, "must be greater than or equal to 0"));
    } else if (key != "tailLines" && **value < 1) {
      errors.push_back(kube::InvalidField(path, **value, "must be greater than 0"));
    } else if (key == "sinceSeconds" && since_time.has_value()) {
      errors.push_back(kube::ForbiddenField(
          kube::FieldPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    out.Add(key, absl::StrCat(**value));
  }
  if (since_time.has_value()) {
    if (!kube::ParseTimeMicros(*since_time).has_value()) {
      return kube::BadRequest(absl::StrCat("parsing time ", kube::GoQuote(*since_time),
                                           " as \"2006-01-02T15:04:05Z07:00\": cannot parse"));
    }
    out.Add("sinceTime", *since_time);
  }
  if (!errors.empty()) return kube::Invalid({"", "v1", "PodLogOptions"}, pod, errors);
  return out.text();
}

kube::Result<std::string> StreamQuery(const Request& request, bool with_command) {
  QueryBuilder out;
  const std::pair<absl::string_view, absl::string_view> kStreams[] = {
      {"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
  for (const auto& [asked, passed] : kStreams) {
    const kube::Result<bool> value = request.query.Bool(asked);
    if (!value.ok()) return value.status();
    if (*value) out.Add(passed, "1");
  }
  if (with_command) {
    for (const std::string& word : request.query.All("command")) out.Add("command", word);
  }
  return out.text();
}

kube::Result<std::string> PortsQuery(const Request& request) {
  QueryBuilder out;
  const std::vector<std::string> ports = request.query.All("ports");
  if (!ports.empty()) out.Add("port", absl::StrJoin(ports, ","));
  return out.text();
}

// The first port that a container of the pod declares; "" when none does.
std::string FirstPort(const Value& pod) {
  const Value* containers = pod.Find("spec", "containers");
  if (containers == nullptr) return "";
  for (const Value& container : containers->items()) {
    const Value* ports = container.Find("ports");
    if (ports != nullptr && !ports->items().empty()) {
      return kube::TextAt(ports->items()[0], "containerPort");
    }
  }
  return "";
}

// What follows ".../PLURAL/NAME/proxy" in the target, as it was sent.
std::string RestOfProxyTarget(const Request& request, absl::string_view plural) {
  const absl::string_view target = request.target;
  const size_t question = target.find('?');
  const absl::string_view path = target.substr(0, question);
  const absl::string_view query =
      question == absl::string_view::npos ? absl::string_view() : target.substr(question);
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i] != plural || parts[i + 2] != "proxy") continue;
    return absl::StrCat(
        "/", absl::StrJoin(parts.begin() + static_cast<ptrdiff_t>(i) + 3, parts.end(), "/"), query);
  }
  return absl::StrCat("/", query);
}

struct ProxyName {  // "[SCHEME:]NAME[:PORT]"
  std::string scheme, name, port;
};

kube::Result<ProxyName> ParseProxyName(absl::string_view text, absl::string_view what) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  ProxyName out;
  if (parts.size() == 1) {
    out.name = std::string(parts[0]);
  } else if (parts.size() == 2) {
    out.name = std::string(parts[0]);
    out.port = std::string(parts[1]);
  } else if (parts.size() == 3 && (parts[0] == "http" || parts[0] == "https" || parts[0].empty())) {
    out.scheme = std::string(parts[0]);
    out.name = std::string(parts[1]);
    out.port = std::string(parts[2]);
  }
  if (out.name.empty()) {
    return kube::BadRequest(absl::StrCat("invalid ", what, " request ", kube::GoQuote(text)));
  }
  return out;
}

// Only addresses that pods have: nobody gets at the server's own neighbourhood through it.
bool MayBeProxiedTo(absl::string_view ip) {
  if (ip.empty() || ip == "::1" || ip == "::" || ip == "0.0.0.0") return false;
  const std::string lower = absl::AsciiStrToLower(ip);
  return !absl::StartsWith(lower, "127.") && !absl::StartsWith(lower, "169.254.") &&
         !absl::StartsWith(lower, "fe80:") && !absl::StartsWith(lower, "ff") &&
         !absl::StartsWith(lower, "::ffff:");
}

std::string HostPort(absl::string_view host, absl::string_view port) {
  const bool v6 = absl::StrContains(host, ':');
  std::string out = v6 ? absl::StrCat("[", host, "]") : std::string(host);
  if (!port.empty()) absl::StrAppend(&out, ":", port);
  return out;
}

// An address and port of the service's ready endpoints; the `pick`-th, so to say.
kube::Result<std::string> EndpointOf(const Value& endpoints, const ProxyName& asked, double pick) {
  std::vector<std::string> hosts;
  const Value* subsets = endpoints.Find("subsets");
  for (size_t s = 0; subsets != nullptr && s < subsets->items().size(); ++s) {
    const Value& subset = subsets->items()[s];
    const Value* addresses = subset.Find("addresses");
    const Value* ports = subset.Find("ports");
    if (addresses == nullptr || ports == nullptr) continue;
    for (const Value& port : ports->items()) {
      const std::string number = kube::TextAt(port, "port");
      if (!asked.port.empty() && asked.port != port.FindString("name") && asked.port != number) {
        continue;
      }
      for (const Value& address : addresses->items()) {
        if (MayBeProxiedTo(address.FindString("ip"))) {
          hosts.push_back(HostPort(address.FindString("ip"), number));
        }
      }
      if (asked.port.empty()) break;
    }
  }
  if (hosts.empty()) {
    return kube::ServiceUnavailable(
        absl::StrCat("no endpoints available for service ", kube::GoQuote(asked.name)));
  }
  return hosts[std::min(hosts.size() - 1,
                        static_cast<size_t>(pick * static_cast<double>(hosts.size())))];
}

}  // namespace

kube::Outcome ResourceHandler::AdmitConnect(const Call& call, absl::string_view options_kind) {
  AdmissionRequest request;
  request.resource = &call.resource;
  request.subresource = call.request.info.subresource;
  request.ns = call.ns;
  request.name = call.name;
  request.operation = Operation::kConnect;
  request.user = call.request.user;
  request.deadline = call.request.deadline;
  request.object = Value::Object();
  request.object.Add("kind", Value::String(std::string(options_kind)));
  request.object.Add("apiVersion", Value::String("v1"));
  if (const std::optional<std::string> container = call.request.query.Get("container")) {
    request.object.Add("container", Value::String(*container));
  }
  const std::vector<std::string> command = call.request.query.All("command");
  if (!command.empty()) {
    Value& words = request.object.Add("command", Value::Array());
    for (const std::string& word : command) words.Append(Value::String(word));
  }
  kube::Outcome outcome = deps_.admission.Mutate(request);
  return outcome.ok() ? deps_.admission.Validate(request) : std::move(outcome);
}

kube::Result<std::string> ResourceHandler::KubeletHost(const Call& call, absl::string_view name) {
  const kube::Result<Value> node = GetCore(call, "nodes", "", name);
  if (!node.ok()) return node.status();
  const Value* addresses = node->Find("status", "addresses");
  std::string host;
  for (const absl::string_view type : {"InternalIP", "ExternalIP", "Hostname"}) {
    for (size_t i = 0; addresses != nullptr && i < addresses->items().size(); ++i) {
      const Value& address = addresses->items()[i];
      if (host.empty() && address.FindString("type") == type) {
        host = std::string(address.FindString("address"));
      }
    }
  }
  if (host.empty()) {
    return kube::GenericStatus(
        500, absl::StrCat("no preferred addresses found; known addresses: [] (node ", name, ")"));
  }
  const int64_t port =
      kube::IntAt(*node, "status.daemonEndpoints.kubeletEndpoint.Port", kKubeletPort);
  return HostPort(host, absl::StrCat(port));
}

Reply ResourceHandler::PodProxy(Call& call) {
  kube::Result<ProxyName> parsed = ParseProxyName(call.name, "pod");
  if (!parsed.ok()) return StatusReply(parsed.status());
  ProxyName asked = *std::move(parsed);
  if (kube::Outcome admitted = AdmitConnect(call, "PodProxyOptions"); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  const kube::Result<Value> pod = deps_.objects.Get(call.resource, call.ns, asked.name);
  if (!pod.ok()) return StatusReply(pod.status());
  const std::string ip = kube::TextAt(*pod, "status.podIP");
  if (!MayBeProxiedTo(ip)) return StatusReply(kube::BadRequest("address not allowed"));
  if (asked.port.empty()) asked.port = FirstPort(*pod);
  return ProxyAnswer{.scheme = asked.scheme.empty() ? "http" : asked.scheme,
                     .host = HostPort(ip, asked.port),
                     .target = RestOfProxyTarget(call.request, "pods"),
                     .server_name = ""};
}

Reply ResourceHandler::PodStream(Call& call) {
  const std::string& subresource = call.request.info.subresource;
  if (subresource == "proxy") return PodProxy(call);
  const bool log = subresource == "log";
  const bool forward = subresource == "portforward";
  const bool exec = subresource == "exec";
  if (!log && !forward && !exec && subresource != "attach") {
    return StatusReply(kube::GenericStatus(404, ""));
  }
  if (log && call.request.info.verb != "get") return StatusReply(kube::GenericStatus(405, ""));
  if (!log) {
    kube::Outcome admitted = AdmitConnect(call, exec      ? "PodExecOptions"
                                                : forward ? "PodPortForwardOptions"
                                                          : "PodAttachOptions");
    if (!admitted.ok()) return StatusReply(admitted.status());
  }
  const kube::Result<std::string> query = log       ? LogQuery(call.request, call.name)
                                          : forward ? PortsQuery(call.request)
                                                    : StreamQuery(call.request, exec);
  if (!query.ok()) return StatusReply(query.status());
  const kube::Result<Value> pod = deps_.objects.Get(call.resource, call.ns, call.name);
  if (!pod.ok()) return StatusReply(pod.status());
  std::string path = absl::StrCat("/portForward/", call.ns, "/", call.name);
  if (!forward) {
    const kube::Result<std::string> container =
        ContainerOf(*pod, call.request.query.Get("container").value_or(""));
    if (!container.ok()) return StatusReply(container.status());
    path = absl::StrCat("/", log ? "containerLogs" : subresource, "/", call.ns, "/", call.name, "/",
                        *container);
  }
  const std::string node = kube::TextAt(*pod, "spec.nodeName");
  if (node.empty()) {
    // Nothing has been said yet by a pod that runs nowhere.
    if (log) return Body{.code = 200, .content_type = "text/plain", .bytes = ""};
    return StatusReply(
        kube::BadRequest(absl::StrCat("pod ", call.name, " does not have a host assigned")));
  }
  if (!log && call.request.Header("upgrade").empty()) {
    return StatusReply(kube::BadRequest("Upgrade request required"));
  }
  const kube::Result<std::string> host = KubeletHost(call, node);
  if (!host.ok()) return StatusReply(host.status());
  return ProxyAnswer{.scheme = "https",
                     .host = *host,
                     .target = absl::StrCat(path, *query),
                     .server_name = "",
                     .status_of = log ? absl::StrCat("pods/log ", call.name) : ""};
}

Reply ResourceHandler::NodeProxy(Call& call) {
  const kube::Result<ProxyName> asked = ParseProxyName(call.name, "node");
  if (!asked.ok()) return StatusReply(asked.status());
  if (kube::Outcome admitted = AdmitConnect(call, "NodeProxyOptions"); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  kube::Result<std::string> host = KubeletHost(call, asked->name);
  if (!host.ok()) return StatusReply(host.status());
  if (!asked->port.empty()) {
    host = absl::StrCat(host->substr(0, host->rfind(':')), ":", asked->port);
  }
  return ProxyAnswer{.scheme = asked->scheme.empty() ? "https" : asked->scheme,
                     .host = *host,
                     .target = RestOfProxyTarget(call.request, "nodes"),
                     .server_name = ""};
}

Reply ResourceHandler::ServiceProxy(Call& call) {
  const kube::Result<ProxyName> asked = ParseProxyName(call.name, "service");
  if (!asked.ok()) return StatusReply(asked.status());
  if (kube::Outcome admitted = AdmitConnect(call, "ServiceProxyOptions"); !admitted.ok()) {
    return StatusReply(admitted.status());
  }
  const kube::Result<Value> service = deps_.objects.Get(call.resource, call.ns, asked->name);
  if (!service.ok()) return StatusReply(service.status());
  ProxyName target = *asked;
  // A number is the service's port, whose name leads to the endpoints' one.
  const Value* ports = service->Find("spec", "ports");
  for (size_t i = 0; ports != nullptr && i < ports->items().size(); ++i) {
    const Value& port = ports->items()[i];
    if (!asked->port.empty() && asked->port == kube::TextAt(port, "port")) {
      const absl::string_view name = port.FindString("name");
      target.port = std::string(name);
    }
  }
  const kube::Result<Value> endpoints = GetCore(call, "endpoints", call.ns, asked->name);
  if (!endpoints.ok()) return StatusReply(endpoints.status());
  const kube::Result<std::string> host = EndpointOf(*endpoints, target, RandomUnit());
  if (!host.ok()) return StatusReply(host.status());
  return ProxyAnswer{.scheme = asked->scheme.empty() ? "http" : asked->scheme,
                     .host = *host,
                     .target = RestOfProxyTarget(call.request, "services"),
                     .server_name = ""};
}

}  // namespace meltemi::apiserver
