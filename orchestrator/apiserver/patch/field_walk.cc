#include "orchestrator/apiserver/patch/field_walk.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/patch/field_path.h"
#include "orchestrator/apiserver/patch/field_shape.h"
#include "orchestrator/apiserver/patch/go_text.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using Node = FieldSet::Node;

// Appends the part as a node of `out`; `counts`: it is a member even if it is no leaf.
void AppendFields(const Schema* schema, std::string element, const Value& value, bool counts,
                  FieldSet* out);

void AppendEntries(const Schema& schema, const Value& list, FieldSet* out) {
  absl::flat_hash_set<std::string> seen, repeated;
  std::vector<std::pair<std::string, const Value*>> entries;
  for (const Value& entry : list.items()) {
    std::string why;
    std::optional<std::string> element = EntryElement(schema, entry, &why);
    if (!element.has_value()) continue;
    if (!seen.insert(*element).second) repeated.insert(*element);
    entries.push_back({*std::move(element), &entry});
  }
  for (auto& [element, entry] : entries) {
    // What is there twice counts as one part.
    if (!repeated.contains(element)) AppendFields(schema.items, element, *entry, true, out);
  }
  for (const std::string& element : repeated) out->Append(element, true, {});
}

FieldSet FieldsBelow(const Schema* schema, const Value& value) {
  FieldSet fields;
  if (ShapeOf(schema, value) == Shape::kList) {
    AppendEntries(*schema, value, &fields);
  } else {
    for (const Member& member : value.members()) {
      bool named = false;
      const Schema* below = MemberSchema(schema, member.key, &named);
      bool empty =
          member.value.is_null() || (member.value.is_object() && member.value.members().empty());
      AppendFields(below, FieldElement(member.key), member.value, empty || !named, &fields);
    }
  }
  fields.Sort();
  return fields;
}

void AppendFields(const Schema* schema, std::string element, const Value& value, bool counts,
                  FieldSet* out) {
  if (ShapeOf(schema, value) == Shape::kLeaf) {
    out->Append(std::move(element), true, {});
  } else {
    out->Append(std::move(element), counts, FieldsBelow(schema, value));
  }
}

std::optional<Value> Without(const Schema* schema, const Value& value, const FieldSet& fields,
                             Emptied emptied) {
  Shape shape = ShapeOf(schema, value);
  if (shape == Shape::kLeaf) {
    if (value.is_object() || value.is_array()) return std::nullopt;
    return value;
  }
  if (shape == Shape::kMap) {
    Value out = Value::Object();
    for (const Member& member : value.members()) {
      const Node* node = fields.Find(FieldElement(member.key));
      if (node == nullptr) {
        out.Add(member.key, member.value);
        continue;
      }
      if (node->member) continue;
      bool named = false;
      const Schema* below = MemberSchema(schema, member.key, &named);
      std::optional<Value> kept = Without(below, member.value, node->children, emptied);
      if (!kept.has_value() && emptied == Emptied::kNull) kept = Value();
      if (kept.has_value()) out.Add(member.key, *std::move(kept));
    }
    if (out.members().empty()) return std::nullopt;
    return out;
  }
  Value out = Value::Array();
  for (const Value& entry : value.items()) {
    std::string why;
    std::optional<std::string> element = EntryElement(*schema, entry, &why);
    const Node* node = element.has_value() ? fields.Find(*element) : nullptr;
    if (node == nullptr) {
      out.Append(entry);
      continue;
    }
    if (node->member) continue;
    std::optional<Value> kept = Without(schema->items, entry, node->children, emptied);
    if (kept.has_value()) out.Append(*std::move(kept));
  }
  if (out.items().empty()) return std::nullopt;
  return out;
}

// The schema below an element of a set.
const Schema* SchemaBelow(const Schema* schema, absl::string_view element, bool* named) {
  *named = false;
  if (std::optional<absl::string_view> name = FieldName(element)) {
    return MemberSchema(schema, *name, named);
  }
  return EntrySchema(schema);
}

FieldSet NamedParents(const Schema* schema, const FieldSet& fields) {
  FieldSet out;
  for (const Node& node : fields.nodes()) {
    bool named = false;
    const Schema* below = SchemaBelow(schema, node.element, &named);
    out.Append(node.element, node.member || (named && !node.children.empty()),
               NamedParents(below, node.children));
  }
  return out;
}

bool ReconcileBelow(const Schema* schema, FieldSet* fields) {
  bool changed = false;
  for (Node& node : fields->nodes()) {
    if (node.children.empty()) continue;
    bool named = false;
    const Schema* below = SchemaBelow(schema, node.element, &named);
    // Nothing has been fixed for parts without a schema.
    if (below == nullptr || below->type == SchemaType::kAny) continue;
    bool atomic = (below->type == SchemaType::kObject && below->atomic_map) ||
                  (below->type == SchemaType::kArray && below->list_type == ListType::kAtomic);
    if (atomic) {
      node.member = true;
      node.children = FieldSet();
      changed = true;
    } else {
      changed = ReconcileBelow(below, &node.children) || changed;
    }
  }
  return changed;
}

// As Go prints the wrapped value in "expected string, got …".
std::string Got(const Value& value) {
  return absl::StrCat("&value.valueUnstructured{Value:",
                      value.is_string() ? GoQuotedText(value.text()) : GoValueText(value), "}");
}

class Checker {
 public:
  std::string Run(const Schema& schema, const Value& value) {
    Check(&schema, value);
    if (errors_.size() <= 1) return absl::StrJoin(errors_, "");
    return absl::StrCat("errors:\n  ", absl::StrJoin(errors_, "\n  "));
  }

 private:
  void Fail(absl::string_view what) {
    std::string path;
    for (const std::string& element : path_) absl::StrAppend(&path, ElementText(element));
    errors_.push_back(path.empty() ? std::string(what) : absl::StrCat(path, ": ", what));
  }

  void Check(const Schema* schema, const Value& value) {
    if (schema == nullptr || value.is_null()) return;
    switch (schema->type) {
      case SchemaType::kObject:
        return CheckMap(*schema, value);
      case SchemaType::kArray:
        return CheckList(*schema, value);
      case SchemaType::kString:
        // A Quantity may be a number.
        if (value.is_string() || (schema->format == "quantity" && value.is_number())) return;
        return Fail(absl::StrCat("expected string, got ", Got(value)));
      case SchemaType::kInteger:
      case SchemaType::kNumber:
        if (value.is_number()) return;
        return Fail(absl::StrCat("expected numeric (int or float), got ", GoTypeName(value)));
      case SchemaType::kBoolean:
        if (value.is_bool()) return;
        return Fail(absl::StrCat("expected boolean, got &{", GoValueText(value), "}"));
      case SchemaType::kIntOrString:
        if (value.is_number() || value.is_string() || value.is_bool()) return;
        return Fail(absl::StrCat("expected any scalar, got &{", GoValueText(value), "}"));
      case SchemaType::kAny:
        return;
    }
  }

  void CheckMap(const Schema& schema, const Value& value) {
    if (!value.is_object()) {
      return Fail(absl::StrCat("expected map, got &{", GoValueText(value), "}"));
    }
    for (const Member& member : value.members()) {
      bool named = false;
      const Schema* member_schema = MemberSchema(&schema, member.key, &named);
      bool type_meta =
          (path_.empty() || schema.embedded_resource) &&
          (member.key == "apiVersion" || member.key == "kind" || member.key == "metadata");
      bool declared = member_schema != nullptr || schema.preserve_unknown || type_meta;
      path_.push_back(FieldElement(member.key));
      if (declared) {
        Check(member_schema, member.value);
      } else {
        Fail("field not declared in schema");
      }
      path_.pop_back();
      if (!declared) return;
    }
  }

  void CheckList(const Schema& schema, const Value& value) {
    if (!value.is_array()) {
      return Fail(absl::StrCat("expected list, got &{", GoValueText(value), "}"));
    }
    absl::flat_hash_set<std::string> seen;
    for (size_t i = 0; i < value.items().size(); ++i) {
      const Value& entry = value.items()[i];
      std::string element = absl::StrCat("i:", i);
      if (schema.list_type != ListType::kAtomic) {
        std::string why;
        std::optional<std::string> key = EntryElement(schema, entry, &why);
        if (!key.has_value()) return Fail(absl::StrCat("element ", i, ": ", why));
        if (!seen.insert(*key).second) {
          Fail(absl::StrCat("duplicate entries for key ", ElementText(*key)));
        }
        element = *std::move(key);
      }
      path_.push_back(std::move(element));
      Check(schema.items, entry);
      path_.pop_back();
    }
  }

  std::vector<std::string> path_;  // elements
  std::vector<std::string> errors_;
};

}  // namespace

FieldSet FieldsOf(const Schema& schema, const Value& object) {
  return FieldsBelow(&schema, object);
}

Value WithoutFields(const Schema& schema, const Value& object, const FieldSet& fields,
                    Emptied emptied) {
  return Without(&schema, object, fields, emptied).value_or(Value::Object());
}

FieldSet WithNamedParents(const Schema& schema, const FieldSet& fields) {
  return NamedParents(&schema, fields);
}

bool Reconcile(const Schema& schema, FieldSet& fields) { return ReconcileBelow(&schema, &fields); }

std::string CheckApplied(const Schema& schema, const Value& applied) {
  return Checker().Run(schema, applied);
}

}  // namespace meltemi::apiserver
