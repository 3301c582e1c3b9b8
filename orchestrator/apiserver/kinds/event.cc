#include "orchestrator/apiserver/kinds/event.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kGroup = "events.k8s.io";
constexpr size_t kInstanceBytesMax = 128, kActionBytesMax = 128, kReasonBytesMax = 128,
                 kNoteBytesMax = 1024;

// The names of a member in events.k8s.io and in the core group.
constexpr std::pair<absl::string_view, absl::string_view> kNames[] = {
    {"regarding", "involvedObject"},
    {"note", "message"},
    {"reportingController", "reportingComponent"},
    {"deprecatedSource", "source"},
    {"deprecatedFirstTimestamp", "firstTimestamp"},
    {"deprecatedLastTimestamp", "lastTimestamp"},
    {"deprecatedCount", "count"},
};

json::Value AsCore(const Resource& resource, const json::Value& object) {
  json::Value core = object;
  if (resource.group == kGroup) EventToCore(core);
  return core;
}

void ValidateLength(absl::string_view text, absl::string_view key, size_t bytes_max,
                    FieldErrors& errors) {
  if (text.size() <= bytes_max) return;
  errors.push_back(kube::InvalidField(FieldPath(key), absl::string_view(""),
                                      absl::StrCat("can have at most ", bytes_max, " characters")));
}

// Events with an eventTime come from clients of the new kind, and must be complete.
void ValidateNewEvent(const json::Value& event, absl::string_view controller_key,
                      FieldErrors& errors) {
  const absl::string_view controller = Text(event, "reportingComponent");
  const FieldPath controller_path(controller_key);
  if (controller.empty()) errors.push_back(kube::Required(controller_path));
  AddInvalid(controller_path, controller, CheckQualifiedName(controller), errors);
  for (const auto& [key, bytes_max] :
       {std::pair<const char*, size_t>{"reportingInstance", kInstanceBytesMax},
        {"action", kActionBytesMax},
        {"reason", kReasonBytesMax}}) {
    if (Text(event, key).empty()) errors.push_back(kube::Required(FieldPath(key)));
    ValidateLength(Text(event, key), key, bytes_max, errors);
  }
  ValidateLength(Text(event, "message"), "message", kNoteBytesMax, errors);
}

// What holds in both groups.
void ValidateCommon(const Resource& resource, const json::Value& event, FieldErrors& errors) {
  const absl::string_view ns = Text(Get(event, "metadata"), "namespace");
  const absl::string_view involved = Text(Get(event, "involvedObject"), "namespace");
  const bool has_time = Has(event, "eventTime");
  const bool fits = involved.empty()
                        ? ns.empty() || ns == "default" || (has_time && ns == "kube-system")
                        : has_time || ns == involved;
  if (!fits) {
    errors.push_back(kube::InvalidField(FieldPath("involvedObject").Child("namespace"), involved,
                                        "does not match event.namespace"));
  }
  if (has_time) {
    ValidateNewEvent(event, resource.group == kGroup ? "reportingController" : "reportingComponent",
                     errors);
  }
  AddInvalid(FieldPath("namespace"), ns, CheckDns1123Subdomain(ns), errors);
}

void ValidateSeries(const json::Value& event, FieldErrors& errors) {
  if (!Has(event, "series")) return;
  const json::Value& series = Get(event, "series");
  if (Int(series, "count") < 2) {
    errors.push_back(kube::InvalidField(FieldPath("series.count"), absl::string_view(""),
                                        "should be at least 2"));
  }
  if (!Has(series, "lastObservedTime")) {
    errors.push_back(kube::Required(FieldPath("series.lastObservedTime")));
  }
}

class Events final : public Strategy {
 public:
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    const json::Value event = AsCore(resource, object);
    FieldErrors errors;
    ValidateCommon(resource, event, errors);
    if (resource.group != kGroup) return errors;
    ValidateSeries(event, errors);
    if (!Has(event, "eventTime")) errors.push_back(kube::Required(FieldPath("eventTime")));
    const absl::string_view type = Text(event, "type");
    if (type != "Normal" && type != "Warning") {
      errors.push_back(kube::InvalidField(FieldPath("type"), absl::string_view(""),
                                          absl::StrCat("has invalid value: ", type)));
    }
    for (const char* key : {"firstTimestamp", "lastTimestamp", "count", "source"}) {
      const json::Value& value = Get(event, key);
      const bool empty =
          value.is_null() || value.AsInt64() == 0 || (value.is_object() && value.members().empty());
      if (empty) continue;
      errors.push_back(
          kube::InvalidField(FieldPath(key), absl::string_view(""), "needs to be unset"));
    }
    return errors;
  }

  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    const json::Value was = AsCore(resource, old_object), is = AsCore(resource, object);
    FieldErrors errors;
    ValidateCommon(resource, is, errors);
    if (resource.group != kGroup) return errors;
    if (!SameMember(was, is, "series")) ValidateSeries(is, errors);
    for (const char* key : {"involvedObject", "reason", "message", "source", "firstTimestamp",
                            "lastTimestamp", "count", "type", "eventTime", "action", "related",
                            "reportingComponent", "reportingInstance"}) {
      const absl::string_view shown =
          absl::string_view(key) == "reportingComponent" ? "reportingController" : key;
      ValidateImmutable(Get(was, key), Get(is, key), FieldPath(shown), errors);
    }
    return errors;
  }

  kube::StringPairs SelectableFields(const json::Value& object) const override {
    const json::Value& involved = Get(object, "involvedObject");
    kube::StringPairs fields;
    for (const char* key :
         {"apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"}) {
      fields.emplace_back(absl::StrCat("involvedObject.", key), std::string(Text(involved, key)));
    }
    fields.emplace_back("reason", std::string(Text(object, "reason")));
    for (const char* key :
         {"apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"}) {
      fields.emplace_back(absl::StrCat("regarding.", key), std::string(Text(involved, key)));
    }
    const absl::string_view controller = Text(object, "reportingComponent");
    const absl::string_view component = Text(Get(object, "source"), "component");
    fields.emplace_back("reportingComponent", std::string(controller));
    fields.emplace_back("reportingController", std::string(controller));
    fields.emplace_back("source", std::string(component.empty() ? controller : component));
    fields.emplace_back("type", std::string(Text(object, "type")));
    return fields;
  }
  std::vector<std::string> SelectableFieldNames() const override {
    std::vector<std::string> names;
    for (const auto& [name, text] : SelectableFields(json::Value::Object())) names.push_back(name);
    return names;
  }
  bool AllowCreateOnUpdate() const override { return true; }
};

std::string SourceText(const json::Value& event) {
  const json::Value& source = Get(event, "source");
  absl::string_view component = Text(source, "component"), host = Text(source, "host");
  if (component.empty()) component = Text(event, "reportingComponent");
  if (host.empty()) host = Text(event, "reportingInstance");
  return host.empty() ? std::string(component) : absl::StrCat(component, ", ", host);
}

std::vector<json::Value> EventRow(const json::Value& object, int64_t now_s) {
  json::Value event = object;
  if (Has(event, "regarding")) EventToCore(event);
  std::string first = TimeSince(Text(event, "firstTimestamp"), now_s);
  if (!Has(event, "firstTimestamp")) first = TimeSince(Text(event, "eventTime"), now_s);
  std::string last =
      Has(event, "lastTimestamp") ? TimeSince(Text(event, "lastTimestamp"), now_s) : first;
  int64_t count = Int(event, "count");
  if (Has(event, "series")) {
    last = TimeSince(Text(Get(event, "series"), "lastObservedTime"), now_s);
    count = Int(Get(event, "series"), "count");
  } else if (count == 0) {
    count = 1;
  }
  const json::Value& involved = Get(event, "involvedObject");
  std::string target = absl::AsciiStrToLower(Text(involved, "kind"));
  if (!Text(involved, "name").empty()) absl::StrAppend(&target, "/", Text(involved, "name"));
  return {TextCell(last),
          TextCell(Text(event, "type")),
          TextCell(Text(event, "reason")),
          TextCell(target),
          TextCell(Text(involved, "fieldPath")),
          TextCell(SourceText(event)),
          TextCell(absl::StripAsciiWhitespace(Text(event, "message"))),
          TextCell(first),
          json::Value::Int(count),
          NameCell(event)};
}

void Rename(json::Value& object, absl::string_view from, absl::string_view to) {
  for (json::Member& member : object.members()) {
    if (member.key == from) member.key = std::string(to);
  }
}

}  // namespace

void EventToCore(json::Value& object) {
  for (const auto& [name, core_name] : kNames) Rename(object, name, core_name);
  object.Set("apiVersion", json::Value::String("v1"));
}

void EventFromCore(json::Value& object) {
  for (const auto& [name, core_name] : kNames) Rename(object, core_name, name);
  object.Set("apiVersion", json::Value::String("events.k8s.io/v1"));
}

std::unique_ptr<const Strategy> EventStrategy() { return std::make_unique<Events>(); }

std::unique_ptr<const TableColumns> EventColumns() {
  TableColumn name = NameColumn();
  name.priority = 1;
  return MakeColumns(
      {TextColumn("Last Seen", "When it happened last."), TextColumn("Type", "Normal or Warning."),
       TextColumn("Reason", "What happened, in one word."),
       TextColumn("Object", "What it happened to."),
       TextColumn("Subobject", "The part of it that is meant.", 1),
       TextColumn("Source", "Who tells it.", 1), TextColumn("Message", "What happened."),
       TextColumn("First Seen", "When it happened first.", 1),
       TextColumn("Count", "How often it happened.", 1), name},
      EventRow);
}

}  // namespace meltemi::apiserver
