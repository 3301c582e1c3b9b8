#include "orchestrator/apiserver/schema/formats.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/json/utf8.h"

namespace meltemi::apiserver {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }
bool IsAlpha(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsAlnum(char c) { return IsDigit(c) || IsAlpha(c); }
bool AllDigits(absl::string_view text) { return std::all_of(text.begin(), text.end(), IsDigit); }

// Decimal digits only; -1 when there are others, or more than `digits_max`.
int SmallNumber(absl::string_view text, size_t digits_max) {
  int number;
  if (text.empty() || text.size() > digits_max || !AllDigits(text)) return -1;
  return absl::SimpleAtoi(text, &number) ? number : -1;
}

// Leading zeros are put up with.
bool IsIpv4(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4) return false;
  return std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
    const int number = SmallNumber(part, 16);
    return number >= 0 && number <= 255;
  });
}

bool IsIpv6(absl::string_view text) {
  in6_addr address;
  return absl::StrContains(text, ":") && text.size() < INET6_ADDRSTRLEN &&
         inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

bool IsCidr(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  if (parts.size() != 2) return false;
  const int bits = SmallNumber(parts[1], 3);
  if (IsIpv4(parts[0])) return bits >= 0 && bits <= 32;
  return IsIpv6(parts[0]) && bits >= 0 && bits <= 128;
}

bool IsMac(absl::string_view text) {
  const bool dotted = absl::StrContains(text, ".");
  const char separator = dotted ? '.' : absl::StrContains(text, ":") ? ':' : '-';
  const std::vector<absl::string_view> parts = absl::StrSplit(text, separator);
  const size_t digits = dotted ? 4 : 2;
  for (const absl::string_view part : parts) {
    if (part.size() != digits || !std::all_of(part.begin(), part.end(), IsHex)) return false;
  }
  const size_t bytes = parts.size() * digits / 2;
  return bytes == 6 || bytes == 8 || bytes == 20;
}

// version '\0': any.
bool IsUuid(absl::string_view text, char version) {
  std::string digits;
  size_t at = 0;
  for (const size_t group : {8u, 4u, 4u, 4u, 12u}) {
    if (at > 0 && at < text.size() && text[at] == '-') ++at;
    if (at + group > text.size()) return false;
    digits.append(text.data() + at, group);
    at += group;
  }
  if (at != text.size() || !std::all_of(digits.begin(), digits.end(), IsHex)) return false;
  if (version == '\0') return true;
  if (digits[12] != version) return false;
  const char variant = absl::ascii_tolower(static_cast<unsigned char>(digits[16]));
  return version == '3' || absl::StrContains("89ab", absl::string_view(&variant, 1));
}

bool IsDate(absl::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const int year = SmallNumber(text.substr(0, 4), 4);
  const int month = SmallNumber(text.substr(5, 2), 2);
  const int day = SmallNumber(text.substr(8, 2), 2);
  if (year < 0 || month < 1 || month > 12 || day < 1) return false;
  static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

bool IsDateTime(absl::string_view text) {
  if (text.size() < 11 || !IsDate(text.substr(0, 10))) return false;
  if (absl::ascii_tolower(static_cast<unsigned char>(text[10])) != 't') return false;
  absl::string_view rest = text.substr(11);
  if (rest.size() < 9 || rest[2] != ':' || rest[5] != ':') return false;
  const int hour = SmallNumber(rest.substr(0, 2), 2), minute = SmallNumber(rest.substr(3, 2), 2),
            second = SmallNumber(rest.substr(6, 2), 2);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
    return false;
  }
  rest.remove_prefix(8);
  if (absl::StartsWith(rest, ".")) {
    rest.remove_prefix(1);
    const size_t digits = std::find_if_not(rest.begin(), rest.end(), IsDigit) - rest.begin();
    if (digits == 0) return false;
    rest.remove_prefix(digits);
  }
  if (rest == "z" || rest == "Z") return true;
  return rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' &&
         AllDigits(rest.substr(1, 2)) && AllDigits(rest.substr(4, 2));
}

// time.ParseDuration.
bool IsGoDuration(absl::string_view text) {
  if (absl::StartsWith(text, "-") || absl::StartsWith(text, "+")) text.remove_prefix(1);
  if (text == "0") return true;
  if (text.empty()) return false;
  while (!text.empty()) {
    size_t digits = 0, at = 0;
    for (; at < text.size() && (IsDigit(text[at]) || text[at] == '.'); ++at) {
      if (IsDigit(text[at])) ++digits;
    }
    if (digits == 0 || std::count(text.begin(), text.begin() + at, '.') > 1) return false;
    text.remove_prefix(at);
    const size_t unit =
        std::find_if(text.begin(), text.end(), [](char c) { return IsDigit(c) || c == '.'; }) -
        text.begin();
    static constexpr absl::string_view kUnits[] = {"ns", "us", "µs", "μs", "ms", "s", "m", "h"};
    if (std::find(std::begin(kUnits), std::end(kUnits), text.substr(0, unit)) == std::end(kUnits)) {
      return false;
    }
    text.remove_prefix(unit);
  }
  return true;
}

// Go's notation, or "3 days" and the like anywhere in the text.
bool IsDuration(absl::string_view text) {
  if (IsGoDuration(text)) return true;
  static constexpr absl::string_view kUnits[] = {"ns",
                                                 "nano",
                                                 "nanos",
                                                 "nanosecond",
                                                 "nanoseconds",
                                                 "us",
                                                 "µs",
                                                 "micro",
                                                 "micros",
                                                 "microsecond",
                                                 "microseconds",
                                                 "ms",
                                                 "milli",
                                                 "millis",
                                                 "millisecond",
                                                 "milliseconds",
                                                 "s",
                                                 "sec",
                                                 "secs",
                                                 "second",
                                                 "seconds",
                                                 "m",
                                                 "min",
                                                 "mins",
                                                 "minute",
                                                 "minutes",
                                                 "h",
                                                 "hr",
                                                 "hour",
                                                 "hours",
                                                 "d",
                                                 "day",
                                                 "days",
                                                 "w",
                                                 "week",
                                                 "weeks",
                                                 "wk"};
  for (size_t at = 0; at < text.size();) {
    if (!IsDigit(text[at])) {
      ++at;
      continue;
    }
    while (at < text.size() && IsDigit(text[at])) ++at;
    while (at < text.size() && absl::ascii_isspace(static_cast<unsigned char>(text[at]))) ++at;
    const size_t begin = at;
    while (at < text.size() && (IsAlpha(text[at]) || (text[at] & 0x80) != 0)) ++at;
    const absl::string_view unit = text.substr(begin, at - begin);
    if (std::find(std::begin(kUnits), std::end(kUnits), unit) != std::end(kUnits)) return true;
  }
  return false;
}

bool IsHostnameLabel(absl::string_view label) {
  const auto outer = [](char c) { return IsAlnum(c) || (c & 0x80) != 0; };
  if (label.empty() || label.size() > 63) return false;
  if (!outer(label.front()) || !outer(label.back())) return false;
  return std::all_of(label.begin(), label.end(), [&](char c) { return outer(c) || c == '-'; });
}

bool IsHostname(absl::string_view text) {
  if (text.size() > 255 || !json::IsUtf8(text)) return false;
  const std::vector<absl::string_view> labels = absl::StrSplit(text, '.');
  if (!std::all_of(labels.begin(), labels.end(), IsHostnameLabel)) return false;
  if (labels.size() == 1) return true;
  const absl::string_view top = labels.back();
  return top.size() >= 2 &&
         std::all_of(top.begin(), top.end(), [](char c) { return IsAlpha(c) || (c & 0x80) != 0; });
}

// net/mail.ParseAddress, without comments and folded white space: `a@b` or `Name <a@b>`.
bool IsEmail(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  const size_t open = text.rfind('<');
  if (open != absl::string_view::npos) {
    if (!absl::EndsWith(text, ">")) return false;
    text = text.substr(open + 1, text.size() - open - 2);
  }
  const size_t at = text.rfind('@');
  if (at == absl::string_view::npos || at == 0 || at + 1 == text.size()) return false;
  const auto is_atom = [](absl::string_view atom) {
    return !atom.empty() && std::all_of(atom.begin(), atom.end(), [](char c) {
      return IsAlnum(c) || (c & 0x80) != 0 ||
             absl::StrContains("!#$%&'*+-/=?^_`{|}~", absl::string_view(&c, 1));
    });
  };
  const auto is_dotted = [&](absl::string_view dotted) {
    const std::vector<absl::string_view> atoms = absl::StrSplit(dotted, '.');
    return std::all_of(atoms.begin(), atoms.end(), is_atom);
  };
  const absl::string_view local = text.substr(0, at), domain = text.substr(at + 1);
  const bool quoted = local.size() >= 2 && local.front() == '"' && local.back() == '"';
  const bool literal = domain.size() > 2 && domain.front() == '[' && domain.back() == ']';
  return (quoted || is_dotted(local)) && (literal || is_dotted(domain));
}

// url.ParseRequestURI: an absolute URI, or an absolute path.
bool IsUri(absl::string_view text) {
  if (text.empty()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = text[i];
    if (c < 0x20 || c == 0x7F) return false;
    if (c == '%' && (i + 2 >= text.size() || !IsHex(text[i + 1]) || !IsHex(text[i + 2]))) {
      return absl::StrContains(text.substr(0, i), "?");  // of a query, nothing is decoded
    }
  }
  if (text == "*" || text.front() == '/') return true;
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos || colon == 0 || !IsAlpha(text.front())) return false;
  const absl::string_view scheme = text.substr(0, colon), rest = text.substr(colon + 1);
  const bool scheme_fits = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return IsAlnum(c) || c == '+' || c == '-' || c == '.';
  });
  if (!scheme_fits) return false;
  if (!absl::StartsWith(rest, "//")) return true;  // opaque: "mailto:x"
  const absl::string_view host = rest.substr(2, rest.substr(2).find_first_of("/?#"));
  if (absl::StrContains(host, " ")) return false;
  const size_t port = host.rfind(':');
  if (port == absl::string_view::npos || absl::StrContains(host.substr(port), "]")) return true;
  return AllDigits(host.substr(port + 1));
}

bool IsBase64(absl::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t end = text.find('=');
  const absl::string_view data = text.substr(0, end);
  if (!absl::StrContains("==", text.substr(data.size())) || text.size() - data.size() > 2) {
    return false;
  }
  return std::all_of(data.begin(), data.end(),
                     [](char c) { return IsAlnum(c) || c == '+' || c == '/'; });
}

std::string Without(absl::string_view text, absl::string_view dropped) {
  std::string out;
  for (const char c : text) {
    if (!absl::StrContains(dropped, absl::string_view(&c, 1))) out.push_back(c);
  }
  return out;
}

bool IsIsbn10(absl::string_view text) {
  const std::string digits = Without(text, " \t\n\f\r-");
  if (digits.size() != 10 || !AllDigits(digits.substr(0, 9))) return false;
  if (!IsDigit(digits[9]) && digits[9] != 'X') return false;
  int sum = 0;
  for (int i = 0; i < 9; ++i) sum += (i + 1) * (digits[i] - '0');
  sum += 10 * (digits[9] == 'X' ? 10 : digits[9] - '0');
  return sum % 11 == 0;
}

bool IsIsbn13(absl::string_view text) {
  const std::string digits = Without(text, " \t\n\f\r-");
  if (digits.size() != 13 || !AllDigits(digits)) return false;
  int sum = 0;
  for (int i = 0; i < 12; ++i) sum += (i % 2 == 0 ? 1 : 3) * (digits[i] - '0');
  return digits[12] - '0' == (10 - sum % 10) % 10;
}

bool IsCreditCard(absl::string_view text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), IsDigit);
  const size_t size = digits.size();
  const auto starts = [&](absl::string_view prefix) { return absl::StartsWith(digits, prefix); };
  const bool second_low = size > 1 && digits[1] >= '1' && digits[1] <= '5';
  const bool known =
      (starts("4") && (size == 13 || size == 16)) || (starts("5") && second_low && size == 16) ||
      ((starts("6011") || starts("65")) && size == 16) ||
      ((starts("34") || starts("37")) && size == 15) ||
      ((starts("30") || starts("36") || starts("38")) && size == 14) ||
      ((starts("2131") || starts("1800")) && size == 15) || (starts("35") && size == 16);
  if (!known) return false;
  int sum = 0;
  for (size_t i = 0; i < size; ++i) {
    int digit = digits[size - 1 - i] - '0';
    if (i % 2 == 1) digit = digit * 2 >= 10 ? digit * 2 % 10 + 1 : digit * 2;
    sum += digit;
  }
  return sum % 10 == 0;
}

bool IsSsn(absl::string_view text) {
  if (text.size() != 11) return false;
  const auto dash = [](char c) { return c == '-' || c == ' '; };
  return AllDigits(text.substr(0, 3)) && dash(text[3]) && AllDigits(text.substr(4, 2)) &&
         dash(text[6]) && AllDigits(text.substr(7));
}

bool IsHexColor(absl::string_view text) {
  if (absl::StartsWith(text, "#")) text.remove_prefix(1);
  return (text.size() == 3 || text.size() == 6) && std::all_of(text.begin(), text.end(), IsHex);
}

bool IsRgbColor(absl::string_view text) {
  if (!absl::StartsWith(text, "rgb(") || !absl::EndsWith(text, ")")) return false;
  const std::vector<absl::string_view> parts = absl::StrSplit(text.substr(4, text.size() - 5), ',');
  return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
           const int number = SmallNumber(absl::StripAsciiWhitespace(part), 3);
           return number >= 0 && number <= 255;
         });
}

bool IsBsonObjectId(absl::string_view text) {
  return text.size() == 24 && std::all_of(text.begin(), text.end(), IsHex);
}

struct Format {
  absl::string_view name;
  bool (*has)(absl::string_view text);
};

constexpr Format kFormats[] = {
    {"bsonobjectid", IsBsonObjectId},
    {"uri", IsUri},
    {"email", IsEmail},
    {"hostname", IsHostname},
    {"ipv4", IsIpv4},
    {"ipv6", IsIpv6},
    {"cidr", IsCidr},
    {"mac", IsMac},
    {"uuid", [](absl::string_view text) { return IsUuid(text, '\0'); }},
    {"uuid3", [](absl::string_view text) { return IsUuid(text, '3'); }},
    {"uuid4", [](absl::string_view text) { return IsUuid(text, '4'); }},
    {"uuid5", [](absl::string_view text) { return IsUuid(text, '5'); }},
    {"isbn", [](absl::string_view text) { return IsIsbn10(text) || IsIsbn13(text); }},
    {"isbn10", IsIsbn10},
    {"isbn13", IsIsbn13},
    {"creditcard", IsCreditCard},
    {"ssn", IsSsn},
    {"hexcolor", IsHexColor},
    {"rgbcolor", IsRgbColor},
    {"byte", IsBase64},
    {"password", [](absl::string_view) { return true; }},
    {"date", IsDate},
    {"duration", IsDuration},
    {"datetime", IsDateTime},
};

const Format* FindFormat(absl::string_view name) {
  const std::string plain = Without(name, "-");
  for (const Format& format : kFormats) {
    if (format.name == plain) return &format;
  }
  return nullptr;
}

}  // namespace

bool IsKnownFormat(absl::string_view format) { return FindFormat(format) != nullptr; }

bool HasFormat(absl::string_view text, absl::string_view format) {
  return FindFormat(format)->has(text);
}

}  // namespace meltemi::apiserver
