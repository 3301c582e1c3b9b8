#include "pilot/ingest/decode/manifests.h"

#include <google/protobuf/message.h>

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/protojson/decode.h"
#include "base/yaml/parse.h"
#include "kube/meta/v1/meta.pb.h"
#include "pilot/ingest/decode/kinds.h"
#include "pilot/ingest/names.h"

namespace meltemi::pilot {
namespace {

using json::Value;

// Istio's code for a manifest that does not fit its schema, and ours for what Istio has none.
constexpr absl::string_view kSchema = "IST0106";
constexpr absl::string_view kIgnored = "MELT0001";
constexpr absl::string_view kReplaced = "MELT0002";

class ManifestDecoder {
 public:
  ManifestDecoder(absl::string_view file, const DecodeManifestsOptions& options, Manifests* out)
      : file_(file), options_(options), out_(*out) {}

  void DecodeDocument(Value document) {
    if (!document.is_object()) {
      return Report(
          Severity::kError, "", "", document.line(),
          absl::StrCat("expected an object with apiVersion and kind, got ", document.KindName()));
    }
    const std::string kind(document.FindString("kind"));
    const std::string api_version(document.FindString("apiVersion"));
    if (kind.empty() || api_version.empty()) {
      return Report(Severity::kError, "", "", document.line(),
                    absl::StrCat("\"", kind.empty() ? "kind" : "apiVersion", "\" is missing"));
    }
    if (kind == "List" && api_version == "v1") return DecodeList(std::move(document));
    DecodeObject(kind, api_version, std::move(document));
  }

 private:
  void Report(Severity severity, absl::string_view object, absl::string_view path, int line,
              absl::string_view message, absl::string_view code = kSchema) {
    if (severity == Severity::kError) failed_ = true;
    out_.diagnostics.push_back({.severity = severity,
                                .code = std::string(code),
                                .object = std::string(object),
                                .path = std::string(path),
                                .file = file_,
                                .line = line,
                                .message = std::string(message)});
  }

  void DecodeList(Value list);
  void DecodeObject(absl::string_view kind_name, absl::string_view api_version, Value document);
  void DecodeKnown(const KindInfo& info, absl::string_view api_version, Value document);
  bool CheckVersion(const KindInfo& info, absl::string_view kind_name,
                    absl::string_view api_version, absl::string_view version, int line);
  void DecodeMeta(const KindInfo& info, const Value& document, absl::string_view id,
                  Object* object);
  void DecodeSpec(const KindInfo& info, const Value& document, absl::string_view id,
                  google::protobuf::Message* spec);
  void DecodeInto(const Value& value, absl::string_view path, bool quoted_numbers,
                  absl::string_view id, google::protobuf::Message* message);

  const std::string file_;
  const DecodeManifestsOptions& options_;
  Manifests& out_;
  bool failed_ = false;
  std::set<ObjectKey> seen_;
};

void ManifestDecoder::DecodeList(Value list) {
  for (json::Member& member : list.members()) {
    if (member.key != "items") continue;
    for (Value& item : member.value.items()) DecodeDocument(std::move(item));
  }
}

void ManifestDecoder::DecodeObject(absl::string_view kind_name, absl::string_view api_version,
                                   Value document) {
  const size_t slash = api_version.find('/');
  const bool core = slash == absl::string_view::npos;
  const absl::string_view group = core ? absl::string_view() : api_version.substr(0, slash);
  const absl::string_view version = core ? api_version : api_version.substr(slash + 1);
  const KindInfo* info = FindKind(group, kind_name);
  if (info == nullptr) {
    const Value* metadata = document.Find("metadata");
    const absl::string_view name = metadata == nullptr ? "" : metadata->FindString("name");
    if (name.empty()) out_.complete = false;  // perhaps the start of a known kind, cut off
    return Report(Severity::kInfo, absl::StrCat(kind_name, " ", name), "", document.line(),
                  absl::StrCat("ignored: kind ", kind_name), kIgnored);
  }
  if (!CheckVersion(*info, kind_name, api_version, version, document.line())) return;
  DecodeKnown(*info, api_version, std::move(document));
}

bool ManifestDecoder::CheckVersion(const KindInfo& info, absl::string_view kind_name,
                                   absl::string_view api_version, absl::string_view version,
                                   int line) {
  for (const absl::string_view known : info.versions) {
    if (!known.empty() && known == version) return true;
  }
  out_.complete = false;
  Report(Severity::kError, kind_name, "apiVersion", line,
         absl::StrCat("\"", api_version, "\" is not supported for ", kind_name, ": use \"",
                      info.group, info.group.empty() ? "" : "/", info.versions[0], "\""));
  return false;
}

void ManifestDecoder::DecodeKnown(const KindInfo& info, absl::string_view api_version,
                                  Value document) {
  auto object = std::make_shared<Object>();
  object->kind = info.kind;
  object->api_version = std::string(api_version);
  object->file = file_;
  object->line = document.line();
  object->meta.kind = std::string(KindName(info.kind));

  const Value* metadata = document.Find("metadata");
  object->meta.name = std::string(metadata == nullptr ? "" : metadata->FindString("name"));
  if (info.namespaced) {
    object->meta.ns = std::string(metadata == nullptr ? "" : metadata->FindString("namespace"));
    if (object->meta.ns.empty()) object->meta.ns = options_.default_namespace;
  }
  const ObjectKey key = object->Key();
  const std::string id = key.ToString();

  failed_ = false;
  DecodeMeta(info, document, id, object.get());
  std::unique_ptr<google::protobuf::Message> spec = NewSpec(info.kind);
  DecodeSpec(info, document, id, spec.get());
  if (failed_) {
    out_.failed.push_back(key);
    if (key.name.empty()) out_.complete = false;
    return;
  }
  object->spec = std::move(spec);
  if (info.keeps_manifest && !file_.empty())
    object->manifest = std::make_shared<const Value>(std::move(document));
  if (!seen_.insert(key).second) {
    Report(Severity::kWarning, id, "", object->line,
           "occurs twice in this file: the last one counts", kReplaced);
    for (ObjectPtr& earlier : out_.objects) {
      if (earlier->Key() == key) {
        earlier = std::move(object);
        return;
      }
    }
  }
  out_.objects.push_back(std::move(object));
}

void ManifestDecoder::DecodeInto(const Value& value, absl::string_view path, bool quoted_numbers,
                                 absl::string_view id, google::protobuf::Message* message) {
  std::vector<protojson::DecodeError> errors;
  protojson::Decode(value, {.path = std::string(path), .quoted_numbers = quoted_numbers}, message,
                    &errors);
  for (const protojson::DecodeError& error : errors) {
    Report(Severity::kError, id, error.path, error.line, error.message);
  }
}

void ManifestDecoder::DecodeMeta(const KindInfo& info, const Value& document, absl::string_view id,
                                 Object* object) {
  const Value* metadata = document.Find("metadata");
  if (metadata == nullptr || metadata->is_null()) {
    return Report(Severity::kError, id, "metadata", document.line(), "\"metadata\" is missing");
  }
  kube::meta::v1::ObjectMeta meta;
  DecodeInto(*metadata, "metadata", false, id, &meta);
  if (object->meta.name.empty()) {
    Report(Severity::kError, id, "metadata.name", metadata->line(), "\"name\" is missing");
  } else if (const std::string wrong = WhyNoDnsSubdomain(object->meta.name); !wrong.empty()) {
    Report(Severity::kError, id, "metadata.name", metadata->line(), wrong);
  }
  if (const std::string wrong = info.namespaced ? WhyNoDnsLabel(object->meta.ns) : "";
      !wrong.empty()) {
    Report(Severity::kError, id, "metadata.namespace", metadata->line(), wrong);
  }
  object->meta.labels.insert(meta.labels().begin(), meta.labels().end());
  object->meta.annotations.insert(meta.annotations().begin(), meta.annotations().end());
  object->meta.created_s = meta.creation_timestamp().seconds();
  object->meta.generation = meta.generation();
}

void ManifestDecoder::DecodeSpec(const KindInfo& info, const Value& document, absl::string_view id,
                                 google::protobuf::Message* spec) {
  if (!info.message_is_spec) {
    // The message has every member of the object but these two.
    Value rest = Value::Object();
    rest.set_line(document.line());
    for (const json::Member& member : document.members()) {
      if (member.key != "apiVersion" && member.key != "kind" && member.key != "metadata") {
        rest.members().push_back(member);
      }
    }
    DecodeInto(rest, "", false, id, spec);
    return;
  }
  const Value* value = nullptr;
  for (const json::Member& member : document.members()) {
    if (member.key == "spec") {
      value = &member.value;
    } else if (member.key != "apiVersion" && member.key != "kind" && member.key != "metadata" &&
               member.key != "status") {
      Report(Severity::kError, id, member.key, member.line,
             absl::StrCat("unknown field \"", member.key, "\""));
    }
  }
  if (value != nullptr && !value->is_null()) DecodeInto(*value, "spec", true, id, spec);
}

bool StartsLikeJson(absl::string_view text) {
  const absl::string_view trimmed = absl::StripLeadingAsciiWhitespace(text);
  return !trimmed.empty() && trimmed[0] == '{';
}

absl::StatusOr<std::vector<Value>> ParseDocuments(absl::string_view text) {
  if (StartsLikeJson(text)) {
    // One JSON document, or else YAML in flow style.
    auto value = json::Parse(text);
    if (value.ok()) {
      std::vector<Value> documents;
      documents.push_back(*std::move(value));
      return documents;
    }
  }
  return yaml::ParseAll(text);
}

// "line 3, column 4: what" -> 3, so that the line is told once.
int TakeLine(absl::string_view* message) {
  absl::string_view rest = *message;
  int line = 0;
  if (!absl::ConsumePrefix(&rest, "line ")) return 0;
  const size_t end = rest.find_first_not_of("0123456789");
  if (!absl::SimpleAtoi(rest.substr(0, end), &line)) return 0;
  absl::ConsumePrefix(&(rest = rest.substr(end)), ", ");
  *message = rest;
  return line;
}

}  // namespace

Manifests DecodeManifests(absl::string_view text, absl::string_view file,
                          const DecodeManifestsOptions& options) {
  Manifests out;
  auto documents = ParseDocuments(text);
  if (!documents.ok()) {
    absl::string_view message = documents.status().message();
    const int line = TakeLine(&message);
    out.complete = false;
    out.diagnostics.push_back({.severity = Severity::kError,
                               .code = std::string(kSchema),
                               .file = std::string(file),
                               .line = line,
                               .message = std::string(message)});
    return out;
  }
  ManifestDecoder decoder(file, options, &out);
  for (Value& document : *documents) {
    const size_t objects = out.objects.size() + out.failed.size();
    const size_t before = out.diagnostics.size();
    decoder.DecodeDocument(std::move(document));
    // Something is wrong in what has no name: nothing may be concluded from an object's absence.
    if (out.objects.size() + out.failed.size() == objects && out.diagnostics.size() > before &&
        out.diagnostics.back().severity == Severity::kError) {
      out.complete = false;
    }
  }
  return out;
}

Manifests DecodeObject(json::Value document, const DecodeManifestsOptions& options) {
  Manifests out;
  ManifestDecoder(/*file=*/"", options, &out).DecodeDocument(std::move(document));
  return out;
}

}  // namespace meltemi::pilot
