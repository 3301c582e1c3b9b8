#include "kube/names/check.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::kube {
namespace {

constexpr size_t kLabelCharactersMax = 63;
constexpr size_t kSubdomainCharactersMax = 253;
constexpr size_t kPortNameCharactersMax = 15;

// The expressions are quoted in messages; the functions below decide without them.
constexpr absl::string_view kQualifiedNameRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
constexpr absl::string_view kLabelValueRegex = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
constexpr absl::string_view kDns1123LabelRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr absl::string_view kDns1123SubdomainRegex =
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr absl::string_view kWildcardSubdomainRegex =
    "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr absl::string_view kDns1035LabelRegex = "[a-z]([-a-z0-9]*[a-z0-9])?";
constexpr absl::string_view kConfigKeyRegex = "[-._a-zA-Z0-9]+";
constexpr absl::string_view kEnvironmentNameRegex = "[-._a-zA-Z][-._a-zA-Z0-9]*";

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

bool IsConfigKeyCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
}

bool AllAre(absl::string_view text, bool (*is)(char)) {
  for (char c : text) {
    if (!is(c)) return false;
  }
  return true;
}

bool IsQualifiedNamePart(absl::string_view text) {
  return !text.empty() && AllAre(text, IsConfigKeyCharacter) && absl::ascii_isalnum(text.front()) &&
         absl::ascii_isalnum(text.back());
}

bool IsDns1123Label(absl::string_view text) {
  return !text.empty() && IsLowerAlnum(text.front()) && IsLowerAlnum(text.back()) &&
         AllAre(text, [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

bool IsDns1123Subdomain(absl::string_view text) {
  for (absl::string_view label : absl::StrSplit(text, '.')) {
    if (!IsDns1123Label(label)) return false;
  }
  return true;
}

// Names that would climb out of a folder when they become file names.
void CheckNoParentFolder(absl::string_view text, std::vector<std::string>* errors) {
  if (text == ".") {
    errors->push_back("must not be '.'");
  } else if (text == "..") {
    errors->push_back("must not be '..'");
  } else if (absl::StartsWith(text, "..")) {
    errors->push_back("must not start with '..'");
  }
}

}  // namespace

std::string MaxLengthText(size_t characters_max) {
  return absl::StrCat("must be no more than ", characters_max, " characters");
}

std::string RegexText(absl::string_view what, absl::string_view regex,
                      const std::vector<absl::string_view>& examples) {
  std::string text = absl::StrCat(what, examples.empty() ? " (" : " (e.g. ");
  for (size_t i = 0; i < examples.size(); ++i) {
    absl::StrAppend(&text, i > 0 ? " or '" : "'", examples[i], "', ");
  }
  absl::StrAppend(&text, "regex used for validation is '", regex, "')");
  return text;
}

std::vector<std::string> CheckQualifiedName(absl::string_view text) {
  std::vector<std::string> errors;
  std::string part_error = RegexText(
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric character",
      kQualifiedNameRegex, {"MyName", "my.name", "123-abc"});
  std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  if (parts.size() > 2) {
    return {absl::StrCat("a qualified name ", part_error,
                         " with an optional DNS subdomain prefix and '/' (e.g. "
                         "'example.com/MyName')")};
  }
  if (parts.size() == 2) {
    if (parts[0].empty()) {
      errors.push_back("prefix part must be non-empty");
    } else {
      for (const std::string& error : CheckDns1123Subdomain(parts[0])) {
        errors.push_back(absl::StrCat("prefix part ", error));
      }
    }
  }
  absl::string_view name = parts.back();
  if (name.empty()) {
    errors.push_back("name part must be non-empty");
  } else if (name.size() > kLabelCharactersMax) {
    errors.push_back(absl::StrCat("name part ", MaxLengthText(kLabelCharactersMax)));
  }
  if (!IsQualifiedNamePart(name)) errors.push_back(absl::StrCat("name part ", part_error));
  return errors;
}

std::vector<std::string> CheckLabelValue(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kLabelCharactersMax) errors.push_back(MaxLengthText(kLabelCharactersMax));
  if (!text.empty() && !IsQualifiedNamePart(text)) {
    errors.push_back(RegexText(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character",
        kLabelValueRegex, {"MyValue", "my_value", "12345"}));
  }
  return errors;
}

std::vector<std::string> CheckDns1123Label(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kLabelCharactersMax) errors.push_back(MaxLengthText(kLabelCharactersMax));
  if (IsDns1123Label(text)) return errors;
  if (IsDns1123Subdomain(text)) {
    errors.push_back("must not contain dots");
  } else {
    errors.push_back(RegexText(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
        "'-', and must start and end with an alphanumeric character",
        kDns1123LabelRegex, {"my-name", "123-abc"}));
  }
  return errors;
}

std::vector<std::string> CheckDns1123Subdomain(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kSubdomainCharactersMax) {
    errors.push_back(MaxLengthText(kSubdomainCharactersMax));
  }
  if (!IsDns1123Subdomain(text)) {
    errors.push_back(RegexText(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character",
        kDns1123SubdomainRegex, {"example.com"}));
  }
  return errors;
}

std::vector<std::string> CheckWildcardDns1123Subdomain(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kSubdomainCharactersMax) {
    errors.push_back(MaxLengthText(kSubdomainCharactersMax));
  }
  if (!absl::StartsWith(text, "*.") || !IsDns1123Subdomain(text.substr(2))) {
    errors.push_back(RegexText(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
        "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
        "alphanumeric character",
        kWildcardSubdomainRegex, {"*.example.com"}));
  }
  return errors;
}

std::vector<std::string> CheckDns1035Label(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kLabelCharactersMax) errors.push_back(MaxLengthText(kLabelCharactersMax));
  if (!IsDns1123Label(text) || !absl::ascii_islower(text.front())) {
    errors.push_back(
        RegexText("a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                  "start with an alphabetic character, and end with an alphanumeric character",
                  kDns1035LabelRegex, {"my-name", "abc-123"}));
  }
  return errors;
}

std::vector<std::string> CheckPortName(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kPortNameCharactersMax) {
    errors.push_back(MaxLengthText(kPortNameCharactersMax));
  }
  if (text.empty() || !AllAre(text, [](char c) { return IsLowerAlnum(c) || c == '-'; })) {
    errors.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (AllAre(text, [](char c) { return !absl::ascii_islower(c); })) {
    errors.push_back("must contain at least one letter (a-z)");
  }
  if (absl::StrContains(text, "--")) errors.push_back("must not contain consecutive hyphens");
  if (!text.empty() && (text.front() == '-' || text.back() == '-')) {
    errors.push_back("must not begin or end with a hyphen");
  }
  return errors;
}

std::vector<std::string> CheckPathSegmentName(absl::string_view text, bool prefix) {
  if (!prefix && (text == "." || text == "..")) return {absl::StrCat("may not be '", text, "'")};
  std::vector<std::string> errors;
  for (absl::string_view bad : {"/", "%"}) {
    if (absl::StrContains(text, bad)) errors.push_back(absl::StrCat("may not contain '", bad, "'"));
  }
  return errors;
}

std::vector<std::string> CheckConfigKey(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.size() > kSubdomainCharactersMax) {
    errors.push_back(MaxLengthText(kSubdomainCharactersMax));
  }
  if (text.empty() || !AllAre(text, IsConfigKeyCharacter)) {
    errors.push_back(
        RegexText("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                  kConfigKeyRegex, {"key.name", "KEY_NAME", "key-name"}));
  }
  CheckNoParentFolder(text, &errors);
  return errors;
}

std::vector<std::string> CheckEnvironmentName(absl::string_view text) {
  std::vector<std::string> errors;
  if (text.empty() || absl::ascii_isdigit(text.front()) || !AllAre(text, IsConfigKeyCharacter)) {
    errors.push_back(
        RegexText("a valid environment variable name must consist of alphabetic characters, "
                  "digits, '_', '-', or '.', and must not start with a digit",
                  kEnvironmentNameRegex, {"my.env-name", "MY_ENV.NAME", "MyEnvName1"}));
  }
  CheckNoParentFolder(text, &errors);
  return errors;
}

}  // namespace meltemi::kube
