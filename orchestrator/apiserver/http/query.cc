#include "orchestrator/apiserver/http/query.h"

#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> Decode(absl::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> DecodePath(absl::string_view text) { return Decode(text, false); }
std::optional<std::string> DecodeQueryPart(absl::string_view text) { return Decode(text, true); }

Query Query::Parse(absl::string_view text) {
  Query query;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const absl::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    // Go leaves out what has a semicolon, and what can't be decoded.
    if (pair.empty() || absl::StrContains(pair, ';')) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    std::optional<std::string> name = DecodeQueryPart(pair.substr(0, equals));
    std::optional<std::string> value =
        DecodeQueryPart(pair.substr(std::min(equals + 1, pair.size())));
    if (name.has_value() && value.has_value()) {
      query.pairs_.emplace_back(*std::move(name), *std::move(value));
    }
  }
  return query;
}

std::optional<std::string> Query::Get(absl::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string> Query::All(absl::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : pairs_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

kube::Result<bool> Query::Bool(absl::string_view name) const {
  const std::optional<std::string> value = Get(name);
  return value.has_value() && *value != "0" && !absl::EqualsIgnoreCase(*value, "false");
}

kube::Result<std::optional<int64_t>> Query::Int(absl::string_view name) const {
  const std::optional<std::string> value = Get(name);
  if (!value.has_value()) return std::optional<int64_t>();
  absl::string_view digits = *value;
  // strconv.ParseInt takes one sign.
  if (absl::StartsWith(digits, "+") && digits.size() > 1 && digits[1] != '-') {
    digits.remove_prefix(1);
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range) {
    return kube::BadRequest(
        absl::StrCat("strconv.ParseInt: parsing \"", *value, "\": value out of range"));
  }
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return kube::BadRequest(
        absl::StrCat("strconv.ParseInt: parsing \"", *value, "\": invalid syntax"));
  }
  return std::optional<int64_t>(number);
}

}  // namespace meltemi::apiserver
