#include "pilot/status/condition_text.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"

namespace meltemi::pilot {
namespace {

using json::Value;

constexpr char kAccepted[] = "Accepted";
constexpr char kProgrammed[] = "Programmed";
// Kubernetes takes 32 kB; people read less.
constexpr size_t kMessageBytesMax = 2048;

std::string Bounded(std::string message) {
  if (message.size() > kMessageBytesMax) {
    message.resize(kMessageBytesMax);
    // Not within a character.
    while (!message.empty() && (static_cast<unsigned char>(message.back()) & 0xC0) == 0x80) {
      message.pop_back();
    }
    if (!message.empty() && (static_cast<unsigned char>(message.back()) & 0x80) != 0) {
      message.pop_back();
    }
    absl::StrAppend(&message, "…");
  }
  return message;
}

std::string Progress(const ProgramState& state) {
  if (state.concerned == 0) return "no connected proxy is concerned";
  return absl::StrCat(std::min(state.acknowledged, state.concerned), " of ", state.concerned,
                      state.concerned == 1 ? " proxy has" : " proxies have", " acknowledged");
}

ConditionText ProgrammedOf(const ProgramState& state) {
  const std::string progress = Progress(state);
  if (!state.accepted) {
    return {kProgrammed, "False", state.reason, "not in force as written: see Accepted"};
  }
  if (!state.first_nack.empty()) {
    return {kProgrammed, "False", "Rejected", absl::StrCat(progress, "; ", state.first_nack)};
  }
  if (!state.programmed()) return {kProgrammed, "False", "Pending", progress};
  return {kProgrammed, "True", "Programmed", progress};
}

// The status as a tree; an empty object where there is none, or none that makes sense.
Value StatusTree(absl::string_view status_json) {
  if (status_json.empty()) return Value::Object();
  absl::StatusOr<Value> tree = json::Parse(status_json);
  if (!tree.ok() || !tree->is_object()) return Value::Object();
  return *std::move(tree);
}

const std::vector<Value>& ConditionsIn(const Value& status) {
  static const std::vector<Value>& none = *new std::vector<Value>();
  const Value* conditions = status.Find("conditions");
  return conditions == nullptr ? none : conditions->items();
}

const Value* FindCondition(const Value& status, absl::string_view type) {
  for (const Value& condition : ConditionsIn(status)) {
    if (condition.FindString("type") == type) return &condition;
  }
  return nullptr;
}

int64_t GenerationIn(const Value& value) {
  const Value* generation = value.Find("observedGeneration");
  return generation == nullptr ? 0 : generation->AsInt64().value_or(0);
}

}  // namespace

std::optional<ObjectConditions> ConditionsOf(const LiveObject& live, const ProgramState* state) {
  ObjectConditions out{.generation = live.generation, .conditions = {}};
  if (!live.rejected.empty()) {
    out.conditions.push_back({kAccepted, "False", "Invalid", Bounded(live.rejected)});
    out.conditions.push_back({kProgrammed, "False", "Invalid",
                              state == nullptr
                                  ? "this version is not in force"
                                  : "this version is not in force: the last good one stays"});
    return out;
  }
  // The snapshot does not have this version yet.
  if (state == nullptr || state->generation != live.generation) return std::nullopt;
  out.conditions.push_back(state->accepted
                               ? ConditionText{kAccepted, "True", "Accepted", "the object is valid"}
                               : ConditionText{kAccepted, "False",
                                               state->reason.empty() ? "NotInForce" : state->reason,
                                               Bounded(state->message)});
  ConditionText programmed = ProgrammedOf(*state);
  if (programmed.reason.empty()) programmed.reason = "NotInForce";
  programmed.message = Bounded(std::move(programmed.message));
  out.conditions.push_back(std::move(programmed));
  return out;
}

StatusChange CompareStatus(absl::string_view status_json, const ObjectConditions& wanted) {
  const Value status = StatusTree(status_json);
  if (GenerationIn(status) != wanted.generation) return StatusChange::kOutcome;
  StatusChange change = StatusChange::kNone;
  for (const ConditionText& text : wanted.conditions) {
    const Value* condition = FindCondition(status, text.type);
    if (condition == nullptr || condition->FindString("status") != text.status ||
        condition->FindString("reason") != text.reason) {
      return StatusChange::kOutcome;
    }
    // Definitions of others may keep it out of conditions.
    if (condition->Find("observedGeneration") != nullptr &&
        GenerationIn(*condition) != wanted.generation) {
      return StatusChange::kOutcome;
    }
    if (condition->FindString("message") != text.message) change = StatusChange::kMessage;
  }
  return change;
}

std::string TextOf(const ObjectConditions& conditions) {
  std::string out = absl::StrCat(conditions.generation);
  for (const ConditionText& text : conditions.conditions) {
    absl::StrAppend(&out, "\n", text.type, "\n", text.status, "\n", text.reason, "\n",
                    text.message);
  }
  return out;
}

std::string StatusPatch(absl::string_view status_json, absl::string_view resource_version,
                        const ObjectConditions& wanted, WallTime now) {
  const Value status = StatusTree(status_json);
  Value conditions = Value::Array();
  for (const Value& condition : ConditionsIn(status)) {
    const bool ours = std::any_of(
        wanted.conditions.begin(), wanted.conditions.end(),
        [&](const ConditionText& text) { return text.type == condition.FindString("type"); });
    if (!ours) conditions.Append(condition);
  }
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(now), absl::UTCTimeZone());
  for (const ConditionText& text : wanted.conditions) {
    const Value* before = FindCondition(status, text.type);
    const bool same = before != nullptr && before->FindString("status") == text.status &&
                      !before->FindString("lastTransitionTime").empty();
    Value& condition = conditions.Append(Value::Object());
    condition.Add("type", Value::String(text.type));
    condition.Add("status", Value::String(text.status));
    condition.Add("observedGeneration", Value::Int(wanted.generation));
    condition.Add("reason", Value::String(text.reason));
    condition.Add("message", Value::String(text.message));
    condition.Add(
        "lastTransitionTime",
        Value::String(same ? std::string(before->FindString("lastTransitionTime")) : time));
  }
  Value patch = Value::Object();
  patch.Add("metadata", Value::Object())
      .Add("resourceVersion", Value::String(std::string(resource_version)));
  Value& to = patch.Add("status", Value::Object());
  to.Add("conditions", std::move(conditions));
  to.Add("observedGeneration", Value::Int(wanted.generation));
  return json::ToString(patch);
}

}  // namespace meltemi::pilot
