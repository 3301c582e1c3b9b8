// Claims of storage: the parts that other kinds use, and the kind itself.
#include "orchestrator/apiserver/kinds/claim.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/pod_update.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/volume.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;
using kube::Quantity;

constexpr size_t kDriverBytesMax = 63;
constexpr absl::string_view kClassAnnotation = "volume.beta.kubernetes.io/storage-class";

void ValidateDataSource(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  if (source.is_null()) return;
  for (const char* key : {"name", "kind"}) {
    if (Text(source, key).empty()) errors.push_back(kube::Required(path.Child(key)));
  }
  const absl::string_view group = Text(source, "apiGroup"), kind = Text(source, "kind");
  if (group.empty() && kind != "PersistentVolumeClaim") {
    errors.push_back(
        kube::InvalidField(path, kind,
                           "must be 'PersistentVolumeClaim' when referencing the default "
                           "apiGroup"));
  }
  if (!group.empty()) {
    AddInvalid(path.Child("apiGroup"), group, CheckDns1123Subdomain(group), errors);
  }
  const absl::string_view ns = Text(source, "namespace");
  if (!ns.empty()) AddInvalid(path.Child("namespace"), ns, NameIsDnsLabel(ns, false), errors);
}

void ValidateDataSources(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& source = Get(spec, "dataSource");
  const json::Value& reference = Get(spec, "dataSourceRef");
  ValidateDataSource(source, path.Child("dataSource"), errors);
  ValidateDataSource(reference, path.Child("dataSourceRef"), errors);
  if (source.is_null() || reference.is_null()) return;
  const std::string shown = path.Child("dataSource").text();
  if (!Text(reference, "namespace").empty()) {
    errors.push_back(
        kube::InvalidField(path, absl::string_view(shown),
                           "may not be specified when dataSourceRef.namespace is specified"));
  } else if (!Same(source, reference)) {
    errors.push_back(
        kube::InvalidField(path, absl::string_view(shown), "must match dataSourceRef"));
  }
}

// dataSource is the older name of dataSourceRef: each is taken from the other.
void NormalizeDataSources(json::Value& spec) {
  if (Has(spec, "dataSource") && !Has(spec, "dataSourceRef")) {
    spec.Set("dataSourceRef", json::Value(Get(spec, "dataSource")));
  } else if (Has(spec, "dataSourceRef") && !Has(spec, "dataSource") &&
             Text(Get(spec, "dataSourceRef"), "namespace").empty()) {
    const json::Value& reference = Get(spec, "dataSourceRef");
    const absl::string_view group = Text(reference, "apiGroup"), kind = Text(reference, "kind");
    const bool claim = group.empty() && kind == "PersistentVolumeClaim";
    const bool snapshot = group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot";
    if (claim || snapshot) spec.Set("dataSource", json::Value(reference));
  }
}

std::optional<Quantity> StorageOf(const json::Value& resources, absl::string_view part) {
  return Quantity::Parse(Get(resources, part, "storage").text());
}

void ValidateChange(const json::Value& old_claim, const json::Value& claim, FieldErrors& errors) {
  const json::Value& was = Get(old_claim, "spec");
  const json::Value& is = Get(claim, "spec");
  const bool bound = Text(Get(claim, "status"), "phase") == "Bound";
  json::Value munged = is;
  if (Text(was, "volumeName").empty()) munged.Remove("volumeName");
  // The default class may come later than the claim.
  if (!Has(was, "storageClassName") &&
      Get(old_claim, "metadata", "annotations").Find(kClassAnnotation) == nullptr) {
    munged.Remove("storageClassName");
  }
  json::Value* resources = MutableMember(munged, "resources");
  if (bound && resources != nullptr && Has(*resources, "requests")) {
    CopyMember(Get(was, "resources", "requests"), "storage", resources->MutableObject("requests"));
  }
  if (!Same(munged, was)) {
    errors.push_back(kube::ForbiddenField(
        FieldPath("spec"),
        absl::StrCat("spec is immutable after creation except resources.requests and "
                     "volumeAttributesClassName for bound claims\n",
                     Difference(was, munged))));
  }
  const auto old_size = StorageOf(Get(was, "resources"), "requests");
  const auto size = StorageOf(Get(is, "resources"), "requests");
  const auto capacity = Quantity::Parse(Get(old_claim, "status", "capacity", "storage").text());
  if (old_size.has_value() && size.has_value() && *size < *old_size &&
      size->Compare(capacity.value_or(Quantity())) <= 0) {
    errors.push_back(kube::ForbiddenField(
        FieldPath("spec").Child("resources").Child("requests").Child("storage"),
        "field can not be less than status.capacity"));
  }
  ValidateImmutable(Get(was, "volumeMode"), Get(is, "volumeMode"), FieldPath("volumeMode"), errors);
}

class Claims final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    DefaultClaimSpec(object.MutableObject("spec"));
  }
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    json::Value status = json::Value::Object();
    status.Add("phase", json::Value::String("Pending"));
    object.Set("status", std::move(status));
    if (json::Value* spec = MutableMember(object, "spec")) NormalizeDataSources(*spec);
  }
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (json::Value* spec = MutableMember(object, "spec")) NormalizeDataSources(*spec);
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateClaimSpec(Get(object, "spec"), FieldPath("spec"), errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      const FieldPath path = FieldPath("status").Child("capacity");
      for (const json::Member& entry : Members(Get(object, "status"), "capacity")) {
        ValidateQuantity(entry.key, entry.value, path.Key(entry.key), errors);
      }
      return errors;
    }
    errors = Validate(resource, object);
    ValidateChange(old_object, object, errors);
    return errors;
  }
};

}  // namespace

void ValidateAccessModes(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  static const auto& modes = *new std::vector<std::string>{"ReadOnlyMany", "ReadWriteMany",
                                                           "ReadWriteOnce", "ReadWriteOncePod"};
  const FieldPath at = path.Child("accessModes");
  bool once_pod = false, other = false;
  for (const json::Value& mode : Items(spec, "accessModes")) {
    const bool known = std::find(modes.begin(), modes.end(), mode.text()) != modes.end();
    if (!known) errors.push_back(kube::NotSupported(at, mode, modes));
    once_pod |= mode.text() == "ReadWriteOncePod";
    other |= known && mode.text() != "ReadWriteOncePod";
  }
  if (once_pod && other) {
    errors.push_back(
        kube::ForbiddenField(at, "may not use ReadWriteOncePod with other access modes"));
  }
}

void ValidateCsiDriverName(absl::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) errors.push_back(kube::Required(path));
  if (name.size() > kDriverBytesMax) errors.push_back(kube::TooLong(path, kDriverBytesMax));
  AddInvalid(path, name, CheckDns1123Subdomain(absl::AsciiStrToLower(name)), errors);
}

std::string AccessModesText(const json::Value& modes) {
  std::vector<std::string> texts;
  for (const auto& [mode, text] :
       {std::pair<absl::string_view, const char*>{"ReadWriteOnce", "RWO"},
        {"ReadOnlyMany", "ROX"},
        {"ReadWriteMany", "RWX"},
        {"ReadWriteOncePod", "RWOP"}}) {
    for (const json::Value& one : modes.items()) {
      if (one.text() != mode) continue;
      texts.push_back(text);
      break;
    }
  }
  return absl::StrJoin(texts, ",");
}

void ValidateClaimSpec(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  if (Items(spec, "accessModes").empty()) {
    errors.push_back(
        kube::Required(path.Child("accessModes"), "at least 1 access mode is required"));
  }
  ValidateLabelSelector(spec.Find("selector"), path.Child("selector"), errors);
  ValidateAccessModes(spec, path, errors);
  const FieldPath storage_path = path.Child("resources").Key("storage");
  const std::optional<Quantity> storage = StorageOf(Get(spec, "resources"), "requests");
  if (!storage.has_value()) {
    errors.push_back(kube::Required(storage_path));
  } else if (storage->Sign() <= 0) {
    errors.push_back(kube::InvalidField(storage_path, absl::string_view(storage->ToString()),
                                        "must be greater than zero"));
  }
  const absl::string_view storage_class = Text(spec, "storageClassName");
  if (!storage_class.empty()) {
    AddInvalid(path.Child("storageClassName"), storage_class,
               NameIsDnsSubdomain(storage_class, false), errors);
  }
  ValidateOneOf(spec, "volumeMode", path, {"Block", "Filesystem"}, false, errors);
  ValidateDataSources(spec, path, errors);
}

std::unique_ptr<const Strategy> ClaimStrategy() { return std::make_unique<Claims>(); }

std::unique_ptr<const TableColumns> ClaimColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Status", "Whether it has a volume."),
       TextColumn("Volume", "The volume that it has."),
       TextColumn("Capacity", "How much that volume holds."),
       TextColumn("Access Modes", "How that volume can be mounted."),
       TextColumn("StorageClass", "The class that its volume is made by."),
       TextColumn("VolumeAttributesClass", "The class of the volume's attributes."), AgeColumn(),
       TextColumn("VolumeMode", "A file system or a block device.", 1)},
      [](const json::Value& object, int64_t now_s) {
        const json::Value& spec = Get(object, "spec");
        const json::Value& status = Get(object, "status");
        const bool deleting = Has(Get(object, "metadata"), "deletionTimestamp");
        const absl::string_view volume = Text(spec, "volumeName");
        return std::vector<json::Value>{
            NameCell(object),
            TextCell(deleting ? "Terminating" : Text(status, "phase")),
            TextCell(volume),
            TextCell(volume.empty() ? "" : QuantityText(Get(status, "capacity", "storage"))),
            TextCell(volume.empty() ? "" : AccessModesText(Get(status, "accessModes"))),
            TextCell(StorageClassOf(object)),
            TextCell(TextOrUnset(spec, "volumeAttributesClassName")),
            AgeCell(object, now_s),
            TextCell(TextOrUnset(spec, "volumeMode"))};
      });
}

std::string StorageClassOf(const json::Value& object) {
  const json::Value* annotation = Get(object, "metadata", "annotations").Find(kClassAnnotation);
  if (annotation != nullptr) return annotation->text();
  return std::string(Text(Get(object, "spec"), "storageClassName"));
}

std::string TextOrUnset(const json::Value& object, absl::string_view key) {
  return Has(object, key) ? std::string(Text(object, key)) : "<unset>";
}

std::string QuantityText(const json::Value& quantity) {
  const std::optional<Quantity> parsed = Quantity::Parse(quantity.text());
  return parsed.has_value() ? parsed->ToString() : "0";
}

}  // namespace meltemi::apiserver
