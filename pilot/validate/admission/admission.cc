#include "pilot/validate/admission/admission.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/ingest/decode/kinds.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/inject/admission.h"
#include "pilot/model/names.h"
#include "pilot/validate/analyze.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

using istio::networking::v1alpha3::VirtualService;
using json::Value;

// The API server shows 256 characters of each warning.
constexpr size_t kWarningBytesMax = 250;
// Of other VirtualServices for the same hosts: a thousand of them say no more than these.
constexpr int kRivalsMax = 20;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

// What is judged: the server's own bookkeeping in the metadata, which newer servers add to, is not.
Value Judged(const Value& object) {
  Value out = Value::Object();
  for (const json::Member& member : object.members()) {
    if (member.key != "metadata") out.Add(member.key, member.value);
  }
  Value& meta = out.Add("metadata", Value::Object());
  const Value* from = object.Find("metadata");
  if (from == nullptr) return out;
  for (const char* key : {"name", "namespace", "labels", "annotations"}) {
    if (const Value* member = from->Find(key)) meta.Add(key, *member);
  }
  // The name is made later.
  const absl::string_view prefix = from->FindString("generateName");
  if (from->FindString("name").empty() && !prefix.empty()) {
    meta.Set("name", Text(absl::StrCat(prefix, "x")));
  }
  return out;
}

bool SharesHost(const Object& a, const Object& b, absl::string_view domain) {
  for (const std::string& one : a.Spec<VirtualService>().hosts()) {
    for (const std::string& other : b.Spec<VirtualService>().hosts()) {
      if (ResolveHost(one, a.meta.ns, domain) == ResolveHost(other, b.meta.ns, domain)) return true;
    }
  }
  return false;
}

// What the analysis of `object` looks at: itself in its new version, and of the rest neither what
// it never reads nor more rivals than can be told of.
std::vector<ObjectPtr> Around(const ObjectPtr& object, const std::vector<ObjectPtr>& objects,
                              absl::string_view domain) {
  const bool is_rule = object->kind == Kind::kVirtualService;
  int rivals = 0;
  std::set<std::string> delegates;
  if (is_rule) {
    for (const auto& route : object->Spec<VirtualService>().http()) {
      if (route.has_delegate()) delegates.insert(route.delegate().name());
    }
  }
  const auto counts = [&](const Object& other) {
    switch (other.kind) {
      case Kind::kEndpoints:
      case Kind::kEndpointSlice:
        return false;
      case Kind::kPod:
        return !is_rule;
      case Kind::kVirtualService:
        if (!is_rule || delegates.count(other.meta.name) > 0) return true;
        return rivals < kRivalsMax && SharesHost(*object, other, domain) && ++rivals > 0;
      default:
        return true;
    }
  };
  std::vector<ObjectPtr> out;
  const ObjectKey key = object->Key();
  bool placed = false;
  for (const ObjectPtr& other : objects) {
    if (!placed && key < other->Key()) {
      out.push_back(object);
      placed = true;
    }
    if (!(other->Key() == key) && counts(*other)) out.push_back(other);
  }
  if (!placed) out.push_back(object);
  return out;
}

// Findings of the analysis that are no matter of what comes next: the service is there and does not
// have the port; clients are told to speak plaintext to what takes mutual TLS alone.
bool LosesTraffic(const Diagnostic& found) {
  if (found.severity != Severity::kError) return false;
  return (found.code == "IST0101" && absl::EndsWith(found.path, ".port.number")) ||
         found.code == "IST0113";
}

// What `object` would newly make others lose: how workloads take traffic is for each of them, and
// the rules that say how clients send are other objects.
std::vector<Diagnostic> BrokenBy(const ObjectPtr& object, const std::vector<ObjectPtr>& objects,
                                 const std::vector<Diagnostic>& with,
                                 const AnalyzeOptions& options) {
  std::vector<Diagnostic> out;
  const std::string name = object->Key().ToString();
  const auto counts = [&](const Diagnostic& found) {
    return found.object != name && found.code == "IST0113" && LosesTraffic(found);
  };
  if (object->kind != Kind::kPeerAuthentication || std::none_of(with.begin(), with.end(), counts)) {
    return out;
  }
  std::set<std::string> before;
  for (const Diagnostic& found : Analyze(objects, options)) {
    if (counts(found)) before.insert(absl::StrCat(found.object, " ", found.path));
  }
  for (const Diagnostic& found : with) {
    if (!counts(found) || before.contains(absl::StrCat(found.object, " ", found.path))) continue;
    Diagnostic broken = found;
    broken.path = "spec";
    broken.message = absl::StrCat(found.object, " ", found.path, ": ", found.message,
                                  "; change that rule first");
    out.push_back(std::move(broken));
  }
  return out;
}

std::string Line(const Diagnostic& found) {
  return absl::StrCat(found.path, found.path.empty() ? "" : ": ", found.message);
}

std::string Cut(std::string text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  text.resize(bytes_max - 3);
  // Not within a character.
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
  if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
  return text + "...";
}

// In the form of Istio's: several errors are a list.
std::string Refusal(const std::vector<std::string>& errors, size_t errors_max) {
  std::string out = "configuration is invalid: ";
  if (errors.size() == 1) return absl::StrCat(out, errors.front());
  absl::StrAppend(&out, errors.size(), " errors occurred:");
  for (size_t i = 0; i < errors.size(); ++i) {
    if (i == errors_max) {
      absl::StrAppend(&out, "\n\t* and ", errors.size() - i, " more");
      break;
    }
    absl::StrAppend(&out, "\n\t* ", errors[i]);
  }
  return out;
}

struct Findings {
  std::vector<std::string> errors, warnings;
};

Findings Judge(const ReviewRequest& request, const std::vector<ObjectPtr>& objects,
               const ValidationOptions& options) {
  Findings out;
  const Manifests decoded = DecodeObject(
      Judged(request.object), {.default_namespace = request.ns.empty() ? "default" : request.ns});
  std::vector<Diagnostic> found = decoded.diagnostics;
  const ObjectPtr object = decoded.objects.empty() ? nullptr : decoded.objects.front();
  if (object != nullptr) {
    const std::vector<Diagnostic> rules = Validate(*object);
    found.insert(found.end(), rules.begin(), rules.end());
  }
  if (object != nullptr && !HasErrors(found)) {
    const std::string name = object->Key().ToString();
    const AnalyzeOptions around = {.domain = options.domain,
                                   .root_namespace = options.root_namespace};
    std::vector<Diagnostic> between = Analyze(Around(object, objects, options.domain), around);
    const std::vector<Diagnostic> broken = BrokenBy(object, objects, between, around);
    found.insert(found.end(), broken.begin(), broken.end());
    for (Diagnostic& finding : between) {
      if (finding.object != name) continue;
      if (!LosesTraffic(finding) && finding.severity == Severity::kError) {
        finding.severity = Severity::kWarning;
      }
      found.push_back(std::move(finding));
    }
  }
  for (const Diagnostic& finding : found) {
    if (finding.severity == Severity::kError) {
      out.errors.push_back(Line(finding));
    } else if (finding.severity == Severity::kWarning &&
               out.warnings.size() < options.warnings_max) {
      out.warnings.push_back(
          Cut(absl::StrCat(finding.code, ": ", Line(finding)), kWarningBytesMax));
    }
  }
  return out;
}

// Whether the request changes nothing that is judged: metadata of an object that was let in by
// other rules can still be changed, finalizers above all.
bool SameSpec(const ReviewRequest& request) {
  if (request.operation != "UPDATE" || !request.old_object.is_object()) return false;
  const Value* before = request.old_object.Find("spec");
  const Value* after = request.object.Find("spec");
  if (before == nullptr || after == nullptr) return before == after;
  return *before == *after;
}

std::string Review(const ReviewRequest& request, const ValidationAnswer& answer) {
  Value review = Value::Object();
  review.Add("kind", Text("AdmissionReview"));
  review.Add("apiVersion", Text("admission.k8s.io/v1"));
  Value& response = review.Add("response", Value::Object());
  response.Add("uid", Text(request.uid));
  response.Add("allowed", Value::Bool(answer.allowed));
  if (!answer.allowed) {
    Value& status = response.Add("status", Value::Object());
    status.Add("code", Value::Int(400));
    status.Add("reason", Text("BadRequest"));
    status.Add("message", Text(answer.why));
  }
  if (!answer.warnings.empty()) {
    Value& list = response.Add("warnings", Value::Array());
    for (const std::string& warning : answer.warnings) list.Append(Text(warning));
  }
  return json::ToString(review);
}

}  // namespace

absl::StatusOr<ValidationAnswer> AnswerValidation(absl::string_view bytes,
                                                  const std::vector<ObjectPtr>& objects,
                                                  const ValidationOptions& options) {
  const absl::StatusOr<ReviewRequest> request = ParseReview(bytes);
  if (!request.ok()) return request.status();
  const bool asks = request->operation == "CREATE" || request->operation == "UPDATE";
  if (asks && !request->object.is_object()) {
    return absl::InvalidArgumentError("no AdmissionReview: request.object is missing");
  }
  ValidationAnswer answer;
  answer.object =
      absl::StrCat(request->kind, " ", request->ns, request->ns.empty() ? "" : "/", request->name);
  if (asks && !SameSpec(*request)) {
    Findings findings = Judge(*request, objects, options);
    answer.warnings = std::move(findings.warnings);
    if (!findings.errors.empty()) {
      answer.allowed = false;
      answer.why = Refusal(findings.errors, options.errors_max);
    }
  }
  answer.body = Review(*request, answer);
  return answer;
}

}  // namespace meltemi::pilot
