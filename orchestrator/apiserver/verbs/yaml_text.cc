#include "orchestrator/apiserver/verbs/yaml_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/yaml/scalar.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// Whether the text means itself when it stands there without quotes.
bool IsPlain(const std::string& text) {
  if (text.empty() || !(absl::ascii_isalnum(static_cast<unsigned char>(text[0])) ||
                        text[0] == '/' || text[0] == '_' || text[0] == '.')) {
    return false;
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) return false;
  }
  if (absl::StrContains(text, ": ") || absl::StrContains(text, " #") || text.back() == ':' ||
      text.back() == ' ') {
    return false;
  }
  return yaml::ResolvePlainScalar(text).is_string();
}

void AppendText(const std::string& text, std::string* out) {
  if (IsPlain(text)) {
    absl::StrAppend(out, text);
    return;
  }
  // JSON's strings are YAML's double-quoted ones.
  absl::StrAppend(out, "\"");
  json::AppendEscaped(text, out);
  absl::StrAppend(out, "\"");
}

bool IsBlock(const Value& value) { return !value.items().empty() || !value.members().empty(); }

void AppendValue(const Value& value, size_t indent, std::string* out);

void AppendMembers(const Value& object, size_t indent, bool first_is_indented, std::string* out) {
  std::vector<const json::Member*> members;
  for (const json::Member& member : object.members()) members.push_back(&member);
  std::sort(members.begin(), members.end(),
            [](const json::Member* a, const json::Member* b) { return a->key < b->key; });
  for (const json::Member* member : members) {
    if (!first_is_indented) out->append(indent, ' ');
    first_is_indented = false;
    AppendText(member->key, out);
    absl::StrAppend(out, ":");
    const Value& value = member->value;
    if (!IsBlock(value)) {
      absl::StrAppend(out, " ");
      AppendValue(value, 0, out);
      absl::StrAppend(out, "\n");
      continue;
    }
    absl::StrAppend(out, "\n");
    // Lists stand under their key, not further in.
    AppendValue(value, value.is_array() ? indent : indent + 2, out);
  }
}

void AppendValue(const Value& value, size_t indent, std::string* out) {
  switch (value.kind()) {
    case Value::Kind::kString:
      AppendText(value.text(), out);
      return;
    case Value::Kind::kArray:
      if (value.items().empty()) absl::StrAppend(out, "[]");
      for (const Value& item : value.items()) {
        out->append(indent, ' ');
        absl::StrAppend(out, "- ");
        if (item.is_object() && IsBlock(item)) {
          AppendMembers(item, indent + 2, true, out);
        } else if (IsBlock(item)) {
          absl::StrAppend(out, json::ToString(item), "\n");
        } else {
          AppendValue(item, 0, out);
          absl::StrAppend(out, "\n");
        }
      }
      return;
    case Value::Kind::kObject:
      if (value.members().empty()) absl::StrAppend(out, "{}");
      AppendMembers(value, indent, false, out);
      return;
    default:
      absl::StrAppend(out, json::ToString(value));
  }
}

}  // namespace

std::string ToYaml(const Value& value) {
  std::string out;
  AppendValue(value, 0, &out);
  if (!absl::EndsWith(out, "\n")) absl::StrAppend(&out, "\n");
  return out;
}

}  // namespace meltemi::apiserver
