#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/patch/go_text.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/patch/same_json.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr size_t kOperationsMax = 10'000;
constexpr size_t kCopiedBytesMax = 3 * 1024 * 1024;
// What the JSON reader takes: a deeper object could be stored and never be read again.
constexpr size_t kDepthMax = 100;

// "" is success, else what is wrong.
using Why = std::string;

// A list index as Go's strconv.Atoi reads it: a sign and leading zeros are allowed.
std::optional<int64_t> Index(absl::string_view key) {
  absl::string_view digits = key;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  if (digits.empty()) return std::nullopt;
  for (char c : digits) {
    if (!absl::ascii_isdigit(c)) return std::nullopt;
  }
  int64_t index = 0;
  if (!absl::SimpleAtoi(key, &index)) return std::nullopt;
  return index;
}

Why NotAnIndex(absl::string_view key) {
  return absl::StrCat("strconv.Atoi: parsing ", GoQuotedText(key), ": invalid syntax");
}

Why BadIndex(int64_t index) {
  return absl::StrCat("Unable to access invalid index: ", index, ": invalid index referenced");
}

// Resolves `key` to a place in a list of `size` entries; negative ones count from the end.
Why Place(absl::string_view key, size_t size, size_t* place) {
  std::optional<int64_t> index = Index(key);
  if (!index.has_value()) return NotAnIndex(key);
  int64_t count = static_cast<int64_t>(size);
  if (*index >= count || *index < -count) return BadIndex(*index);
  *place = static_cast<size_t>(*index < 0 ? *index + count : *index);
  return "";
}

// The container that a path's last token is a key of; container null: no such place.
struct Target {
  Value* container = nullptr;
  std::string key;
  size_t depth = 0;  // of the container; the document's root is 1
};

// A missing member of an object is null without being an error, as in the reference.
Why Get(const Target& target, Value** found) {
  *found = nullptr;
  if (target.container->is_object()) {
    *found = target.container->Find(target.key);
    return "";
  }
  size_t place = 0;
  Why why = Place(target.key, target.container->items().size(), &place);
  if (why.empty()) *found = &target.container->items()[place];
  return why;
}

Why Remove(const Target& target) {
  if (target.container->is_object()) {
    if (target.container->Remove(target.key)) return "";
    return absl::StrCat("Unable to remove nonexistent key: ", target.key, ": missing value");
  }
  std::vector<Value>& items = target.container->items();
  size_t place = 0;
  Why why = Place(target.key, items.size(), &place);
  if (why.empty()) items.erase(items.begin() + static_cast<std::ptrdiff_t>(place));
  return why;
}

Why Add(const Target& target, Value value) {
  if (target.depth + DepthOf(value) > kDepthMax) {
    return absl::StrCat("the document would be nested deeper than ", kDepthMax, " levels");
  }
  if (target.container->is_object()) {
    target.container->Set(target.key, std::move(value));
    return "";
  }
  std::vector<Value>& items = target.container->items();
  size_t place = items.size();
  if (target.key != "-") {
    std::optional<int64_t> index = Index(target.key);
    if (!index.has_value()) {
      return absl::StrCat("value was not a proper array index: '", target.key,
                          "': ", NotAnIndex(target.key));
    }
    Why why = Place(target.key, items.size() + 1, &place);
    if (!why.empty()) return why;
  }
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(place), std::move(value));
  return "";
}

// One JSON patch at work on one document.
class Patcher {
 public:
  explicit Patcher(const Value& object) : document_(object) {}

  Why Run(const Value& operation) {
    absl::string_view kind = operation.FindString("op");
    if (kind == "add") return RunAdd(operation);
    if (kind == "remove") return RunRemove(operation);
    if (kind == "replace") return RunReplace(operation);
    if (kind == "move") return RunMove(operation);
    if (kind == "test") return RunTest(operation);
    if (kind == "copy") return RunCopy(operation);
    const Value* op = operation.Find("op");
    return absl::StrCat("Unexpected kind: ", op != nullptr && op->is_string() ? kind : "unknown");
  }

  Value Take() { return std::move(document_); }

 private:
  static std::optional<absl::string_view> Text(const Value& operation, absl::string_view member) {
    const Value* value = operation.Find(member);
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return value->text();
  }

  static Value ValueOf(const Value& operation) {
    const Value* value = operation.Find("value");
    return value == nullptr ? Value() : *value;
  }

  // What stands before the first "/" is ignored, as in the reference.
  Target Find(absl::string_view path) {
    std::vector<std::string> tokens = absl::StrSplit(path, '/');
    if (tokens.size() < 2) return {};
    for (std::string& token : tokens) {
      token = absl::StrReplaceAll(token, {{"~1", "/"}, {"~0", "~"}});
    }
    Target target{&document_, "", tokens.size() - 1};
    for (size_t i = 1; i + 1 < tokens.size(); ++i) {
      target.key = tokens[i];
      Value* next = nullptr;
      if (!Get(target, &next).empty() || next == nullptr) return {};
      if (!next->is_object() && !next->is_array()) return {};
      target.container = next;
    }
    target.key = tokens.back();
    return target;
  }

  Why RunAdd(const Value& operation) {
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) return "add operation failed to decode path: missing value";
    Target target = Find(*path);
    if (target.container == nullptr) {
      return absl::StrCat("add operation does not apply: doc is missing path: \"", *path,
                          "\": missing value");
    }
    Why why = Add(target, ValueOf(operation));
    return why.empty() ? why : absl::StrCat("error in add for path: '", *path, "': ", why);
  }

  Why RunRemove(const Value& operation) {
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) return "remove operation failed to decode path: missing value";
    Target target = Find(*path);
    if (target.container == nullptr) {
      return absl::StrCat("remove operation does not apply: doc is missing path: \"", *path,
                          "\": missing value");
    }
    Why why = Remove(target);
    return why.empty() ? why : absl::StrCat("error in remove for path: '", *path, "': ", why);
  }

  Why RunReplace(const Value& operation) {
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) {
      return "replace operation failed to decode path: operation missing path field: missing value";
    }
    Value value = ValueOf(operation);
    if (path->empty()) {
      if (!value.is_object() && !value.is_array()) {
        return "replace operation value must be object or array";
      }
      document_ = std::move(value);
      return "";
    }
    Target target = Find(*path);
    if (target.container == nullptr) {
      return absl::StrCat("replace operation does not apply: doc is missing path: ", *path,
                          ": missing value");
    }
    Value* found = nullptr;
    if (!Get(target, &found).empty()) {
      return absl::StrCat("replace operation does not apply: doc is missing key: ", *path,
                          ": missing value");
    }
    if (found == nullptr) return Add(target, std::move(value));
    if (target.depth + DepthOf(value) > kDepthMax) {
      return absl::StrCat("the document would be nested deeper than ", kDepthMax, " levels");
    }
    *found = std::move(value);
    return "";
  }

  Why RunMove(const Value& operation) {
    std::optional<absl::string_view> from = Text(operation, "from");
    if (!from.has_value()) {
      return "move operation failed to decode from: operation, missing from field: missing value";
    }
    Target source = Find(*from);
    if (source.container == nullptr) {
      return absl::StrCat("move operation does not apply: doc is missing from path: ", *from,
                          ": missing value");
    }
    Value* found = nullptr;
    Why why = Get(source, &found);
    Value value = found == nullptr ? Value() : *found;
    if (why.empty()) why = Remove(source);
    if (!why.empty()) return absl::StrCat("error in move for path: '", source.key, "': ", why);
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) {
      return "move operation failed to decode path: operation missing path field: missing value";
    }
    Target target = Find(*path);
    if (target.container == nullptr) {
      return absl::StrCat("move operation does not apply: doc is missing destination path: ", *path,
                          ": missing value");
    }
    why = Add(target, std::move(value));
    return why.empty() ? why : absl::StrCat("error in move for path: '", *path, "': ", why);
  }

  Why RunTest(const Value& operation) {
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) {
      return "test operation failed to decode path: operation missing path field: missing value";
    }
    const Value* found = &document_;
    if (!path->empty()) {
      Target target = Find(*path);
      if (target.container == nullptr) {
        return absl::StrCat("test operation does not apply: is missing path: ", *path,
                            ": missing value");
      }
      Value* member = nullptr;
      Why why = Get(target, &member);
      if (!why.empty()) return absl::StrCat("error in test for path: '", *path, "': ", why);
      found = member;
    }
    // What is missing equals null.
    if (SameJson(found == nullptr ? Value() : *found, ValueOf(operation))) return "";
    return absl::StrCat("testing value ", *path, " failed: test failed");
  }

  Why RunCopy(const Value& operation) {
    std::optional<absl::string_view> from = Text(operation, "from");
    if (!from.has_value()) {
      return "copy operation failed to decode from: operation, missing from field: missing value";
    }
    Target source = Find(*from);
    if (source.container == nullptr) {
      return absl::StrCat("copy operation does not apply: doc is missing from path: ", *from,
                          ": missing value");
    }
    Value* found = nullptr;
    Why why = Get(source, &found);
    if (!why.empty()) return absl::StrCat("error in copy for from: '", *from, "': ", why);
    Value value = found == nullptr ? Value() : *found;
    std::optional<absl::string_view> path = Text(operation, "path");
    if (!path.has_value()) return "copy operation failed to decode path: missing value";
    Target target = Find(*path);
    if (target.container == nullptr) {
      return absl::StrCat("copy operation does not apply: doc is missing destination path: ", *path,
                          ": missing value");
    }
    copied_bytes_ += json::ToString(value).size();
    if (copied_bytes_ > kCopiedBytesMax) {
      return absl::StrCat("Unable to complete the copy, the accumulated size increase of copy is ",
                          copied_bytes_, ", exceeding the limit ", kCopiedBytesMax);
    }
    why = Add(target, std::move(value));
    return why.empty() ? why : absl::StrCat("error while adding value during copy: ", why);
  }

  Value document_;
  size_t copied_bytes_ = 0;
};

kube::Status NoPatch(absl::string_view why) {
  return kube::BadRequest(absl::StrCat("error decoding patch: json: cannot unmarshal ", why));
}

// Nullopt when every operation has the outer form of one.
std::optional<kube::Status> CheckForm(const Value& patch) {
  if (!patch.is_array()) {
    return NoPatch(
        absl::StrCat(GoJsonKind(patch), " into Go value of type []handlers.jsonPatchOp"));
  }
  for (const Value& operation : patch.items()) {
    if (operation.is_null()) continue;
    if (!operation.is_object()) {
      return NoPatch(
          absl::StrCat(GoJsonKind(operation), " into Go value of type handlers.jsonPatchOp"));
    }
    for (absl::string_view name : {"op", "path", "from"}) {
      const Value* member = operation.Find(name);
      if (member == nullptr || member->is_null() || member->is_string()) continue;
      return NoPatch(absl::StrCat(GoJsonKind(*member), " into Go struct field jsonPatchOp.", name,
                                  " of type string"));
    }
  }
  if (patch.items().size() > kOperationsMax) {
    return kube::RequestEntityTooLarge(
        absl::StrCat("The allowed maximum operations in a JSON patch is ", kOperationsMax, ", got ",
                     patch.items().size()));
  }
  return std::nullopt;
}

}  // namespace

kube::Result<Value> ApplyJsonPatch(const Value& object, const Value& patch) {
  if (std::optional<kube::Status> wrong = CheckForm(patch)) return *std::move(wrong);
  Patcher patcher(object);
  for (const Value& operation : patch.items()) {
    Why why = patcher.Run(operation);
    if (!why.empty()) return PatchDoesNotApply(why);
  }
  return patcher.Take();
}

}  // namespace meltemi::apiserver
