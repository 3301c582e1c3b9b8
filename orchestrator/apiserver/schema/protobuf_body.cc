#include "orchestrator/apiserver/schema/protobuf_body.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "kube/names/names.h"
#include "kube/object/object.h"
#include "kube/options.pb.h"
#include "orchestrator/apiserver/schema/kube_files.h"

namespace meltemi::apiserver {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using json::Value;

constexpr absl::string_view kMagic("k8s\0", 4);
constexpr int kDepthMax = 100;

// runtime.Unknown: the envelope.
struct Envelope {
  std::string api_version, kind, raw;
};

bool ReadString(CodedInputStream& in, std::string* out) {
  uint32_t size = 0;
  return in.ReadVarint32(&size) && size <= static_cast<uint32_t>(INT32_MAX) &&
         in.ReadString(out, static_cast<int>(size));
}

// Fields 1 and 2 of TypeMeta or of Unknown go to `first` and `second`.
bool ReadTwoStrings(absl::string_view bytes, std::string* first, std::string* second) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  while (const uint32_t tag = in.ReadTag()) {
    std::string ignored;
    if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      const int field = WireFormatLite::GetTagFieldNumber(tag);
      if (!ReadString(in, field == 1 ? first : field == 2 ? second : &ignored)) return false;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
  }
  return in.ConsumedEntireMessage();
}

bool ReadEnvelope(absl::string_view body, Envelope* out) {
  if (!absl::StartsWith(body, kMagic)) return false;
  std::string type_meta;
  return ReadTwoStrings(body.substr(kMagic.size()), &type_meta, &out->raw) &&
         ReadTwoStrings(type_meta, &out->api_version, &out->kind);
}

// Message fields become values; what is empty and has no presence is left out, as in Kubernetes'
// own JSON.
class Converter {
 public:
  // Null: nothing to write (a zero time).
  Value Convert(const Message& message, int depth) {
    if (depth > kDepthMax) {
      too_deep_ = true;
      return Value();
    }
    switch (message.GetDescriptor()->options().GetExtension(kube::json_form)) {
      case kube::INT_OR_STRING:
        return Integer(message, "type") == 0 ? Value::Int(Integer(message, "int_val"))
                                             : Value::String(Text(message, "str_val"));
      case kube::RFC3339_TIME:
        return Time(message, false);
      case kube::MICRO_TIME:
        return Time(message, true);
      case kube::QUANTITY:
        return Value::String(Text(message, "string"));
      case kube::RAW_JSON:
        return Raw(Text(message, "raw"));
      case kube::GO_DURATION:
        return Value::String(absl::StrCat(Integer(message, "duration"), "ns"));
      case kube::LIST:
        return Member(message, "items", depth);
      case kube::SCHEMA_OR_BOOL:
        return Has(message, "schema") ? Member(message, "schema", depth)
                                      : Value::Bool(Integer(message, "allows") != 0);
      case kube::SCHEMA_OR_ARRAY:
        return Member(message, Has(message, "schema") ? "schema" : "json_schemas", depth);
      case kube::SCHEMA_OR_STRINGS:
        return Member(message, Has(message, "schema") ? "schema" : "property", depth);
      default:
        break;
    }
    Value object = Value::Object();
    AddMembers(message, depth, &object);
    return object;
  }
  bool failed() const { return too_deep_ || bad_json_; }

 private:
  void AddMembers(const Message& message, int depth, Value* object) {
    const Descriptor& type = *message.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) AddMember(message, *type.field(i), depth, object);
  }

  void AddMember(const Message& message, const FieldDescriptor& field, int depth, Value* object) {
    const Reflection& read = *message.GetReflection();
    const bool present =
        field.is_repeated() ? read.FieldSize(message, &field) > 0 : read.HasField(message, &field);
    if (!present) return;
    if (field.options().GetExtension(kube::field).inlined()) {
      return AddMembers(read.GetMessage(message, &field), depth + 1, object);
    }
    Value value = Field(message, field, depth);
    if (!value.is_null()) object->Add(field.json_name(), std::move(value));
  }

  Value Field(const Message& message, const FieldDescriptor& field, int depth) {
    const Reflection& read = *message.GetReflection();
    if (field.is_map()) return Map(message, field, depth);
    if (!field.is_repeated()) return Scalar(message, field, -1, depth);
    Value list = Value::Array();
    for (int i = 0; i < read.FieldSize(message, &field); ++i) {
      list.Append(Scalar(message, field, i, depth));
    }
    return list;
  }

  Value Map(const Message& message, const FieldDescriptor& field, int depth) {
    const Reflection& read = *message.GetReflection();
    std::vector<json::Member> entries;
    for (int i = 0; i < read.FieldSize(message, &field); ++i) {
      const Message& entry = read.GetRepeatedMessage(message, &field, i);
      const Descriptor& type = *entry.GetDescriptor();
      json::Member member;
      member.key = entry.GetReflection()->GetString(entry, type.map_key());
      member.value = Scalar(entry, *type.map_value(), -1, depth);
      entries.push_back(std::move(member));
    }
    std::sort(entries.begin(), entries.end(),
              [](const json::Member& a, const json::Member& b) { return a.key < b.key; });
    Value object = Value::Object();
    object.members() = std::move(entries);
    return object;
  }

  // index -1: not repeated.
  Value Scalar(const Message& message, const FieldDescriptor& field, int index, int depth) {
    const Reflection& read = *message.GetReflection();
    const auto take = [&](auto one, auto repeated) {
      return index < 0 ? (read.*one)(message, &field) : (read.*repeated)(message, &field, index);
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return Value::Bool(take(&Reflection::GetBool, &Reflection::GetRepeatedBool));
      case FieldDescriptor::CPPTYPE_INT32:
        return Value::Int(take(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
      case FieldDescriptor::CPPTYPE_INT64:
        return Value::Int(take(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
      case FieldDescriptor::CPPTYPE_UINT32:
        return Value::Int(take(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Value::Number(
            absl::StrCat(take(&Reflection::GetDouble, &Reflection::GetRepeatedDouble)));
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = index < 0 ? read.GetString(message, &field)
                                           : read.GetRepeatedString(message, &field, index);
        const bool bytes = field.type() == FieldDescriptor::TYPE_BYTES;
        return Value::String(bytes ? absl::Base64Escape(text) : text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Convert(index < 0 ? read.GetMessage(message, &field)
                                 : read.GetRepeatedMessage(message, &field, index),
                       depth + 1);
      default:
        return Value();  // Kubernetes uses no other types
    }
  }

  static const FieldDescriptor* Named(const Message& message, const char* name) {
    return message.GetDescriptor()->FindFieldByName(name);
  }
  static bool Has(const Message& message, const char* name) {
    return message.GetReflection()->HasField(message, Named(message, name));
  }
  static std::string Text(const Message& message, const char* name) {
    return message.GetReflection()->GetString(message, Named(message, name));
  }
  static int64_t Integer(const Message& message, const char* name) {
    const FieldDescriptor* field = Named(message, name);
    const Reflection& read = *message.GetReflection();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return read.GetBool(message, field) ? 1 : 0;
      case FieldDescriptor::CPPTYPE_INT32:
        return read.GetInt32(message, field);
      default:
        return read.GetInt64(message, field);
    }
  }
  Value Member(const Message& message, const char* name, int depth) {
    return Field(message, *Named(message, name), depth);
  }

  // Go writes a time that is not set as an empty message.
  static Value Time(const Message& message, bool micros) {
    const int64_t seconds = Integer(message, "seconds");
    const int64_t nanos = Integer(message, "nanos");
    if (seconds == 0 && nanos == 0) return Value();
    return Value::String(micros ? kube::FormatMicroTime(seconds * 1'000'000 + nanos / 1000)
                                : kube::FormatTime(seconds));
  }

  Value Raw(const std::string& text) {
    if (text.empty()) return Value();
    absl::StatusOr<Value> value = json::Parse(text);
    bad_json_ |= !value.ok();
    return value.ok() ? *std::move(value) : Value();
  }

  bool too_deep_ = false;
  bool bad_json_ = false;
};

kube::Status Malformed(absl::string_view why) {
  return kube::BadRequest(absl::StrCat("the body is no Kubernetes protobuf object: ", why));
}

}  // namespace

class ProtobufBodies::Pool {
 public:
  Pool() : pool_(DescriptorPool::generated_pool()), factory_(&pool_) {
    const google::protobuf::FileDescriptorSet files = KubeFiles();
    std::vector<const google::protobuf::FileDescriptorProto*> left;
    for (const auto& file : files.file()) {
      // What the program has as generated classes is known already.
      if (DescriptorPool::generated_pool()->FindFileByName(file.name()) == nullptr) {
        left.push_back(&file);
      }
    }
    // A file can be added once those that it imports are there.
    for (bool progress = true; progress && !left.empty();) {
      const size_t before = left.size();
      left.erase(
          std::remove_if(left.begin(), left.end(), [this](const auto* f) { return Add(*f); }),
          left.end());
      progress = left.size() < before;
    }
  }

  // Null: no such kind.
  std::unique_ptr<Message> New(const kube::GroupVersionKind& kind) {
    // "rbac.authorization.k8s.io" is the package rbac.
    const std::string package =
        kind.group.empty() ? "core" : kind.group.substr(0, kind.group.find('.'));
    const Descriptor* type = pool_.FindMessageTypeByName(
        absl::StrCat("meltemi.kube.", package, ".", kind.version, ".", kind.kind));
    // Options (DeleteOptions …) are sent under any group.
    if (type == nullptr && absl::EndsWith(kind.kind, "Options")) {
      type = pool_.FindMessageTypeByName(absl::StrCat("meltemi.kube.meta.v1.", kind.kind));
    }
    if (type == nullptr) return nullptr;
    return std::unique_ptr<Message>(factory_.GetPrototype(type)->New());
  }

 private:
  bool Add(const google::protobuf::FileDescriptorProto& file) {
    for (const std::string& dependency : file.dependency()) {
      if (pool_.FindFileByName(dependency) == nullptr) return false;
    }
    google::protobuf::FileDescriptorProto bare = file;
    bare.clear_source_code_info();
    return pool_.BuildFile(bare) != nullptr;
  }

  DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
};

ProtobufBodies::ProtobufBodies() = default;
ProtobufBodies::~ProtobufBodies() = default;

ProtobufBodies::Pool& ProtobufBodies::pool() {
  std::call_once(once_, [this] { pool_ = std::make_unique<Pool>(); });
  return *pool_;
}

kube::Result<Value> ProtobufBodies::Decode(absl::string_view body) {
  Envelope envelope;
  if (body.size() > INT32_MAX || !ReadEnvelope(body, &envelope)) {
    return Malformed("its envelope can't be read");
  }
  const auto kind = kube::GroupVersionKind::Of(envelope.api_version, envelope.kind);
  const std::unique_ptr<Message> message = pool().New(kind);
  if (message == nullptr) {
    return Malformed(absl::StrCat("no kind \"", envelope.kind, "\" is registered for version \"",
                                  envelope.api_version, "\""));
  }
  if (!message->ParseFromString(envelope.raw)) {
    return Malformed(absl::StrCat("it can't be read as a ", envelope.kind));
  }
  Converter converter;
  Value converted = converter.Convert(*message, 0);
  if (converter.failed() || !converted.is_object()) {
    return Malformed("it nests too deeply, or holds raw JSON that is none");
  }
  Value object = Value::Object();
  object.Add("apiVersion", Value::String(envelope.api_version));
  object.Add("kind", Value::String(envelope.kind));
  for (json::Member& member : converted.members()) {
    object.Add(std::move(member.key), std::move(member.value));
  }
  return object;
}

}  // namespace meltemi::apiserver
