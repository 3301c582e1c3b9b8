#include "orchestrator/kubelet/containers/environment.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "orchestrator/kubelet/containers/expansion.h"
#include "orchestrator/kubelet/volumes/api_objects.h"
#include "orchestrator/kubelet/volumes/downward.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Container;
using kube::core::v1::EnvVar;
using kube::core::v1::Pod;
using kube::core::v1::Secret;
using kube::core::v1::Service;

// Containers of many pods that start together read the same few objects.
constexpr Duration kAgeMax = seconds(1);
constexpr Duration kNodeAgeMax = minutes(1);

bool HasAddress(const Service& service) {
  const std::string& ip = service.spec().cluster_ip();
  return !ip.empty() && ip != "None";
}

std::string VariableName(const std::string& name) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}));
}

// Only what variables are made of.
void Trim(google::protobuf::Message& message) {
  auto& service = static_cast<Service&>(message);
  Service out;
  out.mutable_metadata()->set_namespace_(service.metadata().namespace_());
  out.mutable_metadata()->set_name(service.metadata().name());
  out.mutable_metadata()->set_uid(service.metadata().uid());
  out.mutable_metadata()->set_resource_version(service.metadata().resource_version());
  if (HasAddress(service)) {
    out.mutable_spec()->set_cluster_ip(service.spec().cluster_ip());
    *out.mutable_spec()->mutable_ports() = service.spec().ports();
  }
  service.Swap(&out);
}

absl::Status NoKey(const char* kind, const Pod& pod, const std::string& name,
                   const std::string& key) {
  return absl::NotFoundError(absl::StrCat("couldn't find key ", key, " in ", kind, " ",
                                          pod.metadata().namespace_(), "/", name));
}

}  // namespace

struct Environments::Work {
  const Pod& pod;
  const Container& container;
  const std::vector<std::string>& pod_ips;
  Environment variables, services;

  std::optional<std::string> Known(const std::string& name) const {
    for (const Environment* from : {&variables, &services}) {
      const auto it = from->find(name);
      if (it != from->end()) return it->second;
    }
    return std::nullopt;
  }
};

void AddServiceVariables(const Service& service, Environment* out) {
  if (!HasAddress(service) || service.spec().ports().empty()) return;
  const std::string& ip = service.spec().cluster_ip();
  const std::string name = VariableName(service.metadata().name());
  (*out)[name + "_SERVICE_HOST"] = ip;
  (*out)[name + "_SERVICE_PORT"] = absl::StrCat(service.spec().ports(0).port());
  bool first = true;
  for (const auto& port : service.spec().ports()) {
    if (!port.name().empty()) {
      (*out)[absl::StrCat(name, "_SERVICE_PORT_", VariableName(port.name()))] =
          absl::StrCat(port.port());
    }
    const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
    const std::string lower = absl::AsciiStrToLower(protocol);
    const std::string host = absl::StrContains(ip, ':') ? absl::StrCat("[", ip, "]") : ip;
    const std::string url = absl::StrCat(lower, "://", host, ":", port.port());
    if (first) (*out)[name + "_PORT"] = url;
    first = false;
    const std::string prefix = absl::StrCat(name, "_PORT_", port.port(), "_", protocol);
    (*out)[prefix] = url;
    (*out)[prefix + "_PROTO"] = lower;
    (*out)[prefix + "_PORT"] = absl::StrCat(port.port());
    (*out)[prefix + "_ADDR"] = ip;
  }
}

Environments::Environments(std::string node_name, std::vector<std::string> node_ips,
                           ApiObjects& objects, kube::Informer& services)
    : node_name_(std::move(node_name)),
      node_ips_(std::move(node_ips)),
      objects_(objects),
      services_(services) {
  services.SetTransform(Trim);
}

absl::StatusOr<Environment> Environments::Of(const Pod& pod, const Container& container,
                                             const std::vector<std::string>& pod_ips) {
  Work work{.pod = pod, .container = container, .pod_ips = pod_ips};
  absl::StatusOr<Environment> services = ServicesOf(pod);
  if (!services.ok()) return services.status();
  work.services = *std::move(services);
  for (const auto& source : container.env_from()) {
    const absl::Status added = AddFrom(source, &work);
    if (!added.ok()) return added;
  }
  for (const EnvVar& variable : container.env()) {
    std::string value;
    if (!variable.value().empty() || !variable.has_value_from()) {
      value = Expand(variable.value(), [&](const std::string& name) { return work.Known(name); });
    } else {
      const absl::StatusOr<bool> set = ValueFrom(variable.value_from(), &work, &value);
      if (!set.ok()) return set.status();
      if (!*set) continue;
    }
    work.variables[variable.name()] = std::move(value);
  }
  work.variables.insert(work.services.begin(), work.services.end());
  return std::move(work.variables);
}

absl::StatusOr<Environment> Environments::ServicesOf(const Pod& pod) const {
  if (!services_.informer().synced()) {
    return absl::UnavailableError(
        "services have not yet been read at least once, cannot construct envvars");
  }
  Environment out;
  // Where the API server is, is said in every namespace.
  if (const auto master = services_.Get("default", "kubernetes")) {
    AddServiceVariables(*master, &out);
  }
  if (pod.spec().has_enable_service_links() && !pod.spec().enable_service_links()) return out;
  for (const auto& service : services_.List(pod.metadata().namespace_())) {
    if (service->metadata().name() == "kubernetes" && out.count("KUBERNETES_SERVICE_HOST") != 0 &&
        pod.metadata().namespace_() != "default") {
      continue;
    }
    AddServiceVariables(*service, &out);
  }
  return out;
}

absl::Status Environments::AddFrom(const kube::core::v1::EnvFromSource& source, Work* work) {
  const std::string& ns = work->pod.metadata().namespace_();
  if (source.has_config_map_ref()) {
    const auto& ref = source.config_map_ref();
    const auto map = objects_.GetConfigMap(ns, ref.local_object_reference().name(), kAgeMax);
    if (!map.ok()) {
      return absl::IsNotFound(map.status()) && ref.optional() ? absl::OkStatus() : map.status();
    }
    for (const auto& [key, value] : (*map)->data()) {
      work->variables[source.prefix() + key] = value;
    }
  } else if (source.has_secret_ref()) {
    const auto& ref = source.secret_ref();
    const auto secret = objects_.GetSecret(ns, ref.local_object_reference().name(), kAgeMax);
    if (!secret.ok()) {
      return absl::IsNotFound(secret.status()) && ref.optional() ? absl::OkStatus()
                                                                 : secret.status();
    }
    for (const auto& [key, value] : (*secret)->data()) {
      work->variables[source.prefix() + key] = value;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Environments::ValueFrom(const kube::core::v1::EnvVarSource& source, Work* work,
                                             std::string* value) {
  const std::string& ns = work->pod.metadata().namespace_();
  absl::StatusOr<std::string> text = std::string();
  if (source.has_field_ref()) {
    text = Field(source.field_ref(), *work);
  } else if (source.has_resource_field_ref()) {
    text = Resource(source.resource_field_ref(), *work);
  } else if (source.has_config_map_key_ref()) {
    const auto& ref = source.config_map_key_ref();
    const auto map = objects_.GetConfigMap(ns, ref.local_object_reference().name(), kAgeMax);
    if (absl::IsNotFound(map.status()) && ref.optional()) return false;
    if (!map.ok()) return map.status();
    const auto it = (*map)->data().find(ref.key());
    if (it == (*map)->data().end()) {
      if (ref.optional()) return false;
      return NoKey("ConfigMap", work->pod, ref.local_object_reference().name(), ref.key());
    }
    text = it->second;
  } else if (source.has_secret_key_ref()) {
    const auto& ref = source.secret_key_ref();
    const auto secret = objects_.GetSecret(ns, ref.local_object_reference().name(), kAgeMax);
    if (absl::IsNotFound(secret.status()) && ref.optional()) return false;
    if (!secret.ok()) return secret.status();
    const auto it = (*secret)->data().find(ref.key());
    if (it == (*secret)->data().end()) {
      if (ref.optional()) return false;
      return NoKey("Secret", work->pod, ref.local_object_reference().name(), ref.key());
    }
    text = it->second;
  }
  if (!text.ok()) return text.status();
  *value = *std::move(text);
  return true;
}

absl::StatusOr<std::string> Environments::Field(const kube::core::v1::ObjectFieldSelector& field,
                                                const Work& work) const {
  const std::string& path = field.field_path();
  const Pod& pod = work.pod;
  if (path == "spec.nodeName") return pod.spec().node_name();
  if (path == "spec.serviceAccountName") return pod.spec().service_account_name();
  if (path == "status.hostIP") {
    return node_ips_.empty() ? pod.status().host_ip() : node_ips_.front();
  }
  if (path == "status.hostIPs") {
    return node_ips_.empty() ? pod.status().host_ip() : absl::StrJoin(node_ips_, ",");
  }
  if (path == "status.podIP") return work.pod_ips.empty() ? std::string() : work.pod_ips.front();
  if (path == "status.podIPs") return absl::StrJoin(work.pod_ips, ",");
  return MetadataField(pod, path);
}

absl::StatusOr<std::string> Environments::Resource(
    const kube::core::v1::ResourceFieldSelector& resource, const Work& work) {
  // A limit that is not set is the node's.
  std::map<std::string, std::string> allocatable;
  const auto node = objects_.GetNode(node_name_, kNodeAgeMax);
  if (node.ok()) {
    for (const auto& [name, quantity] : (*node)->status().allocatable()) {
      allocatable[name] = quantity.string();
    }
  }
  return ContainerResource(work.pod, resource,
                           resource.container_name().empty() ? work.container.name() : "",
                           allocatable);
}

}  // namespace meltemi::kubelet
