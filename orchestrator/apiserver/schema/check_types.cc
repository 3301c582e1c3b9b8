#include <limits>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/object/object.h"
#include "kube/quantity/quantity.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

constexpr absl::string_view kQuantityError =
    "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

absl::string_view LastPart(absl::string_view type_name) {
  const size_t dot = type_name.rfind('.');
  return dot == absl::string_view::npos ? type_name : type_name.substr(dot + 1);
}

bool IsMicroTime(const Schema& schema) { return LastPart(schema.type_name) == "MicroTime"; }

// The name of the Go type that Kubernetes has for it.
std::string GoType(const Schema& schema) {
  switch (schema.type) {
    case SchemaType::kObject: {
      if (schema.type_name.empty()) {
        return absl::StrCat("map[string]",
                            schema.values == nullptr ? "interface {}" : GoType(*schema.values));
      }
      const std::vector<absl::string_view> parts = absl::StrSplit(schema.type_name, '.');
      if (parts.size() < 2) return schema.type_name;
      return absl::StrCat(parts[parts.size() - 2], ".", parts.back());
    }
    case SchemaType::kArray:
      return absl::StrCat("[]", schema.items == nullptr ? "interface {}" : GoType(*schema.items));
    case SchemaType::kString:
      return schema.format == "byte" ? "[]uint8" : "string";
    case SchemaType::kInteger:
      return schema.format == "int32" || schema.format == "int64" ? schema.format : "int";
    case SchemaType::kNumber:
      return "float64";
    case SchemaType::kBoolean:
      return "bool";
    case SchemaType::kIntOrString:
      return "intstr.IntOrString";
    case SchemaType::kAny:
      break;
  }
  return "runtime.RawExtension";
}

absl::string_view Word(const Value& value) {
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
      break;
  }
  return "object";
}

// The offset of the first byte that Go's base64.StdEncoding refuses.
std::optional<size_t> WrongBase64(absl::string_view text) {
  std::string decoded;
  size_t offset = 0, quantum = 0;
  for (; offset < text.size(); ++offset) {
    const char c = text[offset];
    if (c == '\n' || c == '\r') continue;
    if (c == '=') break;
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '+' && c != '/') return offset;
    ++quantum;
  }
  if (quantum % 4 == 1) return offset;
  const size_t padding = quantum % 4 == 0 ? 0 : 4 - quantum % 4;
  for (size_t i = 0; i < padding; ++i, ++offset) {
    if (offset >= text.size() || text[offset] != '=') return offset;
  }
  while (offset < text.size() && (text[offset] == '\n' || text[offset] == '\r')) ++offset;
  return offset < text.size() ? std::optional<size_t>(offset) : std::nullopt;
}

// Go's words for a text that is no RFC 3339 time: the first element of the layout that fails.
std::string TimeError(absl::string_view text, absl::string_view layout) {
  struct Element {
    absl::string_view name;
    int digits;  // 0: literal
  };
  static constexpr Element kElements[] = {{"2006", 4}, {"-", 0}, {"01", 2}, {"-", 0},
                                          {"02", 2},   {"T", 0}, {"15", 2}, {":", 0},
                                          {"04", 2},   {":", 0}, {"05", 2}};
  absl::string_view rest = text;
  const auto fail = [&](absl::string_view element) {
    return absl::StrCat("parsing time ", kube::GoQuote(text), " as ", kube::GoQuote(layout),
                        ": cannot parse ", kube::GoQuote(rest), " as ", kube::GoQuote(element));
  };
  for (const Element& element : kElements) {
    if (element.digits == 0) {
      if (!absl::StartsWith(rest, element.name)) return fail(element.name);
      rest.remove_prefix(element.name.size());
      continue;
    }
    const auto size = static_cast<size_t>(element.digits);
    if (rest.size() < size) return fail(element.name);
    for (const char c : rest.substr(0, size)) {
      if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return fail(element.name);
    }
    rest.remove_prefix(size);
  }
  if (absl::StartsWith(rest, ".")) {
    rest.remove_prefix(1);
    while (!rest.empty() && absl::ascii_isdigit(static_cast<unsigned char>(rest[0]))) {
      rest.remove_prefix(1);
    }
  }
  const bool has_zone = rest == "Z" || (rest.size() == 6 && (rest[0] == '+' || rest[0] == '-'));
  if (!has_zone) return fail("Z07:00");
  return absl::StrCat("parsing time ", kube::GoQuote(text), ": value out of range");
}

class TypeChecker {
 public:
  // False at the first error.
  bool Walk(const Schema& schema, const Value& value) {
    if (value.is_null()) return true;
    if (schema.keywords != nullptr) return WalkCustom(schema, value);
    switch (schema.type) {
      case SchemaType::kAny:
        return true;
      case SchemaType::kObject:
        return value.is_object() ? WalkObject(schema, value) : Mismatch(schema, Word(value));
      case SchemaType::kArray:
        return value.is_array() ? WalkArray(schema, value) : Mismatch(schema, Word(value));
      case SchemaType::kString:
        return WalkString(schema, value);
      case SchemaType::kInteger:
        return WalkInteger(schema, value);
      case SchemaType::kNumber:
        return value.is_number() || Mismatch(schema, Word(value));
      case SchemaType::kBoolean:
        return value.is_bool() || Mismatch(schema, Word(value));
      case SchemaType::kIntOrString:
        return WalkIntOrString(value);
    }
    return true;
  }

  std::string TakeError() { return std::move(error_); }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  bool Mismatch(const Schema& schema, absl::string_view word) {
    if (struct_.empty()) return MismatchedValue(word, GoType(schema));
    return Fail(absl::StrCat("json: cannot unmarshal ", word, " into Go struct field ", struct_,
                             ".", fields_, " of type ", GoType(schema)));
  }
  // From within a type that decodes itself.
  bool MismatchedValue(absl::string_view word, absl::string_view go_type) {
    return Fail(absl::StrCat("json: cannot unmarshal ", word, " into Go value of type ", go_type));
  }

  // Of custom resources the metadata alone is decoded into structs.
  bool WalkCustom(const Schema& schema, const Value& value) {
    if (value.is_array() && schema.items != nullptr) {
      for (const Value& item : value.items()) {
        if (!Walk(*schema.items, item)) return false;
      }
    }
    if (!value.is_object()) return true;
    for (const Member& member : value.members()) {
      const Property* property = schema.Find(member.key);
      const Schema* child = property != nullptr ? property->schema : schema.values;
      if (child != nullptr && !Walk(*child, member.value)) return false;
    }
    return true;
  }

  bool WalkObject(const Schema& schema, const Value& value) {
    const absl::string_view outer = struct_;
    const size_t fields_size = fields_.size();
    for (const Member& member : value.members()) {
      const Property* property = schema.Find(member.key);
      if (property != nullptr) {
        struct_ = LastPart(schema.type_name);
        absl::StrAppend(&fields_, fields_.empty() ? "" : ".", member.key);
        if (!Walk(*property->schema, member.value)) return false;
        fields_.resize(fields_size);
        struct_ = outer;
      } else if (schema.values != nullptr && !Walk(*schema.values, member.value)) {
        return false;
      }
    }
    return true;
  }

  bool WalkArray(const Schema& schema, const Value& value) {
    if (schema.items == nullptr) return true;
    for (const Value& item : value.items()) {
      if (!Walk(*schema.items, item)) return false;
    }
    return true;
  }

  bool WalkString(const Schema& schema, const Value& value) {
    if (schema.format == "quantity") {
      const bool scalar = value.is_string() || value.is_number();
      return (scalar && kube::Quantity::Parse(value.text()).has_value()) ||
             Fail(std::string(kQuantityError));
    }
    if (schema.format == "date-time") {
      if (!value.is_string()) return MismatchedValue(Word(value), "string");
      if (kube::ParseTimeMicros(value.text()).has_value()) return true;
      return Fail(TimeError(value.text(), IsMicroTime(schema) ? "2006-01-02T15:04:05.000000Z07:00"
                                                              : "2006-01-02T15:04:05Z07:00"));
    }
    if (!value.is_string()) return Mismatch(schema, Word(value));
    if (schema.format == "byte") {
      if (const auto offset = WrongBase64(value.text())) {
        return Fail(absl::StrCat("illegal base64 data at input byte ", *offset));
      }
    }
    return true;
  }

  static bool FitsInt(const Value& number, bool is_int32) {
    int64_t wide;
    if (!IsIntLiteral(number) || !absl::SimpleAtoi(number.text(), &wide)) return false;
    return !is_int32 || (wide >= std::numeric_limits<int32_t>::min() &&
                         wide <= std::numeric_limits<int32_t>::max());
  }

  bool WalkInteger(const Schema& schema, const Value& value) {
    if (!value.is_number()) return Mismatch(schema, Word(value));
    return FitsInt(value, schema.format == "int32") ||
           Mismatch(schema, absl::StrCat("number ", value.text()));
  }

  bool WalkIntOrString(const Value& value) {
    if (value.is_string()) return true;
    if (!value.is_number()) return MismatchedValue(Word(value), "int32");
    return FitsInt(value, true) || MismatchedValue(absl::StrCat("number ", value.text()), "int32");
  }

  absl::string_view struct_;  // the innermost
  std::string fields_;        // the path from the root
  std::string error_;
};

}  // namespace

std::string CheckTypes(const Schema& schema, const Value& object) {
  TypeChecker checker;
  checker.Walk(schema, object);
  return checker.TakeError();
}

}  // namespace meltemi::apiserver
