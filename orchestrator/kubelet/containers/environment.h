// Environment variables of containers: said, taken from config maps, secrets and the pod itself,
// and where Services are.
//
// Threads: thread-safe; Of blocks on API calls. Source: pkg/kubelet/kubelet_pods.go, envvars; the
// API reference of Container.env and envFrom.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/informer/informer.h"

namespace meltemi::kube::core::v1 {
class Container;
class EnvFromSource;
class EnvVarSource;
class ObjectFieldSelector;
class Pod;
class ResourceFieldSelector;
class Service;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

class ApiObjects;

// By name.
using Environment = std::map<std::string, std::string>;

// NAME_SERVICE_HOST, NAME_SERVICE_PORT, NAME_PORT_80_TCP_ADDR, …
void AddServiceVariables(const kube::core::v1::Service& service, Environment* out);

class Environments final {
 public:
  // `services`: an informer of kube::core::v1::Service; it keeps only what is needed here.
  // `node_ips`: for status.hostIP. All outlive it.
  Environments(std::string node_name, std::vector<std::string> node_ips, ApiObjects& objects,
               kube::Informer& services);

  // Error: in the words of CreateContainerConfigError: `secret "x" not found`.
  absl::StatusOr<Environment> Of(const kube::core::v1::Pod& pod,
                                 const kube::core::v1::Container& container,
                                 const std::vector<std::string>& pod_ips);

 private:
  // What one container's variables are made of.
  struct Work;

  absl::StatusOr<Environment> ServicesOf(const kube::core::v1::Pod& pod) const;
  absl::Status AddFrom(const kube::core::v1::EnvFromSource& source, Work* work);
  // False: the variable is left out.
  absl::StatusOr<bool> ValueFrom(const kube::core::v1::EnvVarSource& source, Work* work,
                                 std::string* value);
  absl::StatusOr<std::string> Field(const kube::core::v1::ObjectFieldSelector& field,
                                    const Work& work) const;
  absl::StatusOr<std::string> Resource(const kube::core::v1::ResourceFieldSelector& resource,
                                       const Work& work);

  const std::string node_name_;
  const std::vector<std::string> node_ips_;
  ApiObjects& objects_;
  const kube::Lister<kube::core::v1::Service> services_;
};

}  // namespace meltemi::kubelet
