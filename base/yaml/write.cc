#include "base/yaml/write.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/json/write.h"
#include "base/yaml/scalar.h"

namespace meltemi::yaml {
namespace {

using json::Value;

// Whether a text may stand without quotes: nothing in it means something to YAML.
bool IsPlain(absl::string_view text) {
  if (text.empty() || !ResolvePlainScalar(text).is_string()) return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) return false;
  }
  const bool option = text.size() > 2 && text[0] == '-' && text[1] == '-' && text[2] != '-';
  if (!option && absl::StrContains("-?:,[]{}#&*!|>'\"%@`= ", text.front())) return false;
  return !absl::StrContains(": ", text.back()) && !absl::StrContains(text, ": ") &&
         !absl::StrContains(text, " #");
}

// Whether it may stand as a block of lines: it ends with one break and has nothing that a block
// could not hold.
bool IsBlock(absl::string_view text) {
  if (!absl::StrContains(text, '\n') || text.back() != '\n' || text.front() == ' ' ||
      text.front() == '\n' || absl::EndsWith(text, "\n\n")) {
    return false;
  }
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // The breaks and marks beyond ASCII that YAML has are left to JSON's escapes.
    if ((byte < 0x20 && c != '\n') || byte >= 0x7f) return false;
  }
  return true;
}

std::string Scalar(const Value& value) {
  if (value.is_string()) return IsPlain(value.text()) ? value.text() : json::ToString(value);
  return json::ToString(value);  // numbers, booleans, null; empty lists and objects
}

bool IsNested(const Value& value) {
  return (value.is_object() && !value.members().empty()) ||
         (value.is_array() && !value.items().empty());
}

void Write(const Value& value, size_t indent, bool after_dash, std::string* out);

// What follows "key:" or "-".
void WriteAfter(const Value& value, size_t indent, std::string* out) {
  if (value.is_string() && IsBlock(value.text())) {
    *out += " |\n";
    for (absl::string_view line :
         absl::StrSplit(absl::string_view(value.text()).substr(0, value.text().size() - 1), '\n')) {
      if (!line.empty()) {
        out->append(indent, ' ');
        out->append(line.data(), line.size());
      }
      *out += "\n";
    }
    return;
  }
  *out += " ";
  *out += Scalar(value);
  *out += "\n";
}

void WriteObject(const Value& value, size_t indent, bool after_dash, std::string* out) {
  bool first = after_dash;
  for (const json::Member& member : value.members()) {
    if (!first) out->append(indent, ' ');
    first = false;
    *out += Scalar(Value::String(member.key));
    *out += ":";
    if (!IsNested(member.value)) {
      WriteAfter(member.value, indent + 2, out);
      continue;
    }
    *out += "\n";
    // Lists stand below their key without further indentation, as kubectl prints them.
    Write(member.value, member.value.is_array() ? indent : indent + 2, false, out);
  }
}

void WriteArray(const Value& value, size_t indent, bool after_dash, std::string* out) {
  bool first = after_dash;
  for (const Value& item : value.items()) {
    if (!first) out->append(indent, ' ');
    first = false;
    *out += "-";
    if (!IsNested(item)) {
      WriteAfter(item, indent + 2, out);
      continue;
    }
    *out += " ";
    Write(item, indent + 2, true, out);
  }
}

void Write(const Value& value, size_t indent, bool after_dash, std::string* out) {
  if (value.is_object()) return WriteObject(value, indent, after_dash, out);
  WriteArray(value, indent, after_dash, out);
}

}  // namespace

std::string ToYaml(const Value& value) {
  std::string out;
  if (IsNested(value)) {
    Write(value, 0, false, &out);
  } else {
    out = Scalar(value) + "\n";
  }
  return out;
}

}  // namespace meltemi::yaml
