#include "orchestrator/dns/wire/name.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::dns {
namespace {

constexpr uint8_t kPointerBits = 0xC0;

uint8_t ByteAt(absl::string_view message, size_t at) { return static_cast<uint8_t>(message[at]); }

}  // namespace

Name NameFromText(absl::string_view text) {
  Name name;
  text = absl::StripSuffix(text, ".");
  if (!text.empty()) {
    for (const absl::string_view label : absl::StrSplit(text, '.')) {
      if (label.empty() || label.size() > kLabelBytesMax) return "";
      name += static_cast<char>(label.size());
      name += absl::AsciiStrToLower(label);
    }
  }
  name += '\0';
  return name.size() > kNameBytesMax ? "" : name;
}

std::string NameToText(absl::string_view name) {
  std::string text;
  for (const absl::string_view label : LabelsOf(name)) {
    for (const char c : label) {
      if (absl::ascii_isgraph(c) && c != '.' && c != '\\') {
        text += c;
      } else {
        text += absl::StrFormat("\\%03d", static_cast<unsigned char>(c));
      }
    }
    text += '.';
  }
  return text.empty() ? "." : text;
}

Labels LabelsOf(absl::string_view name) {
  Labels labels;
  size_t at = 0;
  while (at < name.size() && name[at] != '\0') {
    const size_t length = ByteAt(name, at);
    labels.push_back(name.substr(at + 1, length));
    at += 1 + length;
  }
  return labels;
}

bool ReadName(absl::string_view message, size_t* at, Name* out) {
  out->clear();
  size_t here = *at;
  size_t bound = message.size();  // pointers lead below what has been read
  bool jumped = false;
  for (;;) {
    if (here >= message.size()) return false;
    const uint8_t length = ByteAt(message, here);
    if ((length & kPointerBits) == kPointerBits) {
      if (here + 1 >= message.size()) return false;
      const size_t target =
          static_cast<size_t>(length & ~kPointerBits) << 8 | ByteAt(message, here + 1);
      if (!jumped) {
        bound = *at;
        *at = here + 2;
      }
      jumped = true;
      if (target >= bound) return false;
      bound = target;
      here = target;
      continue;
    }
    if (length > kLabelBytesMax) return false;
    if (here + 1 + length > message.size()) return false;
    if (out->size() + 1 + length > kNameBytesMax) return false;
    *out += static_cast<char>(length);
    for (size_t i = 0; i < length; ++i) *out += absl::ascii_tolower(message[here + 1 + i]);
    here += 1 + static_cast<size_t>(length);
    if (length > 0) continue;
    if (!jumped) *at = here;
    return true;
  }
}

bool SkipName(absl::string_view message, size_t* at) {
  while (*at < message.size()) {
    const uint8_t length = ByteAt(message, *at);
    if ((length & kPointerBits) == kPointerBits) {
      *at += 2;
      return *at <= message.size();
    }
    if (length > kLabelBytesMax) return false;
    *at += 1 + static_cast<size_t>(length);
    if (length == 0) return true;
  }
  return false;
}

}  // namespace meltemi::dns
