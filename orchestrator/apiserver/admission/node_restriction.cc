// NodeRestriction: a kubelet writes its own node, its own lease, and the pods that run on it.
#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/plugin.h"
#include "orchestrator/apiserver/authz/pod_mentions.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

bool IsUnder(absl::string_view domain, absl::string_view suffix) {
  return domain == suffix || absl::EndsWith(domain, absl::StrCat(".", suffix));
}

// Labels of Kubernetes' own domains that kubelets set.
bool IsKubeletLabel(absl::string_view key, absl::string_view domain) {
  for (const absl::string_view known :
       {"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/os",
        "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch"}) {
    if (key == known) return true;
  }
  return IsUnder(domain, "kubelet.kubernetes.io") || IsUnder(domain, "node.kubernetes.io");
}

bool IsForbiddenLabel(absl::string_view key) {
  const size_t slash = key.find('/');
  if (slash == absl::string_view::npos) return false;
  const absl::string_view domain = key.substr(0, slash);
  if (IsUnder(domain, "node-restriction.kubernetes.io")) return true;
  return (IsUnder(domain, "kubernetes.io") || IsUnder(domain, "k8s.io")) &&
         !IsKubeletLabel(key, domain);
}

// Sorted and joined; "" when nothing forbidden differs.
std::string ForbiddenChanges(const Value& before, const Value& after) {
  const auto labels_of = [](const Value& object) {
    const auto pairs = kube::Labels(object);
    return std::set<std::pair<std::string, std::string>>(pairs.begin(), pairs.end());
  };
  const auto a = labels_of(before), b = labels_of(after);
  std::set<std::string> keys;
  const auto differing = [&](const auto& from, const auto& other) {
    for (const auto& label : from) {
      if (other.count(label) == 0 && IsForbiddenLabel(label.first)) keys.insert(label.first);
    }
  };
  differing(a, b);
  differing(b, a);
  return absl::StrJoin(keys, ", ");
}

const Value& ItemsAt(const Value& object, absl::string_view path) {
  static const Value* const empty = new Value(Value::Array());
  const Value* found = kube::At(object, path);
  return found == nullptr || !found->is_array() ? *empty : *found;
}

class NodeRestriction final : public AdmissionPlugin {
 public:
  explicit NodeRestriction(WatchCache& cache) : cache_(cache) {}

  absl::string_view name() const override { return "NodeRestriction"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    absl::string_view node = request.user.name;
    if (!absl::ConsumePrefix(&node, "system:node:") || !request.user.InGroup("system:nodes")) {
      return kube::Done{};
    }
    if (node.empty()) {
      return Refuse(request,
                    absl::StrCat("could not determine node from user \"", request.user.name, "\""));
    }
    if (IsResource(request, "", "pods")) return OfPods(request, node);
    if (IsResource(request, "", "nodes")) return OfNode(request, node);
    if (IsResource(request, "", "persistentvolumeclaims")) return OfClaim(request, node);
    if (IsResource(request, "", "serviceaccounts")) return OfToken(request, node);
    if (IsResource(request, "coordination.k8s.io", "leases")) {
      if (request.ns != "kube-node-lease") {
        return Refuse(request,
                      "can only access leases in the \"kube-node-lease\" system namespace");
      }
      return OwnName(request, node, "node lease");
    }
    if (IsResource(request, "storage.k8s.io", "csinodes")) {
      return OwnName(request, node, "CSINode");
    }
    return kube::Done{};
  }

 private:
  kube::Outcome OfPods(const AdmissionRequest& request, absl::string_view node) {
    const std::string quoted = absl::StrCat("node \"", node, "\"");
    if (request.subresource == "status") return OfPodStatus(request, node);
    if (request.subresource == "eviction") {
      if (request.operation != Operation::kCreate) {
        return Refuse(request,
                      absl::StrCat("unexpected operation ", OperationName(request.operation)));
      }
      return OfHeldPod(request, node,
                       absl::StrCat("node ", node,
                                    " can only evict pods with spec.nodeName set to "
                                    "itself"));
    }
    if (!request.subresource.empty()) {
      return Refuse(request, absl::StrCat("unexpected pod subresource \"", request.subresource,
                                          "\", only 'status' and 'eviction' are allowed"));
    }
    switch (request.operation) {
      case Operation::kCreate:
        return OfNewPod(request, node);
      case Operation::kDelete:
        return OfHeldPod(request, node,
                         absl::StrCat(quoted,
                                      " can only delete pods with spec.nodeName set to "
                                      "itself"));
      default:
        return Refuse(request,
                      absl::StrCat("unexpected operation \"", OperationName(request.operation),
                                   "\", ", quoted, " can only create and delete mirror pods"));
    }
  }

  kube::Outcome OfHeldPod(const AdmissionRequest& request, absl::string_view node,
                          absl::string_view why) {
    const kube::Result<ObjectPtr> pod = cache_.Get({"", "pods"}, request.ns, request.name, true);
    if (!pod.ok()) return pod.status();
    if (*pod == nullptr) return kube::NotFound({"", "pods"}, request.name);
    if (kube::TextAt((*pod)->Tree(), "spec.nodeName") != node) return Refuse(request, why);
    return kube::Done{};
  }

  static kube::Outcome OfPodStatus(const AdmissionRequest& request, absl::string_view node) {
    if (request.operation != Operation::kUpdate) {
      return Refuse(
          request, absl::StrCat("unexpected operation \"", OperationName(request.operation), "\""));
    }
    if (kube::TextAt(request.old_object, "spec.nodeName") != node) {
      return Refuse(request, absl::StrCat("node \"", node,
                                          "\" can only update pod status for pods with "
                                          "spec.nodeName set to itself"));
    }
    auto before = kube::Labels(request.old_object), after = kube::Labels(request.object);
    std::sort(before.begin(), before.end());
    std::sort(after.begin(), after.end());
    if (before != after) {
      return Refuse(request,
                    absl::StrCat("node \"", node, "\" cannot update labels through pod status"));
    }
    return kube::Done{};
  }

  // Mirror pods: what the kubelet runs from files, shown to the cluster.
  kube::Outcome OfNewPod(const AdmissionRequest& request, absl::string_view node) {
    const Value& pod = request.object;
    const auto refuse = [&](absl::string_view why) {
      return Refuse(request, absl::StrCat("node \"", node, "\" ", why));
    };
    if (!IsMirrorPod(pod)) {
      return Refuse(request, absl::StrCat("pod does not have \"kubernetes.io/config.mirror\" "
                                          "annotation, node \"",
                                          node, "\" can only create mirror pods"));
    }
    if (kube::TextAt(pod, "spec.nodeName") != node) {
      return refuse("can only create pods with spec.nodeName set to itself");
    }
    kube::Outcome owner = OfOwner(request, node);
    if (!owner.ok()) return owner;
    for (const PodMention& mention : PodMentions(pod)) {
      if (mention.first == "serviceaccounts") {
        return refuse("can not create pods that reference a service account");
      }
    }
    for (const absl::string_view resource : {"secrets", "configmaps", "persistentvolumeclaims"}) {
      for (const PodMention& mention : PodMentions(pod)) {
        if (mention.first != resource) continue;
        return refuse(absl::StrCat("can not create pods that reference ", resource));
      }
    }
    return kube::Done{};
  }

  kube::Outcome OfOwner(const AdmissionRequest& request, absl::string_view node) {
    const auto refuse = [&](absl::string_view why) {
      return Refuse(request, absl::StrCat("node \"", node, "\" ", why));
    };
    const auto& owners = ItemsAt(request.object, "metadata.ownerReferences").items();
    if (owners.size() > 1) {
      return refuse("can only create pods with a single owner reference set to itself");
    }
    if (owners.empty() || owners[0].FindString("apiVersion") != "v1" ||
        owners[0].FindString("kind") != "Node" || owners[0].FindString("name") != node) {
      return refuse("can only create pods with an owner reference set to itself");
    }
    if (!kube::BoolAt(owners[0], "controller", false)) {
      return refuse("can only create pods with a controller owner reference set to itself");
    }
    if (kube::BoolAt(owners[0], "blockOwnerDeletion", false)) {
      return refuse("must not set blockOwnerDeletion on an owner reference");
    }
    const kube::Result<ObjectPtr> held = cache_.Get({"", "nodes"}, "", node, true);
    if (!held.ok()) return held.status();
    if (*held == nullptr) return kube::NotFound({"", "nodes"}, node);
    if (owners[0].FindString("uid") != (*held)->uid) {
      return Refuse(request, absl::StrCat("node ", node, " UID mismatch: expected ",
                                          owners[0].FindString("uid"), " got ", (*held)->uid));
    }
    return kube::Done{};
  }

  static kube::Outcome OfNode(const AdmissionRequest& request, absl::string_view node) {
    const std::string name =
        request.name.empty() ? std::string(kube::Name(request.object)) : request.name;
    if (name != node) {
      return Refuse(request, absl::StrCat("node \"", node, "\" is not allowed to modify node \"",
                                          name, "\""));
    }
    if (request.operation == Operation::kCreate) {
      const std::string labels = ForbiddenChanges(Value(), request.object);
      if (labels.empty()) return kube::Done{};
      return Refuse(
          request,
          absl::StrCat("node \"", node, "\" is not allowed to set the following labels: ", labels));
    }
    if (request.operation != Operation::kUpdate) return kube::Done{};
    if (!(ItemsAt(request.object, "spec.taints") == ItemsAt(request.old_object, "spec.taints"))) {
      return Refuse(request, absl::StrCat("node \"", node, "\" is not allowed to modify taints"));
    }
    const std::string labels = ForbiddenChanges(request.old_object, request.object);
    if (labels.empty()) return kube::Done{};
    return Refuse(request, absl::StrCat("is not allowed to modify labels: ", labels));
  }

  // Of a claim's status a kubelet that has grown a volume writes the size.
  static kube::Outcome OfClaim(const AdmissionRequest& request, absl::string_view node) {
    if (request.subresource != "status") {
      return Refuse(request, "may only update PVC status");
    }
    if (request.operation != Operation::kUpdate) {
      return Refuse(
          request, absl::StrCat("unexpected operation \"", OperationName(request.operation), "\""));
    }
    const auto rest = [](Value claim) {
      Value& metadata = kube::MutableMetadata(claim);
      metadata.Remove("resourceVersion");
      metadata.Remove("managedFields");
      Value& status = claim.MutableObject("status");
      for (const absl::string_view member :
           {"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"}) {
        status.Remove(member);
      }
      return claim;
    };
    if (rest(request.object) == rest(request.old_object)) return kube::Done{};
    return Refuse(request, absl::StrCat("node \"", node,
                                        "\" is not allowed to update fields other than "
                                        "status.quantity and status.conditions"));
  }

  kube::Outcome OfToken(const AdmissionRequest& request, absl::string_view node) {
    if (request.operation != Operation::kCreate || request.subresource != "token") {
      return kube::Done{};
    }
    const Value* bound = request.object.Find("spec", "boundObjectRef");
    if (bound == nullptr || bound->FindString("apiVersion") != "v1" ||
        bound->FindString("kind") != "Pod" || bound->FindString("name").empty()) {
      return Refuse(request, "node requested token not bound to a pod");
    }
    const absl::string_view uid = bound->FindString("uid");
    if (uid.empty()) {
      return Refuse(request, "node requested token with a pod binding without a uid");
    }
    const absl::string_view pod_name = bound->FindString("name");
    const kube::Result<ObjectPtr> pod = cache_.Get({"", "pods"}, request.ns, pod_name, true);
    if (!pod.ok()) return pod.status();
    if (*pod == nullptr) return kube::NotFound({"", "pods"}, pod_name);
    if ((*pod)->uid != uid) {
      return Refuse(request, absl::StrCat("the UID in the bound object reference (", uid,
                                          ") does not match the UID in record. The object might "
                                          "have been deleted and then recreated"));
    }
    const Value tree = (*pod)->Tree();
    if (kube::TextAt(tree, "spec.nodeName") != node) {
      return Refuse(request, "node requested token bound to a pod scheduled on a different node");
    }
    return OfAudience(request, tree);
  }

  // Only an audience that one of the pod's volumes asks for.
  static kube::Outcome OfAudience(const AdmissionRequest& request, const Value& pod) {
    const Value& audiences = ItemsAt(request.object, "spec.audiences");
    if (audiences.items().size() > 1) {
      return Refuse(request, "node may only request 0 or 1 audiences");
    }
    const std::string audience = audiences.items().empty() ? "" : audiences.items()[0].text();
    for (const Value& volume : ItemsAt(pod, "spec.volumes").items()) {
      for (const Value& source : ItemsAt(volume, "projected.sources").items()) {
        const Value* token = source.Find("serviceAccountToken");
        if (token != nullptr && token->FindString("audience") == audience) return kube::Done{};
      }
    }
    return Refuse(request,
                  absl::StrCat("audience \"", audience, "\" not found in pod spec volume"));
  }

  static kube::Outcome OwnName(const AdmissionRequest& request, absl::string_view node,
                               absl::string_view what) {
    const absl::string_view name = request.operation == Operation::kCreate
                                       ? kube::Name(request.object)
                                       : absl::string_view(request.name);
    if (name == node) return kube::Done{};
    return Refuse(request, absl::StrCat("can only access ", what,
                                        " with the same name as the requesting node"));
  }

  WatchCache& cache_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewNodeRestriction(WatchCache& cache) {
  return std::make_unique<NodeRestriction>(cache);
}

}  // namespace meltemi::apiserver
