#include "orchestrator/apiserver/patch/field_path.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/patch/go_text.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

bool IsScalar(const Value& value) {
  return value.is_string() || value.is_number() || value.is_bool();
}

// As Go's encoder writes it: with <, > and & escaped.
void AppendScalar(const Value& value, std::string* out) {
  std::string text = json::ToString(value);
  for (char c : text) {
    if (c == '<' || c == '>' || c == '&') {
      absl::StrAppend(out, "\\u00", absl::Hex(c, absl::kZeroPad2));
    } else {
      out->push_back(c);
    }
  }
}

using Keys = std::vector<std::pair<absl::string_view, const Value*>>;

std::string KeyElement(Keys keys) {
  std::sort(keys.begin(), keys.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string element = "k:{";
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0) element.push_back(',');
    AppendScalar(Value::String(std::string(keys[i].first)), &element);
    element.push_back(':');
    AppendScalar(*keys[i].second, &element);
  }
  element.push_back('}');
  return element;
}

// f before k before v before i.
int RankOf(absl::string_view element) {
  return static_cast<int>(absl::string_view("fkvi").find(element.empty() ? ' ' : element[0]));
}

int Sign(bool less, bool equal) { return equal ? 0 : less ? -1 : 1; }

// Numbers before strings before booleans.
int RankOf(const Value& value) { return value.is_number() ? 0 : value.is_string() ? 1 : 2; }

int CompareScalars(const Value& a, const Value& b) {
  if (RankOf(a) != RankOf(b)) return RankOf(a) - RankOf(b);
  if (a.is_number()) {
    std::optional<int64_t> left = a.AsInt64(), right = b.AsInt64();
    if (left.has_value() && right.has_value()) return Sign(*left < *right, *left == *right);
    double x = a.AsDouble().value_or(0), y = b.AsDouble().value_or(0);
    return Sign(x < y, x == y);
  }
  if (a.is_string()) return a.text().compare(b.text());
  return static_cast<int>(a.bool_value()) - static_cast<int>(b.bool_value());
}

Value Parsed(absl::string_view element) {
  absl::StatusOr<Value> value = json::Parse(element.substr(2));
  return value.ok() ? *std::move(value) : Value();
}

int CompareKeys(absl::string_view a, absl::string_view b) {
  Value left = Parsed(a), right = Parsed(b);
  size_t shared = std::min(left.members().size(), right.members().size());
  for (size_t i = 0; i < shared; ++i) {
    const json::Member& x = left.members()[i];
    const json::Member& y = right.members()[i];
    if (x.key != y.key) return x.key.compare(y.key);
    if (int order = CompareScalars(x.value, y.value); order != 0) return order;
  }
  return static_cast<int>(left.members().size()) - static_cast<int>(right.members().size());
}

bool IsPlain(char c) {
  return c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

// Takes a string of plain characters from the front; its content, or nullopt.
std::optional<absl::string_view> TakePlainString(absl::string_view* text) {
  if (text->empty() || text->front() != '"') return std::nullopt;
  size_t end = 1;
  while (end < text->size() && IsPlain((*text)[end])) ++end;
  if (end == text->size() || (*text)[end] != '"') return std::nullopt;
  absl::string_view content = text->substr(1, end - 1);
  text->remove_prefix(end + 1);
  return content;
}

bool TakePlainScalar(absl::string_view* text) {
  if (TakePlainString(text).has_value()) return true;
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) ++digits;
  if (digits == 0 || digits > 18 || (digits > 1 && text->front() == '0')) return false;
  text->remove_prefix(digits);
  return true;
}

// Whether the JSON in an element "k:" is surely canonical: nearly all are.
bool IsPlainKeys(absl::string_view text) {
  absl::string_view last;
  if (!absl::ConsumePrefix(&text, "{")) return false;
  do {
    std::optional<absl::string_view> name = TakePlainString(&text);
    if (!name.has_value() || !(last < *name)) return false;
    last = *name;
    if (!absl::ConsumePrefix(&text, ":") || !TakePlainScalar(&text)) return false;
  } while (absl::ConsumePrefix(&text, ","));
  return text == "}";
}

// The bytes decide, as long as they are plain characters inside of strings.
std::optional<int> ComparePlainKeys(absl::string_view a, absl::string_view b) {
  auto difference = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (difference.first == a.end() || difference.second == b.end()) return std::nullopt;
  auto plain = [](char c) { return c > '"' && c != '\\'; };
  char left = *difference.first, right = *difference.second;
  if ((!plain(left) && left != '"') || (!plain(right) && right != '"')) return std::nullopt;
  absl::string_view before = a.substr(0, static_cast<size_t>(difference.first - a.begin()));
  if (absl::StrContains(before, "\\")) return std::nullopt;
  // Inside of a string there is an odd number of quotes before.
  if (std::count(before.begin(), before.end(), '"') % 2 == 0) return std::nullopt;
  // The quote that ends the shorter string is less than any plain character.
  return static_cast<unsigned char>(left) - static_cast<unsigned char>(right);
}

}  // namespace

std::string FieldElement(absl::string_view name) { return absl::StrCat("f:", name); }

std::optional<absl::string_view> FieldName(absl::string_view element) {
  if (!absl::StartsWith(element, "f:")) return std::nullopt;
  return element.substr(2);
}

std::optional<std::string> EntryElement(const Schema& list, const Value& entry, std::string* why) {
  if (list.list_map_keys.empty()) {
    if (IsScalar(entry)) {
      std::string element = "v:";
      AppendScalar(entry, &element);
      return element;
    }
    *why = entry.is_object()  ? "associative list without keys has an element that's a map type"
           : entry.is_array() ? "not supported: associative list with lists as elements"
                              : "associative list without keys has an element that's an explicit "
                                "null";
    return std::nullopt;
  }
  if (!entry.is_object()) {
    *why = entry.is_null() ? "associative list with keys may not have a null element"
                           : "associative list with keys may not have non-map elements";
    return std::nullopt;
  }
  Keys keys;
  for (const std::string& name : list.list_map_keys) {
    const Value* value = entry.Find(name);
    const Property* property = list.items == nullptr ? nullptr : list.items->Find(name);
    if (value == nullptr && property != nullptr && property->default_value.has_value()) {
      value = &*property->default_value;
    }
    if (value == nullptr) {
      *why = absl::StrCat("associative list with keys has an element that omits key field ",
                          GoQuotedText(name), " (and doesn't have default value)");
      return std::nullopt;
    }
    keys.push_back({name, value});
  }
  return KeyElement(std::move(keys));
}

std::optional<std::string> CanonicalElement(absl::string_view text) {
  if (text.size() < 2 || text[1] != ':') return std::nullopt;
  switch (text[0]) {
    case 'f':
      return std::string(text);
    case 'i': {
      int64_t index = 0;
      if (!absl::SimpleAtoi(text.substr(2), &index)) return std::nullopt;
      return absl::StrCat("i:", index);
    }
    case 'v': {
      absl::string_view rest = text.substr(2);
      if (TakePlainScalar(&rest) && rest.empty()) return std::string(text);
      absl::StatusOr<Value> value = json::Parse(text.substr(2));
      if (!value.ok()) return std::nullopt;
      std::string element = "v:";
      AppendScalar(*value, &element);
      return element;
    }
    case 'k': {
      if (IsPlainKeys(text.substr(2))) return std::string(text);
      absl::StatusOr<Value> value = json::Parse(text.substr(2));
      if (!value.ok() || !value->is_object()) return std::nullopt;
      Keys keys;
      for (const json::Member& member : value->members()) {
        keys.push_back({member.key, &member.value});
      }
      return KeyElement(std::move(keys));
    }
    default:
      return std::nullopt;
  }
}

int CompareElements(absl::string_view a, absl::string_view b) {
  int rank = RankOf(a), other_rank = RankOf(b);
  if (rank != other_rank) return rank - other_rank;
  if (a == b) return 0;
  switch (rank) {
    case 1: {
      std::optional<int> order = ComparePlainKeys(a, b);
      return order.has_value() ? *order : CompareKeys(a, b);
    }
    case 2: {
      std::optional<int> order = ComparePlainKeys(a, b);
      return order.has_value() ? *order : CompareScalars(Parsed(a), Parsed(b));
    }
    case 3: {
      int64_t left = 0, right = 0;
      (void)absl::SimpleAtoi(a.substr(2), &left);
      (void)absl::SimpleAtoi(b.substr(2), &right);
      return Sign(left < right, left == right);
    }
    default:
      return a.compare(b);
  }
}

std::string ElementText(absl::string_view element) {
  auto scalar = [](const Value& value) {
    return value.is_string() ? GoQuotedText(value.text()) : json::ToString(value);
  };
  switch (RankOf(element)) {
    case 0:
      return absl::StrCat(".", element.substr(2));
    case 1: {
      std::string text;
      Value keys = Parsed(element);
      for (const json::Member& member : keys.members()) {
        absl::StrAppend(&text, text.empty() ? "[" : ",", member.key, "=", scalar(member.value));
      }
      return text + "]";
    }
    case 2:
      return absl::StrCat("[=", scalar(Parsed(element)), "]");
    default:
      return absl::StrCat("[", element.substr(2), "]");
  }
}

}  // namespace meltemi::apiserver
