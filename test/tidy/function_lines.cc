#include "test/tidy/function_lines.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/match.h"

namespace meltemi::tidy {
namespace {

bool IsWordChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Walks over the text once; each Skip... returns the position behind what it skipped.
class Blanker {
 public:
  explicit Blanker(absl::string_view text) : text_(text), out_(std::string(text)) {}

  std::string Run() {
    size_t at = 0;
    bool line_start = true;
    while (at < text_.size()) {
      const char c = text_[at];
      if (c == '\n') {
        line_start = true;
        ++at;
        continue;
      }
      if (line_start && c == '#') {
        at = SkipPreprocessor(at);
        continue;
      }
      if (c != ' ' && c != '\t') line_start = false;
      at = SkipToken(at);
    }
    return out_;
  }

 private:
  size_t SkipToken(size_t at) {
    const absl::string_view rest = text_.substr(at);
    if (absl::StartsWith(rest, "//")) return Blank(at, text_.find('\n', at));
    if (absl::StartsWith(rest, "/*")) return Blank(at, After("*/", at + 2));
    if (absl::StartsWith(rest, "R\"") && !WordBefore(at)) return SkipRawString(at);
    if (rest[0] == '"') return SkipQuoted(at, '"');
    // A quote after a digit separates thousands: 1'000.
    if (rest[0] == '\'' && !WordBefore(at)) return SkipQuoted(at, '\'');
    return at + 1;
  }

  bool WordBefore(size_t at) const { return at > 0 && IsWordChar(text_[at - 1]); }

  size_t After(absl::string_view end, size_t from) const {
    const size_t found = text_.find(end, from);
    return found == absl::string_view::npos ? found : found + end.size();
  }

  size_t Blank(size_t from, size_t to) {
    to = std::min(to, text_.size());
    for (size_t i = from; i < to; ++i) {
      if (out_[i] != '\n') out_[i] = ' ';
    }
    return to;
  }

  size_t SkipQuoted(size_t at, char quote) {
    size_t end = at + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') {
      end += text_[end] == '\\' ? 2 : 1;
    }
    return Blank(at, end + 1);
  }

  size_t SkipRawString(size_t at) {
    const size_t open = text_.find('(', at);
    if (open == absl::string_view::npos) return at + 1;
    const std::string end = ")" + std::string(text_.substr(at + 2, open - at - 2)) + "\"";
    return Blank(at, After(end, open));
  }

  size_t SkipPreprocessor(size_t at) {
    size_t end = text_.find('\n', at);
    while (end != absl::string_view::npos && text_[end - 1] == '\\')
      end = text_.find('\n', end + 1);
    return Blank(at, end);
  }

  absl::string_view text_;
  std::string out_;
};

// Decides what an opening brace begins, from the text between the last statement and the brace.
class Parser {
 public:
  explicit Parser(absl::string_view code) : code_(code) {}

  std::vector<FunctionSpan> Run() {
    for (char c : code_) Step(c);
    return std::move(found_);
  }

 private:
  enum class Kind { kScope, kFunction, kInitializer };
  struct Open {
    Kind kind;
    int line;
    int parentheses;
  };

  void Step(char c) {
    switch (c) {
      case '\n':
        ++line_;
        head_ += ' ';
        break;
      case '(':
        ++parentheses_;
        head_ += c;
        break;
      case ')':
        --parentheses_;
        head_ += c;
        break;
      case ';':
        if (parentheses_ <= 0) head_.clear();
        break;
      case '{':
        OpenBrace();
        break;
      case '}':
        CloseBrace();
        break;
      default:
        head_ += c;
    }
  }

  void OpenBrace() {
    const Kind kind = Classify();
    open_.push_back({kind, line_, parentheses_});
    if (kind == Kind::kInitializer) return;
    parentheses_ = 0;
    head_.clear();
    if (kind == Kind::kFunction) ++function_depth_;
  }

  void CloseBrace() {
    if (open_.empty()) return;
    const Open open = open_.back();
    open_.pop_back();
    if (open.kind == Kind::kInitializer) {
      head_ += '}';
      return;
    }
    parentheses_ = open.parentheses;
    head_.clear();
    if (open.kind == Kind::kFunction && --function_depth_ == 0) {
      found_.push_back({open.line, line_ - open.line + 1});
    }
  }

  Kind Classify() const {
    if (function_depth_ > 0) return Kind::kFunction;  // any block: it counts for the outer one
    if (parentheses_ > 0) return Kind::kInitializer;
    absl::string_view head = head_;
    while (!head.empty() && head.back() == ' ') head.remove_suffix(1);
    const size_t parameters_end = head.find(')');
    if (absl::EndsWith(head, "=")) return Kind::kScope;  // the value of a table
    if (parameters_end == absl::string_view::npos || StartsType(head)) return Kind::kScope;
    const bool in_initializer_list = head.find(':', parameters_end) != absl::string_view::npos &&
                                     head.find("->", parameters_end) == absl::string_view::npos;
    if (in_initializer_list && (IsWordChar(head.back()) || head.back() == '>')) {
      return Kind::kInitializer;
    }
    return Kind::kFunction;
  }

  static bool StartsType(absl::string_view head) {
    const size_t parameters = head.find('(');
    for (absl::string_view word : {"class ", "struct ", "enum ", "union ", "namespace "}) {
      const size_t at = head.find(word);
      if (at != absl::string_view::npos && at < parameters && head.rfind('<', at) > at &&
          (at == 0 || !IsWordChar(head[at - 1]))) {
        return true;
      }
    }
    return false;
  }

  absl::string_view code_;
  std::vector<Open> open_;
  std::vector<FunctionSpan> found_;
  std::string head_;  // code since the last statement or scope ended
  int line_ = 1;
  int parentheses_ = 0;
  int function_depth_ = 0;
};

}  // namespace

std::string BlankOutNonCode(absl::string_view text) { return Blanker(text).Run(); }

std::vector<FunctionSpan> FindFunctions(absl::string_view text) {
  const std::string code = BlankOutNonCode(text);
  return Parser(code).Run();
}

}  // namespace meltemi::tidy
