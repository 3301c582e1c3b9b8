#include "kube/codec/pack.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstring>

#include "base/log/log.h"
#include "kube/codec/maps.h"
#include "kube/codec/tables.h"

namespace meltemi::kube {
namespace {

using google::protobuf::MapKey;
using google::protobuf::MapValueRef;
using google::protobuf::Message;
using google::protobuf::Reflection;

// A message: for each field that is set its place in the table, counted from one, and its value;
// then zero. Lists and maps begin with their size.
class Packer {
 public:
  explicit Packer(std::string* out) : out_(*out) {}

  void Object(const CodecTable& table, const Message& message) {
    const Reflection& r = *message.GetReflection();
    for (size_t i = 0; i < table.fields.size(); ++i) {
      const CodecField& field = table.fields[i];
      if (field.map) {
        const int size = MapFields::Size(message, field.field);
        if (size != 0) Map(field, message, i + 1, size);
        continue;
      }
      const int size =
          field.repeated ? r.FieldSize(message, field.field) : r.HasField(message, field.field);
      if (size == 0) continue;
      Number(i + 1);
      if (field.repeated) Number(static_cast<uint64_t>(size));
      for (int n = 0; n < size; ++n) Value(field, message, n);
    }
    Number(0);
  }

 private:
  void Number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  void Signed(int64_t value) {
    Number((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  void Text(const std::string& text) {
    Number(text.size());
    out_ += text;
  }

  void Value(const CodecField& field, const Message& message, int index) {
    const Reflection& r = *message.GetReflection();
    const auto* const f = field.field;
    const bool many = field.repeated;
    switch (field.kind) {
      case CodecKind::kMessage:
        return Object(*field.table,
                      many ? r.GetRepeatedMessage(message, f, index) : r.GetMessage(message, f));
      case CodecKind::kString:
      case CodecKind::kBytes: {
        std::string scratch;
        return Text(many ? r.GetRepeatedStringReference(message, f, index, &scratch)
                         : r.GetStringReference(message, f, &scratch));
      }
      case CodecKind::kBool:
        return Number(many ? r.GetRepeatedBool(message, f, index) : r.GetBool(message, f));
      case CodecKind::kInt32:
        return Signed(many ? r.GetRepeatedInt32(message, f, index) : r.GetInt32(message, f));
      case CodecKind::kInt64:
        return Signed(many ? r.GetRepeatedInt64(message, f, index) : r.GetInt64(message, f));
      case CodecKind::kDouble: {
        const double value =
            many ? r.GetRepeatedDouble(message, f, index) : r.GetDouble(message, f);
        out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
        return;
      }
    }
  }

  void Map(const CodecField& field, const Message& message, size_t place, int size) {
    Number(place);
    Number(static_cast<uint64_t>(size));
    const auto end = MapFields::End(message, field.field);
    for (auto at = MapFields::Begin(message, field.field); at != end; ++at) {
      Text(at.GetKey().GetStringValue());
      if (field.kind == CodecKind::kMessage) {
        Object(*field.table, at.GetValueRef().GetMessageValue());
      } else {
        Text(at.GetValueRef().GetStringValue());
      }
    }
  }

  std::string& out_;
};

class Unpacker {
 public:
  explicit Unpacker(absl::string_view in) : at_(in.data()), end_(in.data() + in.size()) {}

  void Object(const CodecTable& table, Message* message) {
    while (const uint64_t place = Number()) {
      CHECK(place <= table.fields.size());
      const CodecField& field = table.fields[place - 1];
      const uint64_t size = field.repeated || field.map ? Number() : 1;
      for (uint64_t n = 0; n < size; ++n) {
        field.map ? MapEntry(field, message) : Value(field, message);
      }
    }
  }

 private:
  uint64_t Number() {
    uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
      CHECK(at_ != end_ && shift < 64);
      const uint8_t byte = static_cast<uint8_t>(*at_++);
      out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
  }
  int64_t Signed() {
    const uint64_t value = Number();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  std::string Text() {
    const uint64_t size = Number();
    CHECK(size <= static_cast<uint64_t>(end_ - at_));
    std::string out(at_, size);
    at_ += size;
    return out;
  }

  void Value(const CodecField& field, Message* message) {
    const Reflection& r = *message->GetReflection();
    const auto* const f = field.field;
    const bool many = field.repeated;
    switch (field.kind) {
      case CodecKind::kMessage:
        return Object(*field.table, many ? r.AddMessage(message, f) : r.MutableMessage(message, f));
      case CodecKind::kString:
      case CodecKind::kBytes:
        return many ? r.AddString(message, f, Text()) : r.SetString(message, f, Text());
      case CodecKind::kBool:
        return many ? r.AddBool(message, f, Number() != 0) : r.SetBool(message, f, Number() != 0);
      case CodecKind::kInt32: {
        const int32_t value = static_cast<int32_t>(Signed());
        return many ? r.AddInt32(message, f, value) : r.SetInt32(message, f, value);
      }
      case CodecKind::kInt64:
        return many ? r.AddInt64(message, f, Signed()) : r.SetInt64(message, f, Signed());
      case CodecKind::kDouble: {
        double value;
        CHECK(sizeof(value) <= static_cast<size_t>(end_ - at_));
        std::memcpy(&value, at_, sizeof(value));
        at_ += sizeof(value);
        return many ? r.AddDouble(message, f, value) : r.SetDouble(message, f, value);
      }
    }
  }

  void MapEntry(const CodecField& field, Message* message) {
    MapKey key;
    key.SetStringValue(Text());
    MapValueRef value;
    MapFields::Insert(message, field.field, key, &value);
    if (field.kind == CodecKind::kMessage) {
      Object(*field.table, value.MutableMessageValue());
    } else {
      value.SetStringValue(Text());
    }
  }

  const char* at_;
  const char* const end_;
};

}  // namespace

std::string Pack(const Message& object) {
  std::string out;
  Packer(&out).Object(TableOf(*object.GetDescriptor()), object);
  out.shrink_to_fit();
  return out;
}

void Unpack(absl::string_view packed, Message* object) {
  Unpacker(packed).Object(TableOf(*object->GetDescriptor()), object);
}

}  // namespace meltemi::kube
