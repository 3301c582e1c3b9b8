#include "base/json/write.h"

#include <cassert>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/utf8.h"

namespace meltemi::json {
namespace {

void Append(absl::string_view text, std::string* out) { out->append(text.data(), text.size()); }

bool IsPlain(unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

void AppendControl(unsigned char c, std::string* out) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return;
    case '\\':
      out->append("\\\\");
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\r':
      out->append("\\r");
      return;
    case '\t':
      out->append("\\t");
      return;
    default:
      absl::StrAppendFormat(out, "\\u%04x", c);
  }
}

}  // namespace

void AppendEscaped(absl::string_view text, std::string* out) {
  size_t start = 0;
  size_t i = 0;
  while (i < text.size()) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (IsPlain(c)) {
      ++i;
      continue;
    }
    Append(text.substr(start, i - start), out);
    if (c < 0x80) {
      AppendControl(c, out);
      ++i;
    } else if (const size_t length = Utf8SequenceLength(text.substr(i)); length > 0) {
      Append(text.substr(i, length), out);
      i += length;
    } else {
      out->append("\xEF\xBF\xBD");
      ++i;
    }
    start = i;
  }
  Append(text.substr(start), out);
}

void Writer::NewLine() {
  if (indent_ == 0) return;
  out_->push_back('\n');
  out_->append(has_items_.size() * static_cast<size_t>(indent_), ' ');
}

void Writer::BeforeValue() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) out_->push_back(',');
  has_items_.back() = 1;
  NewLine();
}

void Writer::Open(char bracket) {
  BeforeValue();
  out_->push_back(bracket);
  has_items_.push_back(0);
}

void Writer::Close(char bracket) {
  assert(!has_items_.empty());
  const bool had_items = has_items_.back() != 0;
  has_items_.pop_back();
  if (had_items) NewLine();
  out_->push_back(bracket);
}

Writer& Writer::BeginObject() {
  Open('{');
  return *this;
}

Writer& Writer::EndObject() {
  Close('}');
  return *this;
}

Writer& Writer::BeginArray() {
  Open('[');
  return *this;
}

Writer& Writer::EndArray() {
  Close(']');
  return *this;
}

Writer& Writer::Key(absl::string_view key) {
  assert(!has_items_.empty() && !after_key_);
  BeforeValue();
  out_->push_back('"');
  AppendEscaped(key, out_);
  out_->append(indent_ == 0 ? "\":" : "\": ");
  after_key_ = true;
  return *this;
}

Writer& Writer::String(absl::string_view text) {
  BeforeValue();
  out_->push_back('"');
  AppendEscaped(text, out_);
  out_->push_back('"');
  return *this;
}

Writer& Writer::Int(int64_t value) {
  BeforeValue();
  absl::StrAppend(out_, value);
  return *this;
}

Writer& Writer::Uint(uint64_t value) {
  BeforeValue();
  absl::StrAppend(out_, value);
  return *this;
}

Writer& Writer::Double(double value) {
  if (std::isnan(value)) return String("NaN");
  if (std::isinf(value)) return String(value > 0 ? "Infinity" : "-Infinity");
  BeforeValue();
  // The shortest of these that reads back as the same number.
  std::string text = absl::StrFormat("%.15g", value);
  if (std::strtod(text.c_str(), nullptr) != value) text = absl::StrFormat("%.17g", value);
  out_->append(text);
  return *this;
}

Writer& Writer::Bool(bool value) {
  BeforeValue();
  out_->append(value ? "true" : "false");
  return *this;
}

Writer& Writer::Null() {
  BeforeValue();
  out_->append("null");
  return *this;
}

Writer& Writer::Raw(absl::string_view json) {
  BeforeValue();
  Append(json, out_);
  return *this;
}

Writer& Writer::Tree(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return Null();
    case Value::Kind::kBool:
      return Bool(value.bool_value());
    case Value::Kind::kNumber:
      return Raw(value.text());
    case Value::Kind::kString:
      return String(value.text());
    case Value::Kind::kArray:
      BeginArray();
      for (const Value& item : value.items()) Tree(item);
      return EndArray();
    case Value::Kind::kObject:
      BeginObject();
      for (const Member& member : value.members()) Key(member.key).Tree(member.value);
      return EndObject();
  }
  return *this;
}

std::string ToString(const Value& value, int indent) {
  std::string out;
  Writer(&out, indent).Tree(value);
  return out;
}

}  // namespace meltemi::json
