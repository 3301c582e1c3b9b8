#include "kube/selector/quote.h"

#include "absl/strings/str_cat.h"
#include "base/json/utf8.h"

namespace meltemi::kube {
namespace {

// Index: the byte minus 7.
constexpr absl::string_view kShortEscapes = "abtnvfr";

}  // namespace

std::string GoQuoted(absl::string_view text) {
  std::string out = "\"";
  size_t at = 0;
  while (at < text.size()) {
    unsigned char c = static_cast<unsigned char>(text[at]);
    size_t length = json::Utf8SequenceLength(text.substr(at));
    if (length > 1) {
      absl::StrAppend(&out, text.substr(at, length));
      at += length;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += {'\\', static_cast<char>(c)};
    } else if (c >= 7 && c <= 13) {
      out += {'\\', kShortEscapes[c - 7]};
    } else if (c < 0x20 || c >= 0x7f) {
      absl::StrAppend(&out, "\\x", absl::Hex(c, absl::kZeroPad2));
    } else {
      out += static_cast<char>(c);
    }
    ++at;
  }
  out += '"';
  return out;
}

}  // namespace meltemi::kube
