#include "orchestrator/apiserver/patch/go_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/selector/quote.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

void AppendText(const Value& value, std::string* out) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      absl::StrAppend(out, "<nil>");
      return;
    case Value::Kind::kBool:
      absl::StrAppend(out, value.bool_value() ? "true" : "false");
      return;
    case Value::Kind::kNumber:
    case Value::Kind::kString:
      absl::StrAppend(out, value.text());
      return;
    case Value::Kind::kArray:
      absl::StrAppend(out, "[");
      for (size_t i = 0; i < value.items().size(); ++i) {
        if (i > 0) absl::StrAppend(out, " ");
        AppendText(value.items()[i], out);
      }
      absl::StrAppend(out, "]");
      return;
    case Value::Kind::kObject: {
      std::vector<const json::Member*> members;
      for (const json::Member& member : value.members()) members.push_back(&member);
      std::sort(members.begin(), members.end(),
                [](const json::Member* a, const json::Member* b) { return a->key < b->key; });
      absl::StrAppend(out, "map[");
      for (size_t i = 0; i < members.size(); ++i) {
        absl::StrAppend(out, i > 0 ? " " : "", members[i]->key, ":");
        AppendText(members[i]->value, out);
      }
      absl::StrAppend(out, "]");
      return;
    }
  }
}

}  // namespace

std::string GoValueText(const Value& value) {
  std::string out;
  AppendText(value, &out);
  return out;
}

absl::string_view GoTypeName(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "%!s(<nil>)";
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kNumber:
      return value.AsInt64().has_value() ? "int64" : "float64";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kArray:
      return "[]interface {}";
    case Value::Kind::kObject:
      return "map[string]interface {}";
  }
  return "";
}

absl::string_view GoJsonKind(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kNumber:
      return "number";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kArray:
      return "array";
    case Value::Kind::kObject:
      return "object";
  }
  return "";
}

std::string GoQuotedText(absl::string_view text) { return kube::GoQuoted(text); }

kube::Status PatchDoesNotApply(absl::string_view why) {
  kube::Status status = kube::GenericStatus(422, "");
  status.causes.push_back({"FieldValueInvalid", std::string(why), "patch"});
  return status;
}

}  // namespace meltemi::apiserver
