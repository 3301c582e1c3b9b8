#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/names/check.h"
#include "kube/selector/quote.h"
#include "kube/selector/selector.h"

namespace meltemi::kube {
namespace {

using Operator = LabelSelector::Operator;
using Requirement = LabelSelector::Requirement;

enum class Token : uint8_t {
  kEnd,
  kClose,
  kComma,
  kNot,
  kDoubleEquals,
  kEquals,
  kGreater,
  kIdentifier,
  kIn,
  kLess,
  kNotEquals,
  kNotIn,
  kOpen,
};

struct Scanned {
  Token token = Token::kEnd;
  absl::string_view text;
};

bool IsSpecial(char c) { return absl::string_view("=!(),><").find(c) != absl::string_view::npos; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Always ends with kEnd. A NUL byte ends the text, as in the reference.
std::vector<Scanned> Scan(absl::string_view text) {
  static constexpr std::pair<absl::string_view, Token> kSpecials[] = {
      {"==", Token::kDoubleEquals}, {"!=", Token::kNotEquals}, {"=", Token::kEquals},
      {"!", Token::kNot},           {"(", Token::kOpen},       {")", Token::kClose},
      {",", Token::kComma},         {">", Token::kGreater},    {"<", Token::kLess},
  };
  text = text.substr(0, text.find('\0'));
  std::vector<Scanned> scanned;
  size_t at = 0;
  while (true) {
    while (at < text.size() && IsBlank(text[at])) ++at;
    if (at == text.size()) break;
    absl::string_view rest = text.substr(at);
    if (IsSpecial(rest[0])) {
      for (const auto& [special, token] : kSpecials) {
        if (rest.substr(0, special.size()) != special) continue;
        scanned.push_back({token, special});
        break;
      }
    } else {
      size_t length = 0;
      while (length < rest.size() && !IsSpecial(rest[length]) && !IsBlank(rest[length])) ++length;
      absl::string_view word = rest.substr(0, length);
      Token token = word == "in"      ? Token::kIn
                    : word == "notin" ? Token::kNotIn
                                      : Token::kIdentifier;
      scanned.push_back({token, word});
    }
    at += scanned.back().text.size();
  }
  scanned.push_back({});
  return scanned;
}

std::optional<int64_t> Integer(absl::string_view text) {
  absl::string_view digits = text;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  int64_t value = 0;
  if (digits.empty() || !absl::ascii_isdigit(digits[0]) || !absl::ascii_isdigit(digits.back()) ||
      !absl::SimpleAtoi(text, &value)) {
    return std::nullopt;
  }
  return value;
}

// How Go prints a []string in an error.
std::string PrintedList(const std::vector<std::string>& values) {
  if (values.empty()) return "[]string(nil)";
  return absl::StrCat("[]string{",
                      absl::StrJoin(values, ", ",
                                    [](std::string* out, const std::string& value) {
                                      absl::StrAppend(out, GoQuoted(value));
                                    }),
                      "}");
}

std::string InvalidText(absl::string_view path, absl::string_view printed,
                        absl::string_view detail) {
  return absl::StrCat(path, ": Invalid value: ", printed, ": ", detail);
}

// "" when the number of values fits the operator.
std::string CheckValueCount(const Requirement& requirement) {
  const std::vector<std::string>& values = requirement.values;
  switch (requirement.op) {
    case Operator::kIn:
    case Operator::kNotIn:
      return values.empty() ? "for 'in', 'notin' operators, values set can't be empty" : "";
    case Operator::kEquals:
    case Operator::kNotEquals:
      return values.size() != 1 ? "exact-match compatibility requires one single value" : "";
    case Operator::kExists:
    case Operator::kNotExists:
      return values.empty() ? "" : "values set must be empty for exists and does not exist";
    case Operator::kGreater:
    case Operator::kLess:
      return values.size() != 1 ? "for 'Gt', 'Lt' operators, exactly one value is required" : "";
  }
  return "";
}

absl::Status CheckRequirement(const Requirement& requirement) {
  std::vector<std::string> errors;
  std::vector<std::string> key_errors = CheckQualifiedName(requirement.key);
  if (!key_errors.empty()) {
    errors.push_back(
        InvalidText("key", GoQuoted(requirement.key), absl::StrJoin(key_errors, "; ")));
  }
  std::string count_error = CheckValueCount(requirement);
  if (!count_error.empty()) {
    errors.push_back(InvalidText("values", PrintedList(requirement.values), count_error));
  }
  bool integers = requirement.op == Operator::kGreater || requirement.op == Operator::kLess;
  for (size_t i = 0; integers && i < requirement.values.size(); ++i) {
    if (Integer(requirement.values[i]).has_value()) continue;
    errors.push_back(InvalidText(absl::StrCat("values[", i, "]"), GoQuoted(requirement.values[i]),
                                 "for 'Gt', 'Lt' operators, the value must be an integer"));
  }
  for (size_t i = 0; i < requirement.values.size(); ++i) {
    std::vector<std::string> value_errors = CheckLabelValue(requirement.values[i]);
    if (value_errors.empty()) continue;
    errors.push_back(InvalidText(absl::StrCat("values[", i, "][", requirement.key, "]"),
                                 GoQuoted(requirement.values[i]),
                                 absl::StrJoin(value_errors, "; ")));
  }
  if (errors.empty()) return absl::OkStatus();
  if (errors.size() == 1) return absl::InvalidArgumentError(errors[0]);
  return absl::InvalidArgumentError(absl::StrCat("[", absl::StrJoin(errors, ", "), "]"));
}

absl::Status Found(absl::string_view text, absl::string_view rest) {
  return absl::InvalidArgumentError(absl::StrCat("found '", text, "'", rest));
}

// Recursive descent over the tokens; the texts of its errors are the reference's.
class Parser {
 public:
  explicit Parser(absl::string_view text) : scanned_(Scan(text)) {}

  absl::StatusOr<std::vector<Requirement>> Parse() {
    std::vector<Requirement> requirements;
    while (true) {
      Scanned next = Peek();
      if (next.token == Token::kEnd) return requirements;
      if (next.token != Token::kIdentifier && next.token != Token::kNot) {
        return Found(next.text, ", expected: !, identifier, or 'end of string'");
      }
      Requirement requirement;
      absl::Status status = ParseRequirement(&requirement);
      if (!status.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("unable to parse requirement: ", status.message()));
      }
      requirements.push_back(std::move(requirement));
      Scanned after = Take();
      if (after.token == Token::kEnd) return requirements;
      if (after.token != Token::kComma) {
        return Found(after.text, ", expected: ',' or 'end of string'");
      }
      next = Peek();
      if (next.token != Token::kIdentifier && next.token != Token::kNot) {
        return Found(next.text, ", expected: identifier after ','");
      }
    }
  }

 private:
  // Where a key or a value may stand, "in" and "notin" are words like others.
  static Scanned AsWord(Scanned scanned) {
    if (scanned.token == Token::kIn || scanned.token == Token::kNotIn) {
      scanned.token = Token::kIdentifier;
    }
    return scanned;
  }
  Scanned Peek() const { return AsWord(scanned_[at_]); }
  Scanned TakeOperator() { return at_ + 1 < scanned_.size() ? scanned_[at_++] : scanned_[at_]; }
  Scanned Take() { return AsWord(TakeOperator()); }

  absl::Status ParseRequirement(Requirement* requirement) {
    Scanned word = Take();
    bool negated = word.token == Token::kNot;
    if (negated) word = Take();
    if (word.token != Token::kIdentifier) return Found(word.text, ", expected: identifier");
    std::vector<std::string> errors = CheckQualifiedName(word.text);
    if (!errors.empty()) {
      // "<nil>" is how Go prints the path that is not there.
      return absl::InvalidArgumentError(
          InvalidText("<nil>", GoQuoted(word.text), absl::StrJoin(errors, "; ")));
    }
    requirement->key = std::string(word.text);
    Token next = Peek().token;
    if (negated || next == Token::kEnd || next == Token::kComma) {
      requirement->op = negated ? Operator::kNotExists : Operator::kExists;
      return absl::OkStatus();
    }
    absl::Status status = ParseOperator(&requirement->op);
    if (!status.ok()) return status;
    std::set<std::string> values;
    bool listed = requirement->op == Operator::kIn || requirement->op == Operator::kNotIn;
    status = listed ? ParseValues(&values) : ParseExactValue(&values);
    if (!status.ok()) return status;
    requirement->values.assign(values.begin(), values.end());
    return CheckRequirement(*requirement);
  }

  absl::Status ParseOperator(Operator* op) {
    Scanned scanned = TakeOperator();
    switch (scanned.token) {
      case Token::kIn:
        *op = Operator::kIn;
        return absl::OkStatus();
      case Token::kNotIn:
        *op = Operator::kNotIn;
        return absl::OkStatus();
      case Token::kEquals:
      case Token::kDoubleEquals:
        *op = Operator::kEquals;
        return absl::OkStatus();
      case Token::kNotEquals:
        *op = Operator::kNotEquals;
        return absl::OkStatus();
      case Token::kGreater:
        *op = Operator::kGreater;
        return absl::OkStatus();
      case Token::kLess:
        *op = Operator::kLess;
        return absl::OkStatus();
      default:
        return Found(scanned.text, ", expected: in, notin, =, ==, !=, gt, lt");
    }
  }

  absl::Status ParseValues(std::set<std::string>* values) {
    Scanned open = Take();
    if (open.token != Token::kOpen) return Found(open.text, " expected: '('");
    Scanned first = Peek();
    switch (first.token) {
      case Token::kIdentifier:
      case Token::kComma: {
        absl::Status status = ParseValueList(values);
        if (status.ok()) Take();  // the ")"
        return status;
      }
      case Token::kClose:
        Take();
        values->insert("");
        return absl::OkStatus();
      default:
        return Found(first.text, ", expected: ',', ')' or identifier");
    }
  }

  // Up to the ")". Empty places between commas are empty values.
  absl::Status ParseValueList(std::set<std::string>* values) {
    while (true) {
      Scanned scanned = Take();
      if (scanned.token == Token::kIdentifier) {
        values->insert(std::string(scanned.text));
        Scanned next = Peek();
        if (next.token == Token::kClose) return absl::OkStatus();
        if (next.token != Token::kComma) return Found(next.text, ", expected: ',' or ')'");
      } else if (scanned.token == Token::kComma) {
        if (values->empty()) values->insert("");
        if (Peek().token == Token::kClose) {
          values->insert("");
          return absl::OkStatus();
        }
        if (Peek().token == Token::kComma) {
          Take();
          values->insert("");
        }
      } else {
        return Found(scanned.text, ", expected: ',', or identifier");
      }
    }
  }

  absl::Status ParseExactValue(std::set<std::string>* values) {
    Token next = Peek().token;
    if (next == Token::kEnd || next == Token::kComma) {
      values->insert("");
      return absl::OkStatus();
    }
    Scanned word = Take();
    if (word.token != Token::kIdentifier) return Found(word.text, ", expected: identifier");
    values->insert(std::string(word.text));
    return absl::OkStatus();
  }

  const std::vector<Scanned> scanned_;
  size_t at_ = 0;
};

std::optional<absl::string_view> FindLabel(const StringPairs& labels, absl::string_view key) {
  auto found =
      std::lower_bound(labels.begin(), labels.end(), key,
                       [](const auto& pair, absl::string_view k) { return pair.first < k; });
  if (found == labels.end() || found->first != key) return std::nullopt;
  return found->second;
}

bool HasValue(const Requirement& requirement, absl::string_view value) {
  return std::binary_search(requirement.values.begin(), requirement.values.end(), value);
}

bool MatchesOne(const Requirement& requirement, const StringPairs& labels) {
  std::optional<absl::string_view> value = FindLabel(labels, requirement.key);
  switch (requirement.op) {
    case Operator::kEquals:
    case Operator::kIn:
      return value.has_value() && HasValue(requirement, *value);
    case Operator::kNotEquals:
    case Operator::kNotIn:
      return !value.has_value() || !HasValue(requirement, *value);
    case Operator::kExists:
      return value.has_value();
    case Operator::kNotExists:
      return !value.has_value();
    case Operator::kGreater:
    case Operator::kLess: {
      if (!value.has_value()) return false;
      std::optional<int64_t> left = Integer(*value);
      std::optional<int64_t> right = Integer(requirement.values[0]);
      if (!left.has_value() || !right.has_value()) return false;
      return requirement.op == Operator::kGreater ? *left > *right : *left < *right;
    }
  }
  return false;
}

std::string TextOf(const Requirement& requirement) {
  absl::string_view before, after;
  switch (requirement.op) {
    case Operator::kExists:
      return requirement.key;
    case Operator::kNotExists:
      return absl::StrCat("!", requirement.key);
    case Operator::kEquals:
      before = "=";
      break;
    case Operator::kNotEquals:
      before = "!=";
      break;
    case Operator::kGreater:
      before = ">";
      break;
    case Operator::kLess:
      before = "<";
      break;
    case Operator::kIn:
      before = " in (", after = ")";
      break;
    case Operator::kNotIn:
      before = " notin (", after = ")";
      break;
  }
  return absl::StrCat(requirement.key, before, absl::StrJoin(requirement.values, ","), after);
}

void SortByKey(std::vector<Requirement>* requirements) {
  std::stable_sort(requirements->begin(), requirements->end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
}

std::optional<Operator> OperatorNamed(absl::string_view name) {
  if (name == "In") return Operator::kIn;
  if (name == "NotIn") return Operator::kNotIn;
  if (name == "Exists") return Operator::kExists;
  if (name == "DoesNotExist") return Operator::kNotExists;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<LabelSelector> LabelSelector::Parse(absl::string_view text) {
  absl::StatusOr<std::vector<Requirement>> requirements = Parser(text).Parse();
  if (!requirements.ok()) return requirements.status();
  LabelSelector selector;
  selector.requirements_ = *std::move(requirements);
  SortByKey(&selector.requirements_);
  return selector;
}

absl::StatusOr<LabelSelector> LabelSelector::FromJson(const json::Value* selector) {
  if (selector == nullptr || selector->is_null()) return Nothing();
  LabelSelector result;
  if (const json::Value* labels = selector->Find("matchLabels")) {
    for (const json::Member& member : labels->members()) {
      Requirement requirement{member.key, Operator::kEquals, {member.value.text()}};
      absl::Status status = CheckRequirement(requirement);
      if (!status.ok()) return status;
      result.requirements_.push_back(std::move(requirement));
    }
  }
  if (const json::Value* expressions = selector->Find("matchExpressions")) {
    for (const json::Value& expression : expressions->items()) {
      absl::string_view name = expression.FindString("operator");
      std::optional<Operator> op = OperatorNamed(name);
      if (!op.has_value()) {
        return absl::InvalidArgumentError(
            absl::StrCat(GoQuoted(name), " is not a valid label selector operator"));
      }
      Requirement requirement{std::string(expression.FindString("key")), *op, {}};
      if (const json::Value* values = expression.Find("values")) {
        for (const json::Value& value : values->items()) {
          requirement.values.push_back(value.text());
        }
      }
      absl::Status status = CheckRequirement(requirement);
      if (!status.ok()) return status;
      std::sort(requirement.values.begin(), requirement.values.end());
      result.requirements_.push_back(std::move(requirement));
    }
  }
  SortByKey(&result.requirements_);
  return result;
}

LabelSelector LabelSelector::Nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

bool LabelSelector::Matches(const StringPairs& labels) const {
  if (nothing_) return false;
  for (const Requirement& requirement : requirements_) {
    if (!MatchesOne(requirement, labels)) return false;
  }
  return true;
}

std::string LabelSelector::ToString() const {
  return absl::StrJoin(requirements_, ",", [](std::string* out, const Requirement& requirement) {
    absl::StrAppend(out, TextOf(requirement));
  });
}

}  // namespace meltemi::kube
