#include "orchestrator/apiserver/kinds/certificates.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/tls/signing_request.h"
#include "orchestrator/apiserver/kinds/age.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

constexpr char kGroup[] = "certificates.k8s.io";
constexpr int64_t kExpirationSecondsMin = 600;
constexpr size_t kDomainBytesMax = 253;
constexpr const char* kTrueOnly[] = {"Approved", "Denied", "Failed"};
// Sorted: in this order they are listed in messages.
constexpr const char* kUsages[] = {"any",
                                   "cert sign",
                                   "client auth",
                                   "code signing",
                                   "content commitment",
                                   "crl sign",
                                   "data encipherment",
                                   "decipher only",
                                   "digital signature",
                                   "email protection",
                                   "encipher only",
                                   "ipsec end system",
                                   "ipsec tunnel",
                                   "ipsec user",
                                   "key agreement",
                                   "key encipherment",
                                   "microsoft sgc",
                                   "netscape sgc",
                                   "ocsp signing",
                                   "s/mime",
                                   "server auth",
                                   "signing",
                                   "timestamping"};

std::vector<Value> ConditionsOf(const Value& request, absl::string_view type) {
  std::vector<Value> out;
  for (const Value& condition : Items(Get(request, "status"), "conditions")) {
    if (Text(condition, "type") == type) out.push_back(condition);
  }
  return out;
}

// A slice of bytes as Go's %#v prints it.
std::string GoBytes(absl::string_view bytes) {
  std::string out = "[]byte{";
  for (size_t i = 0; i < bytes.size(); ++i) {
    absl::StrAppendFormat(&out, "%s0x%x", i == 0 ? "" : ", ", static_cast<uint8_t>(bytes[i]));
  }
  return absl::StrCat(out, "}");
}

void ValidateRequest(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  std::string pem;
  absl::Base64Unescape(Text(spec, "request"), &pem);
  const absl::StatusOr<tls::SigningRequestInfo> info = tls::ReadSigningRequestPem(pem);
  if (info.ok()) return;
  errors.push_back(
      InvalidPrinted(path.Child("request"), GoBytes(pem), std::string(info.status().message())));
}

void ValidateUsages(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<Value>& usages = Items(spec, "usages");
  if (usages.empty()) errors.push_back(kube::Required(path));
  for (size_t i = 0; i < usages.size(); ++i) {
    const auto known = std::find(std::begin(kUsages), std::end(kUsages), usages[i].text());
    if (known != std::end(kUsages)) continue;
    errors.push_back(
        kube::NotSupported(path.Index(i), usages[i], {std::begin(kUsages), std::end(kUsages)}));
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < usages.size(); ++i) {
    if (seen.insert(usages[i].text()).second) continue;
    errors.push_back(kube::DuplicateField(path.Index(i), usages[i]));
  }
}

// The first label that is none, if any.
void ValidateLabels(absl::string_view segment, bool subdomains, const FieldPath& path,
                    FieldErrors& errors) {
  for (const absl::string_view label : absl::StrSplit(segment, '.')) {
    const Complaints complaints =
        subdomains ? CheckDns1123Subdomain(label) : CheckDns1123Label(label);
    if (complaints.empty()) continue;
    for (const std::string& complaint : complaints) {
      errors.push_back(kube::InvalidField(
          path, segment, absl::StrCat("validating label ", kube::GoQuote(label), ": ", complaint)));
    }
    return;
  }
}

void ValidateSigner(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view name = Text(spec, "signerName");
  if (name == "kubernetes.io/legacy-unknown") {
    errors.push_back(kube::InvalidField(
        path, name, "the legacy signerName is not allowed via this API version"));
    return;
  }
  if (name.empty()) {
    errors.push_back(kube::Required(path));
    return;
  }
  const std::vector<absl::string_view> segments = absl::StrSplit(name, '/');
  if (segments.size() != 2) {
    errors.push_back(kube::InvalidField(
        path, name,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'"));
    return;
  }
  if (segments[0].size() > kDomainBytesMax) errors.push_back(kube::TooLong(path, kDomainBytesMax));
  ValidateLabels(segments[0], false, path, errors);
  if (!absl::StrContains(segments[0], ".")) {
    errors.push_back(kube::InvalidField(
        path, segments[0], "should be a domain with at least two segments separated by dots"));
  }
  ValidateLabels(segments[1], true, path, errors);
}

void ValidateConditions(const Value& request, FieldErrors& errors) {
  const FieldPath path("status.conditions");
  std::set<std::string> seen;
  const std::vector<Value>& conditions = Items(Get(request, "status"), "conditions");
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.Index(i);
    const std::string type(Text(conditions[i], "type"));
    if (type.empty()) errors.push_back(kube::Required(at.Child("type")));
    const bool true_only =
        std::find(std::begin(kTrueOnly), std::end(kTrueOnly), type) != std::end(kTrueOnly);
    ValidateOneOf(conditions[i], "status", at,
                  true_only ? std::vector<std::string>{"True"}
                            : std::vector<std::string>{"False", "True", "Unknown"},
                  true, errors);
    const bool both = (type == "Approved" && seen.count("Denied") > 0) ||
                      (type == "Denied" && seen.count("Approved") > 0);
    if (both) {
      errors.push_back(kube::InvalidField(at.Child("type"), type,
                                          "Approved and Denied conditions are mutually exclusive"));
    }
    if (!seen.insert(type).second) {
      errors.push_back(kube::DuplicateField(at.Child("type"), TextCell(type)));
    }
  }
}

void ValidateCertificate(const Value& request, FieldErrors& errors) {
  const absl::string_view text = Text(Get(request, "status"), "certificate");
  if (text.empty()) return;
  std::string pem;
  absl::Base64Unescape(text, &pem);
  if (tls::ReadCertificatePem(pem).ok()) return;
  errors.push_back(kube::InvalidField(FieldPath("status.certificate"), "<certificate data>",
                                      "must contain at least one CERTIFICATE PEM block"));
}

FieldErrors ValidateWhole(const Value& request) {
  FieldErrors errors;
  const FieldPath path("spec");
  const Value& spec = Get(request, "spec");
  ValidateRequest(spec, path, errors);
  ValidateUsages(spec, path.Child("usages"), errors);
  ValidateSigner(spec, path.Child("signerName"), errors);
  const int64_t expiration = Int(spec, "expirationSeconds", kExpirationSecondsMin);
  if (expiration < kExpirationSecondsMin) {
    errors.push_back(
        kube::InvalidField(path.Child("expirationSeconds"), expiration,
                           "may not specify a duration less than 600 seconds (10 minutes)"));
  }
  ValidateConditions(request, errors);
  ValidateCertificate(request, errors);
  return errors;
}

void ForbidCondition(absl::string_view what, absl::string_view type, FieldErrors& errors) {
  errors.push_back(kube::ForbiddenField(
      FieldPath("status.conditions"),
      absl::StrCat("updates may not ", what, " a condition of type ", kube::GoQuote(type))));
}

FieldErrors ValidateChange(const Value& before, const Value& after, bool may_decide,
                           bool may_sign) {
  FieldErrors errors = ValidateWhole(after);
  for (const char* type : kTrueOnly) {
    if (ConditionsOf(after, type).size() < ConditionsOf(before, type).size()) {
      ForbidCondition("remove", type, errors);
    }
  }
  for (const char* type : {"Approved", "Denied"}) {
    const std::vector<Value> old_ones = ConditionsOf(before, type);
    const std::vector<Value> new_ones = ConditionsOf(after, type);
    if (may_decide || new_ones.size() < old_ones.size()) continue;
    if (new_ones.size() > old_ones.size()) {
      ForbidCondition("add", type, errors);
    } else if (!std::equal(old_ones.begin(), old_ones.end(), new_ones.begin(), &Same)) {
      ForbidCondition("modify", type, errors);
    }
  }
  const absl::string_view old_one = Text(Get(before, "status"), "certificate");
  if (old_one != Text(Get(after, "status"), "certificate")) {
    const FieldPath path("status.certificate");
    if (!may_sign) {
      errors.push_back(kube::ForbiddenField(path, "updates may not set certificate content"));
    } else if (!old_one.empty()) {
      errors.push_back(
          kube::ForbiddenField(path, "updates may not modify existing certificate content"));
    }
  }
  return errors;
}

class RequestStrategy final : public Strategy {
 public:
  // Who asks is not asked: the request is as it was made, and its status is for others to write.
  void PrepareForUpdate(const Resource& resource, Scope scope, const Value& before,
                        Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, before, object);
    CopyMember(before, "spec", object);
  }
  FieldErrors Validate(const Resource& resource, const Value& object) const override {
    return ValidateWhole(object);
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const Value& before,
                             const Value& object) const override {
    return ValidateChange(before, object, false, scope == Scope::kStatus);
  }
  std::vector<std::string> CheckName(absl::string_view name, bool prefix) const override {
    return {};
  }
  kube::StringPairs SelectableFields(const Value& object) const override {
    return {{"spec.signerName", std::string(Text(Get(object, "spec"), "signerName"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"spec.signerName"}; }
};

std::string StateOf(const Value& request) {
  std::string out = "Pending";
  if (!ConditionsOf(request, "Approved").empty()) out = "Approved";
  if (!ConditionsOf(request, "Denied").empty()) out = "Denied";
  if (!ConditionsOf(request, "Failed").empty()) absl::StrAppend(&out, ",Failed");
  if (!Text(Get(request, "status"), "certificate").empty()) absl::StrAppend(&out, ",Issued");
  return out;
}

std::vector<Value> RequestRow(const Value& request, int64_t now_s) {
  const Value& spec = Get(request, "spec");
  const absl::string_view signer = Text(spec, "signerName");
  return {NameCell(request),
          AgeCell(request, now_s),
          TextCell(signer.empty() ? "<none>" : signer),
          TextCell(Text(spec, "username")),
          TextCell(Has(spec, "expirationSeconds") ? HumanDuration(Int(spec, "expirationSeconds"))
                                                  : "<none>"),
          TextCell(StateOf(request))};
}

}  // namespace

void AddCertificates(KindTable& table) {
  table.Add(kGroup, "certificatesigningrequests", std::make_unique<RequestStrategy>(),
            MakeColumns({NameColumn(), AgeColumn(), TextColumn("SignerName", "Who is to sign."),
                         TextColumn("Requestor", "Who asks."),
                         TextColumn("RequestedDuration", "How long it is to be valid."),
                         TextColumn("Condition", "What has been decided.")},
                        RequestRow));
}

Value WithApproval(const Value& current, const Value& sent, const std::string& now) {
  Value next = current;
  Value conditions = Value::Array();
  for (const Value& condition : Items(Get(sent, "status"), "conditions")) {
    Value filled = condition;
    SetDefault(filled, "lastUpdateTime", now);
    std::string since = now;
    for (const Value& old : ConditionsOf(current, Text(condition, "type"))) {
      const absl::string_view time = Text(old, "lastTransitionTime");
      if (Text(old, "status") == Text(condition, "status") && !time.empty())
        since = std::string(time);
    }
    SetDefault(filled, "lastTransitionTime", since);
    conditions.Append(std::move(filled));
  }
  next.MutableObject("status").Set("conditions", std::move(conditions));
  // A version that was named has to be the current one.
  CopyMember(Get(sent, "metadata"), "resourceVersion", next.MutableObject("metadata"));
  return next;
}

FieldErrors ValidateApproval(const Value& current, const Value& next) {
  return ValidateChange(current, next, true, false);
}

}  // namespace meltemi::apiserver
