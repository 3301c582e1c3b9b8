#include "cli/images/image_name.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {
namespace {

constexpr size_t kTagMax = 128, kNameMax = 255;

bool IsSmall(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// Small letters and digits, with '.', '_', "__" or dashes between them.
bool IsPathPart(absl::string_view part) {
  if (part.empty() || !IsSmall(part.front()) || !IsSmall(part.back())) return false;
  for (size_t i = 1; i < part.size(); ++i) {
    const char c = part[i], before = part[i - 1];
    if (IsSmall(c) || (c == '-' && (IsSmall(before) || before == '-'))) continue;
    if (c == '.' && IsSmall(before)) continue;
    if (c == '_' && (IsSmall(before) || (before == '_' && i >= 2 && IsSmall(part[i - 2])))) {
      continue;
    }
    return false;
  }
  return true;
}

bool IsTag(absl::string_view tag) {
  if (tag.empty() || tag.size() > kTagMax || tag[0] == '.' || tag[0] == '-') return false;
  for (const char c : tag) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

bool IsRegistry(absl::string_view part) {
  return part == "localhost" || part.find_first_of(".:") != absl::string_view::npos;
}

bool IsHost(absl::string_view host) {
  for (const char c : host) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '-' && c != ':') return false;
  }
  return true;
}

absl::Status Wrong(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("image name \"", text, "\": ", why));
}

}  // namespace

absl::StatusOr<ImageName> ParseImageName(absl::string_view text) {
  if (text.find('@') != absl::string_view::npos) {
    return Wrong(text, "a digest cannot be chosen; give a tag");
  }
  ImageName out;
  const size_t slash = text.rfind('/');
  const size_t colon = text.rfind(':');
  const bool tagged =
      colon != absl::string_view::npos && (slash == absl::string_view::npos || colon > slash);
  out.tag = tagged ? std::string(text.substr(colon + 1)) : "latest";
  if (!IsTag(out.tag)) {
    return Wrong(text, "a tag is made of letters, digits, '_', '.' and '-', at most 128 of them");
  }
  const absl::string_view name = tagged ? text.substr(0, colon) : text;
  std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  std::string registry = "docker.io";
  if (parts.size() > 1 && IsRegistry(parts[0])) {
    registry = std::string(parts[0]);
    parts.erase(parts.begin());
    if (!IsHost(registry)) return Wrong(text, absl::StrCat("\"", registry, "\" is no host name"));
  } else if (parts.size() == 1) {
    parts.insert(parts.begin(), "library");
  }
  out.repository = registry;
  for (const absl::string_view part : parts) {
    if (!IsPathPart(part)) {
      return Wrong(text, absl::StrCat("\"", part, "\" must be made of small letters and digits, ",
                                      "with '.', '_' or '-' between them"));
    }
    absl::StrAppend(&out.repository, "/", part);
  }
  if (out.repository.size() > kNameMax) return Wrong(text, "it is longer than 255 bytes");
  return out;
}

}  // namespace meltemi::cli
