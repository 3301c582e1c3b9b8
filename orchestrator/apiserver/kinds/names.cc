#include "orchestrator/apiserver/kinds/names.h"

#include <arpa/inet.h>

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::apiserver {
namespace {

bool AllOf(absl::string_view text, bool (*allowed)(char)) {
  for (const char c : text) {
    if (!allowed(c)) return false;
  }
  return true;
}

// A generateName may end in a dash, since something follows.
std::string MaskTrailingDash(absl::string_view name, bool prefix) {
  if (prefix && name.size() > 1 && name.back() == '-') {
    return absl::StrCat(name.substr(0, name.size() - 2), "a");
  }
  return std::string(name);
}

}  // namespace

Complaints CheckConfigMapKey(absl::string_view text) { return kube::CheckConfigKey(text); }

Complaints CheckEnvVarName(absl::string_view text) {
  if (text.empty()) return {"environment variable name must be non-empty"};
  if (!AllOf(text, [](char c) { return absl::ascii_isprint(c) && c != '='; })) {
    return {
        "a valid environment variable name must consist only of printable "
        "ASCII characters "
        "other than '='"};
  }
  return {};
}

Complaints CheckCIdentifier(absl::string_view text) {
  if (!text.empty() && !absl::ascii_isdigit(text.front()) &&
      AllOf(text, [](char c) { return absl::ascii_isalnum(c) || c == '_'; })) {
    return {};
  }
  return {
      kube::RegexText("a valid C identifier must start with alphabetic character "
                      "or '_', followed by "
                      "a string of alphanumeric characters or '_'",
                      "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

Complaints CheckHttpHeaderName(absl::string_view text) {
  if (!text.empty() && AllOf(text, [](char c) { return absl::ascii_isalnum(c) || c == '-'; })) {
    return {};
  }
  return {kube::RegexText("a valid HTTP header must consist of alphanumeric characters or '-'",
                          "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

Complaints CheckPercent(absl::string_view text) {
  if (text.size() > 1 && text.back() == '%' &&
      AllOf(text.substr(0, text.size() - 1), [](char c) { return absl::ascii_isdigit(c); })) {
    return {};
  }
  return {
      kube::RegexText("a valid percent string must be a numeric string followed "
                      "by an ending '%'",
                      "[0-9]+%", {"1%", "93%"})};
}

Complaints CheckInRange(int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return {};
  return {absl::StrCat("must be between ", least, " and ", most, ", inclusive")};
}

Complaints CheckPortNumber(int64_t port) { return CheckInRange(port, 1, 65535); }
Complaints CheckUserId(int64_t id) {
  return CheckInRange(id, 0, std::numeric_limits<int32_t>::max());
}
Complaints CheckGroupId(int64_t id) { return CheckUserId(id); }

Complaints CheckPathSegment(absl::string_view text, bool prefix) {
  return kube::CheckPathSegmentName(text, prefix);
}

Complaints NameIsDnsSubdomain(absl::string_view name, bool prefix) {
  return CheckDns1123Subdomain(MaskTrailingDash(name, prefix));
}
Complaints NameIsDnsLabel(absl::string_view name, bool prefix) {
  return CheckDns1123Label(MaskTrailingDash(name, prefix));
}
Complaints NameIsDns1035Label(absl::string_view name, bool prefix) {
  return CheckDns1035Label(MaskTrailingDash(name, prefix));
}

std::string IpBytes(absl::string_view text) {
  if (absl::StrContains(text, ':')) {
    char bytes[16];
    if (text.size() >= INET6_ADDRSTRLEN ||
        inet_pton(AF_INET6, std::string(text).c_str(), bytes) != 1)
      return "";
    const std::string all(bytes, sizeof(bytes));
    // An IPv4 address in IPv6's clothes counts as the former.
    static constexpr char kMapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
    if (absl::StartsWith(all, absl::string_view(kMapped, 12))) return all.substr(12);
    return all;
  }
  std::string bytes;
  for (const absl::string_view part : absl::StrSplit(text, '.')) {
    int number = 0;
    if (part.empty() || part.size() > 16 ||
        !AllOf(part, [](char c) { return absl::ascii_isdigit(c); }) ||
        !absl::SimpleAtoi(part, &number) || number > 255) {
      return "";
    }
    bytes.push_back(static_cast<char>(number));
  }
  return bytes.size() == 4 ? bytes : "";
}

bool IsIp(absl::string_view text) { return !IpBytes(text).empty(); }
bool IsIpv4(absl::string_view text) { return IpBytes(text).size() == 4; }
bool IsIpv6(absl::string_view text) { return IpBytes(text).size() == 16; }

bool IsCidr(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return false;
  const absl::string_view digits = text.substr(slash + 1);
  const std::string bytes = IpBytes(text.substr(0, slash));
  int bits = 0;
  return !bytes.empty() && !digits.empty() && digits.size() <= 3 &&
         AllOf(digits, [](char c) { return absl::ascii_isdigit(c); }) &&
         absl::SimpleAtoi(digits, &bits) && bits <= static_cast<int>(bytes.size()) * 8;
}

void AddInvalid(const kube::FieldPath& path, absl::string_view value, const Complaints& complaints,
                kube::FieldErrors& errors) {
  for (const std::string& complaint : complaints) {
    errors.push_back(kube::InvalidField(path, value, complaint));
  }
}

void AddInvalid(const kube::FieldPath& path, int64_t value, const Complaints& complaints,
                kube::FieldErrors& errors) {
  for (const std::string& complaint : complaints) {
    errors.push_back(kube::InvalidField(path, value, complaint));
  }
}

void ValidateIp(const kube::FieldPath& path, absl::string_view text, kube::FieldErrors& errors) {
  if (IsIp(text)) return;
  errors.push_back(kube::InvalidField(
      path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
}

void ValidateCidr(const kube::FieldPath& path, absl::string_view text, kube::FieldErrors& errors) {
  if (IsCidr(text)) return;
  errors.push_back(kube::InvalidField(
      path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"));
}

}  // namespace meltemi::apiserver
