// Security contexts of pods and containers.
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kSysctlBytesMax = 253, kProfileBytesMax = 4095;

// RuntimeDefault, Unconfined or Localhost with a profile: seccomp and AppArmor look the same.
void ValidateSeccomp(const json::Value& context, const FieldPath& parent, FieldErrors& errors) {
  if (!Has(context, "seccompProfile")) return;
  const json::Value& profile = Get(context, "seccompProfile");
  const FieldPath path = parent.Child("seccompProfile"), at = path.Child("localhostProfile");
  const absl::string_view type = Text(profile, "type");
  if (type.empty()) {
    errors.push_back(
        kube::Required(path.Child("type"), "type is required when seccompProfile is set"));
  } else {
    ValidateOneOf(profile, "type", path, {"Localhost", "RuntimeDefault", "Unconfined"}, true,
                  errors);
  }
  if (type == "Localhost") {
    if (!Has(profile, "localhostProfile")) {
      errors.push_back(kube::Required(at, "must be set when seccomp type is Localhost"));
    } else {
      ValidateRelativePath(Text(profile, "localhostProfile"), at, errors);
    }
  } else if (Has(profile, "localhostProfile")) {
    errors.push_back(
        kube::InvalidField(at, profile, "can only be set when seccomp type is Localhost"));
  }
}

void ValidateAppArmor(const json::Value& context, const FieldPath& parent, FieldErrors& errors) {
  if (!Has(context, "appArmorProfile")) return;
  const json::Value& profile = Get(context, "appArmorProfile");
  const FieldPath path = parent.Child("appArmorProfile"), at = path.Child("localhostProfile");
  const absl::string_view type = Text(profile, "type"), local = Text(profile, "localhostProfile");
  if (type == "Localhost") {
    if (absl::StripAsciiWhitespace(local) != local) {
      errors.push_back(kube::InvalidField(at, local, "must not be padded with whitespace"));
    } else if (local.empty()) {
      errors.push_back(kube::Required(at, "must be set when AppArmor type is Localhost"));
    }
    if (local.size() > kProfileBytesMax) errors.push_back(kube::TooLong(at, kProfileBytesMax));
  } else if (type.empty()) {
    errors.push_back(
        kube::Required(path.Child("type"), "type is required when appArmorProfile is set"));
  } else {
    ValidateOneOf(profile, "type", path, {"Localhost", "RuntimeDefault", "Unconfined"}, true,
                  errors);
    if (Has(profile, "localhostProfile")) {
      errors.push_back(
          kube::InvalidField(at, local, "can only be set when AppArmor type is Localhost"));
    }
  }
}

void ValidateId(const json::Value& context, absl::string_view key, const FieldPath& path,
                FieldErrors& errors) {
  const std::optional<int64_t> id = OptionalInt(context, key);
  if (id.has_value()) AddInvalid(path.Child(key), *id, CheckUserId(*id), errors);
}

bool IsSysctlName(absl::string_view name) {
  if (name.size() > kSysctlBytesMax) return false;
  for (const absl::string_view part : absl::StrSplit(name, absl::ByAnyChar("./"))) {
    if (part.empty() || part.front() == '-' || part.front() == '_' || part.back() == '-' ||
        part.back() == '_') {
      return false;
    }
    for (const char c : part) {
      if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-' && c != '_') return false;
    }
  }
  return true;
}

void ValidateSysctls(const json::Value& context, const FieldPath& path, FieldErrors& errors) {
  absl::flat_hash_set<absl::string_view> names;
  const std::vector<json::Value>& sysctls = Items(context, "sysctls");
  for (size_t i = 0; i < sysctls.size(); ++i) {
    const FieldPath at = path.Index(i).Child("name");
    const absl::string_view name = Text(sysctls[i], "name");
    if (name.empty()) {
      errors.push_back(kube::Required(at));
    } else if (!IsSysctlName(name)) {
      errors.push_back(kube::InvalidField(
          at, name,
          "must have at most 253 characters and match regex "
          R"(^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$)"));
    } else if (!names.insert(name).second) {
      errors.push_back(kube::DuplicateField(at, Get(sysctls[i], "name")));
    }
  }
}

}  // namespace

void ValidatePodSecurityContext(const json::Value& spec, const FieldPath& path,
                                FieldErrors& errors) {
  const json::Value& context = Get(spec, "securityContext");
  if (context.is_null()) return;
  for (const char* key : {"fsGroup", "runAsUser", "runAsGroup"}) {
    ValidateId(context, key, path, errors);
  }
  const std::vector<json::Value>& groups = Items(context, "supplementalGroups");
  for (size_t i = 0; i < groups.size(); ++i) {
    const int64_t group = groups[i].AsInt64().value_or(-1);
    AddInvalid(path.Child("supplementalGroups").Index(i), group, CheckGroupId(group), errors);
  }
  if (Bool(spec, "hostPID") && Bool(spec, "shareProcessNamespace")) {
    errors.push_back(kube::InvalidField(path.Child("shareProcessNamespace"),
                                        json::Value::Bool(true),
                                        "ShareProcessNamespace and HostPID cannot both be "
                                        "enabled"));
  }
  ValidateSysctls(context, path.Child("sysctls"), errors);
  ValidateOneOf(context, "fsGroupChangePolicy", path, {"Always", "OnRootMismatch"}, false, errors);
  ValidateSeccomp(context, path, errors);
  ValidateAppArmor(context, path, errors);
  ValidateOneOf(context, "supplementalGroupsPolicy", path, {"Merge", "Strict"}, false, errors);
  ValidateOneOf(context, "seLinuxChangePolicy", path, {"MountOption", "Recursive"}, false, errors);
}

void ValidateSecurityContext(const json::Value& container, const FieldPath& path,
                             const PodContext& pod, FieldErrors& errors) {
  const json::Value& context = Get(container, "securityContext");
  if (context.is_null()) return;
  ValidateId(context, "runAsUser", path, errors);
  ValidateId(context, "runAsGroup", path, errors);
  ValidateOneOf(context, "procMount", path, {"Default", "Unmasked"}, false, errors);
  if (pod.host_users && Text(context, "procMount") == "Unmasked") {
    errors.push_back(kube::InvalidField(path.Child("procMount"), Get(context, "procMount"),
                                        "`hostUsers` must be false to use `Unmasked`"));
  }
  ValidateSeccomp(context, path, errors);
  if (!Bool(context, "allowPrivilegeEscalation", true)) {
    if (Bool(context, "privileged")) {
      errors.push_back(kube::InvalidField(
          path, context,
          "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
    for (const json::Value& capability : Items(Get(context, "capabilities"), "add")) {
      if (capability.text() != "CAP_SYS_ADMIN") continue;
      errors.push_back(kube::InvalidField(path, context,
                                          "cannot set `allowPrivilegeEscalation` to false and "
                                          "`capabilities.Add` CAP_SYS_ADMIN"));
    }
  }
  ValidateAppArmor(context, path, errors);
}

}  // namespace meltemi::apiserver
