#include <algorithm>
#include <cmath>
#include <limits>

#include <re2/re2.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/utf8.h"
#include "orchestrator/apiserver/schema/cel/value.h"

namespace meltemi::cel {
namespace {

using Kind = V::Kind;
using Args = std::vector<V>;
using Answer = absl::StatusOr<V>;

constexpr absl::string_view kKnown[] = {
    "size",   "type",       "string",   "int",      "uint",      "double",     "bool",
    "dyn",    "startsWith", "endsWith", "contains", "matches",   "lowerAscii", "upperAscii",
    "trim",   "split",      "join",     "replace",  "substring", "indexOf",    "lastIndexOf",
    "charAt", "isSorted",   "sum",      "min",      "max"};
constexpr absl::string_view kOmitted[] = {
    "duration", "timestamp", "quantity",      "isQuantity", "url",       "isURL",
    "ip",       "isIP",      "cidr",          "isCIDR",     "format",    "find",
    "findAll",  "bytes",     "isGreaterThan", "isLessThan", "compareTo", "getFullYear",
    "getHost",  "getScheme", "getSeconds",    "containsIP", "orValue",   "hasValue",
    "optional", "sets",      "dns1123Label",  "validate",   "asInteger"};

std::vector<absl::string_view> Runes(absl::string_view text) {
  std::vector<absl::string_view> runes;
  while (!text.empty()) {
    const size_t size = std::max<size_t>(1, json::Utf8SequenceLength(text));
    runes.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return runes;
}

int64_t RuneOffset(absl::string_view text, size_t bytes) {
  return static_cast<int64_t>(Runes(text.substr(0, bytes)).size());
}

Answer Size(const V& value) {
  if (value.is(Kind::kString)) return V::Int(static_cast<int64_t>(Runes(value.s).size()));
  if (value.is(Kind::kList) || value.is(Kind::kMap)) {
    return V::Int(static_cast<int64_t>(value.size()));
  }
  return NoOverload();
}

Answer ToText(const V& value) {
  switch (value.kind) {
    case Kind::kString:
      return value;
    case Kind::kBool:
      return V::String(value.i != 0 ? "true" : "false");
    case Kind::kInt:
      return V::String(absl::StrCat(value.i));
    case Kind::kDouble:
      return V::String(absl::StrCat(value.d));
    default:
      return NoOverload();
  }
}

Answer ToInt(const V& value) {
  int64_t number;
  if (value.is(Kind::kInt)) return value;
  if (value.is(Kind::kDouble) && std::fabs(value.d) < 9e18) {
    return V::Int(static_cast<int64_t>(value.d));
  }
  if (value.is(Kind::kString) && absl::SimpleAtoi(value.s, &number)) return V::Int(number);
  return absl::InvalidArgumentError("type conversion error");
}

Answer ToDouble(const V& value) {
  double number;
  if (value.is_number()) return V::Double(value.real());
  if (value.is(Kind::kString) && absl::SimpleAtod(value.s, &number)) return V::Double(number);
  return absl::InvalidArgumentError("type conversion error");
}

Answer ToBool(const V& value) {
  if (value.is(Kind::kBool)) return value;
  if (value.is(Kind::kString) && (value.s == "true" || value.s == "false")) {
    return V::Bool(value.s == "true");
  }
  return absl::InvalidArgumentError("type conversion error");
}

Answer Convert(absl::string_view name, const V& value) {
  if (name == "size") return Size(value);
  if (name == "type") return V::Type(TypeName(value));
  if (name == "string") return ToText(value);
  if (name == "int" || name == "uint") return ToInt(value);
  if (name == "double") return ToDouble(value);
  if (name == "bool") return ToBool(value);
  return value;  // dyn
}

Answer Matches(const std::string& text, const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 compiled(pattern, options);
  if (!compiled.ok()) return absl::InvalidArgumentError(compiled.error());
  return V::Bool(re2::RE2::PartialMatch(text, compiled));
}

// Of a text with texts.
Answer WithText(absl::string_view name, const std::string& text, const std::string& other) {
  if (name == "startsWith") return V::Bool(absl::StartsWith(text, other));
  if (name == "endsWith") return V::Bool(absl::EndsWith(text, other));
  if (name == "contains") return V::Bool(absl::StrContains(text, other));
  if (name == "matches") return Matches(text, other);
  if (name == "indexOf" || name == "lastIndexOf") {
    const size_t at = name == "indexOf" ? text.find(other) : text.rfind(other);
    return V::Int(at == std::string::npos ? -1 : RuneOffset(text, at));
  }
  if (name != "split") return NoOverload();
  std::vector<V> parts;
  if (other.empty()) {
    for (const absl::string_view rune : Runes(text)) parts.push_back(V::String(std::string(rune)));
  } else {
    for (const absl::string_view part : absl::StrSplit(text, other)) {
      parts.push_back(V::String(std::string(part)));
    }
  }
  return V::List(std::move(parts));
}

Answer Substring(const std::string& text, int64_t begin, int64_t end) {
  const std::vector<absl::string_view> runes = Runes(text);
  const auto size = static_cast<int64_t>(runes.size());
  if (end < 0) end = size;
  if (begin < 0 || begin > end || end > size) {
    return absl::InvalidArgumentError(absl::StrCat("index out of range: ", begin));
  }
  return V::String(absl::StrJoin(runes.begin() + begin, runes.begin() + end, ""));
}

Answer TextMethod(absl::string_view name, const Args& args) {
  const std::string& text = args[0].s;
  if (args.size() == 1) {
    if (name == "lowerAscii") return V::String(absl::AsciiStrToLower(text));
    if (name == "upperAscii") return V::String(absl::AsciiStrToUpper(text));
    if (name == "trim") return V::String(std::string(absl::StripAsciiWhitespace(text)));
    return NoOverload();
  }
  if (args[1].is(Kind::kInt)) {
    const bool two = args.size() == 3 && args[2].is(Kind::kInt);
    if (name == "substring") return Substring(text, args[1].i, two ? args[2].i : -1);
    if (name == "charAt") return Substring(text, args[1].i, args[1].i + 1);
    return NoOverload();
  }
  if (!args[1].is(Kind::kString)) return NoOverload();
  if (args.size() == 2) return WithText(name, text, args[1].s);
  if (name == "replace" && args[2].is(Kind::kString) && !args[1].s.empty()) {
    return V::String(absl::StrReplaceAll(text, {{args[1].s, args[2].s}}));
  }
  return NoOverload();
}

Answer Extreme(const V& list, bool least) {
  if (list.size() == 0) return absl::InvalidArgumentError("min or max called on empty list");
  V best = list.item(0);
  for (size_t i = 1; i < list.size(); ++i) {
    const V item = list.item(i);
    int order;
    if (!Order(item, best, &order)) return NoOverload();
    if (least ? order < 0 : order > 0) best = item;
  }
  return best;
}

Answer Sum(const V& list) {
  V sum = V::Int(0);
  for (size_t i = 0; i < list.size(); ++i) {
    const V item = list.item(i);
    if (!item.is_number()) return NoOverload();
    if (item.is(Kind::kDouble) || sum.is(Kind::kDouble)) {
      sum = V::Double(sum.real() + item.real());
    } else if (__builtin_add_overflow(sum.i, item.i, &sum.i)) {
      return absl::InvalidArgumentError("integer overflow");
    }
  }
  return sum;
}

Answer ListMethod(absl::string_view name, const Args& args) {
  const V& list = args[0];
  if (name == "sum") return Sum(list);
  if (name == "min" || name == "max") return Extreme(list, name == "min");
  if (name == "join") {
    std::vector<std::string> texts;
    for (size_t i = 0; i < list.size(); ++i) {
      V item = list.item(i);
      if (!item.is(Kind::kString)) return NoOverload();
      texts.push_back(std::move(item.s));
    }
    return V::String(absl::StrJoin(texts, args.size() > 1 ? args[1].s : ""));
  }
  if (name == "isSorted") {
    for (size_t i = 1; i < list.size(); ++i) {
      int order;
      if (!Order(list.item(i - 1), list.item(i), &order)) return NoOverload();
      if (order > 0) return V::Bool(false);
    }
    return V::Bool(true);
  }
  if ((name == "indexOf" || name == "lastIndexOf") && args.size() == 2) {
    int64_t found = -1;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!Equal(list.item(i), args[1])) continue;
      found = static_cast<int64_t>(i);
      if (name == "indexOf") break;
    }
    return V::Int(found);
  }
  return NoOverload();
}

}  // namespace

bool IsKnownFunction(absl::string_view name) {
  return std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown);
}

bool IsOmittedFunction(absl::string_view name) {
  return std::find(std::begin(kOmitted), std::end(kOmitted), name) != std::end(kOmitted);
}

absl::StatusOr<V> CallFunction(absl::string_view name, const std::vector<V>& args, Budget& budget) {
  if (args.empty()) return NoOverload();
  for (const V& arg : args) {
    budget.steps -=
        static_cast<int64_t>((arg.s.size() + (arg.ref || arg.items ? arg.size() : 0)) / 8);
  }
  static constexpr absl::string_view kConversions[] = {"size", "type",   "string", "int",
                                                       "uint", "double", "bool",   "dyn"};
  const bool converts =
      std::find(std::begin(kConversions), std::end(kConversions), name) != std::end(kConversions);
  if (converts) return args.size() == 1 ? Convert(name, args[0]) : NoOverload();
  if (args[0].is(Kind::kString)) return TextMethod(name, args);
  if (args[0].is(Kind::kList)) return ListMethod(name, args);
  return NoOverload();
}

}  // namespace meltemi::cel
