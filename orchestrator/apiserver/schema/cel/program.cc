#include "orchestrator/apiserver/schema/cel/program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "orchestrator/apiserver/schema/cel/value.h"

namespace meltemi::cel {

using Kind = V::Kind;
using Answer = absl::StatusOr<V>;

V V::List(std::vector<V> items) {
  V value{.kind = Kind::kList};
  value.items = std::make_shared<const std::vector<V>>(std::move(items));
  return value;
}

V V::Of(const json::Value& value) {
  switch (value.kind()) {
    case json::Value::Kind::kNull:
      return Null();
    case json::Value::Kind::kBool:
      return Bool(value.bool_value());
    case json::Value::Kind::kString:
      return String(value.text());
    case json::Value::Kind::kNumber:
      if (value.text().find_first_of(".eE") == std::string::npos) {
        if (const auto integer = value.AsInt64()) return Int(*integer);
      }
      return Double(value.AsDouble().value_or(0));
    case json::Value::Kind::kArray:
    case json::Value::Kind::kObject:
      break;
  }
  V out{.kind = value.is_array() ? Kind::kList : Kind::kMap};
  out.ref = &value;
  return out;
}

size_t V::size() const {
  if (ref != nullptr) return is(Kind::kList) ? ref->items().size() : ref->members().size();
  if (items == nullptr) return 0;
  return is(Kind::kList) ? items->size() : items->size() / 2;
}

V V::item(size_t index) const { return ref != nullptr ? Of(ref->items()[index]) : (*items)[index]; }

bool V::Lookup(const V& key, V* out) const {
  if (ref != nullptr) {
    const json::Value* member = key.is(Kind::kString) ? ref->Find(key.s) : nullptr;
    if (member != nullptr) *out = Of(*member);
    return member != nullptr;
  }
  for (size_t i = 0; items != nullptr && i + 1 < items->size(); i += 2) {
    if (!Equal((*items)[i], key)) continue;
    *out = (*items)[i + 1];
    return true;
  }
  return false;
}

std::vector<V> V::Keys() const {
  std::vector<V> keys;
  if (ref != nullptr) {
    for (const json::Member& member : ref->members()) keys.push_back(String(member.key));
  }
  for (size_t i = 0; items != nullptr && i < items->size(); i += 2) keys.push_back((*items)[i]);
  return keys;
}

absl::string_view TypeName(const V& value) {
  static constexpr absl::string_view kNames[] = {"null_type", "bool", "int", "double",
                                                 "string",    "list", "map", "type"};
  return kNames[static_cast<size_t>(value.kind)];
}

bool Equal(const V& a, const V& b) {
  if (a.is_number() && b.is_number()) {
    return a.is(Kind::kInt) && b.is(Kind::kInt) ? a.i == b.i : a.real() == b.real();
  }
  if (a.kind != b.kind) return false;
  if (a.is(Kind::kNull)) return true;
  if (a.is(Kind::kBool)) return a.i == b.i;
  if (a.is(Kind::kString) || a.is(Kind::kType)) return a.s == b.s;
  if (a.size() != b.size()) return false;
  if (a.is(Kind::kList)) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!Equal(a.item(i), b.item(i))) return false;
    }
    return true;
  }
  for (const V& key : a.Keys()) {
    V left, right;
    if (!a.Lookup(key, &left) || !b.Lookup(key, &right) || !Equal(left, right)) return false;
  }
  return true;
}

bool Order(const V& a, const V& b, int* order) {
  if (a.is_number() && b.is_number()) {
    *order = a.real() < b.real() ? -1 : a.real() > b.real() ? 1 : 0;
    if (a.is(Kind::kInt) && b.is(Kind::kInt)) *order = a.i < b.i ? -1 : a.i > b.i ? 1 : 0;
    return true;
  }
  if (a.kind != b.kind) return false;
  if (a.is(Kind::kBool)) {
    *order = static_cast<int>(a.i - b.i);
    return true;
  }
  if (!a.is(Kind::kString)) return false;
  *order = a.s.compare(b.s);
  return true;
}

absl::Status NoOverload() { return absl::InvalidArgumentError("no such overload"); }

namespace {

constexpr absl::string_view kTypes[] = {"bool", "double", "int",       "list",
                                        "map",  "string", "null_type", "uint"};

// How property names that are no identifiers, or CEL's own words, are written in rules.
std::string Unescaped(absl::string_view name) {
  std::string out = absl::StrReplaceAll(
      name, {{"__underscores__", "__"}, {"__dot__", "."}, {"__dash__", "-"}, {"__slash__", "/"}});
  if (out == name && out.size() > 4 && absl::StartsWith(out, "__") && absl::EndsWith(out, "__")) {
    return out.substr(2, out.size() - 4);
  }
  return out;
}

// Variables, the innermost first.
struct Scope {
  absl::string_view name;
  V value;
  const Scope* outer = nullptr;
};

class Evaluator {
 public:
  explicit Evaluator(Budget& budget) : budget_(budget) {}

  Answer Eval(const Node& node, const Scope& scope) {
    if (--budget_.steps < 0) return absl::OutOfRangeError("the cost budget is used up");
    switch (node.kind) {
      case Node::Kind::kNull:
        return V::Null();
      case Node::Kind::kBool:
        return V::Bool(node.number != 0);
      case Node::Kind::kInt:
        return V::Int(node.number);
      case Node::Kind::kDouble:
        return V::Double(node.real);
      case Node::Kind::kString:
        return V::String(node.text);
      case Node::Kind::kIdent:
        return Ident(node, scope);
      case Node::Kind::kSelect:
        return Select(node, scope);
      case Node::Kind::kIndex:
        return Index(node, scope);
      case Node::Kind::kCall:
        return Call(node, scope);
      case Node::Kind::kMacro:
        return Macro(node, scope);
      case Node::Kind::kList:
      case Node::Kind::kMap:
        break;
    }
    return Literal(node, scope);
  }

 private:
  static Answer Ident(const Node& node, const Scope& scope) {
    for (const Scope* at = &scope; at != nullptr; at = at->outer) {
      if (at->name == node.text) return at->value;
    }
    return V::Type(node.text);
  }

  Answer Select(const Node& node, const Scope& scope) {
    Answer target = Eval(*node.args[0], scope);
    if (!target.ok()) return target;
    V found;
    const bool is_map = target->is(Kind::kMap);
    if (!is_map && !node.test) return NoOverload();
    const bool there = is_map && (target->Lookup(V::String(node.text), &found) ||
                                  target->Lookup(V::String(Unescaped(node.text)), &found));
    if (node.test) return V::Bool(there);
    if (!there) return absl::NotFoundError(absl::StrCat("no such key: ", node.text));
    return found;
  }

  Answer Index(const Node& node, const Scope& scope) {
    Answer target = Eval(*node.args[0], scope);
    if (!target.ok()) return target;
    Answer index = Eval(*node.args[1], scope);
    if (!index.ok()) return index;
    if (target->is(Kind::kMap)) {
      V found;
      if (target->Lookup(*index, &found)) return found;
      return absl::NotFoundError(absl::StrCat("no such key: ", index->s));
    }
    if (!target->is(Kind::kList) || !index->is(Kind::kInt)) return NoOverload();
    if (index->i < 0 || index->i >= static_cast<int64_t>(target->size())) {
      return absl::OutOfRangeError(absl::StrCat("index out of bounds: ", index->i));
    }
    return target->item(static_cast<size_t>(index->i));
  }

  Answer Literal(const Node& node, const Scope& scope) {
    std::vector<V> items;
    for (const auto& arg : node.args) {
      Answer item = Eval(*arg, scope);
      if (!item.ok()) return item;
      items.push_back(*std::move(item));
    }
    V value = V::List(std::move(items));
    if (node.kind == Node::Kind::kMap) value.kind = Kind::kMap;
    return value;
  }

  // An error on one side does not count when the other decides.
  Answer Logic(const Node& node, const Scope& scope, bool decides) {
    Answer left = Eval(*node.args[0], scope);
    if (left.ok() && !left->is(Kind::kBool)) left = NoOverload();
    if (left.ok() && (left->i != 0) == decides) return left;
    Answer right = Eval(*node.args[1], scope);
    if (right.ok() && !right->is(Kind::kBool)) right = NoOverload();
    if (right.ok() && (right->i != 0) == decides) return right;
    return left.ok() ? right : left;
  }

  Answer Call(const Node& node, const Scope& scope) {
    const std::string& name = node.text;
    if (name == "_&&_") return Logic(node, scope, false);
    if (name == "_||_") return Logic(node, scope, true);
    if (name == "_?_:_") {
      Answer condition = Eval(*node.args[0], scope);
      if (!condition.ok()) return condition;
      if (!condition->is(Kind::kBool)) return NoOverload();
      return Eval(*node.args[condition->i != 0 ? 1 : 2], scope);
    }
    std::vector<V> args;
    for (const auto& arg : node.args) {
      Answer value = Eval(*arg, scope);
      if (!value.ok()) return value;
      args.push_back(*std::move(value));
    }
    if (name[0] != '_' && name != "!_" && name != "-_") return CallFunction(name, args, budget_);
    return Operator(name, args);
  }

  Answer Operator(const std::string& name, const std::vector<V>& args) {
    if (name == "!_")
      return args[0].is(Kind::kBool) ? Answer(V::Bool(args[0].i == 0)) : NoOverload();
    if (name == "-_") {
      if (args[0].is(Kind::kDouble)) return V::Double(-args[0].d);
      if (!args[0].is(Kind::kInt) || args[0].i == std::numeric_limits<int64_t>::min()) {
        return NoOverload();
      }
      return V::Int(-args[0].i);
    }
    const V &a = args[0], &b = args[1];
    for (const V* side : {&a, &b}) {
      budget_.steps -= static_cast<int64_t>(side->s.size() / 8 + side->size());
    }
    if (name == "_==_") return V::Bool(Equal(a, b));
    if (name == "_!=_") return V::Bool(!Equal(a, b));
    if (name == "_in_") return In(a, b);
    int order;
    if (name == "_<_" || name == "_<=_" || name == "_>_" || name == "_>=_") {
      if (!Order(a, b, &order)) return NoOverload();
      const bool orders = name[1] == '<' ? order < 0 : order > 0;
      return V::Bool(orders || (name[2] == '=' && order == 0));
    }
    return Arithmetic(name[1], a, b);
  }

  static Answer In(const V& item, const V& container) {
    if (container.is(Kind::kMap)) {
      V ignored;
      return V::Bool(container.Lookup(item, &ignored));
    }
    if (!container.is(Kind::kList)) return NoOverload();
    for (size_t i = 0; i < container.size(); ++i) {
      if (Equal(item, container.item(i))) return V::Bool(true);
    }
    return V::Bool(false);
  }

  static Answer Arithmetic(char op, const V& a, const V& b) {
    if (op == '+' && a.is(Kind::kString) && b.is(Kind::kString)) return V::String(a.s + b.s);
    if (op == '+' && a.is(Kind::kList) && b.is(Kind::kList)) {
      std::vector<V> both;
      for (const V* list : {&a, &b}) {
        for (size_t i = 0; i < list->size(); ++i) both.push_back(list->item(i));
      }
      return V::List(std::move(both));
    }
    if (!a.is_number() || !b.is_number()) return NoOverload();
    if (a.is(Kind::kDouble) || b.is(Kind::kDouble)) {
      const double x = a.real(), y = b.real();
      switch (op) {
        case '+':
          return V::Double(x + y);
        case '-':
          return V::Double(x - y);
        case '*':
          return V::Double(x * y);
        case '/':
          return V::Double(x / y);
        default:
          return NoOverload();
      }
    }
    int64_t out = 0;
    bool overflow = false;
    if (op == '+') overflow = __builtin_add_overflow(a.i, b.i, &out);
    if (op == '-') overflow = __builtin_sub_overflow(a.i, b.i, &out);
    if (op == '*') overflow = __builtin_mul_overflow(a.i, b.i, &out);
    if (op == '/' || op == '%') {
      if (b.i == 0)
        return absl::InvalidArgumentError(op == '/' ? "division by zero" : "modulus by zero");
      overflow = a.i == std::numeric_limits<int64_t>::min() && b.i == -1;
      if (!overflow) out = op == '/' ? a.i / b.i : a.i % b.i;
    }
    if (overflow) return absl::InvalidArgumentError("integer overflow");
    return V::Int(out);
  }

  Answer Macro(const Node& node, const Scope& scope) {
    Answer range = Eval(*node.args[0], scope);
    if (!range.ok()) return range;
    if (range->is(Kind::kMap)) range = V::List(range->Keys());
    if (!range->is(Kind::kList)) return NoOverload();
    if (node.text == "map" || node.text == "filter") return Collect(node, *range, scope);
    const bool all = node.text == "all";
    int64_t hits = 0;
    absl::Status error;
    for (size_t i = 0; i < range->size(); ++i) {
      const Scope inner{node.variable, range->item(i), &scope};
      Answer holds = Eval(*node.args[1], inner);
      if (holds.ok() && !holds->is(Kind::kBool)) holds = NoOverload();
      if (!holds.ok()) {
        error = holds.status();
        if (node.text == "exists_one" || absl::IsOutOfRange(error)) return error;
        continue;
      }
      const bool hit = holds->i != 0;
      if (all && !hit) return V::Bool(false);
      if (node.text == "exists" && hit) return V::Bool(true);
      if (hit) ++hits;
    }
    if (!error.ok()) return error;
    return V::Bool(all || (node.text == "exists_one" && hits == 1));
  }

  Answer Collect(const Node& node, const V& range, const Scope& scope) {
    std::vector<V> out;
    const bool filters = node.text == "filter" || node.args.size() == 3;
    for (size_t i = 0; i < range.size(); ++i) {
      const Scope inner{node.variable, range.item(i), &scope};
      if (filters) {
        const Answer kept = Eval(*node.args[1], inner);
        if (!kept.ok()) return kept;
        if (!kept->is(Kind::kBool)) return NoOverload();
        if (kept->i == 0) continue;
      }
      if (node.text == "filter") {
        out.push_back(inner.value);
        continue;
      }
      Answer item = Eval(*node.args.back(), inner);
      if (!item.ok()) return item;
      out.push_back(*std::move(item));
    }
    return V::List(std::move(out));
  }

  Budget& budget_;
};

// Names and functions of an expression.
class Checker {
 public:
  absl::Status Check(const Node& node, std::vector<absl::string_view>& variables) {
    const size_t outer = variables.size();
    if (node.kind == Node::Kind::kIdent) {
      if (node.text == "oldSelf") uses_old_self = true;
      const bool known =
          std::find(variables.begin(), variables.end(), node.text) != variables.end() ||
          std::find(std::begin(kTypes), std::end(kTypes), node.text) != std::end(kTypes);
      if (!known && IsOmittedFunction(node.text)) return Omitted(node.text);
      if (!known) {
        return absl::InvalidArgumentError(
            absl::StrCat("undeclared reference to '", node.text, "' (in container '')"));
      }
    }
    const bool named = node.kind == Node::Kind::kCall && node.text[0] != '_' && node.text != "!_" &&
                       node.text != "-_";
    if (named && !IsKnownFunction(node.text)) {
      if (IsOmittedFunction(node.text)) return Omitted(node.text);
      // What is called on a name of a library ("sets.contains") is not looked at further.
      return absl::InvalidArgumentError(
          absl::StrCat("undeclared reference to '", node.text, "' (in container '')"));
    }
    for (size_t i = 0; i < node.args.size(); ++i) {
      if (i == 1 && node.kind == Node::Kind::kMacro) variables.push_back(node.variable);
      const absl::Status status = Check(*node.args[i], variables);
      if (!status.ok()) return status;
    }
    variables.resize(outer);
    return absl::OkStatus();
  }

  bool uses_old_self = false;

 private:
  static absl::Status Omitted(absl::string_view name) {
    return absl::UnimplementedError(absl::StrCat("'", name, "' is not part of this server's CEL"));
  }
};

Answer Run(const Node& root, const json::Value& self, const json::Value* old_self, Budget& budget) {
  const Scope outer{"self", V::Of(self), nullptr};
  if (old_self == nullptr) return Evaluator(budget).Eval(root, outer);
  const Scope scope{"oldSelf", V::Of(*old_self), &outer};
  return Evaluator(budget).Eval(root, scope);
}

}  // namespace

absl::StatusOr<Program> Program::Compile(absl::string_view expression) {
  absl::StatusOr<std::unique_ptr<const Node>> root = Parse(expression);
  if (!root.ok()) return root.status();
  Checker checker;
  std::vector<absl::string_view> variables = {"self", "oldSelf"};
  const absl::Status status = checker.Check(**root, variables);
  if (!status.ok()) return status;
  Program program;
  program.root_ = *std::move(root);
  program.uses_old_self_ = checker.uses_old_self;
  return program;
}

absl::StatusOr<bool> Program::Test(const json::Value& self, const json::Value* old_self,
                                   Budget& budget) const {
  const Answer answer = Run(*root_, self, old_self, budget);
  if (!answer.ok()) return answer.status();
  if (!answer->is(Kind::kBool)) return absl::InvalidArgumentError("the rule is not of type bool");
  return answer->i != 0;
}

absl::StatusOr<std::string> Program::Text(const json::Value& self, const json::Value* old_self,
                                          Budget& budget) const {
  const Answer answer = Run(*root_, self, old_self, budget);
  if (!answer.ok()) return answer.status();
  if (!answer->is(Kind::kString)) return absl::InvalidArgumentError("not of type string");
  return answer->s;
}

}  // namespace meltemi::cel
