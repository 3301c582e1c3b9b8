#include "orchestrator/apiserver/crd/rules.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/schema/from_openapi.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using kube::FieldError;
using kube::FieldErrors;
using kube::FieldPath;

// Errors after which a rule could stumble over what is not there.
bool Blocks(const FieldError& error) {
  switch (error.type) {
    case FieldError::Type::kNotSupported:
    case FieldError::Type::kRequired:
    case FieldError::Type::kTooLong:
    case FieldError::Type::kTooMany:
    case FieldError::Type::kTypeInvalid:
      return true;
    default:
      return false;
  }
}

std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(absl::StripAsciiWhitespace(text), {{"\n", " "}, {"\t", " "}});
}

FieldError::Type TypeOf(absl::string_view reason) {
  if (reason == "FieldValueRequired") return FieldError::Type::kRequired;
  if (reason == "FieldValueForbidden") return FieldError::Type::kForbidden;
  if (reason == "FieldValueDuplicate") return FieldError::Type::kDuplicate;
  return FieldError::Type::kInvalid;
}

std::string ShownType(const Schema& schema) {
  static constexpr absl::string_view kNames[] = {"",        "object", "array",   "string",
                                                 "integer", "number", "boolean", ""};
  return kube::GoQuote(kNames[static_cast<size_t>(schema.type)]);
}

const Value* OldItem(const Schema& schema, const Value& item, const Value* old_value) {
  if (old_value == nullptr || !old_value->is_array() || schema.list_type != ListType::kMap) {
    return nullptr;
  }
  for (const Value& candidate : old_value->items()) {
    const bool same = std::all_of(schema.list_map_keys.begin(), schema.list_map_keys.end(),
                                  [&](const std::string& key) {
                                    const Value* a = item.Find(key);
                                    const Value* b = candidate.Find(key);
                                    return a != nullptr && b != nullptr ? SameTree(*a, *b) : a == b;
                                  });
    if (same) return &candidate;
  }
  return nullptr;
}

}  // namespace

RuleSet::RuleSet(const Schema& schema) { Collect(&schema); }

bool RuleSet::Collect(const Schema* schema) {
  if (schema == nullptr || schema->keywords == nullptr) return false;
  bool any = false;
  for (const ValidationRule& source : schema->keywords->rules) {
    if (source.optional_old_self) continue;
    absl::StatusOr<cel::Program> program = cel::Program::Compile(source.rule);
    if (!program.ok()) continue;
    Rule rule{&source, *std::move(program), {}};
    if (!source.message_expression.empty()) {
      absl::StatusOr<cel::Program> message = cel::Program::Compile(source.message_expression);
      if (message.ok()) rule.message.push_back(*std::move(message));
    }
    rules_[schema].push_back(std::move(rule));
    any = true;
  }
  for (const Property& property : schema->properties) any |= Collect(property.schema);
  any |= Collect(schema->values);
  any |= Collect(schema->items);
  if (any) on_the_way_.insert(schema);
  return any;
}

void RuleSet::Check(const Schema& schema, const Value& value, const Value* old_value,
                    const FieldPath& path, FieldErrors& errors) const {
  if (on_the_way_.count(&schema) == 0) return;
  if (std::any_of(errors.begin(), errors.end(), Blocks)) {
    errors.push_back({FieldError::Type::kInvalid, "<nil>", "\"null\"",
                      "some validation rules were not checked because the object was invalid; "
                      "correct the existing errors to complete validation"});
    return;
  }
  cel::Budget budget;
  Walk(schema, value, old_value, path, budget, errors);
}

void RuleSet::Walk(const Schema& schema, const Value& value, const Value* old_value,
                   const FieldPath& path, cel::Budget& budget, FieldErrors& errors) const {
  if (on_the_way_.count(&schema) == 0 || value.is_null() || budget.steps < 0) return;
  if (old_value != nullptr && SameTree(value, *old_value)) return;
  const auto rules = rules_.find(&schema);
  if (rules != rules_.end()) {
    for (const Rule& rule : rules->second) {
      Test(schema, rule, value, old_value, path, budget, errors);
    }
  }
  if (schema.items != nullptr) {
    for (size_t i = 0; i < value.items().size(); ++i) {
      const Value& item = value.items()[i];
      Walk(*schema.items, item, OldItem(schema, item, old_value), path.Index(i), budget, errors);
    }
  }
  for (const json::Member& member : value.members()) {
    const Property* property = schema.Find(member.key);
    const Schema* child = property != nullptr ? property->schema : schema.values;
    if (child == nullptr) continue;
    Walk(*child, member.value, old_value == nullptr ? nullptr : old_value->Find(member.key),
         property != nullptr ? path.Child(member.key) : path.Key(member.key), budget, errors);
  }
}

void RuleSet::Test(const Schema& schema, const Rule& rule, const Value& value,
                   const Value* old_value, const FieldPath& path, cel::Budget& budget,
                   FieldErrors& errors) const {
  if (budget.steps < 0) return;
  if (rule.program.uses_old_self() && old_value == nullptr) return;
  const ValidationRule& source = *rule.source;
  const absl::StatusOr<bool> holds = rule.program.Test(value, old_value, budget);
  if (holds.ok() && *holds) return;
  const std::string field = path.text().empty() ? "<nil>" : path.text();
  if (!holds.ok()) {
    const std::string detail =
        budget.steps < 0
            ? "validation failed due to running out of cost budget, no further "
              "validation rules will be run"
            : absl::StrCat("rule evaluation error: ", holds.status().message(),
                           " evaluating rule: ",
                           source.message.empty() ? OneLine(source.rule) : OneLine(source.message));
    errors.push_back({FieldError::Type::kInvalid, field, ShownType(schema), detail});
    return;
  }
  std::string detail = OneLine(source.message);
  if (!rule.message.empty()) {
    const absl::StatusOr<std::string> text = rule.message[0].Text(value, old_value, budget);
    if (text.ok() && !OneLine(*text).empty()) detail = OneLine(*text);
  }
  if (detail.empty()) detail = absl::StrCat("failed rule: ", OneLine(source.rule));
  const std::string place = source.field_path.empty()
                                ? field
                                : path.Child(absl::StripPrefix(source.field_path, ".")).text();
  errors.push_back({TypeOf(source.reason), place, ShownType(schema), detail});
}

std::vector<std::string> UnevaluatedRules(const Value& open_api_v3_schema) {
  constexpr size_t kReportedMax = 10;
  std::vector<std::string> found;
  AnySchema(open_api_v3_schema, [&](const Value& schema) {
    const Value* rules = schema.Find("x-kubernetes-validations");
    if (rules == nullptr) return false;
    for (const Value& rule : rules->items()) {
      const absl::string_view text = rule.FindString("rule");
      const Value* optional = rule.Find("optionalOldSelf");
      std::string why;
      if (optional != nullptr && optional->is_bool() && optional->bool_value()) {
        why = "optionalOldSelf is not part of this server's CEL";
      } else {
        const absl::StatusOr<cel::Program> program = cel::Program::Compile(text);
        if (!program.ok()) why = std::string(program.status().message());
      }
      if (!why.empty()) found.push_back(absl::StrCat(kube::GoQuote(OneLine(text)), ": ", why));
    }
    return found.size() >= kReportedMax;
  });
  return found;
}

}  // namespace meltemi::apiserver
