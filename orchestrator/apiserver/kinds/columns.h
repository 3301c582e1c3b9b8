// Columns of Tables, and the cells that many kinds share.
//
// Threads: functions without state; columns are immutable.
// Source: pkg/printers/internalversion of Kubernetes 1.32.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

// Fills the row of an object: one cell per column, in order.
using RowOf = std::vector<json::Value> (*)(const json::Value& object, int64_t now_s);

std::unique_ptr<const TableColumns> MakeColumns(std::vector<TableColumn> columns, RowOf row_of);

// Name and Created At: kinds without columns of their own.
std::unique_ptr<const TableColumns> NameAndCreation();

TableColumn NameColumn();
TableColumn TextColumn(absl::string_view name, absl::string_view description, int priority = 0);
TableColumn NumberColumn(absl::string_view name, absl::string_view description, int priority = 0);
TableColumn AgeColumn();

json::Value TextCell(absl::string_view text);
json::Value NameCell(const json::Value& object);
// The time since creation: "5m", "<unknown>" without one.
json::Value AgeCell(const json::Value& object, int64_t now_s);
// Since a metav1.Time; "<unknown>" where it is empty.
std::string TimeSince(absl::string_view time, int64_t now_s);

// "a=b,c=d", "<none>" when empty: metav1.FormatLabels.
std::string LabelsText(const json::Value& labels);
// metav1.LabelSelector as text: "app=web,tier in (a,b)"; "<none>" when empty.
std::string SelectorText(const json::Value& selector);
// "web,sidecar" and "nginx,envoy": the wide columns of everything that has a pod template.
std::string ContainerNames(const json::Value& pod_template);
std::string ContainerImages(const json::Value& pod_template);

}  // namespace meltemi::apiserver
