// The node authorizer: user system:node:NAME of the group system:nodes.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authz/bootstrap_policy.h"
#include "orchestrator/apiserver/authz/chain.h"
#include "orchestrator/apiserver/authz/node_graph.h"
#include "orchestrator/apiserver/authz/policy_rule.h"

namespace meltemi::apiserver {
namespace {

Verdict Allow() { return {Decision::kAllow, ""}; }
Verdict No(std::string reason) { return {Decision::kNoOpinion, std::move(reason)}; }

bool OneOf(absl::string_view text, std::initializer_list<absl::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

class NodeAuthorizer final : public Authorizer {
 public:
  explicit NodeAuthorizer(WatchCache& cache) : graph_(std::make_shared<NodeGraph>(cache)) {
    cache.Observe({"", "pods"}, [graph = graph_](const CacheEvent& event) { graph->OnPod(event); });
    cache.Observe({"", "persistentvolumes"},
                  [graph = graph_](const CacheEvent& event) { graph->OnPersistentVolume(event); });
    for (const json::Value& role : BootstrapClusterRoles()) {
      if (kube::Name(role) == "system:node") rules_ = RulesOf(role);
    }
  }

  Verdict Authorize(const Attributes& a) override {
    absl::string_view node = a.user.name;
    if (!absl::ConsumePrefix(&node, "system:node:") || !a.user.InGroup("system:nodes")) {
      return {};
    }
    if (node.empty()) return No(absl::StrCat("unknown node for user \"", a.user.name, "\""));
    if (a.is_resource) {
      if (a.group.empty()) {
        if (OneOf(a.resource, {"secrets", "configmaps"})) return ReadNamespaced(node, a);
        if (a.resource == "persistentvolumeclaims" && a.subresource == "status") {
          if (!OneOf(a.verb, {"update", "patch"})) {
            return No("can only get/update/patch this type");
          }
          return ByGraph(node, a);
        }
        if (OneOf(a.resource, {"persistentvolumeclaims", "persistentvolumes"})) {
          return Get(node, a);
        }
        if (a.resource == "serviceaccounts") return CreateToken(node, a);
        if (a.resource == "nodes") return OwnNode(node, a);
        if (a.resource == "pods") return PodAccess(node, a);
      } else if (a.group == "coordination.k8s.io" && a.resource == "leases") {
        return Lease(node, a);
      } else if (a.group == "storage.k8s.io" && a.resource == "csinodes") {
        return CsiNode(node, a);
      } else if (a.group == "storage.k8s.io" && a.resource == "volumeattachments") {
        return Get(node, a);
      }
    }
    const bool allowed = std::any_of(rules_.begin(), rules_.end(),
                                     [&](const PolicyRule& rule) { return rule.Allows(a); });
    return allowed ? Allow() : Verdict();
  }

 private:
  Verdict ByGraph(absl::string_view node, const Attributes& a) const {
    if (a.name.empty()) return No("No Object name found");
    if (graph_->Related(node, a.resource, a.ns, a.name)) return Allow();
    return No(absl::StrCat("no relationship found between node '", node, "' and this object"));
  }

  Verdict Get(absl::string_view node, const Attributes& a) const {
    if (a.verb != "get") return No("can only get individual resources of this type");
    if (!a.subresource.empty()) return No("cannot get subresource");
    return ByGraph(node, a);
  }

  Verdict ReadNamespaced(absl::string_view node, const Attributes& a) const {
    if (!OneOf(a.verb, {"get", "list", "watch"})) {
      return No("can only read resources of this type");
    }
    if (!a.subresource.empty()) return No("cannot read subresource");
    if (a.ns.empty()) return No("can only read namespaced object of this type");
    return ByGraph(node, a);
  }

  Verdict CreateToken(absl::string_view node, const Attributes& a) const {
    if (a.verb != "create" || a.name.empty()) {
      return No("can only create tokens for individual service accounts");
    }
    if (a.subresource != "token") {
      return No("can only create token subresource of serviceaccount");
    }
    return ByGraph(node, a);
  }

  // Writes are looked at by the admission plugin NodeRestriction, which sees the object.
  static Verdict OwnNode(absl::string_view node, const Attributes& a) {
    if (a.subresource == "status") {
      return OneOf(a.verb, {"update", "patch"}) ? Allow() : Verdict();
    }
    if (!a.subresource.empty()) return {};
    if (OneOf(a.verb, {"create", "update", "patch"})) return Allow();
    if (!OneOf(a.verb, {"get", "list", "watch"})) return {};
    if (a.name == node) return Allow();
    return No(absl::StrCat("node '", node, "' cannot read ",
                           a.name.empty() ? "all nodes" : absl::StrCat("'", a.name, "'"),
                           ", only its own Node object"));
  }

  Verdict PodAccess(absl::string_view node, const Attributes& a) const {
    if (a.subresource == "status") {
      return OneOf(a.verb, {"update", "patch"}) ? Allow() : Verdict();
    }
    if (a.subresource == "eviction") return a.verb == "create" ? Allow() : Verdict();
    if (!a.subresource.empty()) return {};
    if (a.verb == "get") return ByGraph(node, a);
    if (OneOf(a.verb, {"create", "delete"})) return Allow();
    if (!OneOf(a.verb, {"list", "watch"})) return {};
    const std::optional<absl::string_view> wanted = a.field_selector.RequiredValue("spec.nodeName");
    if (wanted.has_value() && *wanted == node) return Allow();
    if (!a.name.empty()) return ByGraph(node, a);
    return No("can only list/watch pods with spec.nodeName field selector");
  }

  static Verdict Lease(absl::string_view node, const Attributes& a) {
    if (!OneOf(a.verb, {"get", "create", "update", "patch", "delete"})) {
      return No("can only get, create, update, patch, or delete a node lease");
    }
    if (a.ns != "kube-node-lease") {
      return No("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if (a.verb != "create" && a.name != node) {
      return No("can only access node lease with the same name as the requesting node");
    }
    return Allow();
  }

  static Verdict CsiNode(absl::string_view node, const Attributes& a) {
    if (!OneOf(a.verb, {"get", "create", "update", "patch", "delete"})) {
      return No("can only get, create, update, patch, or delete a CSINode");
    }
    if (!a.subresource.empty()) return No("cannot authorize CSINode subresources");
    if (a.verb != "create" && a.name != node) {
      return No("can only access CSINode with the same name as the requesting node");
    }
    return Allow();
  }

  const std::shared_ptr<NodeGraph> graph_;  // shared with the cache's observers
  std::vector<PolicyRule> rules_;           // constant after construction
};

}  // namespace

std::unique_ptr<Authorizer> NewNodeAuthorizer(WatchCache& cache) {
  return std::make_unique<NodeAuthorizer>(cache);
}

}  // namespace meltemi::apiserver
