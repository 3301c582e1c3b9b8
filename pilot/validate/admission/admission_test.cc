#include "pilot/validate/admission/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "pilot/ingest/decode/manifests.h"

namespace meltemi::pilot {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kMesh[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: n}
spec: {ports: [{port: 80}], selector: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: n}
spec: {host: web, subsets: [{name: v1, labels: {v: "1"}}]}
)";

std::string Rule(absl::string_view spec) {
  return absl::StrCat("apiVersion: networking.istio.io/v1\nkind: VirtualService\n",
                      "metadata: {name: r, namespace: n, managedFields: [{new: 1}]}\nspec: ", spec);
}

std::string To(absl::string_view destination) {
  return Rule(absl::StrCat("{hosts: [web], http: [{route: [{destination: ", destination, "}]}]}"));
}

// As pilot holds it.
ObjectPtr Held(absl::string_view yaml) {
  const std::string text = absl::StrReplaceAll(yaml, {{", managedFields: [{new: 1}]", ""}});
  return DecodeManifests(text, "held.yaml").objects.at(0);
}

json::Value Tree(absl::string_view yaml) {
  auto tree = yaml::Parse(yaml);
  EXPECT_TRUE(tree.ok()) << tree.status();
  return *std::move(tree);
}

std::string ReviewOf(absl::string_view yaml, absl::string_view operation = "CREATE",
                     absl::string_view old_yaml = "") {
  const json::Value object = Tree(yaml);
  std::string old;
  if (!old_yaml.empty()) old = absl::StrCat(R"(,"oldObject":)", json::ToString(Tree(old_yaml)));
  return absl::StrCat(R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":)",
                      R"({"uid":"u-1","kind":{"kind":")", object.FindString("kind"),
                      R"("},"namespace":"n","name":"r","operation":")", operation, R"(","object":)",
                      json::ToString(object), old, "}}");
}

ValidationAnswer Ask(absl::string_view review) {
  const auto answer = AnswerValidation(review, DecodeManifests(kMesh, "mesh.yaml").objects);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.value_or(ValidationAnswer{});
}

ValidationAnswer Apply(absl::string_view yaml) { return Ask(ReviewOf(yaml)); }

TEST(Admission, AGoodRuleGoesThroughWithoutAWord) {
  const ValidationAnswer answer = Apply(To("{host: web, subset: v1}"));
  EXPECT_TRUE(answer.allowed);
  EXPECT_THAT(answer.warnings, IsEmpty());
  EXPECT_EQ(answer.body, R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",)"
                         R"("response":{"uid":"u-1","allowed":true}})");
}

TEST(Admission, WhatIsInvalidIsRefusedWithThePlaceAndTheReason) {
  const ValidationAnswer answer = Apply(Rule("{hosts: [web], htp: []}"));
  EXPECT_FALSE(answer.allowed);
  EXPECT_THAT(answer.why, HasSubstr("configuration is invalid: "));
  EXPECT_THAT(answer.why, HasSubstr("spec.htp: unknown field \"htp\""));
  const auto body = json::Parse(answer.body);
  ASSERT_TRUE(body.ok());
  EXPECT_FALSE(body->Find("response", "allowed")->bool_value());
  EXPECT_EQ(body->Find("response", "status", "message")->text(), answer.why);
  EXPECT_EQ(body->Find("response", "status", "code")->text(), "400");
}

TEST(Admission, SeveralErrorsAreAList) {
  const ValidationAnswer answer =
      Apply(Rule("{hosts: [web], http: [{route: [{destination: {host: a b}, weight: -1}]}]}"));
  EXPECT_FALSE(answer.allowed);
  EXPECT_THAT(answer.why, HasSubstr("2 errors occurred:\n\t* spec.http[0]"));
}

TEST(Admission, APortThatTheServiceDoesNotHaveWouldLoseTraffic) {
  const ValidationAnswer answer = Apply(To("{host: web, port: {number: 8080}}"));
  EXPECT_FALSE(answer.allowed);
  EXPECT_THAT(answer.why, HasSubstr("port.number: Referenced port not found: the service "
                                    "\"web.n.svc.cluster.local\" has 80"));
}

TEST(Admission, PlaintextToWhatTakesMutualTlsAloneWouldLoseTraffic) {
  std::vector<ObjectPtr> objects = DecodeManifests(absl::StrCat(kMesh, R"(---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: n, labels: {app: web, security.istio.io/tlsMode: istio}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: n}
spec: {mtls: {mode: STRICT}}
)"),
                                                   "mesh.yaml")
                                       .objects;
  const auto rule = [&](absl::string_view mode) {
    const auto answer = AnswerValidation(
        ReviewOf(absl::StrCat("{apiVersion: networking.istio.io/v1, kind: DestinationRule, ",
                              "metadata: {name: r, namespace: n}, spec: {host: web, ",
                              "trafficPolicy: {tls: {mode: ", mode, "}}}}")),
        objects);
    return answer.ok() ? answer->why : "no answer";
  };
  EXPECT_THAT(rule("DISABLE"), HasSubstr("send plaintext, which its workloads refuse"));
  EXPECT_EQ(rule("ISTIO_MUTUAL"), "");
}

// The rule is there first, and how the workloads take traffic comes after it.
class PeersAfterRules : public ::testing::Test {
 protected:
  std::string Answer(absl::string_view name, absl::string_view spec, absl::string_view ns = "n") {
    const std::string review = absl::StrReplaceAll(
        ReviewOf(absl::StrCat("{apiVersion: security.istio.io/v1, kind: PeerAuthentication, ",
                              "metadata: {name: ", name, ", namespace: ", ns, "}, spec: ", spec,
                              "}")),
        {{R"("namespace":"n","name":"r")", absl::StrCat(R"("namespace":")", ns, "\"")}});
    const auto answer =
        AnswerValidation(review, DecodeManifests(absl::StrCat(kMesh, rules_), "m").objects);
    return answer.ok() ? answer->why : "no answer";
  }
  std::string Sends(absl::string_view mode) {
    return absl::StrCat("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n",
                        "metadata: {name: old, namespace: n}\n",
                        "spec: {host: web, trafficPolicy: {tls: {mode: ", mode, "}}}\n");
  }

  const std::string pod_ = R"(---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: n, labels: {app: web, security.istio.io/tlsMode: istio}}
)";
  std::string rules_ = pod_ + Sends("DISABLE");
};

TEST_F(PeersAfterRules, StrictWhereARuleSendsPlaintextIsRefusedWithTheRule) {
  const std::string why = Answer("default", "{mtls: {mode: STRICT}}");
  EXPECT_THAT(why, HasSubstr("DestinationRule n/old spec.trafficPolicy.tls.mode: clients of "
                             "\"web.n.svc.cluster.local\" on port 80 send plaintext, which its "
                             "workloads refuse: PeerAuthentication says STRICT; change that rule "
                             "first"));
  EXPECT_NE(Answer("default", "{mtls: {mode: STRICT}}", "istio-system"), "") << "the whole mesh";
  EXPECT_NE(Answer("web", "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}"), "");
  EXPECT_NE(Answer("web",
                   "{selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, "
                   "portLevelMtls: {80: {mode: STRICT}}}"),
            "");
}

TEST_F(PeersAfterRules, WhatBreaksNothingPasses) {
  EXPECT_EQ(Answer("default", "{mtls: {mode: PERMISSIVE}}"), "");
  EXPECT_EQ(Answer("other", "{selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}}"), "");
  EXPECT_EQ(Answer("web",
                   "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, "
                   "portLevelMtls: {80: {mode: PERMISSIVE}}}"),
            "");
  rules_ = pod_ + Sends("ISTIO_MUTUAL");
  EXPECT_EQ(Answer("default", "{mtls: {mode: STRICT}}"), "");
}

TEST_F(PeersAfterRules, PlaintextAloneWhereARuleSendsMutualTlsIsRefused) {
  rules_ = pod_ + Sends("ISTIO_MUTUAL");
  EXPECT_THAT(Answer("default", "{mtls: {mode: DISABLE}}"),
              HasSubstr("send mutual TLS, which its workloads refuse"));
}

TEST_F(PeersAfterRules, TlsWithoutACertificateIsRefusedByStrictToo) {
  rules_ = pod_ + Sends("SIMPLE");
  EXPECT_THAT(Answer("default", "{mtls: {mode: STRICT}}"),
              HasSubstr("send TLS without a certificate, which its workloads refuse"));
  EXPECT_EQ(Answer("default", "{mtls: {mode: PERMISSIVE}}"), "");
}

TEST_F(PeersAfterRules, WhatWasBrokenBeforeIsNoReason) {
  rules_ += R"(---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mesh, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
)";
  EXPECT_EQ(Answer("default", "{mtls: {mode: STRICT}}"), "");
}

TEST(Admission, WhatAnotherObjectMayYetMendIsAWarning) {
  const ValidationAnswer subset = Apply(To("{host: web, subset: v2}"));
  EXPECT_TRUE(subset.allowed);
  ASSERT_EQ(subset.warnings.size(), 1u);
  EXPECT_THAT(subset.warnings[0], HasSubstr("IST0101: spec.http[0].route[0].destination.subset: "
                                            "Referenced host+subset in destinationrule not found"));
  EXPECT_THAT(subset.body, HasSubstr(R"("warnings":["IST0101: )"));
  EXPECT_TRUE(Apply(To("{host: none}")).allowed);
}

TEST(Admission, AnUpdateThatLeavesTheSpecIsNotJudged) {
  const std::string bad = Rule("{hosts: []}");
  EXPECT_TRUE(Ask(ReviewOf(bad, "UPDATE", bad)).allowed);
  EXPECT_FALSE(Ask(ReviewOf(bad, "UPDATE", Rule("{hosts: [web]}"))).allowed);
  EXPECT_TRUE(Ask(ReviewOf(bad, "DELETE")).allowed);
}

TEST(Admission, AnObjectIsJudgedInThePlaceOfItsOldVersion) {
  std::vector<ObjectPtr> objects = DecodeManifests(kMesh, "mesh.yaml").objects;
  objects.push_back(Held(To("{host: web}")));
  const auto answer = AnswerValidation(ReviewOf(To("{host: web, subset: v1}"), "UPDATE"), objects);
  ASSERT_TRUE(answer.ok());
  EXPECT_THAT(answer->warnings, IsEmpty());  // not its own rival
}

TEST(Admission, AThousandRivalsAreToldOfInBounds) {
  std::vector<ObjectPtr> objects = DecodeManifests(kMesh, "mesh.yaml").objects;
  for (int i = 0; i < 1000; ++i) {
    Object rival = *Held(To("{host: web}"));
    rival.meta.name = absl::StrCat("rival-", 1000 + i);
    objects.push_back(std::make_shared<const Object>(std::move(rival)));
  }
  const auto answer = AnswerValidation(ReviewOf(To("{host: web}")), objects);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->allowed);
  ASSERT_EQ(answer->warnings.size(), 1u);
  EXPECT_THAT(answer->warnings[0], HasSubstr("IST0109"));
  EXPECT_LE(answer->warnings[0].size(), 250u);
}

TEST(Admission, KindsThatTheMeshDoesNotReadPass) {
  EXPECT_TRUE(Apply("{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, "
                    "metadata: {name: r}, spec: {x: 1}}")
                  .allowed);
}

TEST(Admission, ANameThatIsYetToBeMadeIsNoError) {
  EXPECT_TRUE(Apply("{apiVersion: networking.istio.io/v1, kind: DestinationRule, "
                    "metadata: {generateName: r-}, spec: {host: web}}")
                  .allowed);
}

TEST(Admission, GarbageIsAnError) {
  for (const char* bytes :
       {"", "x", "[]", "{}", R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",)"
        R"("kind":{"kind":"VirtualService"},"operation":"CREATE","object":null}})"}) {
    EXPECT_FALSE(AnswerValidation(bytes, {}).ok()) << bytes;
  }
}

}  // namespace
}  // namespace meltemi::pilot
