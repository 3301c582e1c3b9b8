#include "base/json/parse.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
// rapidjson asserts on misuse of its own API, never on input.
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

namespace meltemi::json {
namespace {

// Reads from a string_view and counts lines as it goes. rapidjson wants a stream that ends in NUL.
class LineStream {
 public:
  using Ch = char;
  explicit LineStream(absl::string_view text) : text_(text) {}

  Ch Peek() const { return offset_ < text_.size() ? text_[offset_] : '\0'; }
  Ch Take() {
    if (offset_ >= text_.size()) return '\0';
    const char c = text_[offset_++];
    if (c == '\n') ++line_;
    return c;
  }
  size_t Tell() const { return offset_; }
  int line() const { return line_; }

  // Of the writing half, which in-situ parsing alone would use.
  Ch* PutBegin() { return nullptr; }
  void Put(Ch) {}
  void Flush() {}
  size_t PutEnd(Ch*) { return 0; }

 private:
  absl::string_view text_;
  size_t offset_ = 0;
  int line_ = 1;
};

class TreeBuilder : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, TreeBuilder> {
 public:
  // duplicates: null where a repeated key is an error.
  TreeBuilder(const LineStream& stream, const ParseLimits& limits,
              std::vector<std::string>* duplicates)
      : stream_(stream), limits_(limits), duplicates_(duplicates) {}

  bool Null() { return Place(Value()); }
  bool Bool(bool value) { return Place(Value::Bool(value)); }
  bool RawNumber(const char* text, rapidjson::SizeType size, bool) {
    return Place(Value::Number(std::string(text, size)));
  }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return Place(Value::String(std::string(text, size)));
  }
  bool StartObject() { return Open(Value::Object()); }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    Frame& frame = stack_.back();
    frame.key.assign(text, size);
    frame.key_line = stream_.line();
    if (frame.keys.insert(frame.key).second) return true;
    if (duplicates_ == nullptr) {
      return Fail(absl::StrCat("the key \"", frame.key, "\" occurs twice in one object"));
    }
    frame.repeated = true;
    NoteDuplicate();
    return true;
  }
  bool EndObject(rapidjson::SizeType) { return Close(); }
  bool StartArray() { return Open(Value::Array()); }
  bool EndArray(rapidjson::SizeType) { return Close(); }

  const std::string& error() const { return error_; }
  Value TakeRoot() { return std::move(root_); }

 private:
  struct Frame {
    Value value;
    std::string key;
    int key_line = 0;
    bool repeated = false;  // `key` has been there before
    std::unordered_set<std::string> keys;
  };

  static constexpr size_t kDuplicatesMax = 100;

  void NoteDuplicate() {
    if (duplicates_->size() >= kDuplicatesMax) return;
    std::string path;
    for (const Frame& frame : stack_) {
      if (frame.value.is_array()) {
        absl::StrAppend(&path, "[", frame.value.items().size(), "]");
      } else {
        absl::StrAppend(&path, path.empty() ? "" : ".", frame.key);
      }
    }
    const bool known =
        std::find(duplicates_->begin(), duplicates_->end(), path) != duplicates_->end();
    if (!known) duplicates_->push_back(std::move(path));
  }

  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  bool Count() {
    if (++values_ > limits_.values_max) {
      return Fail(absl::StrCat("more than ", limits_.values_max, " values"));
    }
    return true;
  }
  bool Open(Value value) {
    if (stack_.size() >= limits_.depth_max) {
      return Fail(absl::StrCat("nested deeper than ", limits_.depth_max, " levels"));
    }
    if (!Count()) return false;
    value.set_line(stream_.line());
    stack_.emplace_back();
    stack_.back().value = std::move(value);
    return true;
  }
  bool Close() {
    Value value = std::move(stack_.back().value);
    stack_.pop_back();
    Attach(std::move(value));
    return true;
  }
  bool Place(Value value) {
    if (!Count()) return false;
    value.set_line(stream_.line());
    Attach(std::move(value));
    return true;
  }
  void Attach(Value value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.value.is_array()) {
      frame.value.Append(std::move(value));
      return;
    }
    if (frame.repeated) {
      frame.repeated = false;
      frame.value.Set(frame.key, std::move(value));
      return;
    }
    frame.value.members().push_back(
        Member{.key = std::move(frame.key), .line = frame.key_line, .value = std::move(value)});
  }

  const LineStream& stream_;
  const ParseLimits limits_;
  std::vector<std::string>* const duplicates_;
  std::vector<Frame> stack_;
  size_t values_ = 0;
  std::string error_;
  Value root_;
};

std::string Position(absl::string_view text, size_t offset) {
  offset = std::min(offset, text.size());
  const absl::string_view before = text.substr(0, offset);
  const size_t newline = before.rfind('\n');
  const size_t column = newline == absl::string_view::npos ? offset + 1 : offset - newline;
  return absl::StrCat("line ", std::count(before.begin(), before.end(), '\n') + 1, ", column ",
                      column);
}

absl::StatusOr<Value> ParseDocument(absl::string_view text, const ParseLimits& limits,
                                    std::vector<std::string>* duplicates) {
  if (text.size() > limits.size_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the document has ", text.size(),
                                                   " bytes: more than ", limits.size_bytes_max));
  }
  LineStream stream(text);
  TreeBuilder builder(stream, limits, duplicates);
  rapidjson::Reader reader;
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag |
                              rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseValidateEncodingFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, builder);
  // A NUL reads like the end of the text: what follows it has not been seen.
  if (!result.IsError() && stream.Tell() < text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(Position(text, stream.Tell()), ": a NUL byte after the document"));
  }
  if (result.IsError()) {
    const std::string what = result.Code() == rapidjson::kParseErrorTermination
                                 ? builder.error()
                                 : std::string(rapidjson::GetParseError_En(result.Code()));
    return absl::InvalidArgumentError(absl::StrCat(Position(text, result.Offset()), ": ", what));
  }
  return builder.TakeRoot();
}

}  // namespace

absl::StatusOr<Value> Parse(absl::string_view text, const ParseLimits& limits) {
  return ParseDocument(text, limits, nullptr);
}

absl::StatusOr<Value> ParseKeepingLast(absl::string_view text, const ParseLimits& limits,
                                       std::vector<std::string>* duplicates) {
  return ParseDocument(text, limits, duplicates);
}

}  // namespace meltemi::json
