// Volumes of a pod spec, and where containers mount them.
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/claim.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr int64_t kModeMax = 0777;
constexpr int64_t kTokenSecondsMin = 600, kTokenSecondsMax = int64_t{1} << 32;

void RequireText(const json::Value& object, absl::string_view key, const FieldPath& path,
                 FieldErrors& errors) {
  if (Text(object, key).empty()) errors.push_back(kube::Required(path.Child(key)));
}

void ValidateMode(const json::Value& object, absl::string_view key, const FieldPath& path,
                  FieldErrors& errors) {
  const int64_t mode = Int(object, key);
  if (mode >= 0 && mode <= kModeMax) return;
  errors.push_back(kube::InvalidField(path.Child(key), mode,
                                      "must be a number between 0 and 0777 (octal), both "
                                      "inclusive"));
}

void ValidateFilePath(absl::string_view target, const FieldPath& path, FieldErrors& errors) {
  ValidateRelativePath(target, path, errors);
  if (absl::StartsWith(target, "..") && target != ".." && !absl::StartsWith(target, "../")) {
    errors.push_back(kube::InvalidField(path, target, "must not start with '..'"));
  }
}

void ValidateKeysToPaths(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& items = Items(source, "items");
  for (size_t i = 0; i < items.size(); ++i) {
    const FieldPath at = path.Child("items").Index(i);
    RequireText(items[i], "key", at, errors);
    RequireText(items[i], "path", at, errors);
    ValidateFilePath(Text(items[i], "path"), at.Child("path"), errors);
    ValidateMode(items[i], "mode", at, errors);
  }
}

void ValidateDownwardFile(const json::Value& file, const FieldPath& path, FieldErrors& errors) {
  RequireText(file, "path", path, errors);
  ValidateFilePath(Text(file, "path"), path.Child("path"), errors);
  if (Has(file, "fieldRef")) {
    ValidateFieldRef(Get(file, "fieldRef"), FieldRefUse::kVolume, path.Child("fieldRef"), errors);
    if (Has(file, "resourceFieldRef")) {
      errors.push_back(kube::InvalidField(path, absl::string_view("resource"),
                                          "fieldRef and resourceFieldRef can not be specified "
                                          "simultaneously"));
    }
  } else if (Has(file, "resourceFieldRef")) {
    ValidateResourceFieldRef(Get(file, "resourceFieldRef"), FieldRefUse::kVolume,
                             path.Child("resourceFieldRef"), errors);
  } else {
    errors.push_back(kube::Required(path, "one of fieldRef and resourceFieldRef is required"));
  }
  ValidateMode(file, "mode", path, errors);
}

using Paths = absl::flat_hash_set<absl::string_view>;

void TakePaths(const json::Value& source, absl::string_view shown, const FieldPath& path,
               Paths& taken, FieldErrors& errors) {
  for (const json::Value& item : Items(source, "items")) {
    const absl::string_view target = Text(item, "path");
    if (target.empty() || taken.insert(target).second) continue;
    errors.push_back(
        kube::InvalidField(path, shown.empty() ? target : shown, "conflicting duplicate paths"));
  }
}

void ValidateTokenProjection(const json::Value& token, const FieldPath& path,
                             const FieldPath& volume_path, FieldErrors& errors) {
  const int64_t seconds = Int(token, "expirationSeconds");
  if (seconds < kTokenSecondsMin) {
    errors.push_back(kube::InvalidField(path.Child("expirationSeconds"), seconds,
                                        "may not specify a duration less than 10 minutes"));
  }
  if (seconds > kTokenSecondsMax) {
    errors.push_back(kube::InvalidField(path.Child("expirationSeconds"), seconds,
                                        "may not specify a duration larger than 2^32 seconds"));
  }
  RequireText(token, "path", volume_path, errors);
  ValidateFilePath(Text(token, "path"), volume_path.Child("path"), errors);
}

void ValidateTrustBundle(const json::Value& bundle, const FieldPath& path, FieldErrors& errors) {
  const bool by_name = Has(bundle, "name"), by_signer = Has(bundle, "signerName");
  if (by_name && by_signer) {
    errors.push_back(
        kube::InvalidField(path, bundle, "only one of name and signerName may be used"));
  } else if (by_name && Has(bundle, "labelSelector")) {
    errors.push_back(kube::InvalidField(path.Child("labelSelector"), Get(bundle, "labelSelector"),
                                        "labelSelector must be unset if name is specified"));
  } else if (by_signer) {
    ValidateLabelSelector(bundle.Find("labelSelector"), path.Child("labelSelector"), errors);
  } else if (!by_name) {
    errors.push_back(kube::Required(path, "either name or signerName must be specified"));
  }
  RequireText(bundle, "path", path, errors);
  ValidateFilePath(Text(bundle, "path"), path.Child("path"), errors);
}

void ValidateProjected(const json::Value& projected, const FieldPath& path, FieldErrors& errors) {
  ValidateMode(projected, "defaultMode", path, errors);
  Paths taken;
  const std::vector<json::Value>& sources = Items(projected, "sources");
  for (size_t i = 0; i < sources.size(); ++i) {
    const json::Value& source = sources[i];
    const FieldPath at = path.Child("sources").Index(i);
    int count = 0;
    for (const char* key : {"secret", "configMap"}) {
      if (!Has(source, key)) continue;
      ++count;
      RequireText(Get(source, key), "name", at.Child(key), errors);
      ValidateKeysToPaths(Get(source, key), at.Child(key), errors);
      TakePaths(Get(source, key), Text(Get(source, key), "name"), path, taken, errors);
    }
    if (Has(source, "downwardAPI")) {
      ++count;
      for (const json::Value& file : Items(Get(source, "downwardAPI"), "items")) {
        ValidateDownwardFile(file, at.Child("downwardAPI"), errors);
      }
      TakePaths(Get(source, "downwardAPI"), "", path, taken, errors);
    }
    if (Has(source, "serviceAccountToken")) {
      ++count;
      ValidateTokenProjection(Get(source, "serviceAccountToken"), at.Child("serviceAccountToken"),
                              path, errors);
    }
    if (Has(source, "clusterTrustBundle")) {
      ++count;
      ValidateTrustBundle(Get(source, "clusterTrustBundle"), at.Child("clusterTrustBundle"),
                          errors);
    }
    if (count > 1) {
      errors.push_back(
          kube::ForbiddenField(at, "may not specify more than 1 volume type per source"));
    }
  }
}

void ValidateHostPath(const json::Value& host_path, const FieldPath& path, FieldErrors& errors) {
  if (Text(host_path, "path").empty()) {
    errors.push_back(kube::Required(path.Child("path")));
    return;
  }
  ValidatePathHasNoBacksteps(Text(host_path, "path"), path.Child("path"), errors);
  ValidateOneOf(host_path, "type", path,
                {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                 "FileOrCreate", "Socket"},
                false, errors);
}

void ValidateEphemeral(const json::Value& ephemeral, const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.Child("volumeClaimTemplate");
  if (!Has(ephemeral, "volumeClaimTemplate")) {
    errors.push_back(kube::Required(at));
    return;
  }
  const json::Value& claim = Get(ephemeral, "volumeClaimTemplate");
  const json::Value& metadata = Get(claim, "metadata");
  ValidateAnnotations(metadata.Find("annotations"), at.Child("metadata").Child("annotations"),
                      errors);
  ValidateLabels(metadata.Find("labels"), at.Child("metadata").Child("labels"), errors);
  for (const json::Member& member : metadata.members()) {
    if (member.key == "annotations" || member.key == "labels" || member.value.is_null()) continue;
    errors.push_back(kube::ForbiddenField(at.Child("metadata").Child(member.key), "cannot be set"));
  }
  ValidateClaimSpec(Get(claim, "spec"), at.Child("spec"), errors);
}

void ValidateNfs(const json::Value& nfs, const FieldPath& path, FieldErrors& errors) {
  RequireText(nfs, "server", path, errors);
  RequireText(nfs, "path", path, errors);
  if (!absl::StartsWith(Text(nfs, "path"), "/")) {
    errors.push_back(
        kube::InvalidField(path.Child("path"), Text(nfs, "path"), "must be an absolute path"));
  }
}

void ValidateCsi(const json::Value& csi, const FieldPath& path, FieldErrors& errors) {
  ValidateCsiDriverName(Text(csi, "driver"), path.Child("driver"), errors);
  if (!Has(csi, "nodePublishSecretRef")) return;
  const absl::string_view name = Text(Get(csi, "nodePublishSecretRef"), "name");
  if (name.empty()) {
    errors.push_back(kube::Required(path.Child("nodePublishSecretRef").Child("name")));
  } else {
    AddInvalid(path.Child("name"), name, NameIsDnsSubdomain(name, false), errors);
  }
}

void ValidateSourceOfType(absl::string_view type, const json::Value& source, const FieldPath& path,
                          FieldErrors& errors) {
  if (type == "hostPath") {
    ValidateHostPath(source, path, errors);
  } else if (type == "secret" || type == "configMap") {
    RequireText(source, type == "secret" ? "secretName" : "name", path, errors);
    ValidateMode(source, "defaultMode", path, errors);
    ValidateKeysToPaths(source, path, errors);
  } else if (type == "nfs") {
    ValidateNfs(source, path, errors);
  } else if (type == "persistentVolumeClaim") {
    RequireText(source, "claimName", path, errors);
  } else if (type == "downwardAPI") {
    ValidateMode(source, "defaultMode", path, errors);
    for (const json::Value& file : Items(source, "items")) {
      ValidateDownwardFile(file, path, errors);
    }
  } else if (type == "projected") {
    ValidateProjected(source, path, errors);
  } else if (type == "csi") {
    ValidateCsi(source, path, errors);
  } else if (type == "ephemeral") {
    ValidateEphemeral(source, path, errors);
  } else if (type == "emptyDir") {
    const std::optional<kube::Quantity> limit =
        kube::Quantity::Parse(Get(source, "sizeLimit").text());
    if (limit.has_value() && limit->Sign() < 0) {
      errors.push_back(kube::ForbiddenField(path.Child("sizeLimit"),
                                            "SizeLimit field must be a valid resource quantity"));
    }
  }
}

void ValidateSource(const json::Value& volume, const PodSpecOwner& owner, const FieldPath& path,
                    FieldErrors& errors) {
  int types = 0;
  for (const json::Member& member : volume.members()) {
    if (member.key == "name" || member.value.is_null()) continue;
    if (++types > 1) {
      errors.push_back(
          kube::ForbiddenField(path.Child(member.key), "may not specify more than 1 volume type"));
      continue;
    }
    ValidateSourceOfType(member.key, member.value, path.Child(member.key), errors);
  }
  if (types == 0) errors.push_back(kube::Required(path, "must specify a volume type"));
  const absl::string_view name = Text(volume, "name");
  if (!Has(volume, "ephemeral") || owner.pod_name.empty() || name.empty()) return;
  const std::string claim = absl::StrCat(owner.pod_name, "-", name);
  for (const std::string& complaint : NameIsDnsSubdomain(claim, false)) {
    errors.push_back(kube::InvalidField(path.Child("name"), name,
                                        absl::StrCat("PVC name ", GoText(claim), ": ", complaint)));
  }
}

void ValidateMountPropagation(const json::Value& mount, const json::Value& container,
                              const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.Child("mountPropagation");
  ValidateOneOf(mount, "mountPropagation", path, {"Bidirectional", "HostToContainer", "None"},
                false, errors);
  if (Text(mount, "mountPropagation") == "Bidirectional" &&
      !Bool(Get(container, "securityContext"), "privileged")) {
    errors.push_back(kube::ForbiddenField(
        at, "Bidirectional mount propagation is available only to privileged containers"));
  }
  const FieldPath rro_path = path.Child("recursiveReadOnly");
  const absl::string_view rro = Text(mount, "recursiveReadOnly");
  ValidateOneOf(mount, "recursiveReadOnly", path, {"Disabled", "Enabled", "IfPossible"}, false,
                errors);
  if (rro != "Enabled" && rro != "IfPossible") return;
  if (!Bool(mount, "readOnly")) {
    errors.push_back(kube::ForbiddenField(rro_path, "may only be specified when readOnly is true"));
  }
  const absl::string_view propagation = Text(mount, "mountPropagation");
  if (!propagation.empty() && propagation != "None") {
    errors.push_back(kube::ForbiddenField(
        rro_path, "may only be specified when mountPropagation is None or not specified"));
  }
}

struct Mounted {
  absl::flat_hash_set<absl::string_view> names, paths;
};

Mounted MountedOf(const json::Value& container, absl::string_view list, absl::string_view path) {
  Mounted mounted;
  for (const json::Value& item : Items(container, list)) {
    mounted.names.insert(Text(item, "name"));
    mounted.paths.insert(Text(item, path));
  }
  return mounted;
}

void ValidateMount(const json::Value& mount, const json::Value& container, const Mounted& devices,
                   const FieldPath& list_path, const FieldPath& path, const PodContext& context,
                   Paths& points, FieldErrors& errors) {
  const absl::string_view name = Text(mount, "name"), point = Text(mount, "mountPath");
  const FieldPath name_path = path.Child("name"), point_path = path.Child("mountPath");
  if (name.empty()) errors.push_back(kube::Required(name_path));
  if (!context.volumes.contains(name)) {
    errors.push_back(kube::FieldNotFound(name_path, json::Value::String(std::string(name))));
  }
  if (point.empty()) errors.push_back(kube::Required(point_path));
  if (!points.insert(point).second) {
    errors.push_back(kube::InvalidField(point_path, point, "must be unique"));
  }
  if (devices.names.contains(name)) {
    errors.push_back(
        kube::InvalidField(name_path, name, "must not already exist in volumeDevices"));
  }
  if (devices.paths.contains(point)) {
    errors.push_back(
        kube::InvalidField(point_path, point, "must not already exist as a path in volumeDevices"));
  }
  // Kubernetes leaves the index of the mount out of these paths.
  const absl::string_view sub = Text(mount, "subPath"), expression = Text(mount, "subPathExpr");
  if (!sub.empty()) ValidateRelativePath(sub, list_path.Child("subPath"), errors);
  if (!expression.empty()) {
    if (!sub.empty()) {
      errors.push_back(kube::InvalidField(path.Child("subPathExpr"), expression,
                                          "subPathExpr and subPath are mutually exclusive"));
    }
    ValidateRelativePath(expression, list_path.Child("subPathExpr"), errors);
  }
  ValidateMountPropagation(mount, container, list_path, errors);
}

void ValidateDevice(const json::Value& device, const Mounted& mounts, const FieldPath& path,
                    const PodContext& context, Mounted& seen, FieldErrors& errors) {
  const absl::string_view name = Text(device, "name"), target = Text(device, "devicePath");
  const FieldPath name_path = path.Child("name"), target_path = path.Child("devicePath");
  if (name.empty()) errors.push_back(kube::Required(name_path));
  if (!name.empty() && !seen.names.insert(name).second) {
    errors.push_back(kube::InvalidField(name_path, name, "must be unique"));
  }
  const auto volume = context.volumes.find(name);
  if (volume == context.volumes.end()) {
    errors.push_back(kube::FieldNotFound(name_path, json::Value::String(std::string(name))));
  } else if (!Has(*volume->second, "persistentVolumeClaim") && !Has(*volume->second, "ephemeral")) {
    errors.push_back(kube::InvalidField(name_path, name,
                                        "can only use volume source type of PersistentVolumeClaim "
                                        "or Ephemeral for block mode"));
  }
  if (target.empty()) errors.push_back(kube::Required(target_path));
  if (seen.paths.contains(target)) {
    errors.push_back(kube::InvalidField(target_path, target, "must be unique"));
  }
  FieldErrors backsteps;
  ValidatePathHasNoBacksteps(target, target_path, backsteps);
  if (!backsteps.empty()) {
    errors.push_back(kube::InvalidField(target_path, target, "can not contain backsteps ('..')"));
  } else {
    seen.paths.insert(target);
  }
  if (mounts.names.contains(name)) {
    errors.push_back(kube::InvalidField(name_path, name, "must not already exist in volumeMounts"));
  }
  if (mounts.paths.contains(target)) {
    errors.push_back(kube::InvalidField(target_path, target,
                                        "must not already exist as a path in volumeMounts"));
  }
}

}  // namespace

void ValidatePathHasNoBacksteps(absl::string_view target, const FieldPath& path,
                                FieldErrors& errors) {
  for (const absl::string_view part : absl::StrSplit(target, '/')) {
    if (part != "..") continue;
    errors.push_back(kube::InvalidField(path, target, "must not contain '..'"));
    return;
  }
}

void ValidateRelativePath(absl::string_view target, const FieldPath& path, FieldErrors& errors) {
  if (absl::StartsWith(target, "/")) {
    errors.push_back(kube::InvalidField(path, target, "must be a relative path"));
  }
  ValidatePathHasNoBacksteps(target, path, errors);
}

void ValidateVolumes(const json::Value& spec, const PodSpecOwner& owner, const FieldPath& path,
                     PodContext& context, FieldErrors& errors) {
  const std::vector<json::Value>& volumes = Items(spec, "volumes");
  for (size_t i = 0; i < volumes.size(); ++i) {
    const FieldPath at = path.Index(i);
    const size_t errors_before = errors.size();
    ValidateSource(volumes[i], owner, at, errors);
    const absl::string_view name = Text(volumes[i], "name");
    if (name.empty()) {
      errors.push_back(kube::Required(at.Child("name")));
    } else {
      AddInvalid(at.Child("name"), name, CheckDns1123Label(name), errors);
    }
    if (context.volumes.contains(name)) {
      errors.push_back(kube::DuplicateField(at.Child("name"), Get(volumes[i], "name")));
    }
    if (errors.size() == errors_before) context.volumes.emplace(name, &volumes[i]);
    const absl::string_view claim = Text(Get(volumes[i], "persistentVolumeClaim"), "claimName");
    if (claim.empty() || owner.pod_name.empty()) continue;
    for (const json::Value& other : volumes) {
      if (!Has(other, "ephemeral") ||
          claim != absl::StrCat(owner.pod_name, "-", Text(other, "name"))) {
        continue;
      }
      errors.push_back(
          kube::InvalidField(at.Child("persistentVolumeClaim").Child("claimName"), claim,
                             "must not reference a PVC that gets created for an ephemeral volume"));
    }
  }
}

void ValidateVolumeMounts(const json::Value& container, const FieldPath& path,
                          const PodContext& context, FieldErrors& errors) {
  const std::vector<json::Value>& mounts = Items(container, "volumeMounts");
  const std::vector<json::Value>& devices = Items(container, "volumeDevices");
  if (mounts.empty() && devices.empty()) return;
  const Mounted mounted = MountedOf(container, "volumeMounts", "mountPath");
  const Mounted mapped = MountedOf(container, "volumeDevices", "devicePath");
  Paths points;
  const FieldPath mounts_path = path.Child("volumeMounts");
  for (size_t i = 0; i < mounts.size(); ++i) {
    ValidateMount(mounts[i], container, mapped, mounts_path, mounts_path.Index(i), context, points,
                  errors);
  }
  Mounted seen;
  for (size_t i = 0; i < devices.size(); ++i) {
    ValidateDevice(devices[i], mounted, path.Child("volumeDevices").Index(i), context, seen,
                   errors);
  }
}

}  // namespace meltemi::apiserver
