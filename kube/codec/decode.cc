#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <limits>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/protojson/duration.h"
#include "kube/codec/codec.h"
#include "kube/codec/maps.h"
#include "kube/codec/scanner.h"
#include "kube/codec/tables.h"
#include "kube/object/object.h"

namespace meltemi::kube {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::MapKey;
using google::protobuf::MapValueRef;
using google::protobuf::Message;
using google::protobuf::Reflection;

// One text. Whatever gives false has failed: `what_` says why, and each level that is left adds its
// segment to the path.
class Decoder {
 public:
  Decoder(absl::string_view text, const DecodeLimits& limits) : in_(text), limits_(limits) {}

  bool Object(const CodecTable& table, Message* message, int depth);
  bool List(absl::FunctionRef<Message*()> new_item, ListHead* head);
  bool AtEnd() { return in_.AtEnd() || Fail("the end was expected"); }
  absl::Status Error() const;

 private:
  bool Fail(absl::string_view what) {
    if (what_.empty()) what_ = std::string(what);
    return false;
  }
  bool Within(absl::string_view segment);
  bool NotJson() { return Fail(absl::StrCat("no JSON at byte ", in_.offset())); }
  bool Skip(int depth) { return in_.TakeAny(limits_.depth_max - depth, nullptr) || NotJson(); }
  // `each` gets the key, with the cursor at the value.
  template <typename Each>
  bool Members(int depth, Each each);
  template <typename Each>
  bool Items(int depth, Each each);

  bool Member(const CodecTable& table, absl::string_view key, size_t* expected, Message* message,
              int depth);
  bool Value(const CodecField& field, Message* message, int depth);
  bool Map(const CodecField& field, Message* message, int depth);
  bool MapEntry(const CodecField& field, absl::string_view key, Message* message, int depth);
  bool Form(const CodecTable& table, Message* message, int depth);
  bool IntOrString(const CodecTable& table, Message* message);
  bool Time(const CodecTable& table, Message* message);
  bool GoDuration(const CodecTable& table, Message* message);
  bool Quantity(const CodecTable& table, Message* message);
  bool RawJson(const CodecTable& table, Message* message, int depth);

  bool String(std::string* out) { return in_.TakeString(out) || Fail("a string was expected"); }
  bool Bytes(std::string* out);
  bool Bool(bool* out);
  bool Int(int64_t min, int64_t max, int64_t* out);
  bool Double(double* out);
  bool ListMeta(ListHead* head);

  JsonScanner in_;
  const DecodeLimits& limits_;
  std::string what_, path_;
  std::string scratch_;  // of keys with escapes
};

absl::Status Decoder::Error() const {
  return absl::InvalidArgumentError(path_.empty() ? what_ : absl::StrCat(path_, ": ", what_));
}

bool Decoder::Within(absl::string_view segment) {
  const bool dot = !path_.empty() && path_[0] != '[';
  path_ = absl::StrCat(segment, dot ? "." : "", path_);
  return false;
}

template <typename Each>
bool Decoder::Members(int depth, Each each) {
  if (!in_.Take('{')) return Fail("an object was expected");
  if (depth >= limits_.depth_max) return Fail("too many levels");
  if (in_.Take('}')) return true;
  do {
    absl::string_view key;
    if (!in_.TakeKey(&scratch_, &key)) return NotJson();
    if (!each(key)) return false;
  } while (in_.Take(','));
  return in_.Take('}') || NotJson();
}

template <typename Each>
bool Decoder::Items(int depth, Each each) {
  if (!in_.Take('[')) return Fail("a list was expected");
  if (depth >= limits_.depth_max) return Fail("too many levels");
  if (in_.Take(']')) return true;
  size_t index = 0;
  do {
    if (!each()) return Within(absl::StrCat("[", index, "]"));
    ++index;
  } while (in_.Take(','));
  return in_.Take(']') || NotJson();
}

bool Decoder::Object(const CodecTable& table, Message* message, int depth) {
  if (table.form != CodecForm::kObject) return Form(table, message, depth);
  size_t expected = 0;
  return Members(depth, [&](absl::string_view key) {
    return Member(table, key, &expected, message, depth + 1);
  });
}

// Members mostly come in the order of the last ones: `expected` is tried before the hash table.
bool Decoder::Member(const CodecTable& table, absl::string_view key, size_t* expected,
                     Message* message, int depth) {
  size_t at = *expected;
  if (at >= table.targets.size() || table.targets[at].field->name != key) {
    const auto found = table.by_name.find(key);
    if (found == table.by_name.end()) return Skip(depth);
    at = found->second;
  }
  *expected = at + 1;
  const CodecTable::Target& target = table.targets[at];
  const CodecField& field = *target.field;
  if (field.managed_fields && !limits_.keep_managed_fields) return Skip(depth);
  if (in_.Peek() == 'n') return in_.TakeWord("null") || NotJson();
  for (const FieldDescriptor* within : target.within) {
    message = message->GetReflection()->MutableMessage(message, within);
  }
  const Reflection& reflection = *message->GetReflection();
  bool ok;
  if (field.map) {
    if (MapFields::Size(*message, field.field) != 0) reflection.ClearField(message, field.field);
    ok = Map(field, message, depth);
  } else if (field.repeated) {
    // A second member of that name takes the place of the first.
    if (reflection.FieldSize(*message, field.field) != 0) {
      reflection.ClearField(message, field.field);
    }
    ok = Items(depth, [&] { return Value(field, message, depth + 1); });
  } else {
    if (field.kind == CodecKind::kMessage && reflection.HasField(*message, field.field)) {
      reflection.ClearField(message, field.field);
    }
    ok = Value(field, message, depth);
  }
  return ok || Within(field.name);
}

// A value of its own, or an item that is added.
bool Decoder::Value(const CodecField& field, Message* message, int depth) {
  const Reflection& r = *message->GetReflection();
  const FieldDescriptor* const f = field.field;
  switch (field.kind) {
    case CodecKind::kMessage:
      return Object(*field.table,
                    field.repeated ? r.AddMessage(message, f) : r.MutableMessage(message, f),
                    depth);
    case CodecKind::kString:
    case CodecKind::kBytes: {
      std::string text;
      if (field.kind == CodecKind::kString ? !String(&text) : !Bytes(&text)) return false;
      field.repeated ? r.AddString(message, f, std::move(text))
                     : r.SetString(message, f, std::move(text));
      return true;
    }
    case CodecKind::kBool: {
      bool value;
      if (!Bool(&value)) return false;
      field.repeated ? r.AddBool(message, f, value) : r.SetBool(message, f, value);
      return true;
    }
    case CodecKind::kInt32: {
      int64_t wide;
      using Limits = std::numeric_limits<int32_t>;
      if (!Int(Limits::min(), Limits::max(), &wide)) return false;
      const int32_t value = static_cast<int32_t>(wide);
      field.repeated ? r.AddInt32(message, f, value) : r.SetInt32(message, f, value);
      return true;
    }
    case CodecKind::kInt64: {
      int64_t value;
      using Limits = std::numeric_limits<int64_t>;
      if (!Int(Limits::min(), Limits::max(), &value)) return false;
      field.repeated ? r.AddInt64(message, f, value) : r.SetInt64(message, f, value);
      return true;
    }
    case CodecKind::kDouble: {
      double value;
      if (!Double(&value)) return false;
      field.repeated ? r.AddDouble(message, f, value) : r.SetDouble(message, f, value);
      return true;
    }
  }
  return false;
}

bool Decoder::Map(const CodecField& field, Message* message, int depth) {
  return Members(depth, [&](absl::string_view key) {
    const std::string name(key);  // the view may be of `scratch_`
    return MapEntry(field, name, message, depth + 1) || Within(absl::StrCat("[", name, "]"));
  });
}

// Null is an empty text, as in Go.
bool Decoder::MapEntry(const CodecField& field, absl::string_view key, Message* message,
                       int depth) {
  MapKey map_key;
  map_key.SetStringValue(std::string(key));
  MapValueRef value;
  const bool is_new = MapFields::Insert(message, field.field, map_key, &value);
  const bool null = in_.Peek() == 'n';
  if (null && !in_.TakeWord("null")) return NotJson();
  if (field.kind == CodecKind::kMessage) {
    Message* const inner = value.MutableMessageValue();
    if (!is_new) inner->Clear();
    return null || Object(*field.table, inner, depth);
  }
  std::string text;
  if (!null && (field.kind == CodecKind::kString ? !String(&text) : !Bytes(&text))) return false;
  value.SetStringValue(text);
  return true;
}

bool Decoder::Form(const CodecTable& table, Message* message, int depth) {
  switch (table.form) {
    case CodecForm::kIntOrString:
      return IntOrString(table, message);
    case CodecForm::kTime:
    case CodecForm::kMicroTime:
      return Time(table, message);
    case CodecForm::kRawJson:
      return RawJson(table, message, depth);
    case CodecForm::kQuantity:
      return Quantity(table, message);
    case CodecForm::kGoDuration:
      return GoDuration(table, message);
    case CodecForm::kList:
      return Items(depth, [&] { return Value(table.fields[0], message, depth + 1); });
    case CodecForm::kObject:
      break;
  }
  return false;
}

bool Decoder::IntOrString(const CodecTable& table, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  if (in_.Peek() != '"') {
    int64_t number;
    using Limits = std::numeric_limits<int32_t>;
    if (!Int(Limits::min(), Limits::max(), &number)) {
      what_ = "an integer or a string was expected";
      return false;
    }
    reflection.SetInt32(message, table.fields[1].field, static_cast<int32_t>(number));
    return true;
  }
  std::string text;
  if (!String(&text)) return false;
  reflection.SetInt64(message, table.fields[0].field, 1);
  reflection.SetString(message, table.fields[2].field, std::move(text));
  return true;
}

bool Decoder::Time(const CodecTable& table, Message* message) {
  std::string text;
  const std::optional<int64_t> micros =
      in_.TakeString(&text) ? ParseTimeMicros(text) : std::nullopt;
  if (!micros.has_value()) return Fail("a time such as \"2006-01-02T15:04:05Z\" was expected");
  int64_t seconds = *micros / 1'000'000;
  int64_t rest = *micros % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --seconds;
  }
  const Reflection& reflection = *message->GetReflection();
  reflection.SetInt64(message, table.fields[0].field, seconds);
  if (rest != 0 && table.form == CodecForm::kMicroTime) {
    reflection.SetInt32(message, table.fields[1].field, static_cast<int32_t>(rest * 1000));
  }
  return true;
}

bool Decoder::GoDuration(const CodecTable& table, Message* message) {
  std::string text;
  const auto parts = in_.TakeString(&text) ? protojson::ParseDuration(text) : std::nullopt;
  constexpr int64_t kSecondsMax = std::numeric_limits<int64_t>::max() / 1'000'000'000 - 1;
  if (!parts.has_value() || parts->seconds > kSecondsMax || parts->seconds < -kSecondsMax) {
    return Fail("a duration such as \"1h30m\" was expected");
  }
  message->GetReflection()->SetInt64(message, table.fields[0].field,
                                     parts->seconds * 1'000'000'000 + parts->nanos);
  return true;
}

// As it was written: kube/quantity reckons with it.
bool Decoder::Quantity(const CodecTable& table, Message* message) {
  std::string text;
  if (in_.Peek() == '"') {
    if (!String(&text)) return false;
  } else {
    absl::string_view number;
    if (!in_.TakeNumber(&number)) return Fail("a quantity was expected");
    text = std::string(number);
  }
  message->GetReflection()->SetString(message, table.fields[0].field, std::move(text));
  return true;
}

bool Decoder::RawJson(const CodecTable& table, Message* message, int depth) {
  absl::string_view text;
  if (!in_.TakeAny(limits_.depth_max - depth, &text)) return NotJson();
  message->GetReflection()->SetString(message, table.fields[0].field, std::string(text));
  return true;
}

bool Decoder::Bytes(std::string* out) {
  std::string text;
  if (!String(&text)) return false;
  return absl::Base64Unescape(text, out) || absl::WebSafeBase64Unescape(text, out) ||
         Fail("base64 was expected");
}

bool Decoder::Bool(bool* out) {
  *out = in_.Peek() == 't';
  return in_.TakeWord(*out ? "true" : "false") || Fail("true or false was expected");
}

bool Decoder::Int(int64_t min, int64_t max, int64_t* out) {
  absl::string_view number;
  if (!in_.TakeNumber(&number) || !ToInt64(number, out)) return Fail("an integer was expected");
  return (*out >= min && *out <= max) || Fail("the number is too large");
}

bool Decoder::Double(double* out) {
  absl::string_view number;
  return (in_.TakeNumber(&number) && absl::SimpleAtod(number, out)) ||
         Fail("a number was expected");
}

bool Decoder::ListMeta(ListHead* head) {
  return Members(1, [&](absl::string_view key) {
    std::string* const out = key == "resourceVersion" ? &head->resource_version
                             : key == "continue"      ? &head->continue_token
                                                      : nullptr;
    if (out == nullptr || in_.Peek() != '"') return Skip(2);
    return String(out);
  });
}

bool Decoder::List(absl::FunctionRef<Message*()> new_item, ListHead* head) {
  const CodecTable* table = nullptr;
  return Members(0, [&](absl::string_view key) {
    const char next = in_.Peek();
    if (key == "metadata" && next == '{') return ListMeta(head);
    if (key != "items" || next == 'n') return Skip(1);
    const bool ok = Items(1, [&] {
      Message* const item = new_item();
      if (table == nullptr) table = &TableOf(*item->GetDescriptor());
      return Object(*table, item, 2);
    });
    return ok || Within("items");
  });
}

}  // namespace

absl::Status FromJson(absl::string_view text, Message* object, const DecodeLimits& limits) {
  object->Clear();
  Decoder decoder(text, limits);
  const bool ok = decoder.Object(TableOf(*object->GetDescriptor()), object, 0) && decoder.AtEnd();
  return ok ? absl::OkStatus() : decoder.Error();
}

absl::Status ListFromJson(absl::string_view text, absl::FunctionRef<Message*()> new_item,
                          ListHead* head, const DecodeLimits& limits) {
  *head = ListHead();
  Decoder decoder(text, limits);
  const bool ok = decoder.List(new_item, head) && decoder.AtEnd();
  return ok ? absl::OkStatus() : decoder.Error();
}

}  // namespace meltemi::kube
