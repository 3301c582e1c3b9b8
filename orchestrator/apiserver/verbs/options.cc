#include "orchestrator/apiserver/verbs/options.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json/utf8.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/verbs/decode.h"
#include "orchestrator/apiserver/verbs/negotiation.h"

namespace meltemi::apiserver {

using json::Value;
using kube::FieldPath;

namespace {

constexpr size_t kFieldManagerBytesMax = 128;

// The characters that Go calls printable: everything but controls, in valid UTF-8.
bool Printable(absl::string_view sequence) {
  if (sequence.size() > 1) return kube::GoQuote(sequence).size() == sequence.size() + 2;
  return sequence[0] >= 0x20 && sequence[0] != 0x7F;
}

// What precedes the first slash, as far as it is printable and not too long.
std::string ManagerOfAgent(absl::string_view agent) {
  agent = agent.substr(0, agent.find('/'));
  std::string out;
  while (!agent.empty()) {
    const size_t size = json::Utf8SequenceLength(agent);
    if (size == 0) {
      agent.remove_prefix(1);
      continue;
    }
    if (Printable(agent.substr(0, size))) {
      if (out.size() + size > kFieldManagerBytesMax) break;
      absl::StrAppend(&out, agent.substr(0, size));
    }
    agent.remove_prefix(size);
  }
  return out.empty() ? "unknown" : out;
}

void CheckFieldManager(absl::string_view manager, kube::FieldErrors& errors) {
  const FieldPath path("fieldManager");
  if (manager.size() > kFieldManagerBytesMax) {
    errors.push_back(kube::TooLong(path, kFieldManagerBytesMax));
  }
  for (size_t i = 0; i < manager.size();) {
    const size_t size = std::max<size_t>(1, json::Utf8SequenceLength(manager.substr(i)));
    if (!Printable(manager.substr(i, size))) {
      errors.push_back(kube::InvalidField(path, manager,
                                          absl::StrCat("invalid character (at position ", i, ")")));
    }
    i += size;
  }
}

// []string{"a", "b"}: how Go shows the values of dryRun.
std::string GoStrings(const std::vector<std::string>& texts) {
  return absl::StrCat("[]string{",
                      absl::StrJoin(texts, ", ",
                                    [](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, kube::GoQuote(text));
                                    }),
                      "}");
}

bool CheckDryRun(const std::vector<std::string>& values, kube::FieldErrors& errors) {
  for (const std::string& value : values) {
    if (value == "All") continue;
    kube::FieldError error = kube::NotSupported(FieldPath("dryRun"), Value(), {"All"});
    error.bad_value = GoStrings(values);
    errors.push_back(std::move(error));
    break;
  }
  return !values.empty();
}

kube::Status InvalidOptions(absl::string_view kind, const kube::FieldErrors& errors) {
  return kube::Invalid({"meta.k8s.io", "v1", std::string(kind)}, "", errors);
}

// Go's strconv, whose words users see.
kube::Status BadNumber(absl::string_view field, absl::string_view text) {
  return kube::BadRequest(absl::StrCat(field, ": Invalid value: ", kube::GoQuote(text),
                                       ": strconv.ParseUint: parsing ", kube::GoQuote(text),
                                       ": invalid syntax"));
}

kube::Outcome CheckPropagation(const DeleteRequest& request,
                               const std::vector<std::string>& dry_run, bool has_policy) {
  kube::FieldErrors errors;
  const FieldPath path("propagationPolicy");
  if (request.orphan_dependents.has_value() && has_policy) {
    errors.push_back(kube::InvalidField(
        path, request.propagation, "orphanDependents and deletionPropagation cannot be both set"));
  }
  if (has_policy && request.propagation != "Foreground" && request.propagation != "Background" &&
      request.propagation != "Orphan") {
    kube::FieldError error = kube::NotSupported(path, Value::String(request.propagation), {});
    error.detail = R"(supported values: "Foreground", "Background", "Orphan", "nil")";
    errors.push_back(std::move(error));
  }
  CheckDryRun(dry_run, errors);
  if (!errors.empty()) return InvalidOptions("DeleteOptions", errors);
  return kube::Done{};
}

kube::Result<DeleteOptions> DeleteOptionsOfQuery(const Query& query) {
  DeleteOptions out;
  kube::Result<std::optional<int64_t>> grace = query.Int("gracePeriodSeconds");
  if (!grace.ok()) return grace.status();
  out.request.grace_period_seconds = *grace;
  if (query.Get("orphanDependents").has_value()) {
    kube::Result<bool> orphan = query.Bool("orphanDependents");
    if (!orphan.ok()) return orphan.status();
    out.request.orphan_dependents = *orphan;
  }
  const std::optional<std::string> policy = query.Get("propagationPolicy");
  out.request.propagation = policy.value_or("");
  const std::vector<std::string> dry_run = query.All("dryRun");
  kube::Outcome checked = CheckPropagation(out.request, dry_run, policy.has_value());
  if (!checked.ok()) return checked.status();
  out.dry_run = !dry_run.empty();
  Value options = Value::Object();
  options.Add("kind", Value::String("DeleteOptions"));
  options.Add("apiVersion", Value::String("meta.k8s.io/v1"));
  if (grace->has_value()) options.Add("gracePeriodSeconds", Value::Int(**grace));
  if (policy.has_value()) options.Add("propagationPolicy", Value::String(*policy));
  if (out.dry_run) options.Add("dryRun", Value::Array()).Append(Value::String("All"));
  out.request.options = std::move(options);
  return out;
}

kube::Outcome CheckListOptions(const ListOptions& options) {
  kube::FieldErrors errors;
  const FieldPath match_path("resourceVersionMatch");
  const std::string& match = options.resource_version_match;
  if (!match.empty()) {
    if (options.resource_version.empty()) {
      errors.push_back(kube::ForbiddenField(
          match_path, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if (!options.continue_token.empty()) {
      errors.push_back(kube::ForbiddenField(
          match_path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (match != "Exact" && match != "NotOlderThan") {
      kube::FieldError error = kube::NotSupported(match_path, Value::String(match), {});
      error.detail = R"(supported values: "Exact", "NotOlderThan", "")";
      errors.push_back(std::move(error));
    }
    if (match == "Exact" && options.resource_version == "0") {
      errors.push_back(kube::ForbiddenField(
          match_path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
  }
  if (options.send_initial_events.has_value()) {
    errors.push_back(kube::ForbiddenField(FieldPath("sendInitialEvents"),
                                          "sendInitialEvents is forbidden for list"));
  }
  if (!errors.empty()) return InvalidOptions("ListOptions", errors);
  if (!options.continue_token.empty() && !options.resource_version.empty() &&
      options.resource_version != "0") {
    return kube::BadRequest("specifying resource version is not allowed when using continue");
  }
  return kube::Done{};
}

kube::Outcome CheckWatchOptions(const ListOptions& options) {
  kube::FieldErrors errors;
  const FieldPath match_path("resourceVersionMatch");
  const std::string& match = options.resource_version_match;
  if (options.send_initial_events.has_value() && match != "NotOlderThan") {
    errors.push_back(kube::ForbiddenField(
        match_path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  }
  if (!match.empty()) {
    if (!options.send_initial_events.has_value()) {
      errors.push_back(kube::ForbiddenField(
          match_path,
          "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    }
    if (match != "NotOlderThan") {
      errors.push_back(kube::NotSupported(match_path, Value::String(match), {"NotOlderThan"}));
    }
    if (!options.continue_token.empty()) {
      errors.push_back(kube::ForbiddenField(
          match_path, "resourceVersionMatch is forbidden when continue is provided"));
    }
  }
  if (!errors.empty()) return InvalidOptions("ListOptions", errors);
  return kube::Done{};
}

kube::Outcome CheckFields(const Resource& resource, const kube::FieldSelector& selector) {
  const std::vector<std::string> names = resource.strategy->SelectableFieldNames();
  for (const kube::FieldSelector::Term& term : selector.terms()) {
    if (term.field == "metadata.name" || term.field == "metadata.namespace") continue;
    if (std::find(names.begin(), names.end(), term.field) != names.end()) continue;
    if (names.empty() && !resource.custom) {
      return kube::BadRequest(
          absl::StrCat(kube::GoQuote(term.field),
                       " is not a known field selector: only \"metadata.name\", "
                       "\"metadata.namespace\""));
    }
    return kube::BadRequest(absl::StrCat("field label not supported: ", term.field));
  }
  return kube::Done{};
}

// A name in the path of a watch is one more condition.
kube::Outcome AddName(const Request& request, ListOptions& options) {
  const std::string& name = request.info.name;
  if (name.empty()) return kube::Done{};
  if (options.fields.empty()) {
    absl::StatusOr<kube::FieldSelector> selector =
        kube::FieldSelector::Parse(absl::StrCat("metadata.name=", name));
    if (!selector.ok()) return kube::BadRequest(selector.status().message());
    options.fields = *std::move(selector);
  } else if (options.fields.RequiredValue("metadata.name") != absl::string_view(name)) {
    return kube::BadRequest("fieldSelector metadata.name doesn't match requested name");
  }
  return kube::Done{};
}

}  // namespace

kube::Result<WriteOptions> ParseWriteOptions(const Request& request, absl::string_view kind,
                                             bool apply) {
  WriteOptions out;
  kube::FieldErrors errors;
  out.field_manager = request.query.Get("fieldManager").value_or("");
  if (request.query.Get("force").has_value()) {
    kube::Result<bool> force = request.query.Bool("force");
    if (!force.ok()) return force.status();
    out.force = *force;
  }
  if (apply && out.field_manager.empty()) {
    errors.push_back(kube::Required(FieldPath("fieldManager"), "is required for apply patch"));
  }
  if (kind == "PatchOptions" && !apply && out.force.has_value()) {
    errors.push_back(
        kube::ForbiddenField(FieldPath("force"), "may not be specified for non-apply patch"));
  }
  CheckFieldManager(out.field_manager, errors);
  out.dry_run = CheckDryRun(request.query.All("dryRun"), errors);
  const std::string validation = request.query.Get("fieldValidation").value_or("");
  if (!validation.empty()) {
    out.field_validation = validation;
    if (validation != "Ignore" && validation != "Warn" && validation != "Strict") {
      errors.push_back(kube::NotSupported(FieldPath("fieldValidation"), Value::String(validation),
                                          {"", "Ignore", "Strict", "Warn"}));
    }
  }
  if (!errors.empty()) return InvalidOptions(kind, errors);
  return out;
}

WriteContext ContextOf(const Request& request, const WriteOptions& options) {
  WriteContext context;
  context.user = request.user;
  context.dry_run = options.dry_run;
  context.field_manager = options.field_manager.empty()
                              ? ManagerOfAgent(request.Header("user-agent"))
                              : options.field_manager;
  context.field_validation = options.field_validation;
  context.deadline = request.deadline;
  context.subresource = request.info.subresource;
  return context;
}

kube::Result<DeleteOptions> DeleteOptionsOf(const Value& options) {
  DeleteOptions out;
  if (!options.is_object()) return kube::BadRequest("DeleteOptions must be an object");
  if (const Value* grace = options.Find("gracePeriodSeconds"); grace && !grace->is_null()) {
    out.request.grace_period_seconds = grace->AsInt64();
    if (!out.request.grace_period_seconds.has_value()) {
      return kube::BadRequest("gracePeriodSeconds must be a number");
    }
  }
  if (const Value* orphan = options.Find("orphanDependents"); orphan && orphan->is_bool()) {
    out.request.orphan_dependents = orphan->bool_value();
  }
  const Value* policy = options.Find("propagationPolicy");
  const bool has_policy = policy != nullptr && policy->is_string();
  if (has_policy) out.request.propagation = policy->text();
  out.request.preconditions.uid = kube::TextAt(options, "preconditions.uid");
  out.request.preconditions.resource_version =
      kube::TextAt(options, "preconditions.resourceVersion");
  std::vector<std::string> dry_run;
  if (const Value* values = options.Find("dryRun")) {
    for (const Value& value : values->items()) dry_run.push_back(value.text());
  }
  kube::Outcome checked = CheckPropagation(out.request, dry_run, has_policy);
  if (!checked.ok()) return checked.status();
  out.dry_run = !dry_run.empty();
  out.request.options = options;
  out.request.options.Set("kind", Value::String("DeleteOptions"));
  out.request.options.Set("apiVersion", Value::String("meta.k8s.io/v1"));
  return out;
}

kube::Result<DeleteOptions> ParseDeleteOptions(const Request& request) {
  if (request.body.empty()) return DeleteOptionsOfQuery(request.query);
  kube::Result<bool> yaml = BodyIsYaml(request);
  if (!yaml.ok()) return yaml.status();
  kube::Result<Value> options =
      ParseBody(request.body, *yaml, "couldn't get version/kind; json parse error: ", nullptr);
  if (!options.ok()) return options.status();
  const absl::string_view kind = options->FindString("kind");
  if (!kind.empty() && kind != "DeleteOptions") {
    return kube::BadRequest("decoded object cannot be converted to DeleteOptions");
  }
  return DeleteOptionsOf(*options);
}

kube::Result<uint64_t> ParseResourceVersion(absl::string_view text) {
  uint64_t version = 0;
  if (!text.empty() && !absl::SimpleAtoi(text, &version)) {
    return BadNumber("resourceVersion", text);
  }
  return version;
}

kube::Result<ListOptions> ParseListOptions(const Request& request, const Resource& resource,
                                           bool watch) {
  ListOptions out;
  const Query& query = request.query;
  absl::StatusOr<kube::LabelSelector> labels =
      kube::LabelSelector::Parse(query.Get("labelSelector").value_or(""));
  if (!labels.ok()) return kube::BadRequest(labels.status().message());
  out.labels = *std::move(labels);
  absl::StatusOr<kube::FieldSelector> fields =
      kube::FieldSelector::Parse(query.Get("fieldSelector").value_or(""));
  if (!fields.ok()) return kube::BadRequest(fields.status().message());
  out.fields = *std::move(fields);
  if (kube::Outcome known = CheckFields(resource, out.fields); !known.ok()) return known.status();
  kube::Result<std::optional<int64_t>> limit = query.Int("limit");
  if (!limit.ok()) return limit.status();
  out.limit = static_cast<size_t>(std::max<int64_t>(0, limit->value_or(0)));
  kube::Result<std::optional<int64_t>> timeout = query.Int("timeoutSeconds");
  if (!timeout.ok()) return timeout.status();
  out.timeout_seconds = *timeout;
  out.continue_token = query.Get("continue").value_or("");
  out.resource_version = query.Get("resourceVersion").value_or("");
  out.resource_version_match = query.Get("resourceVersionMatch").value_or("");
  if (query.Get("sendInitialEvents").has_value()) {
    kube::Result<bool> send = query.Bool("sendInitialEvents");
    if (!send.ok()) return send.status();
    out.send_initial_events = *send;
  }
  kube::Result<bool> bookmarks = query.Bool("allowWatchBookmarks");
  if (!bookmarks.ok()) return bookmarks.status();
  out.bookmarks = *bookmarks;
  kube::Outcome checked = watch ? CheckWatchOptions(out) : CheckListOptions(out);
  if (!checked.ok()) return checked.status();
  kube::Result<uint64_t> version = ParseResourceVersion(out.resource_version);
  if (!version.ok()) return version.status();
  out.version = *version;
  if (kube::Outcome named = AddName(request, out); !named.ok()) return named.status();
  return out;
}

}  // namespace meltemi::apiserver
