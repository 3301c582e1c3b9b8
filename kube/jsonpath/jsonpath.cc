#include "kube/jsonpath/jsonpath.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/jsonpath/node.h"

namespace meltemi::kube {
namespace {

using json::Value;
using Node = JsonPath::Node;
using Nodes = std::vector<Node>;
using Found = std::vector<const Value*>;

constexpr size_t kPathBytesMax = 4096;
constexpr int kDepthMax = 16;
// Paths with several ".." can name one value very often.
constexpr size_t kFoundMax = 100'000;
constexpr size_t kStepsMax = 1'000'000;

class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Nodes> Parse(int depth) {
    Nodes nodes;
    depth_ = depth;
    if (depth > kDepthMax) return Fail("nested too deeply");
    if (Peek() == '$' || Peek() == '@') ++at_;
    while (at_ < text_.size()) {
      const absl::Status status = Step(nodes);
      if (!status.ok()) return status;
    }
    return nodes;
  }

 private:
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  absl::Status Fail(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("at position ", at_ + 1, " of \"", text_, "\": ", what));
  }

  absl::Status Step(Nodes& nodes) {
    const char c = Peek();
    if (c == '[') return Bracket(nodes);
    if (c == '.') {
      ++at_;
      if (Peek() == '.') {
        ++at_;
        nodes.push_back({.kind = Node::Kind::kRecursive});
        if (Peek() == '[' || at_ == text_.size()) return absl::OkStatus();
        return Field(nodes);
      }
      if (Peek() == '[' || at_ == text_.size()) return absl::OkStatus();
      return Field(nodes);
    }
    if (nodes.empty()) return Field(nodes);
    return Fail("unexpected character");
  }

  absl::Status Field(Nodes& nodes) {
    if (Peek() == '*') {
      ++at_;
      nodes.push_back({.kind = Node::Kind::kWildcard});
      return absl::OkStatus();
    }
    Node node{.kind = Node::Kind::kField};
    while (at_ < text_.size()) {
      const char c = Peek();
      if (c == '\\' && at_ + 1 < text_.size()) {
        node.name.push_back(Peek(1));
        at_ += 2;
        continue;
      }
      if (absl::string_view(".,[]$@{} \t\r\n").find(c) != absl::string_view::npos) break;
      node.name.push_back(c);
      ++at_;
    }
    if (node.name.empty()) return Fail("a field name is missing");
    nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  // The text up to the bracket that closes the one at at_; quotes and inner brackets are skipped.
  absl::StatusOr<absl::string_view> Inside() {
    const size_t begin = ++at_;
    int open = 1;
    char quote = '\0';
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (quote != '\0') {
        if (c == '\\') {
          ++at_;
        } else if (c == quote) {
          quote = '\0';
        }
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '[') {
        ++open;
      } else if (c == ']' && --open == 0) {
        return text_.substr(begin, at_++ - begin);
      }
    }
    return Fail("unterminated array");
  }

  absl::Status Bracket(Nodes& nodes) {
    const absl::StatusOr<absl::string_view> inside = Inside();
    if (!inside.ok()) return inside.status();
    const absl::string_view text = absl::StripAsciiWhitespace(*inside);
    if (text.empty()) return Fail("empty brackets");
    if (text[0] == '?') return Filter(text.substr(1), nodes);
    const std::vector<absl::string_view> parts = SplitOutsideQuotes(text, ',');
    if (parts.size() == 1) return Element(parts[0], nodes);
    Node node{.kind = Node::Kind::kUnion};
    for (const absl::string_view part : parts) {
      const absl::Status status = Element(part, node.branches.emplace_back());
      if (!status.ok()) return status;
    }
    nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  static std::vector<absl::string_view> SplitOutsideQuotes(absl::string_view text, char separator) {
    std::vector<absl::string_view> parts;
    char quote = '\0';
    size_t begin = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (quote != '\0') {
        if (text[i] == '\\') {
          ++i;
        } else if (text[i] == quote) {
          quote = '\0';
        }
      } else if (text[i] == '"' || text[i] == '\'') {
        quote = text[i];
      } else if (text[i] == separator) {
        parts.push_back(absl::StripAsciiWhitespace(text.substr(begin, i - begin)));
        begin = i + 1;
      }
    }
    parts.push_back(absl::StripAsciiWhitespace(text.substr(begin)));
    return parts;
  }

  // One of: 'name', *, 3, -1, 1:5:2.
  absl::Status Element(absl::string_view text, Nodes& nodes) {
    if (text == "*") {
      nodes.push_back({.kind = Node::Kind::kWildcard});
      return absl::OkStatus();
    }
    if (const std::optional<std::string> name = Unquote(text)) {
      nodes.push_back({.kind = Node::Kind::kField, .name = *name});
      return absl::OkStatus();
    }
    Node node{.kind = Node::Kind::kSlice};
    const std::vector<absl::string_view> parts = SplitOutsideQuotes(text, ':');
    std::optional<int64_t>* const targets[] = {&node.begin, &node.end, &node.step};
    if (parts.size() > 3) return Fail(absl::StrCat("invalid array index ", text));
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].empty() && parts.size() > 1) continue;
      int32_t number;
      if (!absl::SimpleAtoi(parts[i], &number)) {
        return Fail(absl::StrCat("invalid array index ", text));
      }
      *targets[i] = number;
    }
    node.single = parts.size() == 1;
    if (node.step.has_value() && *node.step <= 0) return Fail("step must be > 0");
    nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  static std::optional<std::string> Unquote(absl::string_view text) {
    if (text.size() < 2 || (text[0] != '\'' && text[0] != '"') || text.back() != text[0]) {
      return std::nullopt;
    }
    std::string out;
    for (size_t i = 1; i + 1 < text.size(); ++i) {
      if (text[i] == '\\' && i + 2 < text.size()) ++i;
      out.push_back(text[i]);
    }
    return out;
  }

  absl::Status Filter(absl::string_view text, Nodes& nodes) {
    text = absl::StripAsciiWhitespace(text);
    if (text.size() < 2 || text.front() != '(' || text.back() != ')') {
      return Fail("a filter must be in parentheses");
    }
    text = text.substr(1, text.size() - 2);
    Node node{.kind = Node::Kind::kFilter};
    size_t begin = 0, size = 0;
    FindOperator(text, &begin, &size);
    const absl::Status left = OperandOf(text.substr(0, begin), node.left);
    if (!left.ok()) return left;
    if (size == 0) {
      node.op = Node::Operator::kExists;
    } else {
      const absl::string_view op = text.substr(begin, size);
      if (!ParseOperator(op, &node.op)) return Fail(absl::StrCat("unknown operator ", op));
      const absl::Status right = OperandOf(text.substr(begin + size), node.right);
      if (!right.ok()) return right;
    }
    nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  static void FindOperator(absl::string_view text, size_t* begin, size_t* size) {
    char quote = '\0';
    for (size_t i = 0; i < text.size(); ++i) {
      if (quote != '\0') {
        if (text[i] == '\\') {
          ++i;
        } else if (text[i] == quote) {
          quote = '\0';
        }
      } else if (text[i] == '"' || text[i] == '\'') {
        quote = text[i];
      } else if (absl::string_view("!<>=").find(text[i]) != absl::string_view::npos) {
        *begin = i;
        while (i < text.size() &&
               absl::string_view("!<>=").find(text[i]) != absl::string_view::npos) {
          ++i;
        }
        *size = i - *begin;
        return;
      }
    }
    *begin = text.size();
  }

  static bool ParseOperator(absl::string_view text, Node::Operator* op) {
    struct Entry {
      absl::string_view text;
      Node::Operator op;
    };
    static constexpr Entry kEntries[] = {
        {"==", Node::Operator::kEqual},  {"!=", Node::Operator::kNotEqual},
        {"<", Node::Operator::kLess},    {"<=", Node::Operator::kLessOrEqual},
        {">", Node::Operator::kGreater}, {">=", Node::Operator::kGreaterOrEqual},
    };
    for (const Entry& entry : kEntries) {
      if (entry.text == text) {
        *op = entry.op;
        return true;
      }
    }
    return false;
  }

  absl::Status OperandOf(absl::string_view text, Node::Operand& operand) {
    text = absl::StripAsciiWhitespace(text);
    if (text.empty()) return Fail("an operand is missing");
    double number;
    if (const std::optional<std::string> literal = Unquote(text)) {
      operand.literal = Value::String(*literal);
    } else if (text == "true" || text == "false") {
      operand.literal = Value::Bool(text == "true");
    } else if (text == "null") {
      operand.literal = Value();
    } else if (absl::ascii_isdigit(static_cast<unsigned char>(text.back())) &&
               absl::SimpleAtod(text, &number)) {
      operand.literal = Value::Number(std::string(text));
    } else if (text[0] == '@' || text[0] == '.' || text[0] == '$') {
      absl::StatusOr<Nodes> path = Parser(text).Parse(depth_ + 1);
      if (!path.ok()) return path.status();
      operand.path = *std::move(path);
    } else {
      return Fail(absl::StrCat("unrecognized operand ", text));
    }
    return absl::OkStatus();
  }

  const absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

struct Search {
  Found found;
  size_t steps = 0;

  bool Spent() { return found.size() >= kFoundMax || ++steps > kStepsMax; }
};

void Evaluate(const Nodes& nodes, size_t at, const Value& value, Search& search);

// nullopt: the two can't be compared.
std::optional<int> Compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const double x = a.AsDouble().value_or(0), y = b.AsDouble().value_or(0);
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is_string() && b.is_string()) return a.text().compare(b.text());
  if (a.is_bool() && b.is_bool()) return int{a.bool_value()} - int{b.bool_value()};
  if (a.is_null() && b.is_null()) return 0;
  return std::nullopt;
}

const Value* OperandValue(const Node::Operand& operand, const Value& item) {
  if (operand.literal.has_value()) return &*operand.literal;
  Search search;
  Evaluate(operand.path, 0, item, search);
  return search.found.empty() ? nullptr : search.found.front();
}

bool Passes(const Node& filter, const Value& item) {
  const Value* left = OperandValue(filter.left, item);
  if (filter.op == Node::Operator::kExists) return left != nullptr;
  const Value* right = OperandValue(filter.right, item);
  if (left == nullptr || right == nullptr) return false;
  const std::optional<int> order = Compare(*left, *right);
  if (!order.has_value()) return filter.op == Node::Operator::kNotEqual;
  switch (filter.op) {
    case Node::Operator::kEqual:
      return *order == 0;
    case Node::Operator::kNotEqual:
      return *order != 0;
    case Node::Operator::kLess:
      return *order < 0;
    case Node::Operator::kLessOrEqual:
      return *order <= 0;
    case Node::Operator::kGreater:
      return *order > 0;
    case Node::Operator::kGreaterOrEqual:
      return *order >= 0;
    case Node::Operator::kExists:
      break;
  }
  return true;
}

void EvaluateSlice(const Nodes& nodes, size_t at, const Value& value, Search& search) {
  const Node& node = nodes[at];
  const auto size = static_cast<int64_t>(value.items().size());
  const auto absolute = [size](int64_t index) { return index < 0 ? index + size : index; };
  int64_t begin = absolute(node.begin.value_or(0));
  int64_t end = node.single ? begin + 1 : std::min(size, absolute(node.end.value_or(size)));
  if (node.single && (begin < 0 || begin >= size)) return;
  for (int64_t i = std::max<int64_t>(0, begin); i < end; i += node.step.value_or(1)) {
    Evaluate(nodes, at + 1, value.items()[i], search);
  }
}

// The value and everything below it, parents first.
void EvaluateRecursive(const Nodes& nodes, size_t at, const Value& value, Search& search) {
  if (search.Spent()) return;
  Evaluate(nodes, at + 1, value, search);
  for (const Value& item : value.items()) EvaluateRecursive(nodes, at, item, search);
  for (const json::Member& member : value.members()) {
    EvaluateRecursive(nodes, at, member.value, search);
  }
}

void Evaluate(const Nodes& nodes, size_t at, const Value& value, Search& search) {
  if (search.Spent()) return;
  if (at == nodes.size()) {
    search.found.push_back(&value);
    return;
  }
  const Node& node = nodes[at];
  switch (node.kind) {
    case Node::Kind::kField:
      if (const Value* member = value.Find(node.name)) Evaluate(nodes, at + 1, *member, search);
      return;
    case Node::Kind::kSlice:
      return EvaluateSlice(nodes, at, value, search);
    case Node::Kind::kWildcard:
      for (const Value& item : value.items()) Evaluate(nodes, at + 1, item, search);
      for (const json::Member& member : value.members()) {
        Evaluate(nodes, at + 1, member.value, search);
      }
      return;
    case Node::Kind::kRecursive:
      return EvaluateRecursive(nodes, at, value, search);
    case Node::Kind::kUnion:
      for (const Nodes& branch : node.branches) {
        Search part;
        Evaluate(branch, 0, value, part);
        search.steps += part.steps;
        for (const Value* one : part.found) Evaluate(nodes, at + 1, *one, search);
      }
      return;
    case Node::Kind::kFilter:
      for (const Value& item : value.items()) {
        if (Passes(node, item)) Evaluate(nodes, at + 1, item, search);
      }
      return;
  }
}

}  // namespace

absl::StatusOr<JsonPath> JsonPath::Compile(absl::string_view path) {
  path = absl::StripAsciiWhitespace(path);
  if (path.size() > kPathBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a path of ", path.size(), " bytes: more than ", kPathBytesMax));
  }
  if (path.size() >= 2 && path.front() == '{' && path.back() == '}') {
    path = absl::StripAsciiWhitespace(path.substr(1, path.size() - 2));
  }
  if (path.empty()) return absl::InvalidArgumentError("the path is empty");
  absl::StatusOr<Nodes> nodes = Parser(path).Parse(0);
  if (!nodes.ok()) return nodes.status();
  JsonPath compiled;
  compiled.nodes_ = std::make_shared<const Nodes>(*std::move(nodes));
  return compiled;
}

std::vector<const Value*> JsonPath::Find(const Value& root) const {
  Search search;
  Evaluate(*nodes_, 0, root, search);
  return std::move(search.found);
}

}  // namespace meltemi::kube
