#include "orchestrator/apiserver/openapi/subresources.h"

#include <algorithm>

namespace meltemi::apiserver {
namespace {

using Verbs = std::vector<std::string>;

SubresourceInfo Other(const Resource& resource, const std::string& name) {
  const Verbs connect = {"create", "get"}, change = {"get", "patch", "update"};
  if (name == "attach" || name == "exec") {
    return {name, "", "", name == "exec" ? "PodExecOptions" : "PodAttachOptions", connect};
  }
  if (name == "portforward") return {name, "", "", "PodPortForwardOptions", connect};
  if (name == "proxy") {
    return {name,
            "",
            "",
            resource.kind + "ProxyOptions",
            {"create", "delete", "get", "patch", "update"}};
  }
  if (name == "log") return {name, "", "", resource.kind, {"get"}};
  if (name == "binding") return {name, "", "", "Binding", {"create"}};
  if (name == "eviction") return {name, "policy", "v1", "Eviction", {"create"}};
  if (name == "token") return {name, "authentication.k8s.io", "v1", "TokenRequest", {"create"}};
  if (name == "finalize") return {name, "", "", resource.kind, {"update"}};
  return {name, "", "", resource.kind, change};  // approval, ephemeralcontainers, resize
}

}  // namespace

std::vector<SubresourceInfo> SubresourcesOf(const Resource& resource) {
  std::vector<SubresourceInfo> all;
  const Verbs change = {"get", "patch", "update"};
  if (resource.status_subresource) all.push_back({"status", "", "", resource.kind, change});
  if (resource.scale.has_value()) all.push_back({"scale", "autoscaling", "v1", "Scale", change});
  for (const std::string& name : resource.other_subresources) all.push_back(Other(resource, name));
  std::sort(all.begin(), all.end(),
            [](const SubresourceInfo& a, const SubresourceInfo& b) { return a.name < b.name; });
  return all;
}

}  // namespace meltemi::apiserver
