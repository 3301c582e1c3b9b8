#include "orchestrator/apiserver/kinds/service.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;

constexpr int64_t kAffinitySeconds = 10800;

absl::string_view TypeOf(const json::Value& service) { return Text(Get(service, "spec"), "type"); }

void DefaultAffinity(json::Value& spec) {
  if (Text(spec, "sessionAffinity").empty()) {
    spec.Set("sessionAffinity", json::Value::String("None"));
  }
  if (Text(spec, "sessionAffinity") == "None") {
    spec.Remove("sessionAffinityConfig");
  } else if (Text(spec, "sessionAffinity") == "ClientIP") {
    SetDefault(spec.MutableObject("sessionAffinityConfig").MutableObject("clientIP"),
               "timeoutSeconds", kAffinitySeconds);
  }
}

void DefaultPorts(json::Value& spec) {
  std::vector<json::Value>* ports = MutableItems(spec, "ports");
  if (ports == nullptr) return;
  for (json::Value& port : *ports) {
    SetDefault(port, "protocol", "TCP");
    const json::Value& target = Get(port, "targetPort");
    const bool unset = target.is_null() || target.text().empty() || target.AsInt64() == 0;
    if (unset && Has(port, "port")) port.Set("targetPort", json::Value(Get(port, "port")));
  }
}

// clusterIP is the first of clusterIPs: an old client knows but the one.
void JoinClusterIps(json::Value& spec) {
  if (Text(spec, "clusterIP").empty() || !Items(spec, "clusterIPs").empty()) return;
  json::Value list = json::Value::Array();
  list.Append(Get(spec, "clusterIP"));
  spec.Set("clusterIPs", std::move(list));
}

void JoinClusterIps(const json::Value& old_spec, json::Value& spec) {
  if (SameMember(old_spec, spec, "clusterIP")) {
    if (Items(spec, "clusterIPs").empty()) CopyMember(old_spec, "clusterIPs", spec);
    return;
  }
  // The client changed clusterIP and left clusterIPs alone.
  if (!SameMember(old_spec, spec, "clusterIPs")) return;
  spec.Remove("clusterIPs");
  JoinClusterIps(spec);
}

std::set<int64_t> NodePortsOf(const json::Value& spec) {
  std::set<int64_t> ports;
  for (const json::Value& port : Items(spec, "ports")) {
    if (Int(port, "nodePort") != 0) ports.insert(Int(port, "nodePort"));
  }
  return ports;
}

// What a client leaves out in an update stays as it was given to the service.
void KeepAllocated(const json::Value& old_service, json::Value& service) {
  const json::Value& old_spec = Get(old_service, "spec");
  const bool keep_ip = NeedsClusterIp(old_service) && NeedsClusterIp(service);
  const bool keep_ports = NeedsNodePorts(old_service) && NeedsNodePorts(service);
  const bool keep_health = NeedsHealthCheckPort(old_service) && NeedsHealthCheckPort(service);
  json::Value& spec = service.MutableObject("spec");
  if (keep_ip) {
    if (Text(spec, "clusterIP").empty()) CopyMember(old_spec, "clusterIP", spec);
    if (Items(spec, "clusterIPs").empty()) CopyMember(old_spec, "clusterIPs", spec);
    for (const char* key : {"ipFamilies", "ipFamilyPolicy"}) {
      if (!Has(spec, key)) CopyMember(old_spec, key, spec);
    }
  }
  if (keep_health && Int(spec, "healthCheckNodePort") == 0) {
    CopyMember(old_spec, "healthCheckNodePort", spec);
  }
  std::vector<json::Value>* ports = MutableItems(spec, "ports");
  if (!keep_ports || ports == nullptr) return;
  std::map<absl::string_view, int64_t> by_name;
  for (const json::Value& port : Items(old_spec, "ports")) {
    by_name[Text(port, "name")] = Int(port, "nodePort");
  }
  const std::set<int64_t> used = NodePortsOf(spec);
  for (json::Value& port : *ports) {
    if (Int(port, "nodePort") != 0) continue;
    const int64_t before = by_name[Text(port, "name")];
    if (before != 0 && !used.contains(before)) port.Set("nodePort", json::Value::Int(before));
  }
}

// A service that changes its type loses what the new type has no use for, where the client did not
// touch it.
void DropWhatTypeLacks(const json::Value& old_service, json::Value& service) {
  const json::Value& old_spec = Get(old_service, "spec");
  const bool drop_ip = NeedsClusterIp(old_service) && !NeedsClusterIp(service);
  const bool drop_ports = NeedsNodePorts(old_service) && !NeedsNodePorts(service);
  const bool drop_health = NeedsHealthCheckPort(old_service) && !NeedsHealthCheckPort(service);
  const bool drop_balancer =
      TypeOf(old_service) == "LoadBalancer" && TypeOf(service) != "LoadBalancer";
  const bool drop_policy = IsExternallyAccessible(old_service) && !IsExternallyAccessible(service);
  json::Value& spec = service.MutableObject("spec");
  const auto drop_same = [&](absl::string_view key) {
    if (SameMember(old_spec, spec, key)) spec.Remove(key);
  };
  if (drop_ip) {
    if (SameMember(old_spec, spec, "clusterIP") && SameMember(old_spec, spec, "clusterIPs")) {
      spec.Remove("clusterIP");
      spec.Remove("clusterIPs");
    }
    for (const char* key : {"ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"}) {
      drop_same(key);
    }
  }
  if (drop_ports && NodePortsOf(old_spec) == NodePortsOf(spec)) {
    if (std::vector<json::Value>* ports = MutableItems(spec, "ports")) {
      for (json::Value& port : *ports) port.Remove("nodePort");
    }
  }
  if (drop_health) drop_same("healthCheckNodePort");
  if (drop_balancer) {
    drop_same("allocateLoadBalancerNodePorts");
    drop_same("loadBalancerClass");
  }
  if (drop_policy) drop_same("externalTrafficPolicy");
  if (TypeOf(service) != "LoadBalancer") {
    service.MutableObject("status").Set("loadBalancer", json::Value::Object());
  }
}

class Services final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    DefaultAffinity(*spec);
    SetDefault(*spec, "type", "ClusterIP");
    DefaultPorts(*spec);
    if (IsExternallyAccessible(object)) SetDefault(*spec, "externalTrafficPolicy", "Cluster");
    const std::string type(TypeOf(object));  // what is set below moves it
    if (type == "NodePort" || type == "LoadBalancer" || type == "ClusterIP") {
      SetDefault(*spec, "internalTrafficPolicy", "Cluster");
    }
    if (type != "LoadBalancer") return;
    SetDefault(*spec, "allocateLoadBalancerNodePorts", json::Value::Bool(true));
    json::Value* status = MutableMember(object, "status");
    json::Value* balancer = status == nullptr ? nullptr : MutableMember(*status, "loadBalancer");
    std::vector<json::Value>* ingress =
        balancer == nullptr ? nullptr : MutableItems(*balancer, "ingress");
    if (ingress == nullptr) return;
    for (json::Value& address : *ingress) {
      if (!Text(address, "ip").empty()) SetDefault(address, "ipMode", "VIP");
    }
  }

  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    json::Value status = json::Value::Object();
    status.Add("loadBalancer", json::Value::Object());
    object.Set("status", std::move(status));
    JoinClusterIps(object.MutableObject("spec"));
  }

  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (scope == Scope::kMain) PrepareServiceUpdate(old_object, object);
  }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    return ValidateService(object);
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    if (scope == Scope::kStatus) return ValidateServiceStatus(object);
    return ValidateServiceUpdate(old_object, object);
  }
  std::vector<std::string> CheckName(absl::string_view name, bool prefix) const override {
    return NameIsDns1035Label(name, prefix);
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    const json::Value& spec = Get(object, "spec");
    return {{"spec.clusterIP", std::string(Text(spec, "clusterIP"))},
            {"spec.type", std::string(Text(spec, "type"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override {
    return {"spec.clusterIP", "spec.type"};
  }
  bool AllowCreateOnUpdate() const override { return true; }
};

}  // namespace

void PrepareServiceUpdate(const json::Value& old_service, json::Value& service) {
  JoinClusterIps(Get(old_service, "spec"), service.MutableObject("spec"));
  DropWhatTypeLacks(old_service, service);
  KeepAllocated(old_service, service);
}

bool IsHeadless(const json::Value& service) {
  const std::vector<json::Value>& ips = Items(Get(service, "spec"), "clusterIPs");
  return ips.size() == 1 && ips[0].text() == "None";
}

bool NeedsClusterIp(const json::Value& service) { return TypeOf(service) != "ExternalName"; }

bool NeedsNodePorts(const json::Value& service) {
  return TypeOf(service) == "NodePort" || TypeOf(service) == "LoadBalancer";
}

bool NeedsHealthCheckPort(const json::Value& service) {
  return TypeOf(service) == "LoadBalancer" &&
         Text(Get(service, "spec"), "externalTrafficPolicy") == "Local";
}

bool IsExternallyAccessible(const json::Value& service) {
  return NeedsNodePorts(service) ||
         (TypeOf(service) == "ClusterIP" && !Items(Get(service, "spec"), "externalIPs").empty());
}

std::unique_ptr<const Strategy> ServiceStrategy() { return std::make_unique<Services>(); }

}  // namespace meltemi::apiserver
