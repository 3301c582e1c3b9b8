// A cursor over JSON text that hands out keys, texts and numbers as they come, without a tree.
//
// Lenient where it costs nothing: strings may hold bytes that are no UTF-8 and halves of
// surrogates, which become U+FFFD (as in Go). Everything else is RFC 8259.
//
// Threads: a plain value; the text outlives it. Each Take… skips white space before it and is false
// when something else stands there: the cursor is then somewhere within what was refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kube {

class JsonScanner {
 public:
  explicit JsonScanner(absl::string_view text)
      : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()) {}

  // The next character that is no white space; '\0' at the end.
  char Peek() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ == end_ ? '\0' : *at_;
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  // "true", "false", "null".
  bool TakeWord(absl::string_view word);
  // Into `*out`, which is replaced.
  bool TakeString(std::string* out);
  // A string and the colon after it. `*key` is a view into the text, or into `*scratch` when the
  // key has escapes.
  bool TakeKey(std::string* scratch, absl::string_view* key);
  // The digits as they stand there.
  bool TakeNumber(absl::string_view* number);
  // Any value; `depth_max` levels of objects and arrays. Its text goes to `*text`, which may be
  // null.
  bool TakeAny(int depth_max, absl::string_view* text);

  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  // Nothing but white space is left.
  bool AtEnd() { return Peek() == '\0' && at_ == end_; }

 private:
  // From the opening quote to behind the closing one; what is between them goes to `*inside`.
  // `*plain`: it is ASCII without escapes.
  bool SkipString(absl::string_view* inside, bool* plain);
  bool SkipMembers(int depth_max);
  bool SkipItems(int depth_max);

  const char* begin_;
  const char* at_;
  const char* end_;
};

// The integer that `number` (from TakeNumber) stands for: "3", and also "3.0" and "3e2". False when
// it is none or beyond 64 bits.
bool ToInt64(absl::string_view number, int64_t* out);

}  // namespace meltemi::kube
