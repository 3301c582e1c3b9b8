#include "orchestrator/kubelet/images/image_name.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kTagBytesMax = 128;

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }
bool IsHex(char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); }
bool IsWord(char c) { return absl::ascii_isalnum(c) || c == '_'; }

// Runs of lower-case letters and digits, with one of ".", "_", "__" or dashes between.
bool IsPathComponent(absl::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < text.size() && !IsLowerAlnum(text[i])) ++i;
    const absl::string_view between = text.substr(begin, i - begin);
    const bool dashes =
        std::all_of(between.begin(), between.end(), [](char c) { return c == '-'; });
    if (between != "." && between != "_" && between != "__" && !dashes) return false;
  }
  return true;
}

bool IsPath(absl::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    if (!IsPathComponent(path.substr(0, slash))) return false;
    if (slash == absl::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool IsDomain(absl::string_view domain) {
  const size_t colon = domain.rfind(':');
  absl::string_view host = domain.substr(0, colon);
  if (colon != absl::string_view::npos && domain.back() != ']') {
    const absl::string_view port = domain.substr(colon + 1);
    if (port.empty() || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) return false;
  } else {
    host = domain;
  }
  if (host.empty()) return false;
  if (host.front() == '[') return host.size() > 2 && host.back() == ']';
  if (!absl::ascii_isalnum(host.front()) || !absl::ascii_isalnum(host.back())) return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.'; });
}

bool IsTag(absl::string_view tag) {
  if (tag.empty() || tag.size() > kTagBytesMax || !IsWord(tag.front())) return false;
  return std::all_of(tag.begin(), tag.end(),
                     [](char c) { return IsWord(c) || c == '.' || c == '-'; });
}

bool IsDigest(absl::string_view digest) {
  const size_t colon = digest.find(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view hex = digest.substr(colon + 1);
  if (digest.substr(0, colon) == "sha256" && hex.size() != 64) return false;
  return hex.size() >= 32 && hex.size() <= 128 && std::all_of(hex.begin(), hex.end(), IsHex);
}

// Whether what stands before the first slash is a registry.
bool LooksLikeDomain(absl::string_view text) {
  return text == "localhost" || text.find_first_of(".:") != absl::string_view::npos ||
         std::any_of(text.begin(), text.end(), absl::ascii_isupper);
}

std::optional<ImageName> No(absl::string_view why, std::string* error) {
  if (error != nullptr) *error = std::string(why);
  return std::nullopt;
}

}  // namespace

std::string ImageName::full() const {
  std::string out = repository();
  if (!tag.empty() || digest.empty()) absl::StrAppend(&out, ":", tag.empty() ? "latest" : tag);
  if (!digest.empty()) absl::StrAppend(&out, "@", digest);
  return out;
}

std::optional<ImageName> ParseImageName(absl::string_view text, std::string* error) {
  constexpr char kBad[] = "invalid reference format";
  if (text.empty()) return No(kBad, error);
  if (text.size() == 64 && std::all_of(text.begin(), text.end(), IsHex)) {
    return No(absl::StrCat("invalid repository name (", text,
                           "), cannot specify 64-byte hexadecimal strings"),
              error);
  }
  ImageName out;
  if (const size_t at = text.find('@'); at != absl::string_view::npos) {
    out.digest = std::string(text.substr(at + 1));
    if (!IsDigest(out.digest)) return No(kBad, error);
    text = text.substr(0, at);
  }
  const size_t slash = text.find('/');
  absl::string_view rest = text;
  if (slash != absl::string_view::npos && LooksLikeDomain(text.substr(0, slash))) {
    out.domain = std::string(text.substr(0, slash));
    if (!IsDomain(out.domain)) return No(kBad, error);
    if (out.domain == "index.docker.io") out.domain = "docker.io";
    rest = text.substr(slash + 1);
  }
  if (const size_t colon = rest.rfind(':'); colon != absl::string_view::npos) {
    out.tag = std::string(rest.substr(colon + 1));
    if (!IsTag(out.tag)) return No(kBad, error);
    rest = rest.substr(0, colon);
  }
  out.path = std::string(rest);
  if (out.domain == "docker.io" && !out.path.empty() && out.path.find('/') == std::string::npos) {
    out.path = absl::StrCat("library/", out.path);
  }
  if (!IsPath(out.path)) {
    const std::string lower = absl::AsciiStrToLower(out.path);
    return No(IsPath(lower)
                  ? "invalid reference format: repository name (" + out.path + ") must be lowercase"
                  : std::string(kBad),
              error);
  }
  if (out.repository().size() > kNameBytesMax) {
    return No("repository name must not be more than 255 characters", error);
  }
  return out;
}

}  // namespace meltemi::kubelet
