// JSON writing: a streaming writer that appends to a string, and trees written as text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::json {

// Appends `text` without the quotes. Bytes that are not UTF-8 become U+FFFD; "<", ">" and "&" stay.
void AppendEscaped(absl::string_view text, std::string* out);

// Appends one document to `*out` as it is told, commas and indentation included. The caller nests
// correctly (checked by assertions in debug builds). One thread; no allocation but `*out`'s own and
// one byte per level.
class Writer {
 public:
  // indent: spaces per level; 0 writes everything on one line.
  explicit Writer(std::string* out, int indent = 0) : out_(out), indent_(indent) {}

  Writer& BeginObject();
  Writer& EndObject();
  Writer& BeginArray();
  Writer& EndArray();
  Writer& Key(absl::string_view key);
  Writer& String(absl::string_view text);
  Writer& Int(int64_t value);
  Writer& Uint(uint64_t value);
  // NaN and infinities, which JSON lacks, are written as strings, as protobuf's JSON does.
  Writer& Double(double value);
  Writer& Bool(bool value);
  Writer& Null();
  // `json` is written as it is.
  Writer& Raw(absl::string_view json);
  Writer& Tree(const Value& value);

 private:
  void BeforeValue();
  void NewLine();
  void Open(char bracket);
  void Close(char bracket);

  std::string* const out_;
  const int indent_;
  std::vector<char> has_items_;  // one per open object or array
  bool after_key_ = false;
};

std::string ToString(const Value& value, int indent = 0);

}  // namespace meltemi::json
