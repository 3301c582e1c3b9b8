#include "orchestrator/apiserver/kinds/volume.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/claim.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/pod_update.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;
using kube::Quantity;

// What can be behind a volume.
constexpr absl::string_view kSources[] = {"hostPath",
                                          "gcePersistentDisk",
                                          "awsElasticBlockStore",
                                          "glusterfs",
                                          "flocker",
                                          "nfs",
                                          "rbd",
                                          "quobyte",
                                          "cephfs",
                                          "iscsi",
                                          "cinder",
                                          "fc",
                                          "flexVolume",
                                          "azureFile",
                                          "vsphereVolume",
                                          "azureDisk",
                                          "photonPersistentDisk",
                                          "portworxVolume",
                                          "scaleIO",
                                          "local",
                                          "storageos",
                                          "csi"};

void ValidateCapacity(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& capacity = Get(spec, "capacity");
  if (capacity.members().empty()) errors.push_back(kube::Required(path));
  if (!Has(capacity, "storage") || capacity.members().size() > 1) {
    errors.push_back(kube::NotSupported(path, capacity, {"storage"}));
  }
  for (const json::Member& entry : capacity.members()) {
    const std::optional<Quantity> quantity = Quantity::Parse(entry.value.text());
    if (!quantity.has_value() || quantity->Sign() > 0) continue;
    errors.push_back(kube::InvalidField(
        path.Key(entry.key), absl::string_view(quantity->ToString()), "must be greater than zero"));
  }
}

void ValidateRequiredTexts(const json::Value& source, std::initializer_list<const char*> keys,
                           const FieldPath& path, FieldErrors& errors) {
  for (const char* key : keys) {
    if (Text(source, key).empty()) errors.push_back(kube::Required(path.Child(key)));
  }
}

void ValidateSource(absl::string_view type, const json::Value& source, const FieldPath& path,
                    FieldErrors& errors) {
  if (type == "hostPath") {
    ValidateRequiredTexts(source, {"path"}, path, errors);
    ValidatePathHasNoBacksteps(Text(source, "path"), path.Child("path"), errors);
    ValidateOneOf(source, "type", path,
                  {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                   "FileOrCreate", "Socket"},
                  false, errors);
  } else if (type == "nfs") {
    ValidateRequiredTexts(source, {"server", "path"}, path, errors);
    if (Text(source, "path").substr(0, 1) != "/") {
      errors.push_back(
          kube::InvalidField(path.Child("path"), Text(source, "path"), "must be an absolute path"));
    }
  } else if (type == "local") {
    ValidateRequiredTexts(source, {"path"}, path, errors);
    if (!Text(source, "path").empty()) {
      ValidatePathHasNoBacksteps(Text(source, "path"), path.Child("path"), errors);
    }
  } else if (type == "csi") {
    ValidateCsiDriverName(Text(source, "driver"), path.Child("driver"), errors);
    ValidateRequiredTexts(source, {"volumeHandle"}, path, errors);
  } else if (type == "iscsi") {
    ValidateRequiredTexts(source, {"targetPortal", "iqn"}, path, errors);
  }
}

void ValidateNodeAffinity(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& affinity = Get(spec, "nodeAffinity");
  if (affinity.is_null()) return;
  if (Has(affinity, "required")) {
    ValidateNodeSelector(Get(affinity, "required"), path.Child("required"), errors, true);
  } else {
    errors.push_back(
        kube::Required(path.Child("required"), "must specify required node constraints"));
  }
}

FieldErrors ValidateVolume(const json::Value& volume) {
  FieldErrors errors;
  const FieldPath path("spec");
  const json::Value& spec = Get(volume, "spec");
  if (Items(spec, "accessModes").empty()) {
    errors.push_back(kube::Required(path.Child("accessModes")));
  }
  ValidateAccessModes(spec, path, errors);
  ValidateCapacity(spec, path.Child("capacity"), errors);
  ValidateOneOf(spec, "persistentVolumeReclaimPolicy", path, {"Delete", "Recycle", "Retain"}, false,
                errors);
  ValidateNodeAffinity(spec, path.Child("nodeAffinity"), errors);
  int sources = 0;
  for (const absl::string_view type : kSources) {
    if (!Has(spec, type)) continue;
    if (++sources > 1) {
      errors.push_back(
          kube::ForbiddenField(path.Child(type), "may not specify more than 1 volume type"));
      continue;
    }
    ValidateSource(type, Get(spec, type), path.Child(type), errors);
  }
  if (Has(spec, "local") && !Has(spec, "nodeAffinity")) {
    errors.push_back(
        kube::Required(path.Child("nodeAffinity"), "Local volume requires node affinity"));
  }
  if (sources == 0) errors.push_back(kube::Required(path, "must specify a volume type"));
  if (Text(Get(spec, "hostPath"), "path") == "/" &&
      Text(spec, "persistentVolumeReclaimPolicy") == "Recycle") {
    errors.push_back(kube::ForbiddenField(path.Child("persistentVolumeReclaimPolicy"),
                                          "may not be 'recycle' for a hostPath mount of '/'"));
  }
  const absl::string_view storage_class = Text(spec, "storageClassName");
  if (!storage_class.empty()) {
    AddInvalid(path.Child("storageClassName"), storage_class,
               NameIsDnsSubdomain(storage_class, false), errors);
  }
  ValidateOneOf(spec, "volumeMode", path, {"Block", "Filesystem"}, false, errors);
  return errors;
}

json::Value SourcesOf(const json::Value& spec) {
  json::Value sources = json::Value::Object();
  for (const absl::string_view type : kSources) {
    if (Has(spec, type)) sources.Set(type, Get(spec, type));
  }
  return sources;
}

class Volumes final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    SetDefault(*spec, "persistentVolumeReclaimPolicy", "Retain");
    SetDefault(*spec, "volumeMode", "Filesystem");
    if (json::Value* host_path = MutableMember(*spec, "hostPath")) {
      SetDefault(*host_path, "type", "");
    }
  }
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    json::Value status = json::Value::Object();
    status.Add("phase", json::Value::String("Pending"));
    object.Set("status", std::move(status));
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    return ValidateVolume(object);
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    if (scope == Scope::kStatus) return {};
    FieldErrors errors = ValidateVolume(object);
    const json::Value& was = Get(old_object, "spec");
    const json::Value& is = Get(object, "spec");
    const json::Value old_sources = SourcesOf(was), sources = SourcesOf(is);
    if (!Same(old_sources, sources)) {
      errors.push_back(kube::ForbiddenField(
          FieldPath("spec").Child("persistentvolumesource"),
          absl::StrCat("spec.persistentvolumesource is immutable after creation\n",
                       Difference(old_sources, sources))));
    }
    ValidateImmutable(Get(was, "volumeMode"), Get(is, "volumeMode"), FieldPath("volumeMode"),
                      errors);
    if (Has(was, "nodeAffinity")) {
      ValidateImmutable(Get(was, "nodeAffinity"), Get(is, "nodeAffinity"),
                        FieldPath("nodeAffinity"), errors);
    }
    return errors;
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"name", std::string(Text(Get(object, "metadata"), "name"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"name"}; }
};

}  // namespace

std::unique_ptr<const Strategy> VolumeStrategy() { return std::make_unique<Volumes>(); }

std::unique_ptr<const TableColumns> VolumeColumns() {
  return MakeColumns({NameColumn(), TextColumn("Capacity", "How much it holds."),
                      TextColumn("Access Modes", "How it can be mounted."),
                      TextColumn("Reclaim Policy", "What becomes of it when its claim is gone."),
                      TextColumn("Status", "Whether it is free or claimed."),
                      TextColumn("Claim", "The claim that has it."),
                      TextColumn("StorageClass", "The class that it belongs to."),
                      TextColumn("VolumeAttributesClass", "The class of its attributes."),
                      TextColumn("Reason", "Why it is in its state."), AgeColumn(),
                      TextColumn("VolumeMode", "A file system or a block device.", 1)},
                     [](const json::Value& object, int64_t now_s) {
                       const json::Value& spec = Get(object, "spec");
                       const json::Value& status = Get(object, "status");
                       const json::Value& claim = Get(spec, "claimRef");
                       const bool deleting = Has(Get(object, "metadata"), "deletionTimestamp");
                       return std::vector<json::Value>{
                           NameCell(object),
                           TextCell(QuantityText(Get(spec, "capacity", "storage"))),
                           TextCell(AccessModesText(Get(spec, "accessModes"))),
                           TextCell(Text(spec, "persistentVolumeReclaimPolicy")),
                           TextCell(deleting ? "Terminating" : Text(status, "phase")),
                           TextCell(claim.is_null() ? ""
                                                    : absl::StrCat(Text(claim, "namespace"), "/",
                                                                   Text(claim, "name"))),
                           TextCell(StorageClassOf(object)),
                           TextCell(TextOrUnset(spec, "volumeAttributesClassName")),
                           TextCell(Text(status, "reason")),
                           AgeCell(object, now_s),
                           TextCell(TextOrUnset(spec, "volumeMode"))};
                     });
}

}  // namespace meltemi::apiserver
