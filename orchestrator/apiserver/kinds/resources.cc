// Requests and limits of containers and pods.
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;
using kube::Quantity;

constexpr absl::string_view kHugePages = "hugepages-";
constexpr absl::string_view kIntegers[] = {"pods",
                                           "resourcequotas",
                                           "services",
                                           "replicationcontrollers",
                                           "secrets",
                                           "configmaps",
                                           "persistentvolumeclaims",
                                           "services.nodeports",
                                           "services.loadbalancers"};
constexpr absl::string_view kStandard[] = {
    "cpu",          "memory",          "ephemeral-storage",
    "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu",   "limits.memory",   "limits.ephemeral-storage",
    "storage",      "requests.storage"};

template <size_t n>
bool Contains(const absl::string_view (&list)[n], absl::string_view text) {
  for (const absl::string_view entry : list) {
    if (entry == text) return true;
  }
  return false;
}

bool IsHugePages(absl::string_view resource) { return absl::StartsWith(resource, kHugePages); }

bool IsNative(absl::string_view resource) {
  return !absl::StrContains(resource, '/') || absl::StrContains(resource, "kubernetes.io/");
}

bool IsExtended(absl::string_view resource) {
  return !IsNative(resource) && !absl::StartsWith(resource, "requests.") &&
         CheckQualifiedName(absl::StrCat("requests.", resource)).empty();
}

bool IsOvercommitAllowed(absl::string_view resource) {
  return IsNative(resource) && !IsHugePages(resource);
}

std::string Canonical(const json::Value& quantity) {
  const std::optional<Quantity> parsed = Quantity::Parse(quantity.text());
  return parsed.has_value() ? parsed->ToString() : quantity.text();
}

void ValidateHugePages(absl::string_view resource, const json::Value& quantity,
                       const FieldPath& path, FieldErrors& errors) {
  const std::optional<Quantity> page = Quantity::Parse(resource.substr(kHugePages.size()));
  const std::optional<Quantity> value = Quantity::Parse(quantity.text());
  if (page.has_value() && page->Sign() > 0 && value.has_value() && page->Value() > 0 &&
      value->Value() % page->Value() == 0) {
    return;
  }
  const std::string text = Canonical(quantity);
  errors.push_back(
      kube::InvalidField(path, absl::string_view(text),
                         absl::StrCat(text, " is not positive integer multiple of ", resource)));
}

struct Seen {
  bool cpu_or_memory = false, huge_pages = false;
};

using CheckResource = void (*)(absl::string_view, const FieldPath&, FieldErrors&);

void ValidateEntry(const json::Member& entry, const FieldPath& path, CheckResource check,
                   Seen& seen, FieldErrors& errors) {
  check(entry.key, path, errors);
  ValidateQuantity(entry.key, entry.value, path, errors);
  if (IsHugePages(entry.key)) {
    seen.huge_pages = true;
    ValidateHugePages(entry.key, entry.value, path, errors);
  }
  seen.cpu_or_memory |= entry.key == "cpu" || entry.key == "memory";
}

void ValidateAgainstLimit(const json::Member& request, const json::Value& limits,
                          const FieldPath& path, FieldErrors& errors) {
  const FieldPath requests_path = path.Child("requests");
  const json::Value* limit = limits.Find(request.key);
  const bool overcommit = IsOvercommitAllowed(request.key);
  if (limit == nullptr) {
    if (!overcommit) {
      errors.push_back(kube::Required(path.Child("limits"),
                                      "Limit must be set for non overcommitable resources"));
    }
    return;
  }
  const std::optional<Quantity> asked = Quantity::Parse(request.value.text());
  const std::optional<Quantity> most = Quantity::Parse(limit->text());
  if (!asked.has_value() || !most.has_value()) return;
  const int compared = asked->Compare(*most);
  if (compared == 0 || (overcommit && compared < 0)) return;
  errors.push_back(kube::InvalidField(
      requests_path, absl::string_view(asked->ToString()),
      absl::StrCat(overcommit ? "must be less than or equal to " : "must be equal to ", request.key,
                   " limit of ", most->ToString())));
}

void ValidateRequirements(const json::Value& resources, const FieldPath& path, CheckResource check,
                          FieldErrors& errors) {
  Seen seen;
  for (const json::Member& limit : Members(resources, "limits")) {
    ValidateEntry(limit, path.Child("limits").Key(limit.key), check, seen, errors);
  }
  for (const json::Member& request : Members(resources, "requests")) {
    ValidateEntry(request, path.Child("requests").Key(request.key), check, seen, errors);
    ValidateAgainstLimit(request, Get(resources, "limits"), path, errors);
  }
  if (seen.huge_pages && !seen.cpu_or_memory) {
    errors.push_back(kube::ForbiddenField(path, "HugePages require cpu or memory"));
  }
}

void ValidateClaimNames(const json::Value& resources, const FieldPath& path,
                        const PodContext& context, FieldErrors& errors) {
  const std::vector<json::Value>& claims = Items(resources, "claims");
  std::set<std::string> seen;
  for (size_t i = 0; i < claims.size(); ++i) {
    const FieldPath at = path.Index(i);
    const absl::string_view name = Text(claims[i], "name"), request = Text(claims[i], "request");
    if (name.empty()) {
      errors.push_back(kube::Required(at));
      continue;
    }
    std::string key(name);
    if (!request.empty()) {
      AddInvalid(at.Child("request"), request, CheckDns1123Label(request), errors);
      absl::StrAppend(&key, "/", request);
    }
    if (seen.contains(std::string(name)) || !seen.insert(key).second) {
      errors.push_back(kube::DuplicateField(at, json::Value::String(key)));
    }
    if (context.claims.contains(name)) continue;
    kube::FieldError error = kube::FieldNotFound(at, Get(claims[i], "name"));
    error.detail = "must be one of the names in pod.spec.resourceClaims";
    if (context.claims.empty()) {
      error.detail += " which is empty";
    } else {
      const std::set<absl::string_view> sorted(context.claims.begin(), context.claims.end());
      absl::StrAppend(&error.detail, ": ", absl::StrJoin(sorted, ", "));
    }
    errors.push_back(std::move(error));
  }
}

void CheckPodLevelResource(absl::string_view resource, const FieldPath& path, FieldErrors& errors) {
  if (!ValidateResourceName(resource, path, errors)) return;
  if (resource == "cpu" || resource == "memory") return;
  errors.push_back(
      kube::NotSupported(path, json::Value::String(std::string(resource)), {"cpu", "memory"}));
}

}  // namespace

bool ValidateResourceName(absl::string_view resource, const FieldPath& path, FieldErrors& errors) {
  const Complaints complaints = CheckQualifiedName(resource);
  AddInvalid(path, resource, complaints, errors);
  if (!complaints.empty()) return false;
  if (absl::StrContains(resource, '/') || Contains(kStandard, resource) ||
      Contains(kIntegers, resource) || IsHugePages(resource) ||
      absl::StartsWith(resource, "requests.hugepages-")) {
    return true;
  }
  errors.push_back(
      kube::InvalidField(path, resource, "must be a standard resource type or fully qualified"));
  return false;
}

void ValidateContainerResourceName(absl::string_view resource, const FieldPath& path,
                                   FieldErrors& errors) {
  ValidateResourceName(resource, path, errors);
  if (!absl::StrContains(resource, '/')) {
    if (resource != "cpu" && resource != "memory" && resource != "ephemeral-storage" &&
        !IsHugePages(resource)) {
      errors.push_back(
          kube::InvalidField(path, resource, "must be a standard resource for containers"));
    }
  } else if (!IsNative(resource) && !IsExtended(resource)) {
    errors.push_back(
        kube::InvalidField(path, resource, "doesn't follow extended resource name standard"));
  }
}

void ValidateQuantity(absl::string_view resource, const json::Value& quantity,
                      const FieldPath& path, FieldErrors& errors) {
  const std::optional<Quantity> parsed = Quantity::Parse(quantity.text());
  if (!parsed.has_value()) return;  // the decoder has refused it
  if (parsed->Sign() < 0) {
    errors.push_back(kube::InvalidField(path, absl::string_view(parsed->ToString()),
                                        "must be greater than or equal to 0"));
  }
  const bool counted = Contains(kIntegers, resource) || IsExtended(resource);
  if (counted && parsed->MilliValue() % 1000 != 0) {
    errors.push_back(
        kube::InvalidField(path, absl::string_view(parsed->ToString()), "must be an integer"));
  }
}

void ValidateContainerResources(const json::Value& container, const FieldPath& path,
                                const PodContext& context, FieldErrors& errors) {
  const json::Value& resources = Get(container, "resources");
  ValidateRequirements(resources, path, ValidateContainerResourceName, errors);
  ValidateClaimNames(resources, path.Child("claims"), context, errors);
}

void ValidatePodLevelResources(const json::Value& spec, const FieldPath& path,
                               FieldErrors& errors) {
  if (Has(spec, "resources")) {
    const json::Value& resources = Get(spec, "resources");
    if (Has(resources, "claims")) {
      errors.push_back(kube::ForbiddenField(path.Child("resources").Child("claims"),
                                            "claims cannot be set for Resources at pod-level"));
    }
    ValidateRequirements(resources, path.Child("resources"), CheckPodLevelResource, errors);
  }
  if (Has(spec, "overhead")) {
    json::Value as_limits = json::Value::Object();
    as_limits.Set("limits", Get(spec, "overhead"));
    ValidateRequirements(as_limits, path.Child("overhead"), ValidateContainerResourceName, errors);
  }
}

}  // namespace meltemi::apiserver
