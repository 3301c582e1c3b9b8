#include "base/protojson/encode.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/json/write.h"
#include "base/protojson/duration.h"
#include "base/protojson/forms.h"

namespace meltemi::protojson {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;

class Encoder {
 public:
  Encoder(const EncodeOptions& options, json::Writer* writer) : options_(options), out_(*writer) {}

  void WriteMessage(const Message& message);

 private:
  static constexpr int kSingle = -1;

  void WriteFields(const Message& message);
  void WriteField(const Message& message, const FieldDescriptor* field);
  // index: of a repeated field, or kSingle.
  void WriteValue(const Message& message, const FieldDescriptor* field, int index);
  void WriteFloat(float value);
  void WriteMap(const Message& message, const FieldDescriptor* field);
  void WriteAny(const Message& any);
  void WriteValueMessage(const Message& value);
  void WriteTime(const Message& time, const Descriptor& type);
  void WriteFieldMask(const Message& mask);
  void WriteIntOrString(const Message& message);

  const EncodeOptions options_;
  json::Writer& out_;
};

int64_t Int64Of(const Message& message, int number) {
  return message.GetReflection()->GetInt64(message,
                                           message.GetDescriptor()->FindFieldByNumber(number));
}

int32_t Int32Of(const Message& message, int number) {
  return message.GetReflection()->GetInt32(message,
                                           message.GetDescriptor()->FindFieldByNumber(number));
}

std::string StringOf(const Message& message, int number) {
  return message.GetReflection()->GetString(message,
                                            message.GetDescriptor()->FindFieldByNumber(number));
}

// Kubernetes writes 64-bit integers as numbers; protobuf's JSON as strings.
bool IsKube(const FieldDescriptor& field) {
  return absl::StartsWith(field.file()->package(), "meltemi.kube");
}

void Encoder::WriteMessage(const Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  switch (FormOf(type)) {
    case Form::kObject:
      out_.BeginObject();
      WriteFields(message);
      out_.EndObject();
      return;
    case Form::kAny:
      return WriteAny(message);
    case Form::kDuration:
      out_.String(FormatDuration({.seconds = Int64Of(message, 1), .nanos = Int32Of(message, 2)}));
      return;
    case Form::kTimestamp:
    case Form::kKubeTime:
    case Form::kMicroTime:
      return WriteTime(message, type);
    case Form::kFieldMask:
      return WriteFieldMask(message);
    case Form::kStruct:
      return WriteMap(message, type.FindFieldByNumber(1));
    case Form::kListValue: {
      const FieldDescriptor* values = type.FindFieldByNumber(1);
      out_.BeginArray();
      for (int i = 0; i < message.GetReflection()->FieldSize(message, values); ++i) {
        WriteValue(message, values, i);
      }
      out_.EndArray();
      return;
    }
    case Form::kValue:
      return WriteValueMessage(message);
    case Form::kWrapper:
      return WriteValue(message, type.field(0), kSingle);
    case Form::kIntOrString:
      return WriteIntOrString(message);
    case Form::kQuantity:
      out_.String(StringOf(message, 1));
      return;
    case Form::kRawJson: {
      const std::string text = StringOf(message, 1);
      out_.Raw(text.empty() ? "null" : text);
      return;
    }
  }
}

void Encoder::WriteFields(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (IsInlined(*field)) {
      WriteFields(message.GetReflection()->GetMessage(message, field));
    } else {
      WriteField(message, field);
    }
  }
}

void Encoder::WriteField(const Message& message, const FieldDescriptor* field) {
  out_.Key(options_.proto_names ? field->name() : field->json_name());
  if (field->is_map()) return WriteMap(message, field);
  if (!field->is_repeated()) return WriteValue(message, field, kSingle);
  out_.BeginArray();
  const int size = message.GetReflection()->FieldSize(message, field);
  for (int i = 0; i < size; ++i) WriteValue(message, field, i);
  out_.EndArray();
}

void Encoder::WriteMap(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* key = field->message_type()->map_key();
  const FieldDescriptor* value = field->message_type()->map_value();
  std::vector<std::pair<std::string, const Message*>> entries;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    std::string text;
    if (key->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      text = entry.GetReflection()->GetString(entry, key);
    } else {
      json::Writer writer(&text);
      Encoder(options_, &writer).WriteValue(entry, key, kSingle);
      text.erase(std::remove(text.begin(), text.end(), '"'), text.end());
    }
    entries.emplace_back(std::move(text), &entry);
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  out_.BeginObject();
  for (const auto& [text, entry] : entries) {
    out_.Key(text);
    WriteValue(*entry, value, kSingle);
  }
  out_.EndObject();
}

void Encoder::WriteValue(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool single = index == kSingle;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      out_.Int(single ? r.GetInt32(message, field) : r.GetRepeatedInt32(message, field, index));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      out_.Uint(single ? r.GetUInt32(message, field) : r.GetRepeatedUInt32(message, field, index));
      return;
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t value =
          single ? r.GetInt64(message, field) : r.GetRepeatedInt64(message, field, index);
      IsKube(*field) ? out_.Int(value) : out_.String(absl::StrCat(value));
      return;
    }
    case FieldDescriptor::CPPTYPE_UINT64:
      out_.String(absl::StrCat(single ? r.GetUInt64(message, field)
                                      : r.GetRepeatedUInt64(message, field, index)));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out_.Double(single ? r.GetDouble(message, field)
                         : r.GetRepeatedDouble(message, field, index));
      return;
    case FieldDescriptor::CPPTYPE_FLOAT:
      WriteFloat(single ? r.GetFloat(message, field) : r.GetRepeatedFloat(message, field, index));
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      out_.Bool(single ? r.GetBool(message, field) : r.GetRepeatedBool(message, field, index));
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number =
          single ? r.GetEnumValue(message, field) : r.GetRepeatedEnumValue(message, field, index);
      const auto* value = field->enum_type()->FindValueByNumber(number);
      value != nullptr ? out_.String(value->name()) : out_.Int(number);
      return;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text =
          single ? r.GetString(message, field) : r.GetRepeatedString(message, field, index);
      if (field->type() == FieldDescriptor::TYPE_BYTES) text = absl::Base64Escape(text);
      out_.String(text);
      return;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return WriteMessage(single ? r.GetMessage(message, field)
                                 : r.GetRepeatedMessage(message, field, index));
  }
}

// With a float's digits, not those of the double next to it.
void Encoder::WriteFloat(float value) {
  std::string text = absl::StrFormat("%.6g", value);
  if (std::strtof(text.c_str(), nullptr) != value) text = absl::StrFormat("%.9g", value);
  std::isfinite(value) ? out_.Raw(text) : out_.Double(value);
}

void Encoder::WriteAny(const Message& any) {
  const std::string url = StringOf(any, 1);
  const std::string bytes = StringOf(any, 2);
  out_.BeginObject();
  if (!url.empty()) {
    out_.Key("@type").String(url);
    const Descriptor* type =
        DescriptorPool::generated_pool()->FindMessageTypeByName(url.substr(url.rfind('/') + 1));
    const Message* prototype =
        type == nullptr ? nullptr : MessageFactory::generated_factory()->GetPrototype(type);
    const std::unique_ptr<Message> inner(prototype == nullptr ? nullptr : prototype->New());
    if (inner == nullptr || !inner->ParsePartialFromString(bytes)) {
      out_.Key("value").String(absl::Base64Escape(bytes));
    } else if (FormOf(*type) == Form::kObject) {
      WriteFields(*inner);
    } else {
      out_.Key("value");
      WriteMessage(*inner);
    }
  }
  out_.EndObject();
}

void Encoder::WriteValueMessage(const Message& value) {
  const Reflection* reflection = value.GetReflection();
  const FieldDescriptor* field =
      reflection->GetOneofFieldDescriptor(value, value.GetDescriptor()->oneof_decl(0));
  if (field == nullptr || field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    out_.Null();
    return;
  }
  WriteValue(value, field, kSingle);
}

void Encoder::WriteTime(const Message& message, const Descriptor& type) {
  const absl::Time time =
      absl::FromUnixSeconds(Int64Of(message, 1)) + absl::Nanoseconds(Int32Of(message, 2));
  // Kubernetes' metav1.Time has whole seconds, MicroTime six digits.
  const Form form = FormOf(type);
  const char* format = form == Form::kKubeTime    ? "%Y-%m-%dT%H:%M:%SZ"
                       : form == Form::kMicroTime ? "%Y-%m-%dT%H:%M:%E6SZ"
                                                  : "%Y-%m-%dT%H:%M:%E*SZ";
  out_.String(absl::FormatTime(format, time, absl::UTCTimeZone()));
}

void Encoder::WriteFieldMask(const Message& mask) {
  const FieldDescriptor* paths = mask.GetDescriptor()->FindFieldByNumber(1);
  std::string text;
  for (int i = 0; i < mask.GetReflection()->FieldSize(mask, paths); ++i) {
    if (i > 0) text += ',';
    bool upper = false;
    for (const char c : mask.GetReflection()->GetRepeatedString(mask, paths, i)) {
      if (c == '_') {
        upper = true;
        continue;
      }
      text += upper ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c;
      upper = false;
    }
  }
  out_.String(text);
}

void Encoder::WriteIntOrString(const Message& message) {
  if (Int64Of(message, 1) == 1) {
    out_.String(StringOf(message, 3));
  } else {
    out_.Int(Int32Of(message, 2));
  }
}

}  // namespace

void WriteJson(const Message& message, const EncodeOptions& options, json::Writer* writer) {
  Encoder(options, writer).WriteMessage(message);
}

std::string ToJson(const Message& message, const EncodeOptions& options) {
  std::string out;
  json::Writer writer(&out, options.indent);
  WriteJson(message, options, &writer);
  return out;
}

}  // namespace meltemi::protojson
