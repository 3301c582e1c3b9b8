#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/codec/codec.h"
#include "kube/codec/maps.h"
#include "kube/codec/tables.h"
#include "kube/object/object.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Message;
using google::protobuf::Reflection;

// Go's time.Duration as text: "1h2m3.5s", "1.5ms", "0s".
std::string FormatGoDuration(int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  const bool negative = nanoseconds < 0;
  uint64_t rest =
      negative ? 0 - static_cast<uint64_t>(nanoseconds) : static_cast<uint64_t>(nanoseconds);
  const auto with_fraction = [](uint64_t value, uint64_t unit) {
    std::string out = absl::StrCat(value / unit);
    if (value % unit == 0) return out;
    std::string digits = absl::StrCat(unit + value % unit);  // "1" and the digits, with zeros
    digits.erase(digits.find_last_not_of('0') + 1);
    return absl::StrCat(out, ".", digits.substr(1));
  };
  std::string out;
  if (rest < 1'000) {
    out = absl::StrCat(rest, "ns");
  } else if (rest < 1'000'000) {
    out = with_fraction(rest, 1'000) + "µs";
  } else if (rest < 1'000'000'000) {
    out = with_fraction(rest, 1'000'000) + "ms";
  } else {
    constexpr uint64_t kMinute = 60'000'000'000;
    out = with_fraction(rest % kMinute, 1'000'000'000) + "s";
    if (rest >= kMinute) out = absl::StrCat(rest / kMinute % 60, "m", out);
    if (rest >= 60 * kMinute) out = absl::StrCat(rest / (60 * kMinute), "h", out);
  }
  return negative ? "-" + out : out;
}

class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(*out) {}

  void Object(const CodecTable& table, const Message& message, absl::string_view head = "");

 private:
  static constexpr int kSingle = -1;

  void Key(const CodecField& field) {
    if (!std::exchange(first_, false)) out_ += ',';
    out_ += field.key;
  }
  void Text(absl::string_view text) {
    out_ += '"';
    json::AppendEscaped(text, &out_);
    out_ += '"';
  }
  void Fields(const CodecTable& table, const Message& message);
  void Field(const CodecField& field, const Message& message);
  void Value(const CodecField& field, const Message& message, int index);
  void Empty(const CodecField& field);
  void Map(const CodecField& field, const Message& message);
  void Form(const CodecTable& table, const Message& message);

  std::string& out_;
  bool first_ = true;  // no comma before the next member
};

void Encoder::Object(const CodecTable& table, const Message& message, absl::string_view head) {
  if (table.form != CodecForm::kObject) return Form(table, message);
  out_ += '{';
  absl::StrAppend(&out_, head);
  first_ = head.empty();
  Fields(table, message);
  out_ += '}';
  first_ = false;
}

void Encoder::Fields(const CodecTable& table, const Message& message) {
  for (const CodecField& field : table.fields) {
    if (!field.inlined) {
      Field(field, message);
    } else {
      // Its default where it is not set: some of its fields may be written always.
      Fields(*field.table, message.GetReflection()->GetMessage(message, field.field));
    }
  }
}

void Encoder::Field(const CodecField& field, const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  if (field.map) {
    if (MapFields::Size(message, field.field) != 0) return Map(field, message);
    if (field.always) Empty(field);
    return;
  }
  if (!field.repeated) {
    if (reflection.HasField(message, field.field)) {
      Key(field);
      Value(field, message, kSingle);
    } else if (field.always) {
      Empty(field);
    }
    return;
  }
  const int size = reflection.FieldSize(message, field.field);
  if (size == 0) {
    if (field.always) Empty(field);
    return;
  }
  Key(field);
  out_ += '[';
  for (int i = 0; i < size; ++i) {
    if (i > 0) out_ += ',';
    Value(field, message, i);
  }
  out_ += ']';
}

// What Go writes for a value that was never set.
void Encoder::Empty(const CodecField& field) {
  Key(field);
  if (field.repeated || field.map) {
    absl::StrAppend(&out_, "null");
    return;
  }
  switch (field.kind) {
    case CodecKind::kString:
      absl::StrAppend(&out_, "\"\"");
      return;
    case CodecKind::kBytes:
      absl::StrAppend(&out_, "null");
      return;
    case CodecKind::kBool:
      absl::StrAppend(&out_, "false");
      return;
    case CodecKind::kInt32:
    case CodecKind::kInt64:
    case CodecKind::kDouble:
      out_ += '0';
      return;
    case CodecKind::kMessage:
      break;
  }
  const bool time =
      field.table->form == CodecForm::kTime || field.table->form == CodecForm::kMicroTime;
  if (time || field.table->form == CodecForm::kList) {
    absl::StrAppend(&out_, "null");
  } else {
    const Message& prototype =
        *google::protobuf::MessageFactory::generated_factory()->GetPrototype(field.table->type);
    Object(*field.table, prototype);
  }
}

void Encoder::Value(const CodecField& field, const Message& message, int index) {
  const Reflection& r = *message.GetReflection();
  const bool single = index == kSingle;
  const auto* const f = field.field;
  switch (field.kind) {
    case CodecKind::kMessage:
      return Object(*field.table,
                    single ? r.GetMessage(message, f) : r.GetRepeatedMessage(message, f, index));
    case CodecKind::kString:
    case CodecKind::kBytes: {
      std::string scratch;
      const std::string& text = single ? r.GetStringReference(message, f, &scratch)
                                       : r.GetRepeatedStringReference(message, f, index, &scratch);
      field.kind == CodecKind::kString ? Text(text) : Text(absl::Base64Escape(text));
      return;
    }
    case CodecKind::kBool:
      absl::StrAppend(&out_, (single ? r.GetBool(message, f) : r.GetRepeatedBool(message, f, index))
                                 ? "true"
                                 : "false");
      return;
    case CodecKind::kInt32:
      absl::StrAppend(&out_,
                      single ? r.GetInt32(message, f) : r.GetRepeatedInt32(message, f, index));
      return;
    case CodecKind::kInt64:
      absl::StrAppend(&out_,
                      single ? r.GetInt64(message, f) : r.GetRepeatedInt64(message, f, index));
      return;
    case CodecKind::kDouble:
      json::Writer(&out_).Double(single ? r.GetDouble(message, f)
                                        : r.GetRepeatedDouble(message, f, index));
      return;
  }
}

// Sorted by key, so that what is equal is written equally.
void Encoder::Map(const CodecField& field, const Message& message) {
  std::vector<std::pair<std::string, std::string>> texts;
  std::vector<std::pair<std::string, const Message*>> messages;
  const auto end = MapFields::End(message, field.field);
  for (auto at = MapFields::Begin(message, field.field); at != end; ++at) {
    if (field.kind == CodecKind::kMessage) {
      messages.emplace_back(at.GetKey().GetStringValue(), &at.GetValueRef().GetMessageValue());
    } else {
      texts.emplace_back(at.GetKey().GetStringValue(), at.GetValueRef().GetStringValue());
    }
  }
  Key(field);
  out_ += '{';
  bool first = true;
  const auto key = [&](const std::string& name) {
    if (!std::exchange(first, false)) out_ += ',';
    Text(name);
    out_ += ':';
  };
  std::sort(texts.begin(), texts.end());
  for (const auto& [name, text] : texts) {
    key(name);
    field.kind == CodecKind::kString ? Text(text) : Text(absl::Base64Escape(text));
  }
  std::sort(messages.begin(), messages.end());
  for (const auto& [name, inner] : messages) {
    key(name);
    Object(*field.table, *inner);
  }
  out_ += '}';
  first_ = false;
}

void Encoder::Form(const CodecTable& table, const Message& message) {
  const Reflection& r = *message.GetReflection();
  const auto number = [&](size_t field) { return r.GetInt64(message, table.fields[field].field); };
  const auto text = [&](size_t field) { return r.GetString(message, table.fields[field].field); };
  switch (table.form) {
    case CodecForm::kIntOrString:
      if (number(0) == 1) return Text(text(2));
      absl::StrAppend(&out_, r.GetInt32(message, table.fields[1].field));
      return;
    case CodecForm::kTime:
      return Text(FormatTime(number(0)));
    case CodecForm::kMicroTime:
      return Text(FormatMicroTime(number(0) * 1'000'000 +
                                  r.GetInt32(message, table.fields[1].field) / 1000));
    case CodecForm::kRawJson: {
      const std::string raw = text(0);
      absl::StrAppend(&out_, raw.empty() ? "null" : raw);
      return;
    }
    case CodecForm::kQuantity: {
      const std::string quantity = text(0);
      return Text(quantity.empty() ? "0" : quantity);
    }
    case CodecForm::kGoDuration:
      return Text(FormatGoDuration(number(0)));
    case CodecForm::kList: {
      out_ += '[';
      const int size = r.FieldSize(message, table.fields[0].field);
      for (int i = 0; i < size; ++i) {
        if (i > 0) out_ += ',';
        Value(table.fields[0], message, i);
      }
      out_ += ']';
      return;
    }
    case CodecForm::kObject:
      return;
  }
}

}  // namespace

void AppendJson(const Message& object, std::string* out) {
  const CodecTable& table = TableOf(*object.GetDescriptor());
  Encoder(out).Object(table, object, table.head);
}

std::string ToJson(const Message& object) {
  std::string out;
  AppendJson(object, &out);
  return out;
}

}  // namespace meltemi::kube
