#include "pilot/inject/probes.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "pilot/inject/annotations.h"

namespace meltemi::pilot {
namespace {

using json::Value;

// The number of a port that may be a name; nothing when no port has that name.
std::optional<int64_t> PortNumber(const Value* port, const Value& container) {
  if (port == nullptr) return std::nullopt;
  if (port->is_number()) return port->AsInt64();
  if (!port->is_string()) return std::nullopt;
  const Value* const ports = container.Find("ports");
  if (ports == nullptr) return std::nullopt;
  for (const Value& declared : ports->items()) {
    if (declared.FindString("name") != port->text()) continue;
    const Value* const number = declared.Find("containerPort");
    return number == nullptr ? std::nullopt : number->AsInt64();
  }
  return std::nullopt;
}

// What the proxy has to do instead of the kubelet; nothing when it has nothing to do.
std::optional<Value> ForProxy(const Value& handler, const Value& container, uint32_t own_port) {
  for (const char* kind : {"httpGet", "tcpSocket", "grpc"}) {
    const Value* const action = handler.Find(kind);
    if (action == nullptr || !action->is_object()) continue;
    const std::optional<int64_t> port = PortNumber(action->Find("port"), container);
    if (!port || *port == own_port) return std::nullopt;
    Value resolved = *action;
    resolved.Set("port", Value::Int(*port));
    Value prober = Value::Object();
    prober.Set(kind, std::move(resolved));
    if (const Value* timeout = handler.Find("timeoutSeconds")) {
      prober.Set("timeoutSeconds", *timeout);
    }
    return prober;
  }
  return std::nullopt;
}

// `handler` becomes a request to the proxy. Names of headers that the application wants are sent by
// the proxy: the kubelet need not.
void Redirect(const std::string& path, uint32_t port, Value* handler) {
  for (const char* kind : {"httpGet", "tcpSocket", "grpc"}) handler->Remove(kind);
  Value& action = handler->Set("httpGet", Value::Object());
  action.Set("path", Value::String(path));
  action.Set("port", Value::Int(port));
}

void RewriteOne(const std::string& path, uint32_t port, const Value& container, Value* handler,
                Value* probers) {
  if (handler == nullptr || !handler->is_object()) return;
  std::optional<Value> prober = ForProxy(*handler, container, port);
  if (!prober) return;
  probers->Set(path, *std::move(prober));
  Redirect(path, port, handler);
}

void RewriteContainer(uint32_t port, Value* container, Value* probers) {
  const std::string name(container->FindString("name"));
  if (name.empty() || name == kProxyContainer || name == kInitContainer) return;
  // Ports are looked up while members are changed.
  const Value before = *container;
  const std::pair<const char*, const char*> probes[] = {
      {"readinessProbe", "readyz"}, {"livenessProbe", "livez"}, {"startupProbe", "startupz"}};
  for (const auto& [probe, path] : probes) {
    RewriteOne(absl::StrCat("/app-health/", name, "/", path), port, before, container->Find(probe),
               probers);
  }
  Value* const lifecycle = container->Find("lifecycle");
  if (lifecycle == nullptr || !lifecycle->is_object()) return;
  const std::pair<const char*, const char*> hooks[] = {{"preStop", "prestopz"},
                                                       {"postStart", "poststartz"}};
  for (const auto& [hook, path] : hooks) {
    RewriteOne(absl::StrCat("/app-lifecycle/", name, "/", path), port, before,
               lifecycle->Find(hook), probers);
  }
}

}  // namespace

Value RewriteProbes(uint32_t port, Value* pod) {
  Value probers = Value::Object();
  Value* const spec = pod->Find("spec");
  if (spec == nullptr || !spec->is_object()) return probers;
  for (const char* list : {"initContainers", "containers"}) {
    Value* const containers = spec->Find(list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (Value& container : containers->items()) {
      if (container.is_object()) RewriteContainer(port, &container, &probers);
    }
  }
  return probers;
}

}  // namespace meltemi::pilot
