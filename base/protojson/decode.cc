#include "base/protojson/decode.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/json/parse.h"
#include "base/json/utf8.h"
#include "base/json/write.h"
#include "base/protojson/duration.h"
#include "base/protojson/forms.h"
#include "base/protojson/suggest.h"
#include "base/yaml/parse.h"

namespace meltemi::protojson {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;
using json::Value;

// protobuf's strings are std::string by its own typedef; ours are absl::string_view.
std::string Text(absl::string_view text) { return std::string(text); }

class Decoder {
 public:
  Decoder(const DecodeOptions& options, std::vector<DecodeError>* errors)
      : options_(options), errors_(*errors), path_(options.path) {}

  void DecodeMessage(const Value& value, Message* message, absl::string_view skipped_key = {});

 private:
  using FieldIndex = absl::flat_hash_map<std::string, const FieldDescriptor*>;

  // The path grows by one segment for the life of this object.
  class Step {
   public:
    Step(Decoder* decoder, absl::string_view segment)
        : decoder_(decoder), size_(decoder->path_.size()) {
      absl::StrAppend(&decoder->path_, segment);
    }
    ~Step() { decoder_->path_.resize(size_); }

   private:
    Decoder* const decoder_;
    const size_t size_;
  };

  void Fail(const Value& value, std::string message) { FailAt(value.line(), std::move(message)); }
  void FailAt(int line, std::string message) {
    if (errors_.size() >= options_.errors_max) return;
    errors_.push_back({.line = line, .path = path_, .message = std::move(message)});
  }
  void Expected(const Value& value, absl::string_view what);

  const FieldIndex& IndexOf(const Descriptor& type);
  void DecodeObject(const Value& value, Message* message, absl::string_view skipped_key);
  void DecodeMember(const json::Member& member, Message* message,
                    std::set<const FieldDescriptor*>* seen);
  void UnknownField(const json::Member& member, const Descriptor& type);
  bool ClaimOneof(const json::Member& member, const FieldDescriptor* field, Message* message);
  void DecodeList(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeMap(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeMapKey(const json::Member& member, const FieldDescriptor* key, Message* entry);
  void DecodeSingle(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeScalar(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeEnum(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeString(const Value& value, const FieldDescriptor* field, Message* message);
  void DecodeReal(const Value& value, const FieldDescriptor* field, Message* message);

  template <typename T>
  std::optional<T> Integer(const Value& value);
  template <typename T, typename Set, typename Add>
  void Put(std::optional<T> value, const FieldDescriptor* field, Message* message, Set set,
           Add add);

  void DecodeAny(const Value& value, Message* message);
  void DecodeDuration(const Value& value, Message* message);
  void DecodeTime(const Value& value, Message* message);
  void DecodeFieldMask(const Value& value, Message* message);
  void DecodeStruct(const Value& value, Message* message);
  void DecodeListValue(const Value& value, Message* message);
  void DecodeValue(const Value& value, Message* message);
  void DecodeIntOrString(const Value& value, Message* message);
  void DecodeQuantity(const Value& value, Message* message);
  void SetSecondsAndNanos(int64_t seconds, int32_t nanos, Message* message);

  const DecodeOptions& options_;
  std::vector<DecodeError>& errors_;
  std::string path_;
  size_t depth_ = 0;
  size_t partial_depth_ = 0;  // of messages that are partial around the one being decoded
  absl::flat_hash_map<const Descriptor*, std::unique_ptr<FieldIndex>> indexes_;
};

std::string Shown(const Value& value) {
  if (value.is_array() || value.is_object() || value.is_null()) return Text(value.KindName());
  std::string text = json::ToString(value);
  if (text.size() > 60) text = absl::StrCat(text.substr(0, 57), "...");
  return value.is_string() ? absl::StrCat("the string ", text) : text;
}

void Decoder::Expected(const Value& value, absl::string_view what) {
  Fail(value, absl::StrCat("expected ", what, ", got ", Shown(value)));
}

const Decoder::FieldIndex& Decoder::IndexOf(const Descriptor& type) {
  const auto known = indexes_.find(&type);
  if (known != indexes_.end()) return *known->second;
  auto index = std::make_unique<FieldIndex>();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (IsInlined(*field)) {
      // Its fields lead to it; DecodeMember goes on from there.
      for (const auto& [name, unused] : IndexOf(*field->message_type())) (*index)[name] = field;
      continue;
    }
    index->emplace(field->name(), field);
    (*index)[field->json_name()] = field;
  }
  return *(indexes_[&type] = std::move(index));
}

void Decoder::DecodeMessage(const Value& value, Message* message, absl::string_view skipped_key) {
  if (depth_ >= options_.depth_max) {
    return Fail(value, absl::StrCat("nested deeper than ", options_.depth_max, " levels"));
  }
  ++depth_;
  const Descriptor& type = *message->GetDescriptor();
  switch (FormOf(type)) {
    case Form::kObject:
      DecodeObject(value, message, skipped_key);
      break;
    case Form::kAny:
      DecodeAny(value, message);
      break;
    case Form::kDuration:
      DecodeDuration(value, message);
      break;
    case Form::kTimestamp:
    case Form::kKubeTime:
    case Form::kMicroTime:
      DecodeTime(value, message);
      break;
    case Form::kFieldMask:
      DecodeFieldMask(value, message);
      break;
    case Form::kStruct:
      DecodeStruct(value, message);
      break;
    case Form::kValue:
      DecodeValue(value, message);
      break;
    case Form::kListValue:
      DecodeListValue(value, message);
      break;
    case Form::kWrapper:
      DecodeSingle(value, type.field(0), message);
      break;
    case Form::kIntOrString:
      DecodeIntOrString(value, message);
      break;
    case Form::kQuantity:
      DecodeQuantity(value, message);
      break;
    case Form::kRawJson:
      message->GetReflection()->SetString(message, type.field(0), json::ToString(value));
      break;
  }
  --depth_;
}

void Decoder::DecodeObject(const Value& value, Message* message, absl::string_view skipped_key) {
  if (!value.is_object()) return Expected(value, "an object");
  const size_t partial = IsPartial(*message->GetDescriptor()) ? 1 : 0;
  partial_depth_ += partial;
  std::set<const FieldDescriptor*> seen;
  for (const json::Member& member : value.members()) {
    if (!skipped_key.empty() && member.key == skipped_key) continue;
    DecodeMember(member, message, &seen);
  }
  partial_depth_ -= partial;
}

void Decoder::DecodeMember(const json::Member& member, Message* message,
                           std::set<const FieldDescriptor*>* seen) {
  const Descriptor& type = *message->GetDescriptor();
  const FieldIndex& index = IndexOf(type);
  const auto it = index.find(member.key);
  if (it == index.end()) return UnknownField(member, type);
  const FieldDescriptor* field = it->second;
  if (IsInlined(*field)) {
    return DecodeMember(member, message->GetReflection()->MutableMessage(message, field), seen);
  }
  const Step step(this, absl::StrCat(path_.empty() ? "" : ".", member.key));
  if (!seen->insert(field).second) {
    return FailAt(member.line, absl::StrCat("given twice, as \"", field->name(), "\" and as \"",
                                            field->json_name(), "\""));
  }
  const bool null_is_a_value = !field->is_repeated() &&
                               field->type() == FieldDescriptor::TYPE_MESSAGE &&
                               FormOf(*field->message_type()) == Form::kValue;
  if (member.value.is_null() && !null_is_a_value) return;
  if (!ClaimOneof(member, field, message)) return;
  if (field->is_map()) {
    DecodeMap(member.value, field, message);
  } else if (field->is_repeated()) {
    DecodeList(member.value, field, message);
  } else {
    DecodeSingle(member.value, field, message);
  }
}

void Decoder::UnknownField(const json::Member& member, const Descriptor& type) {
  if (partial_depth_ > 0 || IsPartial(type)) return;
  const Step step(this, absl::StrCat(path_.empty() ? "" : ".", member.key));
  std::vector<absl::string_view> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->json_name());
  FailAt(member.line,
         absl::StrCat("unknown field \"", member.key, "\"", Suggestion(member.key, names)));
}

bool Decoder::ClaimOneof(const json::Member& member, const FieldDescriptor* field,
                         Message* message) {
  const OneofDescriptor* oneof = field->real_containing_oneof();
  if (oneof == nullptr) return true;
  const Reflection* reflection = message->GetReflection();
  if (!reflection->HasOneof(*message, oneof)) return true;
  const FieldDescriptor* other = reflection->GetOneofFieldDescriptor(*message, oneof);
  FailAt(member.line, absl::StrCat("only one of \"", other->json_name(), "\" and \"",
                                   field->json_name(), "\" may be set"));
  return false;
}

void Decoder::DecodeList(const Value& value, const FieldDescriptor* field, Message* message) {
  if (!value.is_array()) return Expected(value, "a list");
  for (size_t i = 0; i < value.items().size(); ++i) {
    const Step step(this, absl::StrCat("[", i, "]"));
    const Value& item = value.items()[i];
    const bool null_is_a_value = field->type() == FieldDescriptor::TYPE_MESSAGE &&
                                 FormOf(*field->message_type()) == Form::kValue;
    if (item.is_null() && !null_is_a_value) {
      Fail(item, "an item of a list must not be null");
      continue;
    }
    DecodeSingle(item, field, message);
  }
}

void Decoder::DecodeMap(const Value& value, const FieldDescriptor* field, Message* message) {
  if (!value.is_object()) return Expected(value, "an object");
  const FieldDescriptor* key = field->message_type()->map_key();
  const FieldDescriptor* mapped = field->message_type()->map_value();
  for (const json::Member& member : value.members()) {
    const Step step(this, absl::StrCat("[", member.key, "]"));
    const bool null_is_a_value = mapped->type() == FieldDescriptor::TYPE_MESSAGE &&
                                 FormOf(*mapped->message_type()) == Form::kValue;
    if (member.value.is_null() && !null_is_a_value) {
      Fail(member.value, "a value of a map must not be null");
      continue;
    }
    Message* entry = message->GetReflection()->AddMessage(message, field);
    DecodeMapKey(member, key, entry);
    DecodeSingle(member.value, mapped, entry);
  }
}

void Decoder::DecodeMapKey(const json::Member& member, const FieldDescriptor* key, Message* entry) {
  if (key->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    entry->GetReflection()->SetString(entry, key, member.key);
    return;
  }
  Value value = key->cpp_type() == FieldDescriptor::CPPTYPE_BOOL &&
                        (member.key == "true" || member.key == "false")
                    ? Value::Bool(member.key == "true")
                    : Value::String(member.key);
  value.set_line(member.line);
  DecodeScalar(value, key, entry);
}

void Decoder::DecodeSingle(const Value& value, const FieldDescriptor* field, Message* message) {
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return DecodeScalar(value, field, message);
  }
  const Reflection* reflection = message->GetReflection();
  DecodeMessage(value, field->is_repeated() ? reflection->AddMessage(message, field)
                                            : reflection->MutableMessage(message, field));
}

template <typename T>
std::optional<T> Decoder::Integer(const Value& value) {
  Value number = value;
  if (value.is_string() && options_.quoted_numbers) {
    const absl::string_view text = value.text();
    const absl::string_view digits = text.substr(!text.empty() && text[0] == '-' ? 1 : 0);
    if (!digits.empty() && digits.size() < 25 &&
        digits.find_first_not_of("0123456789") == absl::string_view::npos) {
      number = Value::Number(value.text());
    }
  }
  if (!number.is_number()) {
    Expected(value, "an integer");
    return std::nullopt;
  }
  if constexpr (std::is_signed_v<T>) {
    const std::optional<int64_t> wide = number.AsInt64();
    if (wide.has_value() && *wide >= std::numeric_limits<T>::min() &&
        *wide <= std::numeric_limits<T>::max()) {
      return static_cast<T>(*wide);
    }
  } else {
    const std::optional<uint64_t> wide = number.AsUint64();
    if (wide.has_value() && *wide <= std::numeric_limits<T>::max()) return static_cast<T>(*wide);
  }
  Expected(value, absl::StrCat("an integer from ", std::numeric_limits<T>::min(), " to ",
                               std::numeric_limits<T>::max()));
  return std::nullopt;
}

template <typename T, typename Set, typename Add>
void Decoder::Put(std::optional<T> value, const FieldDescriptor* field, Message* message, Set set,
                  Add add) {
  if (!value.has_value()) return;
  const Reflection* reflection = message->GetReflection();
  if (field->is_repeated()) {
    (reflection->*add)(message, field, *value);
  } else {
    (reflection->*set)(message, field, *value);
  }
}

void Decoder::DecodeScalar(const Value& value, const FieldDescriptor* field, Message* message) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Put(Integer<int32_t>(value), field, message, &Reflection::SetInt32,
                 &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return Put(Integer<int64_t>(value), field, message, &Reflection::SetInt64,
                 &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Put(Integer<uint32_t>(value), field, message, &Reflection::SetUInt32,
                 &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Put(Integer<uint64_t>(value), field, message, &Reflection::SetUInt64,
                 &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!value.is_bool()) return Expected(value, "true or false");
      return Put(std::optional<bool>(value.bool_value()), field, message, &Reflection::SetBool,
                 &Reflection::AddBool);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return DecodeReal(value, field, message);
    case FieldDescriptor::CPPTYPE_ENUM:
      return DecodeEnum(value, field, message);
    case FieldDescriptor::CPPTYPE_STRING:
      return DecodeString(value, field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return DecodeMessage(value, message);
  }
}

void Decoder::DecodeReal(const Value& value, const FieldDescriptor* field, Message* message) {
  std::optional<double> number = value.AsDouble();
  if (value.is_string()) {
    if (value.text() == "NaN") number = std::numeric_limits<double>::quiet_NaN();
    if (value.text() == "Infinity") number = std::numeric_limits<double>::infinity();
    if (value.text() == "-Infinity") number = -std::numeric_limits<double>::infinity();
    double parsed;
    if (!number.has_value() && options_.quoted_numbers &&
        value.text().find_first_not_of("+-.0123456789eE") == std::string::npos &&
        absl::SimpleAtod(value.text(), &parsed)) {
      number = parsed;
    }
  }
  if (!number.has_value()) return Expected(value, "a number");
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    return Put(number, field, message, &Reflection::SetDouble, &Reflection::AddDouble);
  }
  if (std::isfinite(*number) && std::abs(*number) > std::numeric_limits<float>::max()) {
    return Expected(value, "a number that fits a float");
  }
  Put(std::optional<float>(static_cast<float>(*number)), field, message, &Reflection::SetFloat,
      &Reflection::AddFloat);
}

void Decoder::DecodeEnum(const Value& value, const FieldDescriptor* field, Message* message) {
  const google::protobuf::EnumDescriptor& type = *field->enum_type();
  std::optional<int> number;
  if (value.is_string()) {
    const EnumValueDescriptor* named = type.FindValueByName(value.text());
    if (named != nullptr) number = named->number();
  } else if (const std::optional<int64_t> given = value.AsInt64()) {
    if (*given >= std::numeric_limits<int>::min() && *given <= std::numeric_limits<int>::max() &&
        type.FindValueByNumber(static_cast<int>(*given)) != nullptr) {
      number = static_cast<int>(*given);
    }
  }
  if (!number.has_value()) {
    std::vector<std::string> names;
    for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
    return Expected(value, absl::StrCat("one of ", absl::StrJoin(names, ", ")));
  }
  Put(number, field, message, &Reflection::SetEnumValue, &Reflection::AddEnumValue);
}

void Decoder::DecodeString(const Value& value, const FieldDescriptor* field, Message* message) {
  if (!value.is_string()) {
    const bool quotable = value.is_number() || value.is_bool();
    return Fail(value, absl::StrCat("expected a string, got ", Shown(value),
                                    quotable ? ": put it in quotes" : ""));
  }
  std::string text = value.text();
  if (field->type() == FieldDescriptor::TYPE_BYTES) {
    if (!absl::Base64Unescape(value.text(), &text) &&
        !absl::WebSafeBase64Unescape(value.text(), &text)) {
      return Expected(value, "base64");
    }
  } else if (!json::IsUtf8(text)) {
    return Fail(value, "the string is not UTF-8");
  }
  const Reflection* reflection = message->GetReflection();
  if (field->is_repeated()) {
    reflection->AddString(message, field, std::move(text));
  } else {
    reflection->SetString(message, field, std::move(text));
  }
}

void Decoder::DecodeAny(const Value& value, Message* message) {
  if (!value.is_object()) return Expected(value, "an object with \"@type\"");
  if (value.members().empty()) return;
  const Value* url = value.Find("@type");
  if (url == nullptr || !url->is_string()) {
    return Fail(value, "\"@type\" is missing: it names the type of this object");
  }
  const size_t slash = url->text().rfind('/');
  const std::string name = url->text().substr(slash == std::string::npos ? 0 : slash + 1);
  const Descriptor* type = DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  const Message* prototype =
      type == nullptr ? nullptr : MessageFactory::generated_factory()->GetPrototype(type);
  if (prototype == nullptr) {
    return Fail(*url, absl::StrCat("the type \"", name, "\" is not known here"));
  }
  const std::unique_ptr<Message> inner(prototype->New());
  if (FormOf(*type) == Form::kObject) {
    DecodeMessage(value, inner.get(), "@type");
  } else if (const Value* payload = value.Find("value"); payload != nullptr) {
    const Step step(this, ".value");
    DecodeMessage(*payload, inner.get());
  } else {
    return Fail(value, absl::StrCat("\"value\" is missing beside \"@type\": ", name));
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    inner->SerializePartialToCodedStream(&coded);
  }
  const Reflection* reflection = message->GetReflection();
  const Descriptor& any = *message->GetDescriptor();
  reflection->SetString(message, any.FindFieldByNumber(1),
                        slash == std::string::npos ? "type.googleapis.com/" + name : url->text());
  reflection->SetString(message, any.FindFieldByNumber(2), std::move(bytes));
}

void Decoder::SetSecondsAndNanos(int64_t seconds, int32_t nanos, Message* message) {
  const Reflection* reflection = message->GetReflection();
  const Descriptor& type = *message->GetDescriptor();
  reflection->SetInt64(message, type.FindFieldByNumber(1), seconds);
  reflection->SetInt32(message, type.FindFieldByNumber(2), nanos);
}

void Decoder::DecodeDuration(const Value& value, Message* message) {
  const std::optional<DurationParts> parts =
      value.is_string() ? ParseDuration(value.text()) : std::nullopt;
  if (!parts.has_value()) {
    return Expected(value, "a duration such as \"3s\", \"1h30m\" or \"100ms\"");
  }
  SetSecondsAndNanos(parts->seconds, parts->nanos, message);
}

void Decoder::DecodeTime(const Value& value, Message* message) {
  absl::Time time;
  std::string error;
  if (!value.is_string() || !absl::ParseTime(absl::RFC3339_full, value.text(), &time, &error)) {
    return Expected(value, "a time such as \"2006-01-02T15:04:05Z\"");
  }
  const int64_t seconds = absl::ToUnixSeconds(time);
  SetSecondsAndNanos(
      seconds,
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))),
      message);
}

void Decoder::DecodeFieldMask(const Value& value, Message* message) {
  if (!value.is_string()) return Expected(value, "a comma-separated list of fields");
  const FieldDescriptor* paths = message->GetDescriptor()->FindFieldByNumber(1);
  for (absl::string_view path : absl::StrSplit(value.text(), ',', absl::SkipEmpty())) {
    std::string snake;
    for (const char c : path) {
      const unsigned char u = static_cast<unsigned char>(c);
      if (absl::ascii_isupper(u)) snake += '_';
      snake += absl::ascii_tolower(u);
    }
    message->GetReflection()->AddString(message, paths, std::move(snake));
  }
}

void Decoder::DecodeStruct(const Value& value, Message* message) {
  if (!value.is_object()) return Expected(value, "an object");
  DecodeMap(value, message->GetDescriptor()->FindFieldByNumber(1), message);
}

void Decoder::DecodeListValue(const Value& value, Message* message) {
  DecodeList(value, message->GetDescriptor()->FindFieldByNumber(1), message);
}

void Decoder::DecodeValue(const Value& value, Message* message) {
  const Reflection* reflection = message->GetReflection();
  const auto field = [&](const char* name) {
    return message->GetDescriptor()->FindFieldByName(name);
  };
  switch (value.kind()) {
    case Value::Kind::kNull:
      return reflection->SetEnumValue(message, field("null_value"), 0);
    case Value::Kind::kBool:
      return reflection->SetBool(message, field("bool_value"), value.bool_value());
    case Value::Kind::kNumber:
      return reflection->SetDouble(message, field("number_value"), value.AsDouble().value_or(0));
    case Value::Kind::kString:
      return DecodeString(value, field("string_value"), message);
    case Value::Kind::kArray:
      return DecodeMessage(value, reflection->MutableMessage(message, field("list_value")));
    case Value::Kind::kObject:
      return DecodeMessage(value, reflection->MutableMessage(message, field("struct_value")));
  }
}

void Decoder::DecodeIntOrString(const Value& value, Message* message) {
  const Reflection* reflection = message->GetReflection();
  const Descriptor& type = *message->GetDescriptor();
  const bool is_string = value.is_string();
  if (!is_string && !value.is_number()) return Expected(value, "an integer or a string");
  reflection->SetInt64(message, type.FindFieldByNumber(1), is_string ? 1 : 0);
  if (is_string) return DecodeString(value, type.FindFieldByNumber(3), message);
  DecodeScalar(value, type.FindFieldByNumber(2), message);
}

// As it was written: nobody here reckons with it.
void Decoder::DecodeQuantity(const Value& value, Message* message) {
  if (!value.is_string() && !value.is_number()) return Expected(value, "a quantity");
  message->GetReflection()->SetString(message, message->GetDescriptor()->field(0), value.text());
}

bool StartsLikeJson(absl::string_view text) {
  const absl::string_view trimmed = absl::StripLeadingAsciiWhitespace(text);
  return !trimmed.empty() && trimmed[0] == '{';
}

}  // namespace

std::string DecodeError::ToString() const {
  return path.empty() ? message : absl::StrCat(path, ": ", message);
}

bool Decode(const Value& value, const DecodeOptions& options, Message* message,
            std::vector<DecodeError>* errors) {
  const size_t before = errors->size();
  Decoder(options, errors).DecodeMessage(value, message);
  return errors->size() == before;
}

absl::Status Decode(const Value& value, absl::string_view source, Message* message,
                    const DecodeOptions& options) {
  std::vector<DecodeError> errors;
  if (Decode(value, options, message, &errors)) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const DecodeError& error : errors) {
    lines.push_back(absl::StrCat(source, ":", error.line, ": ", error.ToString()));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "; "));
}

absl::Status DecodeText(absl::string_view text, absl::string_view source, Message* message,
                        const DecodeOptions& options) {
  const auto value = StartsLikeJson(text) ? json::Parse(text) : yaml::Parse(text);
  if (!value.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", value.status().message()));
  }
  return Decode(*value, source, message, options);
}

}  // namespace meltemi::protojson
