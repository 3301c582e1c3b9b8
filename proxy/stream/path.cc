#include "proxy/stream/path.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// %2F, %5C: a slash that would not look like one. True when there was one.
bool UnescapeSlashes(std::string& path) {
  bool found = false;
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    const absl::string_view rest = absl::string_view(path).substr(i, 3);
    if (absl::EqualsIgnoreCase(rest, "%2f") || absl::EqualsIgnoreCase(rest, "%5c")) {
      out.push_back(absl::EqualsIgnoreCase(rest, "%2f") ? '/' : '\\');
      i += 2;
      found = true;
    } else {
      out.push_back(path[i]);
    }
  }
  path = std::move(out);
  return found;
}

// Decodes what need not be encoded, writes the rest in upper case. False: %00 or a broken escape.
bool DecodeUnreserved(std::string& path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') {
      out.push_back('/');
      continue;
    }
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    const int high = i + 1 < path.size() ? HexDigit(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? HexDigit(path[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    const char decoded = static_cast<char>(high * 16 + low);
    if (IsUnreserved(decoded)) {
      out.push_back(decoded);
    } else {
      out.push_back('%');
      out.push_back(absl::ascii_toupper(static_cast<unsigned char>(path[i + 1])));
      out.push_back(absl::ascii_toupper(static_cast<unsigned char>(path[i + 2])));
    }
    i += 2;
  }
  path = std::move(out);
  return true;
}

// RFC 3986 5.2.4 over segments; ".." above the root stays at the root.
void RemoveDotSegments(std::string& path) {
  if (!absl::StrContains(path, "/.")) return;
  std::vector<absl::string_view> kept;
  absl::string_view rest = path;
  rest.remove_prefix(1);
  bool ends_in_slash = false;
  for (;;) {
    const size_t slash = rest.find('/');
    const absl::string_view segment = rest.substr(0, slash);
    ends_in_slash = false;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
      ends_in_slash = true;
    } else if (segment == ".") {
      ends_in_slash = true;
    } else {
      kept.push_back(segment);
    }
    if (slash == absl::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  std::string out;
  for (absl::string_view segment : kept) absl::StrAppend(&out, "/", segment);
  if (ends_in_slash || out.empty()) out.push_back('/');
  path = std::move(out);
}

void MergeSlashes(std::string& path) {
  std::string out;
  out.reserve(path.size());
  for (char c : path) {
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out.push_back(c);
  }
  path = std::move(out);
}

// Most paths have nothing to mend.
bool MayNeedWork(absl::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '%' || c == '\\') return true;
    if (c == '/' && i + 1 < path.size() && (path[i + 1] == '/' || path[i + 1] == '.')) return true;
  }
  return false;
}

}  // namespace

absl::string_view PathWithoutQuery(absl::string_view path) {
  path = path.substr(0, path.find('?'));
  return path.substr(0, path.find('#'));
}

absl::string_view QueryOf(absl::string_view path) {
  const size_t mark = path.find('?');
  if (mark == absl::string_view::npos) return {};
  const absl::string_view query = path.substr(mark + 1);
  return query.substr(0, query.find('#'));
}

PathVerdict NormalizePath(const HttpConfig& config, absl::string_view path, std::string* changed) {
  // RFC 9112 3.2: a request target has no fragment; routes must not see two readings of it.
  if (path.find('#') != absl::string_view::npos) return PathVerdict::kRejected;
  if (path.empty() || path[0] != '/') return PathVerdict::kUnchanged;
  const absl::string_view plain = PathWithoutQuery(path);
  if (!MayNeedWork(plain)) return PathVerdict::kUnchanged;

  std::string out(plain);
  bool redirect = false;
  if (config.escaped_slashes != PathEscapedSlashes::kKeep && UnescapeSlashes(out)) {
    if (config.escaped_slashes == PathEscapedSlashes::kReject) return PathVerdict::kRejected;
    redirect = config.escaped_slashes == PathEscapedSlashes::kUnescapeRedirect;
  }
  if (config.normalize_path) {
    if (!DecodeUnreserved(out)) return PathVerdict::kRejected;
    RemoveDotSegments(out);
  }
  if (config.merge_slashes) MergeSlashes(out);
  if (out == plain) return PathVerdict::kUnchanged;
  absl::StrAppend(&out, path.substr(plain.size()));
  *changed = std::move(out);
  return redirect ? PathVerdict::kRedirect : PathVerdict::kChanged;
}

}  // namespace meltemi::proxy
