#include "orchestrator/apiserver/crd/custom_columns.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/jsonpath/jsonpath.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

Value NumberCell(const Value& value, bool integer) {
  if (!value.is_number()) return Value();
  if (!integer) return value;
  if (const auto whole = value.AsInt64()) return Value::Int(*whole);
  return Value::Int(static_cast<int64_t>(value.AsDouble().value_or(0)));
}

Value Cell(absl::string_view type, const Value& value, int64_t now_s) {
  if (type == "string") {
    if (value.is_string()) return value;
    if (value.is_null()) return Value::String("<nil>");
    return Value::String(json::ToString(value));
  }
  if (type == "integer") return NumberCell(value, true);
  if (type == "number") return NumberCell(value, false);
  if (type == "boolean") return value.is_bool() ? value : Value();
  if (type == "date" && value.is_string()) {
    if (!kube::ParseTimeMicros(value.text()).has_value()) return Value::String("<invalid>");
    return Value::String(TimeSince(value.text(), now_s));
  }
  return Value();
}

class CustomColumns final : public TableColumns {
 public:
  CustomColumns() { columns_.push_back(NameColumn()); }

  bool Add(TableColumn column, absl::string_view json_path) {
    absl::StatusOr<kube::JsonPath> path = kube::JsonPath::Compile(json_path);
    if (!path.ok()) return false;
    columns_.push_back(std::move(column));
    paths_.push_back(*std::move(path));
    return true;
  }

  const std::vector<TableColumn>& columns() const override { return columns_; }

  std::vector<Value> Cells(const Value& object, int64_t now_s) const override {
    std::vector<Value> cells = {NameCell(object)};
    for (size_t i = 0; i < paths_.size(); ++i) {
      const std::vector<const Value*> found = paths_[i].Find(object);
      cells.push_back(found.empty() ? Value() : Cell(columns_[i + 1].type, *found[0], now_s));
    }
    return cells;
  }

 private:
  std::vector<TableColumn> columns_;
  std::vector<kube::JsonPath> paths_;  // of all but the name
};

}  // namespace

std::unique_ptr<const TableColumns> NewCustomColumns(const Value* columns) {
  auto table = std::make_unique<CustomColumns>();
  if (columns == nullptr || columns->items().empty()) {
    TableColumn age = AgeColumn();
    age.type = "date";
    table->Add(std::move(age), ".metadata.creationTimestamp");
    return table;
  }
  for (const Value& column : columns->items()) {
    const absl::string_view path = Text(column, "jsonPath");
    TableColumn header;
    header.name = std::string(Text(column, "name"));
    header.type = std::string(Text(column, "type"));
    header.format = std::string(Text(column, "format"));
    header.description = std::string(Text(column, "description"));
    if (header.description.empty()) {
      header.description =
          absl::StrCat("Custom resource definition column (in JSONPath format): ", path);
    }
    header.priority = static_cast<int>(Int(column, "priority"));
    if (!table->Add(std::move(header), path)) break;
  }
  return table;
}

}  // namespace meltemi::apiserver
