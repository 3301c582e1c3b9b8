// Columns of what keeps pods running.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/workloads.h"

namespace meltemi::apiserver {
namespace {

using Row = std::vector<json::Value>;

TableColumn ContainersColumn(int priority = 1) {
  return TextColumn("Containers", "The names of the containers of its pods.", priority);
}
TableColumn ImagesColumn(int priority = 1) {
  return TextColumn("Images", "The images of these containers.", priority);
}
TableColumn SelectorColumn() { return TextColumn("Selector", "Which pods are its own.", 1); }

json::Value Count(const json::Value& object, absl::string_view part, absl::string_view key) {
  return json::Value::Int(Int(Get(object, part), key));
}

json::Value ReadyOf(const json::Value& object) {
  return TextCell(absl::StrCat(Int(Get(object, "status"), "readyReplicas"), "/",
                               Int(Get(object, "spec"), "replicas")));
}

const json::Value& TemplateOf(const json::Value& object) { return Get(object, "spec", "template"); }

std::string DeploymentSelectorText(const json::Value& object) {
  const json::Value& selector = Get(object, "spec", "selector");
  const auto parsed = kube::LabelSelector::FromJson(selector.is_null() ? nullptr : &selector);
  return parsed.ok() ? parsed->ToString() : "<invalid>";
}

Row ReplicaSetRow(const json::Value& object, int64_t now_s) {
  return {NameCell(object),
          Count(object, "spec", "replicas"),
          Count(object, "status", "replicas"),
          Count(object, "status", "readyReplicas"),
          AgeCell(object, now_s),
          TextCell(ContainerNames(TemplateOf(object))),
          TextCell(ContainerImages(TemplateOf(object))),
          TextCell(SelectorText(Get(object, "spec", "selector")))};
}

std::vector<TableColumn> ReplicaColumns() {
  return {NameColumn(),
          NumberColumn("Desired", "How many pods there should be."),
          NumberColumn("Current", "How many pods there are."),
          NumberColumn("Ready", "How many of these are ready."),
          AgeColumn(),
          ContainersColumn(),
          ImagesColumn(),
          SelectorColumn()};
}

// "deployment.apps/web", of the owner that controls the object.
std::string ControllerOf(const json::Value& object) {
  for (const json::Value& owner : Items(Get(object, "metadata"), "ownerReferences")) {
    if (!Bool(owner, "controller")) continue;
    const auto gvk = kube::GroupVersionKind::Of(Text(owner, "apiVersion"), Text(owner, "kind"));
    return absl::StrCat(absl::AsciiStrToLower(gvk.kind), gvk.group.empty() ? "" : ".", gvk.group,
                        "/", Text(owner, "name"));
  }
  return "<none>";
}

}  // namespace

std::unique_ptr<const TableColumns> DeploymentColumns() {
  return MakeColumns({NameColumn(), TextColumn("Ready", "How many of the wanted pods are ready."),
                      TextColumn("Up-to-date", "How many pods were made from the latest template."),
                      TextColumn("Available", "How many pods have been ready for long enough."),
                      AgeColumn(), ContainersColumn(), ImagesColumn(), SelectorColumn()},
                     [](const json::Value& object, int64_t now_s) {
                       return Row{NameCell(object),
                                  ReadyOf(object),
                                  Count(object, "status", "updatedReplicas"),
                                  Count(object, "status", "availableReplicas"),
                                  AgeCell(object, now_s),
                                  TextCell(ContainerNames(TemplateOf(object))),
                                  TextCell(ContainerImages(TemplateOf(object))),
                                  TextCell(DeploymentSelectorText(object))};
                     });
}

std::unique_ptr<const TableColumns> ReplicaSetColumns() {
  return MakeColumns(ReplicaColumns(), ReplicaSetRow);
}

std::unique_ptr<const TableColumns> ReplicationControllerColumns() {
  return MakeColumns(ReplicaColumns(), [](const json::Value& object, int64_t now_s) {
    Row row = ReplicaSetRow(object, now_s);
    row.back() = TextCell(LabelsText(Get(object, "spec", "selector")));
    return row;
  });
}

std::unique_ptr<const TableColumns> DaemonSetColumns() {
  return MakeColumns(
      {NameColumn(), NumberColumn("Desired", "How many nodes should run its pod."),
       NumberColumn("Current", "How many nodes run its pod and should."),
       NumberColumn("Ready", "How many of these pods are ready."),
       NumberColumn("Up-to-date", "How many pods were made from the latest template."),
       NumberColumn("Available", "How many pods have been ready for long enough."),
       TextColumn("Node Selector", "Labels of the nodes that are meant."), AgeColumn(),
       ContainersColumn(), ImagesColumn(), SelectorColumn()},
      [](const json::Value& object, int64_t now_s) {
        return Row{NameCell(object),
                   Count(object, "status", "desiredNumberScheduled"),
                   Count(object, "status", "currentNumberScheduled"),
                   Count(object, "status", "numberReady"),
                   Count(object, "status", "updatedNumberScheduled"),
                   Count(object, "status", "numberAvailable"),
                   TextCell(LabelsText(Get(TemplateOf(object), "spec", "nodeSelector"))),
                   AgeCell(object, now_s),
                   TextCell(ContainerNames(TemplateOf(object))),
                   TextCell(ContainerImages(TemplateOf(object))),
                   TextCell(SelectorText(Get(object, "spec", "selector")))};
      });
}

std::unique_ptr<const TableColumns> StatefulSetColumns() {
  return MakeColumns({NameColumn(), TextColumn("Ready", "How many of the wanted pods are ready."),
                      AgeColumn(), ContainersColumn(), ImagesColumn()},
                     [](const json::Value& object, int64_t now_s) {
                       return Row{NameCell(object), ReadyOf(object), AgeCell(object, now_s),
                                  TextCell(ContainerNames(TemplateOf(object))),
                                  TextCell(ContainerImages(TemplateOf(object)))};
                     });
}

std::unique_ptr<const TableColumns> ControllerRevisionColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Controller", "The object that it is a state of."),
       TextColumn("Revision", "Which state it is; later ones are larger."), AgeColumn()},
      [](const json::Value& object, int64_t now_s) {
        return Row{NameCell(object), TextCell(ControllerOf(object)),
                   json::Value::Int(Int(object, "revision")), AgeCell(object, now_s)};
      });
}

std::unique_ptr<const TableColumns> PodTemplateColumns() {
  return MakeColumns({NameColumn(), ContainersColumn(0), ImagesColumn(0),
                      TextColumn("Pod Labels", "The labels that its pods get.")},
                     [](const json::Value& object, int64_t now_s) {
                       const json::Value& pods = Get(object, "template");
                       return Row{NameCell(object), TextCell(ContainerNames(pods)),
                                  TextCell(ContainerImages(pods)),
                                  TextCell(LabelsText(Get(pods, "metadata", "labels")))};
                     });
}

}  // namespace meltemi::apiserver
