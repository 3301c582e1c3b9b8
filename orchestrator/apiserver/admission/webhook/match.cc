#include "orchestrator/apiserver/admission/webhook/match.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

bool HasOrAll(const std::vector<std::string>& list, absl::string_view text) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& item) { return item == "*" || item == text; });
}

bool IsNamespaces(const Resource& resource) {
  return resource.group.empty() && resource.plural == "namespaces";
}

bool MatchesScope(const HookRule& rule, const Resource& resource, const AdmissionRequest& request) {
  const bool cluster = IsNamespaces(resource) || request.ns.empty();
  if (rule.scope == "Namespaced") return !cluster;
  if (rule.scope == "Cluster") return cluster;
  return rule.scope == "*";
}

// "pods", "pods/status", "*", "*/scale", "pods/*", "*/*".
bool MatchesResource(const HookRule& rule, const Resource& resource,
                     const AdmissionRequest& request) {
  for (const std::string& pattern : rule.resources) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pattern, absl::MaxSplits('/', 1));
    if ((parts.first == "*" || parts.first == resource.plural) &&
        (parts.second == "*" || parts.second == request.subresource)) {
      return true;
    }
  }
  return false;
}

bool MatchesRule(const HookRule& rule, const Resource& resource, const AdmissionRequest& request) {
  return MatchesScope(rule, resource, request) &&
         HasOrAll(rule.operations, OperationName(request.operation)) &&
         HasOrAll(rule.groups, resource.group) && HasOrAll(rule.versions, resource.version) &&
         MatchesResource(rule, resource, request);
}

kube::StringPairs SortedLabels(const json::Value& object) {
  kube::StringPairs out = kube::Labels(object);
  std::sort(out.begin(), out.end());
  return out;
}

kube::Result<bool> MatchesNamespace(const Hook& hook, const AdmissionRequest& request,
                                    WatchCache& cache) {
  const bool of_namespace = IsNamespaces(*request.resource);
  if (request.ns.empty() && !of_namespace) return true;
  if (hook.namespace_selector.empty()) return true;
  const bool in_request =
      of_namespace && request.subresource.empty() &&
      (request.operation == Operation::kCreate || request.operation == Operation::kUpdate);
  // The cache may not know a namespace yet that is being written.
  if (in_request) return hook.namespace_selector.Matches(SortedLabels(request.object));
  const kube::GroupResource storage{"", "namespaces"};
  kube::Result<ObjectPtr> found = cache.Get(storage, "", request.ns, false);
  if (found.ok() && *found == nullptr) found = cache.Get(storage, "", request.ns, true);
  if (!found.ok()) return found.status();
  if (*found == nullptr) return kube::NotFound(storage, request.ns);
  return hook.namespace_selector.Matches((*found)->labels);
}

bool MatchesObject(const Hook& hook, const AdmissionRequest& request) {
  if (hook.object_selector.empty()) return true;
  const auto matches = [&](const json::Value& object) {
    return object.is_object() && hook.object_selector.Matches(SortedLabels(object));
  };
  return matches(request.object) || matches(request.old_object);
}

const Resource* MatchingResource(const Hook& hook, const AdmissionRequest& request,
                                 const Catalog& catalog) {
  for (const HookRule& rule : hook.rules) {
    if (MatchesRule(rule, *request.resource, request)) return request.resource;
  }
  if (!hook.equivalent || !request.resource->stored) return nullptr;
  // Other groups and versions of the same objects; earlier rules first.
  for (const HookRule& rule : hook.rules) {
    for (const GroupVersion& version : catalog.group_versions()) {
      for (const std::shared_ptr<const Resource>& other : version.resources) {
        if (other->storage == request.resource->storage && other.get() != request.resource &&
            MatchesRule(rule, *other, request)) {
          return other.get();
        }
      }
    }
  }
  return nullptr;
}

}  // namespace

kube::Result<std::optional<Invocation>> Match(const HookPtr& hook, const AdmissionRequest& request,
                                              const Catalog& catalog, WatchCache& cache) {
  // The cheap question first; what goes wrong with selectors only matters for hooks that apply.
  const Resource* resource = MatchingResource(*hook, request, catalog);
  if (resource == nullptr) return std::optional<Invocation>();
  if (!hook->selector_error.empty()) return kube::InternalError(hook->selector_error);
  if (!MatchesObject(*hook, request)) return std::optional<Invocation>();
  const kube::Result<bool> ns = MatchesNamespace(*hook, request, cache);
  if (!ns.ok()) return ns.status();
  if (!*ns) return std::optional<Invocation>();
  return std::optional<Invocation>(Invocation{hook, resource});
}

}  // namespace meltemi::apiserver
