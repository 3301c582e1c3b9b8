#include "orchestrator/apiserver/openapi/gnostic.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

// A message that is being written.
class Message {
 public:
  void Text(uint32_t field, absl::string_view text) {
    Tag(field, 2);
    Varint(text.size());
    bytes_.append(text.data(), text.size());
  }
  void Sub(uint32_t field, const Message& message) { Text(field, message.bytes_); }
  void Bool(uint32_t field, bool value) {
    if (!value) return;
    Tag(field, 0);
    Varint(1);
  }
  void Int(uint32_t field, int64_t value) {
    if (value == 0) return;
    Tag(field, 0);
    Varint(static_cast<uint64_t>(value));
  }
  void Double(uint32_t field, double value) {
    Tag(field, 1);
    char raw[sizeof(value)];
    std::memcpy(raw, &value, sizeof(value));  // little-endian, as everywhere that we run
    bytes_.append(raw, sizeof(raw));
  }
  std::string Take() { return std::move(bytes_); }

 private:
  void Tag(uint32_t field, uint32_t wire_type) { Varint(field << 3 | wire_type); }
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }

  std::string bytes_;
};

// A member of a JSON object and the field that holds it.
struct TextField {
  absl::string_view key;
  uint32_t field;
};

template <size_t n>
void Texts(const Value& value, const TextField (&fields)[n], Message& out) {
  for (const TextField& one : fields) {
    const absl::string_view text = value.FindString(one.key);
    if (!text.empty()) out.Text(one.field, text);
  }
}

void TextList(const Value& value, absl::string_view key, uint32_t field, Message& out) {
  const Value* list = value.Find(key);
  if (list == nullptr) return;
  for (const Value& item : list->items()) out.Text(field, item.text());
}

bool Flag(const Value& value, absl::string_view key) {
  const Value* flag = value.Find(key);
  return flag != nullptr && flag->is_bool() && flag->bool_value();
}

Message Any(const Value& value) {
  Message any;
  any.Text(2, absl::StrCat(json::ToString(value), "\n"));  // JSON is YAML
  return any;
}

void Extensions(const Value& value, uint32_t field, Message& out) {
  for (const Member& member : value.members()) {
    if (!absl::StartsWith(member.key, "x-")) continue;
    Message named;
    named.Text(1, member.key);
    named.Sub(2, Any(member.value));
    out.Sub(field, named);
  }
}

Message Schema(const Value& value);

Message NamedSchemas(const Value& object) {
  Message schemas;
  for (const Member& member : object.members()) {
    Message named;
    named.Text(1, member.key);
    named.Sub(2, Schema(member.value));
    schemas.Sub(1, named);
  }
  return schemas;
}

void Numbers(const Value& value, Message& out) {
  static constexpr TextField kDoubles[] = {{"multipleOf", 6}, {"maximum", 7}, {"minimum", 9}};
  for (const TextField& one : kDoubles) {
    const Value* number = value.Find(one.key);
    if (number != nullptr && number->is_number()) {
      out.Double(one.field, number->AsDouble().value_or(0));
    }
  }
  static constexpr TextField kInts[] = {{"maxLength", 11},     {"minLength", 12},
                                        {"maxItems", 14},      {"minItems", 15},
                                        {"maxProperties", 17}, {"minProperties", 18}};
  for (const TextField& one : kInts) {
    const Value* number = value.Find(one.key);
    if (number != nullptr) out.Int(one.field, number->AsInt64().value_or(0));
  }
  static constexpr TextField kFlags[] = {
      {"exclusiveMaximum", 8}, {"exclusiveMinimum", 10}, {"uniqueItems", 16}};
  for (const TextField& one : kFlags) out.Bool(one.field, Flag(value, one.key));
}

Message Schema(const Value& value) {
  Message out;
  static constexpr TextField kTexts[] = {
      {"$ref", 1}, {"format", 2}, {"title", 3}, {"description", 4}, {"pattern", 13}};
  Texts(value, kTexts, out);
  Numbers(value, out);
  TextList(value, "required", 19, out);
  if (const Value* values = value.Find("enum")) {
    for (const Value& one : values->items()) out.Sub(20, Any(one));
  }
  if (const Value* additional = value.Find("additionalProperties")) {
    Message item;
    if (additional->is_object()) {
      item.Sub(1, Schema(*additional));
    } else {
      item.Bool(2, additional->bool_value());
    }
    out.Sub(21, item);
  }
  const absl::string_view type = value.FindString("type");
  if (!type.empty()) {
    Message types;
    types.Text(1, type);
    out.Sub(22, types);
  }
  if (const Value* items = value.Find("items")) {
    Message list;
    list.Sub(1, Schema(*items));
    out.Sub(23, list);
  }
  if (const Value* properties = value.Find("properties")) out.Sub(25, NamedSchemas(*properties));
  Extensions(value, 31, out);
  return out;
}

// A ParametersItem.
Message ParameterOf(const Value& value) {
  Message parameter;
  if (value.FindString("in") == "body") {
    Message body;
    static constexpr TextField kTexts[] = {{"description", 1}, {"name", 2}, {"in", 3}};
    Texts(value, kTexts, body);
    body.Bool(4, Flag(value, "required"));
    if (const Value* schema = value.Find("schema")) body.Sub(5, Schema(*schema));
    parameter.Sub(1, body);
  } else {
    const bool in_path = value.FindString("in") == "path";
    Message plain, other;
    plain.Bool(1, Flag(value, "required"));
    static constexpr TextField kTexts[] = {{"in", 2}, {"description", 3}, {"name", 4}};
    Texts(value, kTexts, plain);
    plain.Text(in_path ? 5 : 6, value.FindString("type"));
    plain.Bool(in_path ? 19 : 20, Flag(value, "uniqueItems"));
    other.Sub(in_path ? 4 : 3, plain);
    parameter.Sub(2, other);
  }
  Message item;
  item.Sub(1, parameter);
  return item;
}

void Parameters(const Value& value, uint32_t field, Message& out) {
  const Value* list = value.Find("parameters");
  if (list == nullptr) return;
  for (const Value& parameter : list->items()) out.Sub(field, ParameterOf(parameter));
}

Message Responses(const Value& value) {
  Message responses;
  for (const Member& member : value.members()) {
    Message response, either, named;
    response.Text(1, member.value.FindString("description"));
    if (const Value* schema = member.value.Find("schema")) {
      Message item;
      item.Sub(1, Schema(*schema));
      response.Sub(2, item);
    }
    either.Sub(1, response);
    named.Text(1, member.key);
    named.Sub(2, either);
    responses.Sub(1, named);
  }
  return responses;
}

Message OperationOf(const Value& value) {
  Message out;
  static constexpr TextField kTexts[] = {{"description", 3}, {"operationId", 5}};
  Texts(value, kTexts, out);
  TextList(value, "produces", 6, out);
  TextList(value, "consumes", 7, out);
  Parameters(value, 8, out);
  if (const Value* responses = value.Find("responses")) out.Sub(9, Responses(*responses));
  Extensions(value, 13, out);
  return out;
}

Message Paths(const Value& paths) {
  Message out;
  static constexpr TextField kMethods[] = {
      {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  for (const Member& path : paths.members()) {
    Message item, named;
    for (const TextField& method : kMethods) {
      const Value* operation = path.value.Find(method.key);
      if (operation != nullptr) item.Sub(method.field, OperationOf(*operation));
    }
    Parameters(path.value, 9, item);
    named.Text(1, path.key);
    named.Sub(2, item);
    out.Sub(2, named);
  }
  return out;
}

}  // namespace

std::string EncodeGnosticV2(const Value& document) {
  Message out, info;
  out.Text(1, document.FindString("swagger"));
  if (const Value* about = document.Find("info")) {
    static constexpr TextField kTexts[] = {{"title", 1}, {"version", 2}};
    Texts(*about, kTexts, info);
  }
  out.Sub(2, info);
  if (const Value* paths = document.Find("paths")) out.Sub(8, Paths(*paths));
  if (const Value* definitions = document.Find("definitions")) {
    out.Sub(9, NamedSchemas(*definitions));
  }
  return out.Take();
}

}  // namespace meltemi::apiserver
