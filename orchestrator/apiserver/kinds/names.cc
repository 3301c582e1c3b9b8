#include "orchestrator/apiserver/kinds/names.h"

#include <arpa/inet.h>

#include <initializer_list>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::apiserver {
namespace {

constexpr size_t kLabelBytesMax = 63, kSubdomainBytesMax = 253, kPortNameBytesMax = 15;

constexpr absl::string_view kDns1123LabelRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr absl::string_view kDns1123SubdomainRegex =
    R"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)";
constexpr absl::string_view kQualifiedNameRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

bool AllOf(absl::string_view text, bool (*allowed)(char)) {
  for (const char c : text) {
    if (!allowed(c)) return false;
  }
  return true;
}

bool LooksLikeDns1123Label(absl::string_view text) {
  return !text.empty() && IsLowerAlnum(text.front()) && IsLowerAlnum(text.back()) &&
         AllOf(text, [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

bool LooksLikeDns1123Subdomain(absl::string_view text) {
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    if (!LooksLikeDns1123Label(label)) return false;
  }
  return true;
}

bool LooksLikeQualifiedName(absl::string_view text) {
  return !text.empty() && absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back()) &&
         AllOf(text,
               [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string TooLongText(size_t bytes_max) {
  return absl::StrCat("must be no more than ", bytes_max, " characters");
}

std::string RegexText(absl::string_view text, absl::string_view regex,
                      std::initializer_list<absl::string_view> examples) {
  std::string out(text);
  out += " (e.g. ";
  bool first = true;
  for (const absl::string_view example : examples) {
    if (!first) out += " or ";
    first = false;
    absl::StrAppend(&out, "'", example, "', ");
  }
  absl::StrAppend(&out, "regex used for validation is '", regex, "')");
  return out;
}

void CheckDotPrefix(absl::string_view text, Complaints& out) {
  if (text == ".") {
    out.push_back("must not be '.'");
  } else if (text == "..") {
    out.push_back("must not be '..'");
  } else if (absl::StartsWith(text, "..")) {
    out.push_back("must not start with '..'");
  }
}

// A generateName may end in a dash, since something follows.
std::string MaskTrailingDash(absl::string_view name, bool prefix) {
  if (prefix && name.size() > 1 && name.back() == '-') {
    return absl::StrCat(name.substr(0, name.size() - 2), "a");
  }
  return std::string(name);
}

}  // namespace

Complaints CheckDns1123Label(absl::string_view text) {
  Complaints out;
  if (text.size() > kLabelBytesMax) out.push_back(TooLongText(kLabelBytesMax));
  if (!LooksLikeDns1123Label(text)) {
    if (LooksLikeDns1123Subdomain(text)) {
      out.push_back("must not contain dots");
    } else {
      out.push_back(
          RegexText("a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
                    "or '-', and must start and end with an alphanumeric character",
                    kDns1123LabelRegex, {"my-name", "123-abc"}));
    }
  }
  return out;
}

Complaints CheckDns1123Subdomain(absl::string_view text) {
  Complaints out;
  if (text.size() > kSubdomainBytesMax) out.push_back(TooLongText(kSubdomainBytesMax));
  if (!LooksLikeDns1123Subdomain(text)) {
    out.push_back(RegexText(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character",
        kDns1123SubdomainRegex, {"example.com"}));
  }
  return out;
}

Complaints CheckWildcardDns1123Subdomain(absl::string_view text) {
  Complaints out;
  if (text.size() > kSubdomainBytesMax) out.push_back(TooLongText(kSubdomainBytesMax));
  if (!absl::StartsWith(text, "*.") || !LooksLikeDns1123Subdomain(text.substr(2))) {
    out.push_back(RegexText(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
        "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
        "alphanumeric character",
        absl::StrCat(R"(\*\.)", kDns1123SubdomainRegex), {"*.example.com"}));
  }
  return out;
}

Complaints CheckDns1035Label(absl::string_view text) {
  Complaints out;
  if (text.size() > kLabelBytesMax) out.push_back(TooLongText(kLabelBytesMax));
  if (!LooksLikeDns1123Label(text) || !absl::ascii_islower(text.front())) {
    out.push_back(RegexText(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character",
        "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  }
  return out;
}

Complaints CheckQualifiedName(absl::string_view text) {
  const auto form = [] {
    return RegexText(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character",
        kQualifiedNameRegex, {"MyName", "my.name", "123-abc"});
  };
  Complaints out;
  absl::string_view name = text;
  const size_t slash = text.find('/');
  if (slash != absl::string_view::npos) {
    const absl::string_view prefix = text.substr(0, slash);
    name = text.substr(slash + 1);
    if (absl::StrContains(name, '/')) {
      out.push_back(absl::StrCat("a qualified name ", form(),
                                 " with an optional DNS subdomain prefix and '/' (e.g. "
                                 "'example.com/MyName')"));
      return out;
    }
    if (prefix.empty()) {
      out.push_back("prefix part must be non-empty");
    } else {
      for (const std::string& complaint : CheckDns1123Subdomain(prefix)) {
        out.push_back("prefix part " + complaint);
      }
    }
  }
  if (name.empty()) {
    out.push_back("name part must be non-empty");
  } else if (name.size() > kLabelBytesMax) {
    out.push_back("name part " + TooLongText(kLabelBytesMax));
  }
  if (!LooksLikeQualifiedName(name)) out.push_back("name part " + form());
  return out;
}

Complaints CheckLabelValue(absl::string_view text) {
  Complaints out;
  if (text.size() > kLabelBytesMax) out.push_back(TooLongText(kLabelBytesMax));
  if (!text.empty() && !LooksLikeQualifiedName(text)) {
    out.push_back(RegexText(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character",
        absl::StrCat("(", kQualifiedNameRegex, ")?"), {"MyValue", "my_value", "12345"}));
  }
  return out;
}

Complaints CheckConfigMapKey(absl::string_view text) {
  Complaints out;
  if (text.size() > kSubdomainBytesMax) out.push_back(TooLongText(kSubdomainBytesMax));
  if (text.empty() || !AllOf(text, [](char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
      })) {
    out.push_back(
        RegexText("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                  "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  }
  CheckDotPrefix(text, out);
  return out;
}

Complaints CheckEnvVarName(absl::string_view text) {
  if (text.empty()) return {"environment variable name must be non-empty"};
  if (!AllOf(text, [](char c) { return absl::ascii_isprint(c) && c != '='; })) {
    return {
        "a valid environment variable name must consist only of printable ASCII characters "
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
      RegexText("a valid C identifier must start with alphabetic character or '_', followed by "
                "a string of alphanumeric characters or '_'",
                "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

Complaints CheckHttpHeaderName(absl::string_view text) {
  if (!text.empty() && AllOf(text, [](char c) { return absl::ascii_isalnum(c) || c == '-'; })) {
    return {};
  }
  return {RegexText("a valid HTTP header must consist of alphanumeric characters or '-'",
                    "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

Complaints CheckPercent(absl::string_view text) {
  if (text.size() > 1 && text.back() == '%' &&
      AllOf(text.substr(0, text.size() - 1), [](char c) { return absl::ascii_isdigit(c); })) {
    return {};
  }
  return {RegexText("a valid percent string must be a numeric string followed by an ending '%'",
                    "[0-9]+%", {"1%", "93%"})};
}

Complaints CheckPortName(absl::string_view text) {
  Complaints out;
  if (text.size() > kPortNameBytesMax) out.push_back(TooLongText(kPortNameBytesMax));
  if (text.empty() || !AllOf(text, [](char c) { return IsLowerAlnum(c) || c == '-'; })) {
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  bool has_letter = false;
  for (const char c : text) has_letter |= absl::ascii_islower(c);
  if (!has_letter) out.push_back("must contain at least one letter (a-z)");
  if (absl::StrContains(text, "--")) out.push_back("must not contain consecutive hyphens");
  if (!text.empty() && (text.front() == '-' || text.back() == '-')) {
    out.push_back("must not begin or end with a hyphen");
  }
  return out;
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
  if (!prefix && (text == "." || text == "..")) {
    return {absl::StrCat("may not be '", text, "'")};
  }
  Complaints out;
  for (const char* part : {"/", "%"}) {
    if (absl::StrContains(text, part)) out.push_back(absl::StrCat("may not contain '", part, "'"));
  }
  return out;
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
