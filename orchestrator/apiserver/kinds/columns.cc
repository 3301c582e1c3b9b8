#include "orchestrator/apiserver/kinds/columns.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/age.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

class ListedColumns final : public TableColumns {
 public:
  ListedColumns(std::vector<TableColumn> columns, RowOf row_of)
      : columns_(std::move(columns)), row_of_(row_of) {}
  const std::vector<TableColumn>& columns() const override { return columns_; }
  std::vector<json::Value> Cells(const json::Value& object, int64_t now_s) const override {
    return row_of_(object, now_s);
  }

 private:
  const std::vector<TableColumn> columns_;
  const RowOf row_of_;
};

std::string MembersOfContainers(const json::Value& pod_template, absl::string_view key) {
  return absl::StrJoin(Items(Get(pod_template, "spec"), "containers"), ",",
                       [key](std::string* out, const json::Value& container) {
                         absl::StrAppend(out, Text(container, key));
                       });
}

}  // namespace

std::unique_ptr<const TableColumns> MakeColumns(std::vector<TableColumn> columns, RowOf row_of) {
  return std::make_unique<ListedColumns>(std::move(columns), row_of);
}

std::unique_ptr<const TableColumns> NameAndCreation() {
  TableColumn created = TextColumn("Created At", "When the object was created.");
  created.type = "date";
  return MakeColumns({NameColumn(), created}, [](const json::Value& object, int64_t now_s) {
    return std::vector<json::Value>{NameCell(object),
                                    TextCell(Text(Get(object, "metadata"), "creationTimestamp"))};
  });
}

TableColumn NameColumn() {
  return {.name = "Name",
          .type = "string",
          .format = "name",
          .description = "What the object is called; unique for its resource in its namespace."};
}

TableColumn TextColumn(absl::string_view name, absl::string_view description, int priority) {
  return {.name = std::string(name),
          .type = "string",
          .format = "",
          .description = std::string(description),
          .priority = priority};
}

TableColumn NumberColumn(absl::string_view name, absl::string_view description, int priority) {
  TableColumn column = TextColumn(name, description, priority);
  column.type = "integer";
  return column;
}

TableColumn AgeColumn() { return TextColumn("Age", "The time since the object was created."); }

json::Value TextCell(absl::string_view text) { return json::Value::String(std::string(text)); }

json::Value NameCell(const json::Value& object) {
  return TextCell(Text(Get(object, "metadata"), "name"));
}

json::Value AgeCell(const json::Value& object, int64_t now_s) {
  return TextCell(TimeSince(Text(Get(object, "metadata"), "creationTimestamp"), now_s));
}

std::string TimeSince(absl::string_view time, int64_t now_s) {
  constexpr int64_t kMicros = 1'000'000;
  const std::optional<int64_t> micros = kube::ParseTimeMicros(time);
  return micros.has_value() ? HumanDuration(now_s - *micros / kMicros) : "<unknown>";
}

std::string LabelsText(const json::Value& labels) {
  std::vector<std::string> pairs;
  for (const json::Member& label : labels.members()) {
    pairs.push_back(absl::StrCat(label.key, "=", label.value.text()));
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs.empty() ? "<none>" : absl::StrJoin(pairs, ",");
}

std::string SelectorText(const json::Value& selector) {
  if (selector.is_null()) return "<none>";
  const absl::StatusOr<kube::LabelSelector> parsed = kube::LabelSelector::FromJson(&selector);
  if (!parsed.ok()) return "<error>";
  return parsed->empty() ? "<none>" : parsed->ToString();
}

std::string ContainerNames(const json::Value& pod_template) {
  return MembersOfContainers(pod_template, "name");
}

std::string ContainerImages(const json::Value& pod_template) {
  return MembersOfContainers(pod_template, "image");
}

}  // namespace meltemi::apiserver
