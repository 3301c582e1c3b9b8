#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/schema/cel/ast.h"

namespace meltemi::cel {
namespace {

using NodePtr = std::unique_ptr<const Node>;

constexpr size_t kBytesMax = 16 * 1024;
constexpr int kDepthMax = 64;
// Of binary operators and selections: a chain of them is a deep tree, and evaluation recurses.
constexpr int kChainMax = 1000;

bool IsIdentStart(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsIdentChar(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t point, std::string* out) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | point >> 6));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | point >> 12));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (point >> 18 & 0x07)));
    out->push_back(static_cast<char>(0x80 | (point >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

// Recursive descent. The first error wins; afterwards every step gives null.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<NodePtr> Run() {
    if (text_.size() > kBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("expressions are limited to ", kBytesMax, " bytes"));
    }
    NodePtr node = Ternary();
    Space();
    if (error_.empty() && at_ < text_.size()) Fail("Syntax error: unexpected text");
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return node;
  }

 private:
  NodePtr Fail(absl::string_view what) {
    if (error_.empty()) error_ = absl::StrCat("ERROR: <input>:1:", at_ + 1, ": ", what);
    return nullptr;
  }

  void Space() {
    while (at_ < text_.size()) {
      if (absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) {
        ++at_;
      } else if (absl::StartsWith(text_.substr(at_), "//")) {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  bool Take(absl::string_view sign) {
    Space();
    if (!absl::StartsWith(text_.substr(at_), sign)) return false;
    at_ += sign.size();
    return true;
  }
  // A word that is no part of a longer one.
  bool TakeWord(absl::string_view word) {
    Space();
    const absl::string_view rest = text_.substr(at_);
    if (!absl::StartsWith(rest, word)) return false;
    if (rest.size() > word.size() && IsIdentChar(rest[word.size()])) return false;
    at_ += word.size();
    return true;
  }
  bool Expect(absl::string_view sign) {
    if (Take(sign)) return true;
    Fail(absl::StrCat("Syntax error: missing '", sign, "'"));
    return false;
  }

  static NodePtr Call(std::string name, NodePtr a, NodePtr b = nullptr, NodePtr c = nullptr) {
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kCall;
    node->text = std::move(name);
    for (NodePtr* arg : {&a, &b, &c}) {
      if (*arg != nullptr) node->args.push_back(std::move(*arg));
    }
    return node;
  }

  NodePtr Ternary() {
    if (++depth_ > kDepthMax) return Fail("expression nested too deeply");
    NodePtr condition = Binary(0);
    if (condition != nullptr && Take("?")) {
      NodePtr yes = Binary(0);
      if (!Expect(":")) return nullptr;
      NodePtr no = Ternary();
      if (yes == nullptr || no == nullptr) return nullptr;
      condition = Call("_?_:_", std::move(condition), std::move(yes), std::move(no));
    }
    --depth_;
    return condition;
  }

  // The operator of this level at the current place, if there is one.
  absl::string_view Operator(int level) {
    static constexpr absl::string_view kRelations[] = {"==", "!=", "<=", ">=", "<", ">"};
    switch (level) {
      case 0:
        return Take("||") ? "||" : "";
      case 1:
        return Take("&&") ? "&&" : "";
      case 2:
        for (const absl::string_view sign : kRelations) {
          if (Take(sign)) return sign;
        }
        return TakeWord("in") ? "in" : "";
      case 3:
        return Take("+") ? "+" : Take("-") ? "-" : "";
      default:
        return Take("*") ? "*" : Take("/") ? "/" : Take("%") ? "%" : "";
    }
  }

  NodePtr Binary(int level) {
    constexpr int kLevels = 5;
    if (level == kLevels) return Unary();
    NodePtr left = Binary(level + 1);
    while (left != nullptr) {
      const absl::string_view sign = Operator(level);
      if (sign.empty()) return left;
      if (++chain_ > kChainMax) return Fail("expression has too many operators");
      NodePtr right = Binary(level + 1);
      if (right == nullptr) return nullptr;
      left = Call(absl::StrCat("_", sign, "_"), std::move(left), std::move(right));
    }
    return nullptr;
  }

  NodePtr Unary() {
    if (++depth_ > kDepthMax) return Fail("expression nested too deeply");
    NodePtr node;
    if (Take("!")) {
      NodePtr operand = Unary();
      if (operand != nullptr) node = Call("!_", std::move(operand));
    } else if (Take("-")) {
      NodePtr operand = Unary();
      if (operand != nullptr) node = Call("-_", std::move(operand));
    } else {
      node = Member();
    }
    --depth_;
    return node;
  }

  std::optional<std::string> Ident() {
    Space();
    if (at_ >= text_.size() || !IsIdentStart(text_[at_])) return std::nullopt;
    const size_t begin = at_;
    while (at_ < text_.size() && IsIdentChar(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  // The arguments after the opening parenthesis, up to the closing one.
  bool Arguments(absl::string_view close, std::vector<NodePtr>* args) {
    if (Take(close)) return true;
    do {
      NodePtr arg = Ternary();
      if (arg == nullptr) return false;
      args->push_back(std::move(arg));
    } while (Take(","));
    return Expect(close);
  }

  NodePtr Member() {
    NodePtr node = Primary();
    while (node != nullptr) {
      if (++chain_ > kChainMax) return Fail("expression has too many operators");
      if (Take("[")) {
        NodePtr index = Ternary();
        if (index == nullptr || !Expect("]")) return nullptr;
        auto next = std::make_unique<Node>();
        next->kind = Node::Kind::kIndex;
        next->args.push_back(std::move(node));
        next->args.push_back(std::move(index));
        node = std::move(next);
      } else if (Take(".")) {
        node = AfterDot(std::move(node));
      } else {
        return node;
      }
    }
    return nullptr;
  }

  NodePtr AfterDot(NodePtr target) {
    const std::optional<std::string> name = Ident();
    if (!name.has_value()) return Fail("Syntax error: a field name is missing");
    auto node = std::make_unique<Node>();
    node->text = *name;
    node->args.push_back(std::move(target));
    if (!Take("(")) {
      node->kind = Node::Kind::kSelect;
      return node;
    }
    std::vector<NodePtr> args;
    if (!Arguments(")", &args)) return nullptr;
    static constexpr std::array<absl::string_view, 5> kMacros = {"all", "exists", "exists_one",
                                                                 "map", "filter"};
    const bool is_macro = std::find(kMacros.begin(), kMacros.end(), *name) != kMacros.end();
    if (!is_macro || args.size() < 2) {
      node->kind = Node::Kind::kCall;
      node->method = true;
    } else {
      if (args[0]->kind != Node::Kind::kIdent) {
        return Fail("argument must be a simple name");
      }
      if (args.size() > (*name == "map" ? 3u : 2u)) return Fail("too many arguments");
      node->kind = Node::Kind::kMacro;
      node->variable = args[0]->text;
      args.erase(args.begin());
    }
    for (NodePtr& arg : args) node->args.push_back(std::move(arg));
    return node;
  }

  NodePtr Has() {
    std::vector<NodePtr> args;
    if (!Arguments(")", &args)) return nullptr;
    if (args.size() != 1 || args[0]->kind != Node::Kind::kSelect) {
      return Fail("invalid argument to has() macro");
    }
    // Its argument is known to be a selection: the same one, as a test.
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kSelect;
    node->text = args[0]->text;
    node->test = true;
    node->args.push_back(std::move(const_cast<Node*>(args[0].get())->args[0]));
    return node;
  }

  NodePtr Primary() {
    Space();
    if (at_ >= text_.size()) return Fail("Syntax error: unexpected end");
    const char c = text_[at_];
    if (Take("(")) {
      NodePtr inner = Ternary();
      return inner != nullptr && Expect(")") ? std::move(inner) : nullptr;
    }
    if (Take("[")) {
      auto node = std::make_unique<Node>();
      node->kind = Node::Kind::kList;
      return Arguments("]", &node->args) ? NodePtr(std::move(node)) : nullptr;
    }
    if (Take("{")) return MapLiteral();
    if (IsDigit(c) || (c == '.' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1]))) {
      return Number();
    }
    if (StartsString()) return String();
    Take(".");  // a name from the root
    std::optional<std::string> name = Ident();
    if (!name.has_value())
      return Fail(absl::StrCat("Syntax error: unexpected '", text_.substr(at_, 1), "'"));
    return Named(*std::move(name));
  }

  NodePtr Named(std::string name) {
    auto node = std::make_unique<Node>();
    if (Take("(")) {
      if (name == "has") return Has();
      node->kind = Node::Kind::kCall;
      node->text = std::move(name);
      return Arguments(")", &node->args) ? NodePtr(std::move(node)) : nullptr;
    }
    if (name == "true" || name == "false") {
      node->kind = Node::Kind::kBool;
      node->number = name == "true" ? 1 : 0;
    } else if (name != "null") {
      node->kind = Node::Kind::kIdent;
      node->text = std::move(name);
    }
    return node;
  }

  NodePtr MapLiteral() {
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kMap;
    if (Take("}")) return node;
    do {
      NodePtr key = Ternary();
      if (key == nullptr || !Expect(":")) return nullptr;
      NodePtr value = Ternary();
      if (value == nullptr) return nullptr;
      node->args.push_back(std::move(key));
      node->args.push_back(std::move(value));
    } while (Take(","));
    return Expect("}") ? NodePtr(std::move(node)) : nullptr;
  }

  NodePtr Number() {
    const size_t begin = at_;
    auto node = std::make_unique<Node>();
    if (absl::StartsWith(text_.substr(at_), "0x")) {
      at_ += 2;
      while (at_ < text_.size() && absl::ascii_isxdigit(static_cast<unsigned char>(text_[at_])))
        ++at_;
      node->kind = Node::Kind::kInt;
      if (!absl::SimpleHexAtoi(text_.substr(begin + 2, at_ - begin - 2), &node->number)) {
        return Fail("invalid int literal");
      }
      return node;
    }
    bool real = false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool sign = (c == '+' || c == '-') && (text_[at_ - 1] | 0x20) == 'e' && at_ > begin;
      const bool fraction = c == '.' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1]) && !real;
      if (!IsDigit(c) && !sign && !fraction && (c | 0x20) != 'e') break;
      real |= fraction || (c | 0x20) == 'e';
      ++at_;
    }
    const absl::string_view text = text_.substr(begin, at_ - begin);
    node->kind = real ? Node::Kind::kDouble : Node::Kind::kInt;
    const bool fits =
        real ? absl::SimpleAtod(text, &node->real) : absl::SimpleAtoi(text, &node->number);
    if (!real && (Take("u") || Take("U"))) {
      // Unsigned numbers do not occur in custom resources: read as integers.
    }
    return fits ? NodePtr(std::move(node)) : Fail("invalid number literal");
  }

  bool StartsString() const {
    const absl::string_view rest = text_.substr(at_);
    const bool raw = absl::StartsWith(rest, "r") || absl::StartsWith(rest, "R");
    const absl::string_view quote = rest.substr(raw ? 1 : 0, 1);
    return quote == "\"" || quote == "'";
  }

  NodePtr String() {
    const bool raw = text_[at_] == 'r' || text_[at_] == 'R';
    if (raw) ++at_;
    const char quote = text_[at_];
    const std::string triple(3, quote);
    const std::string close =
        absl::StartsWith(text_.substr(at_), triple) ? triple : std::string(1, quote);
    at_ += close.size();
    auto node = std::make_unique<Node>();
    node->kind = Node::Kind::kString;
    while (at_ < text_.size()) {
      if (absl::StartsWith(text_.substr(at_), close)) {
        at_ += close.size();
        return node;
      }
      if (text_[at_] != '\\' || raw) {
        node->text.push_back(text_[at_++]);
      } else if (!Escape(&node->text)) {
        return Fail("invalid escape sequence");
      }
    }
    return Fail("Syntax error: a string is not terminated");
  }

  bool Escape(std::string* out) {
    ++at_;
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    static constexpr absl::string_view kFrom = "abfnrtv\\\"'`?";
    static constexpr absl::string_view kTo = "\a\b\f\n\r\t\v\\\"'`?";
    const size_t plain = kFrom.find(c);
    if (plain != absl::string_view::npos) {
      out->push_back(kTo[plain]);
      return true;
    }
    const size_t digits = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t point;
    if (digits == 0 || at_ + digits > text_.size() ||
        !absl::SimpleHexAtoi(text_.substr(at_, digits), &point) || point > 0x10FFFF) {
      return false;
    }
    at_ += digits;
    AppendUtf8(point, out);
    return true;
  }

  const absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0, chain_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Node>> Parse(absl::string_view expression) {
  return Parser(expression).Run();
}

}  // namespace meltemi::cel
