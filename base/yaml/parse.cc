#include "base/yaml/parse.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <map>
#include <set>
#include <streambuf>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/yaml/scalar.h"

namespace meltemi::yaml {
namespace {

using json::Value;

// std::istream over memory that belongs to somebody else.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(absl::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

size_t CountValues(const Value& value) {
  size_t count = 1;
  for (const Value& item : value.items()) count += CountValues(item);
  for (const json::Member& member : value.members()) count += CountValues(member.value);
  return count;
}

size_t DepthOf(const Value& value) {
  size_t deepest = 0;
  for (const Value& item : value.items()) deepest = std::max(deepest, DepthOf(item));
  for (const json::Member& member : value.members()) {
    deepest = std::max(deepest, DepthOf(member.value));
  }
  return deepest + 1;
}

// Builds the tree of one document from yaml-cpp's events. The first error is kept and everything
// after it passed over: the handler must not throw through the library.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const ParseLimits& limits) : limits_(limits) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // On some stray tokens the library yields empty documents for ever, all at the same place.
    if (!document_start_.is_null() && document_start_.pos == mark.pos) {
      Fail(mark, "unexpected text");
    }
    document_start_ = mark;
    Reset();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Scalar(mark, "", anchor, "", true);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (failed()) return;
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) return Fail(mark, "an alias refers to a value that contains it");
    if (!Count(mark, it->second.values) || !CheckDepth(mark, it->second.depth)) return;
    Attach(mark, it->second.value, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Scalar(mark, tag, anchor, text, tag == "?" || tag.empty());
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Value::Array());
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Value::Object());
  }
  void OnMapEnd() override { Close(); }

  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }
  Value TakeRoot() { return std::move(root_); }
  // Where the last quoted scalar begins.
  const YAML::Mark& last_quoted() const { return last_quoted_; }

 private:
  struct Frame {
    Value value;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::string key;
    int key_line = 0;
    std::set<std::string> keys;
    std::vector<Value> merged;
  };
  struct Anchored {
    Value value;
    size_t values = 0;
    size_t depth = 0;
  };

  void Reset() {
    stack_.clear();
    anchors_.clear();
    root_ = Value();
  }
  void Fail(const YAML::Mark& mark, absl::string_view what) {
    if (failed()) return;
    error_ = absl::StrCat("line ", mark.line + 1, ", column ", mark.column + 1, ": ", what);
  }
  bool Count(const YAML::Mark& mark, size_t values) {
    values_ += values;
    if (values_ <= limits_.values_max) return true;
    Fail(mark, absl::StrCat("more than ", limits_.values_max, " values"));
    return false;
  }
  bool CheckDepth(const YAML::Mark& mark, size_t more) {
    if (stack_.size() + more <= limits_.depth_max) return true;
    Fail(mark, absl::StrCat("nested deeper than ", limits_.depth_max, " levels"));
    return false;
  }

  void Scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
              const std::string& text, bool plain) {
    if (failed() || !Count(mark, 1)) return;
    if (WantsKey()) {
      if (tag == "!") last_quoted_ = mark;
      return SetKey(mark, text);
    }
    Value value;
    if (plain || tag == "tag:yaml.org,2002:int" || tag == "tag:yaml.org,2002:float" ||
        tag == "tag:yaml.org,2002:bool" || tag == "tag:yaml.org,2002:null") {
      value = ResolvePlainScalar(text);
    } else if (tag == "!" || tag == "tag:yaml.org,2002:str") {
      value = Value::String(text);
      if (tag == "!") last_quoted_ = mark;
    } else {
      return Fail(mark, absl::StrCat("the tag \"", tag, "\" is not supported"));
    }
    value.set_line(mark.line + 1);
    Attach(mark, std::move(value), anchor);
  }

  bool WantsKey() const {
    return !stack_.empty() && stack_.back().value.is_object() && !stack_.back().has_key;
  }
  void SetKey(const YAML::Mark& mark, const std::string& text) {
    Frame& frame = stack_.back();
    if (text != "<<" && !frame.keys.insert(text).second) {
      return Fail(mark, absl::StrCat("the key \"", text, "\" occurs twice in one mapping"));
    }
    frame.has_key = true;
    frame.key = text;
    frame.key_line = mark.line + 1;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Value value) {
    if (failed()) return;
    if (WantsKey()) return Fail(mark, "a key must be a scalar");
    if (!tag.empty() && tag != "?" && tag != "!" && !absl::StartsWith(tag, "tag:yaml.org,2002:")) {
      return Fail(mark, absl::StrCat("the tag \"", tag, "\" is not supported"));
    }
    if (!Count(mark, 1) || !CheckDepth(mark, 1)) return;
    value.set_line(mark.line + 1);
    Frame frame;
    frame.value = std::move(value);
    frame.mark = mark;
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void Close() {
    if (failed() || stack_.empty()) return;
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    for (Value& merged : frame.merged) Merge(std::move(merged), frame);
    Attach(frame.mark, std::move(frame.value), frame.anchor);
  }
  // Keys of the mapping itself win over merged ones; earlier merged ones over later.
  static void Merge(Value merged, Frame& frame) {
    for (json::Member& member : merged.members()) {
      if (frame.keys.insert(member.key).second) frame.value.members().push_back(std::move(member));
    }
  }

  void Attach(const YAML::Mark& mark, Value value, YAML::anchor_t anchor) {
    if (anchor != 0) {
      anchors_[anchor] = {.value = value, .values = CountValues(value), .depth = DepthOf(value)};
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.value.is_array()) {
      frame.value.Append(std::move(value));
      return;
    }
    if (!frame.has_key) return Fail(mark, "a key must be a scalar");
    frame.has_key = false;
    if (frame.key == "<<") return AddMerged(mark, std::move(value), frame);
    frame.value.members().push_back(json::Member{
        .key = std::move(frame.key), .line = frame.key_line, .value = std::move(value)});
  }
  void AddMerged(const YAML::Mark& mark, Value value, Frame& frame) {
    if (value.is_object()) {
      frame.merged.push_back(std::move(value));
      return;
    }
    for (Value& item : value.items()) {
      if (!item.is_object()) return Fail(mark, "\"<<\" takes mappings only");
      frame.merged.push_back(std::move(item));
    }
    if (!value.is_array()) Fail(mark, "\"<<\" takes mappings only");
  }

  const ParseLimits limits_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t values_ = 0;
  std::string error_;
  Value root_;
  YAML::Mark last_quoted_ = YAML::Mark::null_mark();
  YAML::Mark document_start_ = YAML::Mark::null_mark();
};

// yaml-cpp takes a quoted scalar that the end of the text cuts off: a half-written file would pass.
bool IsCutOff(absl::string_view text, const YAML::Mark& last_quoted) {
  if (last_quoted.is_null()) return false;
  size_t i = std::min(static_cast<size_t>(last_quoted.pos), text.size());
  while (i < text.size() && text[i] != '"' && text[i] != '\'') ++i;  // past an anchor or a tag
  if (i == text.size()) return false;
  const char quote = text[i];
  for (++i; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return false;
      ++i;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<std::vector<Value>> ParseAll(absl::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.size_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the document has ", text.size(),
                                                   " bytes: more than ", limits.size_bytes_max));
  }
  std::vector<Value> documents;
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  TreeBuilder builder(limits);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
      if (builder.failed()) return absl::InvalidArgumentError(builder.error());
      Value root = builder.TakeRoot();
      if (!root.is_null()) documents.push_back(std::move(root));
    }
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", e.mark.line + 1, ", column ", e.mark.column + 1, ": ", e.msg));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("not YAML: ", e.what()));
  }
  if (builder.failed()) return absl::InvalidArgumentError(builder.error());
  if (IsCutOff(text, builder.last_quoted())) {
    return absl::InvalidArgumentError(absl::StrCat("line ", builder.last_quoted().line + 1,
                                                   ", column ", builder.last_quoted().column + 1,
                                                   ": a quoted string has no end"));
  }
  return documents;
}

absl::StatusOr<Value> Parse(absl::string_view text, const ParseLimits& limits) {
  auto documents = ParseAll(text, limits);
  if (!documents.ok()) return documents.status();
  if (documents->size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected one document, got ", documents->size()));
  }
  return std::move(documents->front());
}

}  // namespace meltemi::yaml
