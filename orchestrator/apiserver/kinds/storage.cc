// The group "storage.k8s.io".
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr char kGroup[] = "storage.k8s.io";
constexpr size_t kParametersMax = 512;
constexpr size_t kParameterBytesMax = 256 * 1024;

void ValidateParameters(const json::Value& object, FieldErrors& errors) {
  const FieldPath path("parameters");
  const auto& parameters = Members(object, "parameters");
  if (parameters.size() > kParametersMax) {
    errors.push_back(kube::TooLong(path, kParametersMax));
    return;
  }
  size_t bytes = 0;
  for (const json::Member& parameter : parameters) {
    if (parameter.key.empty()) {
      errors.push_back(kube::InvalidField(path, "", "field can not be empty."));
    }
    bytes += parameter.key.size() + parameter.value.text().size();
  }
  if (bytes > kParameterBytesMax) errors.push_back(kube::TooLong(path, kParameterBytesMax));
}

using Topology = std::map<std::string, std::set<std::string>>;

Topology ValidateTopology(const json::Value& term, const FieldPath& path, FieldErrors& errors) {
  Topology topology;
  const auto& requirements = Items(term, "matchLabelExpressions");
  for (size_t i = 0; i < requirements.size(); ++i) {
    const FieldPath at = path.Child("matchLabelExpressions").Index(i);
    const absl::string_view key = Text(requirements[i], "key");
    const auto& values = Items(requirements[i], "values");
    std::set<std::string> seen;
    if (values.empty()) errors.push_back(kube::Required(at.Child("values")));
    for (size_t j = 0; j < values.size(); ++j) {
      if (seen.insert(values[j].text()).second) continue;
      errors.push_back(kube::DuplicateField(at.Child("values").Index(j), values[j]));
    }
    AddInvalid(at.Child("key"), key, CheckQualifiedName(key), errors);
    if (topology.count(std::string(key)) > 0) {
      errors.push_back(kube::DuplicateField(at.Child("key"), TextCell(key)));
    }
    topology[std::string(key)] = std::move(seen);
  }
  return topology;
}

void ValidateTopologies(const json::Value& object, FieldErrors& errors) {
  const FieldPath path("allowedTopologies");
  std::set<Topology> known;
  const auto& terms = Items(object, "allowedTopologies");
  for (size_t i = 0; i < terms.size(); ++i) {
    if (known.insert(ValidateTopology(terms[i], path.Index(i), errors)).second) continue;
    errors.push_back(
        kube::DuplicateField(path.Index(i).Child("matchLabelExpressions"), TextCell("")));
  }
}

class StorageClassStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    SetDefault(object, "reclaimPolicy", "Delete");
    SetDefault(object, "volumeBindingMode", "Immediate");
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const std::string provisioner = absl::AsciiStrToLower(Text(object, "provisioner"));
    if (provisioner.empty()) {
      errors.push_back(kube::Required(FieldPath("provisioner")));
    } else {
      AddInvalid(FieldPath("provisioner"), provisioner, CheckQualifiedName(provisioner), errors);
    }
    ValidateParameters(object, errors);
    ValidateOneOf(object, "reclaimPolicy", FieldPath(), {"Delete", "Retain"}, false, errors);
    ValidateBindingMode(object, errors);
    ValidateTopologies(object, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors = Validate(resource, object);
    for (const char* key : {"parameters", "provisioner", "reclaimPolicy"}) {
      if (SameMember(old_object, object, key)) continue;
      errors.push_back(kube::ForbiddenField(FieldPath(key),
                                            absl::StrCat("updates to ", key, " are forbidden.")));
    }
    ValidateImmutable(Get(old_object, "volumeBindingMode"), Get(object, "volumeBindingMode"),
                      FieldPath("volumeBindingMode"), errors);
    return errors;
  }

 private:
  static void ValidateBindingMode(const json::Value& object, FieldErrors& errors) {
    const absl::string_view mode = Text(object, "volumeBindingMode");
    if (mode == "Immediate" || mode == "WaitForFirstConsumer") return;
    errors.push_back(kube::NotSupported(FieldPath("volumeBindingMode"), TextCell(mode),
                                        {"Immediate", "WaitForFirstConsumer"}));
  }
};

class CsiDriverStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    SetDefault(*spec, "attachRequired", json::Value::Bool(true));
    for (const char* key : {"podInfoOnMount", "storageCapacity", "requiresRepublish"}) {
      SetDefault(*spec, key, json::Value::Bool(false));
    }
    SetDefault(*spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if (Items(*spec, "volumeLifecycleModes").empty()) {
      spec->Set("volumeLifecycleModes", json::Value::Array())
          .Append(json::Value::String("Persistent"));
    }
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
};

TableColumn BooleanColumn(absl::string_view name, absl::string_view description) {
  TableColumn column = TextColumn(name, description);
  column.type = "boolean";
  return column;
}

bool IsDefaultClass(const json::Value& object) {
  for (const char* key : {"storageclass.kubernetes.io/is-default-class",
                          "storageclass.beta.kubernetes.io/is-default-class"}) {
    if (kube::Annotation(object, key) == "true") return true;
  }
  return false;
}

std::vector<json::Value> StorageClassRow(const json::Value& object, int64_t now_s) {
  const auto text = [&](absl::string_view key, absl::string_view otherwise) {
    return TextCell(Has(object, key) ? Text(object, key) : otherwise);
  };
  return {TextCell(absl::StrCat(kube::Name(object), IsDefaultClass(object) ? " (default)" : "")),
          TextCell(Text(object, "provisioner")),
          text("reclaimPolicy", "Delete"),
          text("volumeBindingMode", "Immediate"),
          json::Value::Bool(Bool(object, "allowVolumeExpansion")),
          AgeCell(object, now_s)};
}

std::unique_ptr<const TableColumns> StorageClassColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Provisioner", "Who makes volumes."),
       TextColumn("ReclaimPolicy", "What happens to a volume when its claim is gone."),
       TextColumn("VolumeBindingMode", "When volumes are made."),
       TextColumn("AllowVolumeExpansion", "Whether volumes can grow."), AgeColumn()},
      StorageClassRow);
}

std::string JoinedTexts(const json::Value& list, absl::string_view key = "") {
  return absl::StrJoin(list.items(), ",", [key](std::string* out, const json::Value& item) {
    absl::StrAppend(out, key.empty() ? absl::string_view(item.text()) : Text(item, key));
  });
}

std::vector<json::Value> CsiDriverRow(const json::Value& driver, int64_t now_s) {
  const json::Value& spec = Get(driver, "spec");
  const std::string modes = JoinedTexts(Get(spec, "volumeLifecycleModes"));
  return {NameCell(driver),
          json::Value::Bool(Bool(spec, "attachRequired", true)),
          json::Value::Bool(Bool(spec, "podInfoOnMount")),
          json::Value::Bool(Bool(spec, "storageCapacity")),
          TextCell(Has(spec, "tokenRequests") ? JoinedTexts(Get(spec, "tokenRequests"), "audience")
                                              : "<unset>"),
          json::Value::Bool(Bool(spec, "requiresRepublish")),
          TextCell(modes.empty() ? "<none>" : modes),
          AgeCell(driver, now_s)};
}

std::unique_ptr<const TableColumns> CsiDriverColumns() {
  return MakeColumns(
      {NameColumn(),
       BooleanColumn("AttachRequired", "Whether volumes are attached before they are mounted."),
       BooleanColumn("PodInfoOnMount", "Whether it is told about the pod at mounting."),
       BooleanColumn("StorageCapacity", "Whether pods are placed where it has room."),
       TextColumn("TokenRequests", "For whom it needs tokens."),
       BooleanColumn("RequiresRepublish", "Whether it is called now and then."),
       TextColumn("Modes", "What kinds of volumes it has."), AgeColumn()},
      CsiDriverRow);
}

std::unique_ptr<const TableColumns> CsiNodeColumns() {
  return MakeColumns(
      {NameColumn(), NumberColumn("Drivers", "How many drivers it has."), AgeColumn()},
      [](const json::Value& node, int64_t now_s) {
        const size_t drivers = Items(Get(node, "spec"), "drivers").size();
        return std::vector<json::Value>{
            NameCell(node), json::Value::Int(static_cast<int64_t>(drivers)), AgeCell(node, now_s)};
      });
}

std::unique_ptr<const TableColumns> AttachmentColumns() {
  return MakeColumns({NameColumn(), TextColumn("Attacher", "The driver that does it."),
                      TextColumn("PV", "The volume."), TextColumn("Node", "The node."),
                      BooleanColumn("Attached", "Whether it is attached."), AgeColumn()},
                     [](const json::Value& object, int64_t now_s) {
                       const json::Value& spec = Get(object, "spec");
                       return std::vector<json::Value>{
                           NameCell(object),
                           TextCell(Text(spec, "attacher")),
                           TextCell(Text(Get(spec, "source"), "persistentVolumeName")),
                           TextCell(Text(spec, "nodeName")),
                           json::Value::Bool(Bool(Get(object, "status"), "attached")),
                           AgeCell(object, now_s)};
                     });
}

std::unique_ptr<const TableColumns> CapacityColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("StorageClassName", "The storage class that it is for."),
       TextColumn("Capacity", "How much room there is.")},
      [](const json::Value& object, int64_t now_s) {
        return std::vector<json::Value>{
            NameCell(object), TextCell(Text(object, "storageClassName")),
            TextCell(Has(object, "capacity") ? Text(object, "capacity") : "<unset>")};
      });
}

}  // namespace

void AddStorage(KindTable& table) {
  table.Add(kGroup, "storageclasses", std::make_unique<StorageClassStrategy>(),
            StorageClassColumns());
  table.Add(kGroup, "csidrivers", std::make_unique<CsiDriverStrategy>(), CsiDriverColumns());
  table.Add(kGroup, "csinodes", nullptr, CsiNodeColumns());
  table.Add(kGroup, "volumeattachments", nullptr, AttachmentColumns());
  table.Add(kGroup, "csistoragecapacities", nullptr, CapacityColumns());
}

}  // namespace meltemi::apiserver
