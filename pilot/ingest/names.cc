#include "pilot/ingest/names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::pilot {
namespace {

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

bool IsLowerAlnum(char c) {
  return IsAlnum(c) && !absl::ascii_isupper(static_cast<unsigned char>(c));
}

bool IsDnsLabel(absl::string_view name, size_t size_max) {
  if (name.empty() || name.size() > size_max) return false;
  if (!IsLowerAlnum(name.front()) || !IsLowerAlnum(name.back())) return false;
  for (const char c : name) {
    if (!IsLowerAlnum(c) && c != '-') return false;
  }
  return true;
}

bool IsQualifiedName(absl::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  if (!IsAlnum(name.front()) || !IsAlnum(name.back())) return false;
  for (const char c : name) {
    if (!IsAlnum(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

}  // namespace

std::string WhyNoDnsLabel(absl::string_view name) {
  if (IsDnsLabel(name, 63)) return "";
  return absl::StrCat("\"", name,
                      "\" is no DNS label: lower-case letters, digits and \"-\", at most "
                      "63 characters, a letter or digit at both ends");
}

std::string WhyNoDnsSubdomain(absl::string_view name) {
  bool ok = !name.empty() && name.size() <= 253;
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    ok = ok && IsDnsLabel(label, 253);
  }
  if (ok) return "";
  return absl::StrCat("\"", name,
                      "\" is no DNS name: lower-case letters, digits, \"-\" and \".\", at "
                      "most 253 characters, a letter or digit at both ends of each part");
}

std::string WhyNoLabelKey(absl::string_view key) {
  const size_t slash = key.find('/');
  absl::string_view name = key;
  if (slash != absl::string_view::npos) {
    if (const std::string wrong = WhyNoDnsSubdomain(key.substr(0, slash)); !wrong.empty()) {
      return absl::StrCat("\"", key, "\" is no label key: ", wrong);
    }
    name = key.substr(slash + 1);
  }
  if (IsQualifiedName(name)) return "";
  return absl::StrCat("\"", key,
                      "\" is no label key: letters, digits, \"-\", \"_\" and \".\", at most "
                      "63 characters, a letter or digit at both ends");
}

std::string WhyNoLabelValue(absl::string_view value) {
  if (value.empty() || IsQualifiedName(value)) return "";
  return absl::StrCat("\"", value,
                      "\" is no label value: letters, digits, \"-\", \"_\" and \".\", at "
                      "most 63 characters, a letter or digit at both ends");
}

}  // namespace meltemi::pilot
