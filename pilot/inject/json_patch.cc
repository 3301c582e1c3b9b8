#include "pilot/inject/json_patch.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

using json::Member;
using json::Value;

// RFC 6901: "~" and "/" within a name.
std::string Escaped(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"~", "~0"}, {"/", "~1"}});
}
std::string Unescaped(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"~1", "/"}, {"~0", "~"}});
}

void Operation(absl::string_view op, std::string path, const Value* value, Value* patch) {
  Value operation = Value::Object();
  operation.Set("op", Value::String(std::string(op)));
  operation.Set("path", Value::String(std::move(path)));
  if (value != nullptr) operation.Set("value", *value);
  patch->Append(std::move(operation));
}

bool Same(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), Same);
  }
  if (!a.is_object()) return a == b;
  if (a.members().size() != b.members().size()) return false;
  for (const Member& member : a.members()) {
    const Value* const other = b.Find(member.key);
    if (other == nullptr || !Same(member.value, *other)) return false;
  }
  return true;
}

void Diff(const Value& from, const Value& to, const std::string& path, Value* patch);

void DiffObjects(const Value& from, const Value& to, const std::string& path, Value* patch) {
  for (const Member& member : from.members()) {
    if (to.Find(member.key) == nullptr) {
      Operation("remove", absl::StrCat(path, "/", Escaped(member.key)), nullptr, patch);
    }
  }
  for (const Member& member : to.members()) {
    const std::string below = absl::StrCat(path, "/", Escaped(member.key));
    const Value* const before = from.Find(member.key);
    if (before == nullptr) {
      Operation("add", below, &member.value, patch);
    } else {
      Diff(*before, member.value, below, patch);
    }
  }
}

// What is the same at both ends stays; what is between is changed one by one, then the rest of it
// is added or removed.
void DiffArrays(const Value& from, const Value& to, const std::string& path, Value* patch) {
  const std::vector<Value>& a = from.items();
  const std::vector<Value>& b = to.items();
  const size_t shorter = std::min(a.size(), b.size());
  size_t front = 0;
  while (front < shorter && Same(a[front], b[front])) ++front;
  size_t back = 0;
  while (back < shorter - front && Same(a[a.size() - 1 - back], b[b.size() - 1 - back])) ++back;
  const size_t a_end = a.size() - back;
  const size_t b_end = b.size() - back;
  size_t i = front;
  for (; i < a_end && i < b_end; ++i) Diff(a[i], b[i], absl::StrCat(path, "/", i), patch);
  for (size_t gone = a_end; gone > i; --gone) {
    Operation("remove", absl::StrCat(path, "/", gone - 1), nullptr, patch);
  }
  for (; i < b_end; ++i) Operation("add", absl::StrCat(path, "/", i), &b[i], patch);
}

void Diff(const Value& from, const Value& to, const std::string& path, Value* patch) {
  if (Same(from, to)) return;
  if (from.is_object() && to.is_object()) return DiffObjects(from, to, path, patch);
  if (from.is_array() && to.is_array()) return DiffArrays(from, to, path, patch);
  Operation("replace", path, &to, patch);
}

absl::Status NoSuch(absl::string_view path) {
  return absl::InvalidArgumentError(absl::StrCat("there is nothing at ", path));
}

absl::Status ApplyToArray(absl::string_view op, absl::string_view path, const std::string& last,
                          const Value* value, Value* parent) {
  std::vector<Value>& items = parent->items();
  size_t index = items.size();
  if (last != "-" && !absl::SimpleAtoi(last, &index)) return NoSuch(path);
  if (op == "add") {
    if (index > items.size()) return NoSuch(path);
    items.insert(items.begin() + static_cast<std::ptrdiff_t>(index), *value);
    return absl::OkStatus();
  }
  if (index >= items.size()) return NoSuch(path);
  if (op == "remove") {
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
  } else if (op == "replace") {
    items[index] = *value;
  } else if (!Same(items[index], *value)) {
    return absl::InvalidArgumentError(absl::StrCat("the test of ", path, " fails"));
  }
  return absl::OkStatus();
}

absl::Status ApplyToObject(absl::string_view op, absl::string_view path, const std::string& name,
                           const Value* value, Value* parent) {
  if (op == "add") {
    parent->Set(name, *value);
    return absl::OkStatus();
  }
  Value* const at = parent->Find(name);
  if (at == nullptr) return NoSuch(path);
  if (op == "remove") {
    parent->Remove(name);
  } else if (op == "replace") {
    *at = *value;
  } else if (!Same(*at, *value)) {
    return absl::InvalidArgumentError(absl::StrCat("the test of ", path, " fails"));
  }
  return absl::OkStatus();
}

absl::Status ApplyOne(const Value& operation, Value* document) {
  const absl::string_view op = operation.FindString("op");
  const absl::string_view path = operation.FindString("path");
  const Value* const value = operation.Find("value");
  const bool known = op == "add" || op == "remove" || op == "replace" || op == "test";
  if (!known || (value == nullptr && op != "remove")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", op, "\" is no operation with a value"));
  }
  if (path.empty()) {
    if (op == "remove" || op == "test") return NoSuch("the root");
    *document = *value;
    return absl::OkStatus();
  }
  std::vector<std::string> names = absl::StrSplit(path, '/');
  if (!names[0].empty()) return NoSuch(path);
  Value* parent = document;
  for (size_t i = 1; i + 1 < names.size(); ++i) {
    size_t index = 0;
    if (parent->is_object()) {
      parent = parent->Find(Unescaped(names[i]));
    } else if (parent->is_array() && absl::SimpleAtoi(names[i], &index) &&
               index < parent->items().size()) {
      parent = &parent->items()[index];
    } else {
      parent = nullptr;
    }
    if (parent == nullptr) return NoSuch(path);
  }
  const std::string last = Unescaped(names.back());
  if (parent->is_array()) return ApplyToArray(op, path, last, value, parent);
  if (parent->is_object()) return ApplyToObject(op, path, last, value, parent);
  return NoSuch(path);
}

}  // namespace

Value MakeJsonPatch(const Value& from, const Value& to) {
  Value patch = Value::Array();
  Diff(from, to, "", &patch);
  return patch;
}

absl::Status ApplyJsonPatch(const Value& patch, Value* document) {
  if (!patch.is_array()) return absl::InvalidArgumentError("a patch is a list of operations");
  for (const Value& operation : patch.items()) {
    if (absl::Status status = ApplyOne(operation, document); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace meltemi::pilot
