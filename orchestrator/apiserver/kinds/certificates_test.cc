#include "orchestrator/apiserver/kinds/certificates.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/tls/signing_request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Strategy& Rules() {
  static KindTable& table = *new KindTable;
  AddCertificates(table);
  return *table.StrategyOf("certificates.k8s.io", "v1", "certificatesigningrequests");
}

Resource Requests() {
  Resource resource;
  resource.group = "certificates.k8s.io";
  resource.version = "v1";
  resource.plural = "certificatesigningrequests";
  resource.status_subresource = true;
  return resource;
}

Value Request() {
  static const std::string& pem = *new std::string(*tls::NewSigningRequestPem(
      {.common_name = "me"}, *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256)));
  Value object = Value::Object();
  object.MutableObject("metadata").Set("name", Value::String("x"));
  Value& spec = object.MutableObject("spec");
  spec.Set("request", Value::String(absl::Base64Escape(pem)));
  spec.Set("signerName", Value::String("kubernetes.io/kube-apiserver-client"));
  spec.Set("usages", Value::Array()).Append(Value::String("client auth"));
  return object;
}

void AddCondition(Value& object, const char* type) {
  Value condition = Value::Object();
  condition.Add("type", Value::String(type));
  condition.Add("status", Value::String("True"));
  Value& status = object.MutableObject("status");
  if (status.Find("conditions") == nullptr) status.Add("conditions", Value::Array());
  status.Find("conditions")->Append(std::move(condition));
}

std::vector<std::string> Words(const kube::FieldErrors& errors) {
  std::vector<std::string> out;
  for (const kube::FieldError& error : errors) out.push_back(error.ToString());
  return out;
}

TEST(CertificateRequests, AreChecked) {
  EXPECT_THAT(Words(Rules().Validate(Requests(), Request())), IsEmpty());
  Value bad = Request();
  bad.MutableObject("spec").Set("request", Value::String(absl::Base64Escape("no")));
  EXPECT_THAT(Words(Rules().Validate(Requests(), bad)),
              ElementsAre("spec.request: Invalid value: []byte{0x6e, 0x6f}: PEM block type must be "
                          "CERTIFICATE REQUEST"));
  bad = Request();
  bad.MutableObject("spec").Set("usages", Value::Array());
  bad.MutableObject("spec").Set("signerName", Value::String("mine"));
  bad.MutableObject("spec").Set("expirationSeconds", Value::Int(599));
  EXPECT_THAT(
      Words(Rules().Validate(Requests(), bad)),
      ElementsAre("spec.usages: Required value",
                  "spec.signerName: Invalid value: \"mine\": must be a fully qualified domain and "
                  "path of the form 'example.com/signer-name'",
                  "spec.expirationSeconds: Invalid value: 599: may not specify a duration less "
                  "than 600 seconds (10 minutes)"));
}

TEST(CertificateRequests, DecidingAndSigningAreForTheirEndpoints) {
  const Value before = Request();
  Value approved = before;
  AddCondition(approved, "Approved");
  EXPECT_THAT(Words(Rules().ValidateUpdate(Requests(), Scope::kStatus, before, approved)),
              ElementsAre("status.conditions: Forbidden: updates may not add a condition of type "
                          "\"Approved\""));
  EXPECT_THAT(Words(ValidateApproval(before, approved)), IsEmpty());
  EXPECT_THAT(Words(ValidateApproval(approved, before)),
              ElementsAre("status.conditions: Forbidden: updates may not remove a condition of "
                          "type \"Approved\""));
  Value both = approved;
  AddCondition(both, "Denied");
  EXPECT_THAT(Words(ValidateApproval(before, both)),
              ElementsAre(HasSubstr("Approved and Denied conditions are mutually exclusive")));
  Value changed = before;
  changed.MutableObject("spec").Set("username", Value::String("root"));
  Rules().PrepareForUpdate(Requests(), Scope::kMain, before, changed);
  EXPECT_EQ(Text(Get(changed, "spec"), "username"), "");
}

TEST(CertificateRequests, ApprovalTakesNothingButConditions) {
  const Value before = Request();
  Value sent = before;
  AddCondition(sent, "Approved");
  sent.MutableObject("spec").Set("signerName", Value::String("other.io/x"));
  sent.MutableObject("status").Set("certificate", Value::String("eA=="));
  const Value after = WithApproval(before, sent, "2024-01-01T00:00:00Z");
  EXPECT_EQ(Text(Get(after, "spec"), "signerName"), "kubernetes.io/kube-apiserver-client");
  EXPECT_FALSE(Has(Get(after, "status"), "certificate"));
  const Value& condition = Items(Get(after, "status"), "conditions")[0];
  EXPECT_EQ(Text(condition, "lastUpdateTime"), "2024-01-01T00:00:00Z");
  EXPECT_EQ(Text(condition, "lastTransitionTime"), "2024-01-01T00:00:00Z");
}

}  // namespace
}  // namespace meltemi::apiserver
