#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "orchestrator/apiserver/admission/admission_fixture.h"
#include "orchestrator/apiserver/https_client/https_server_fake.h"

namespace meltemi::apiserver {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Answer = HttpsServerFake::Answer;

class WebhookTest : public AdmissionFixture {
 protected:
  WebhookTest()
      : server_({"localhost", "hooks.dev.svc"},
                [this](const std::string& path, const std::string& body) {
                  const std::lock_guard<std::mutex> lock(mutex_);
                  paths_.push_back(path.substr(0, path.find('?')));
                  reviews_.push_back(*json::Parse(body));
                  return answer_(path, reviews_.back());
                }) {
    Make({.disabled = {"ServiceAccount", "Priority", "DefaultTolerationSeconds"}});
  }

  std::string Url(absl::string_view path = "/") {
    return absl::StrCat("https://127.0.0.1:", server_.address().port(), path);
  }
  std::string CaBundle() { return absl::Base64Escape(server_.ca_pem()); }

  // A hook of all creations and updates of everything namespaced, unless `more` says otherwise.
  std::string Hook(const std::string& name, const std::string& more = "",
                   const std::string& client = "") {
    const std::string config =
        client.empty() ? absl::StrCat(R"("url":")", Url(absl::StrCat("/", name)), "\"") : client;
    return absl::StrCat(
        R"({"name":")", name, R"(","clientConfig":{)", config, R"(,"caBundle":")", CaBundle(),
        R"("},"sideEffects":"None","admissionReviewVersions":["v1"],"timeoutSeconds":10)", more,
        more.find("\"rules\"") != std::string::npos
            ? ""
            : R"(,"rules":[{"operations":["CREATE","UPDATE"],"apiGroups":["*"],
                  "apiVersions":["*"],"resources":["*"]}])",
        "}");
  }
  void Configure(const std::string& kind, const std::string& name,
                 const std::vector<std::string>& hooks) {
    std::string list;
    for (const std::string& hook : hooks) absl::StrAppend(&list, list.empty() ? "" : ",", hook);
    Put("admissionregistration.k8s.io", kind + "webhookconfigurations",
        absl::StrCat(R"({"metadata":{"name":")", name, R"("},"webhooks":[)", list, "]}"));
  }
  void Mutating(const std::vector<std::string>& hooks) { Configure("mutating", "m", hooks); }
  void Validating(const std::vector<std::string>& hooks) { Configure("validating", "v", hooks); }

  AdmissionRequest ConfigMap(absl::string_view metadata = "") {
    return Request("", "configmaps",
                   absl::StrCat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a",)"
                                R"("namespace":"dev")",
                                metadata, R"(},"data":{"k":"v"}})"));
  }

  static std::string Reply(const json::Value& review, const std::string& rest) {
    return absl::StrCat(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",)"
                        R"("response":{"uid":")",
                        kube::TextAt(review, "request.uid"), "\",", rest, "}}");
  }
  static std::string Patch(absl::string_view patch) {
    return absl::StrCat(R"("allowed":true,"patchType":"JSONPatch","patch":")",
                        absl::Base64Escape(patch), "\"");
  }
  void AnswerAll(const std::string& rest) {
    answer_ = [rest](const std::string&, const json::Value& review) {
      return Answer{200, Reply(review, rest)};
    };
  }
  void AnswerText(int code, const std::string& body) {
    answer_ = [=](const std::string&, const json::Value&) { return Answer{code, body}; };
  }
  std::vector<std::string> Paths() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return paths_;
  }
  json::Value LastReview() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reviews_.back();
  }

  std::mutex mutex_;
  std::vector<std::string> paths_;    // guarded by mutex_
  std::vector<json::Value> reviews_;  // guarded by mutex_
  std::function<Answer(const std::string& path, const json::Value& review)> answer_ =
      [](const std::string&, const json::Value& review) {
        return Answer{200, Reply(review, "\"allowed\":true")};
      };
  HttpsServerFake server_;
};

TEST_F(WebhookTest, AWebhookIsAskedAboutTheObject) {
  Validating({Hook("ask.example.com")});
  AdmissionRequest request = ConfigMap();
  request.user.uid = "42";
  request.user.extra["scope"] = {"x"};
  ASSERT_EQ(Validate(request), "");
  const json::Value review = LastReview();
  EXPECT_EQ(review.FindString("apiVersion"), "admission.k8s.io/v1");
  json::Value asked = *review.Find("request");
  EXPECT_EQ(asked.FindString("uid").size(), 36u);
  asked.Remove("uid");
  EXPECT_EQ(json::ToString(asked),
            R"({"kind":{"group":"","version":"v1","kind":"ConfigMap"},)"
            R"("resource":{"group":"","version":"v1","resource":"configmaps"},)"
            R"("requestKind":{"group":"","version":"v1","kind":"ConfigMap"},)"
            R"("requestResource":{"group":"","version":"v1","resource":"configmaps"},)"
            R"("name":"a","namespace":"dev","operation":"CREATE","userInfo":{"username":"jane",)"
            R"("uid":"42","groups":["system:authenticated"],"extra":{"scope":["x"]}},)"
            R"("object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a",)"
            R"("namespace":"dev"},"data":{"k":"v"}},"oldObject":null,"dryRun":false,)"
            R"("options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}})");
}

TEST_F(WebhookTest, ADenialIsToldWithTheWebhooksWords) {
  Validating({Hook("deny.example.com")});
  AnswerAll(R"("allowed":false,"status":{"code":418,"message":"no tea","reason":"Teapot"})");
  AdmissionRequest request = ConfigMap();
  const kube::Outcome outcome = admission_->Validate(request);
  EXPECT_EQ(outcome.status().code, 418);
  EXPECT_EQ(outcome.status().reason, "Teapot");
  EXPECT_EQ(outcome.status().message,
            "admission webhook \"deny.example.com\" denied the request: no tea");
  AnswerAll(R"("allowed":false)");
  const kube::Outcome silent = admission_->Validate(request);
  EXPECT_EQ(silent.status().code, 400);
  EXPECT_EQ(silent.status().message,
            "admission webhook \"deny.example.com\" denied the request without explanation");
}

TEST_F(WebhookTest, WarningsReachTheAnswer) {
  Validating({Hook("warn.example.com")});
  AnswerAll(R"("allowed":true,"warnings":["old field"])");
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request), "");
  EXPECT_THAT(request.warnings, ElementsAre("old field"));
}

TEST_F(WebhookTest, AMutatingWebhookPatches) {
  Mutating({Hook("patch.example.com")});
  AnswerAll(Patch(R"([{"op":"add","path":"/metadata/labels","value":{"a":"b"}},
                      {"op":"replace","path":"/data/k","value":"w"}])"));
  AdmissionRequest request = ConfigMap();
  ASSERT_EQ(Mutate(request), "");
  EXPECT_EQ(Text(request, "metadata.labels"), R"({"a":"b"})");
  EXPECT_EQ(Text(request, "data"), R"({"k":"w"})");
}

TEST_F(WebhookTest, MutatingWebhooksComeInTheOrderOfTheirNames) {
  Configure("mutating", "b", {Hook("second.example.com")});
  Configure("mutating", "a", {Hook("zero.example.com"), Hook("first.example.com")});
  AdmissionRequest request = ConfigMap();
  ASSERT_EQ(Mutate(request), "");
  EXPECT_THAT(Paths(),
              ElementsAre("/zero.example.com", "/first.example.com", "/second.example.com"));
}

TEST_F(WebhookTest, AChangeIsShownToEarlierWebhooksThatWantToSeeIt) {
  Mutating({Hook("a.example.com", R"(,"reinvocationPolicy":"IfNeeded")"), Hook("b.example.com")});
  answer_ = [](const std::string& path, const json::Value& review) {
    const bool labelled = kube::At(review, "request.object.metadata.labels") != nullptr;
    if (absl::StartsWith(path, "/b") && !labelled) {
      return Answer{
          200,
          Reply(review, Patch(R"([{"op":"add","path":"/metadata/labels","value":{"a":"b"}}])"))};
    }
    return Answer{200, Reply(review, "\"allowed\":true")};
  };
  AdmissionRequest request = ConfigMap();
  ASSERT_EQ(Mutate(request), "");
  EXPECT_THAT(Paths(), ElementsAre("/a.example.com", "/b.example.com", "/a.example.com"));
  EXPECT_EQ(kube::TextAt(LastReview(), "request.object.metadata.labels.a"), "b");
}

TEST_F(WebhookTest, RulesSayWhatAWebhookHearsOf) {
  const auto rule = [](absl::string_view operations, absl::string_view groups,
                       absl::string_view resources, absl::string_view scope = "*") {
    return absl::StrCat(R"(,"rules":[{"operations":)", operations, R"(,"apiGroups":)", groups,
                        R"(,"apiVersions":["v1"],"resources":)", resources, R"(,"scope":")", scope,
                        "\"}]");
  };
  const auto heard = [&](const std::string& more, AdmissionRequest request) {
    Validating({Hook("x.example.com", more)});
    const size_t before = Paths().size();
    EXPECT_EQ(Validate(request), "");
    return Paths().size() > before;
  };
  EXPECT_TRUE(heard(rule(R"(["CREATE"])", R"([""])", R"(["configmaps"])"), ConfigMap()));
  EXPECT_FALSE(heard(rule(R"(["UPDATE"])", R"([""])", R"(["configmaps"])"), ConfigMap()));
  EXPECT_FALSE(heard(rule(R"(["*"])", R"(["apps"])", R"(["configmaps"])"), ConfigMap()));
  EXPECT_FALSE(heard(rule(R"(["*"])", R"(["*"])", R"(["pods"])"), ConfigMap()));
  EXPECT_FALSE(heard(rule(R"(["*"])", R"(["*"])", R"(["*"])", "Cluster"), ConfigMap()));
  EXPECT_TRUE(heard(rule(R"(["*"])", R"(["*"])", R"(["*"])", "Namespaced"), ConfigMap()));
  AdmissionRequest status = PodRequest("{}");
  status.subresource = "status";
  EXPECT_FALSE(heard(rule(R"(["*"])", R"(["*"])", R"(["*"])"), status));
  EXPECT_TRUE(heard(rule(R"(["*"])", R"(["*"])", R"(["*/*"])"), status));
  EXPECT_TRUE(heard(rule(R"(["*"])", R"(["*"])", R"(["pods/status"])"), status));
  AdmissionRequest ns = Request("", "namespaces", R"({"metadata":{"name":"new"}})");
  ns.ns = "new";
  EXPECT_TRUE(heard(rule(R"(["*"])", R"(["*"])", R"(["*"])", "Cluster"), ns));
  EXPECT_FALSE(heard(rule(R"(["*"])", R"(["*"])", R"(["*"])", "Namespaced"), ns));
}

TEST_F(WebhookTest, SelectorsSayToo) {
  const auto heard = [&](const std::string& more, AdmissionRequest request) {
    Validating({Hook("x.example.com", more)});
    const size_t before = Paths().size();
    EXPECT_EQ(Validate(request), "");
    return Paths().size() > before;
  };
  EXPECT_TRUE(heard(R"(,"namespaceSelector":{"matchLabels":{"team":"a"}})", ConfigMap()));
  EXPECT_FALSE(heard(R"(,"namespaceSelector":{"matchLabels":{"team":"b"}})", ConfigMap()));
  constexpr char kObject[] = R"(,"objectSelector":{"matchLabels":{"app":"x"}})";
  EXPECT_FALSE(heard(kObject, ConfigMap()));
  EXPECT_TRUE(heard(kObject, ConfigMap(R"(,"labels":{"app":"x"})")));
  AdmissionRequest before = ConfigMap();
  before.operation = Operation::kUpdate;
  before.old_object = ConfigMap(R"(,"labels":{"app":"x"})").object;
  EXPECT_TRUE(heard(kObject, before));
  // A namespace that is being made is judged by its own labels.
  AdmissionRequest ns = Request("", "namespaces", R"({"metadata":{"name":"new",
      "labels":{"team":"b"}}})");
  ns.ns = "new";
  EXPECT_TRUE(heard(R"(,"namespaceSelector":{"matchLabels":{"team":"b"}})", ns));
}

TEST_F(WebhookTest, ConfigurationsOfWebhooksAreNeverShownToWebhooks) {
  Validating({Hook("x.example.com")});
  Mutating({Hook("y.example.com")});
  AdmissionRequest request =
      Request("admissionregistration.k8s.io", "validatingwebhookconfigurations",
              R"({"metadata":{"name":"other"}})");
  EXPECT_EQ(Mutate(request), "");
  EXPECT_EQ(Validate(request), "");
  EXPECT_TRUE(Paths().empty());
}

TEST_F(WebhookTest, ConditionsInCelAreRefusedWhenTheyAreConfigured) {
  AdmissionRequest request =
      Request("admissionregistration.k8s.io", "validatingwebhookconfigurations",
              R"({"metadata":{"name":"cel"},"webhooks":[{},{"matchConditions":[
                  {"name":"a","expression":"true"}]}]})");
  EXPECT_THAT(Validate(request), HasSubstr("webhooks[1].matchConditions: Forbidden: conditions "
                                           "are CEL expressions, which this server does not "
                                           "evaluate"));
}

TEST_F(WebhookTest, ADryRunIsForWebhooksWithoutSideEffects) {
  AdmissionRequest request = ConfigMap();
  request.dry_run = true;
  Validating({Hook("safe.example.com")});
  EXPECT_EQ(Validate(request), "");
  EXPECT_EQ(json::ToString(*LastReview().Find("request", "dryRun")), "true");
  std::string unsafe = Hook("unsafe.example.com", R"(,"failurePolicy":"Ignore")");
  unsafe.replace(unsafe.find("\"None\""), 6, "\"Some\"");
  Validating({unsafe});
  EXPECT_EQ(Validate(request), "admission webhook \"unsafe.example.com\" does not support dry run");
}

TEST_F(WebhookTest, LiesAreFoundOut) {
  Mutating({Hook("x.example.com")});
  const auto error = [&] {
    AdmissionRequest request = ConfigMap();
    return Mutate(request);
  };
  constexpr char kFailed[] = "Internal error occurred: failed calling webhook \"x.example.com\": ";
  const std::string invalid = absl::StrCat(kFailed, "received invalid webhook response: ");
  AnswerText(200, R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
      "response":{"uid":"other","allowed":true}})");
  EXPECT_THAT(error(), StartsWith(invalid + "expected response.uid=\""));
  EXPECT_THAT(error(), HasSubstr("\", got \"other\""));
  AnswerText(200, R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})");
  EXPECT_EQ(error(), invalid + "webhook response was absent");
  answer_ = [](const std::string&, const json::Value& review) {
    return Answer{200, absl::StrCat(R"({"apiVersion":"v1","kind":"Pod","response":{"uid":")",
                                    kube::TextAt(review, "request.uid"), "\"}}")};
  };
  EXPECT_EQ(error(), invalid +
                         "expected webhook response of admission.k8s.io/v1, "
                         "Kind=AdmissionReview, got /v1, Kind=Pod");
  AnswerText(200, "garbage");
  EXPECT_THAT(error(), StartsWith(invalid + "couldn't get version/kind; json parse error: "));
  AnswerText(200, "{}");
  EXPECT_EQ(error(), invalid + "Object 'Kind' is missing in '{}'");
  AnswerAll(R"("allowed":true,"patch":"W10=")");
  EXPECT_EQ(error(), invalid + "webhook returned response.patch but not response.patchType");
  AnswerAll(R"("allowed":true,"patchType":"JSONPatch")");
  EXPECT_EQ(error(), invalid + "webhook returned response.patchType but not response.patch");
  AnswerAll(R"("allowed":true,"patchType":"Magic","patch":"W10=")");
  EXPECT_EQ(error(), std::string(kFailed) + "unsupported patch type \"Magic\"");
  AnswerAll(Patch(R"([{"op":"remove","path":"/none"}])"));
  EXPECT_THAT(error(), StartsWith("Internal error occurred: "));
  AnswerAll(Patch("no json"));
  EXPECT_THAT(error(), StartsWith("Internal error occurred: "));
  AnswerText(500, "boom");
  EXPECT_EQ(error(), std::string(kFailed) +
                         "failed to call webhook: an error on the server (\"boom\") has prevented "
                         "the request from succeeding");
  AnswerText(404, "");
  EXPECT_EQ(error(), std::string(kFailed) +
                         "failed to call webhook: the server could not find "
                         "the requested resource");
}

TEST_F(WebhookTest, AValidatingWebhookMayNotPatch) {
  Validating({Hook("x.example.com")});
  AnswerAll(Patch("[]"));
  AdmissionRequest request = ConfigMap();
  EXPECT_THAT(Validate(request), HasSubstr("validating webhook may not return response.patch"));
}

TEST_F(WebhookTest, AHugeAnswerIsCutOff) {
  Validating({Hook("x.example.com")});
  AnswerText(200, std::string(4 * 1024 * 1024, ' '));
  AdmissionRequest request = ConfigMap();
  EXPECT_THAT(Validate(request), HasSubstr("the response is larger than 3145728 bytes"));
}

TEST_F(WebhookTest, AWebhookThatHangsCostsItsTimeout) {
  Validating({Hook("x.example.com")});
  answer_ = [](const std::string&, const json::Value&) { return Answer{.never = true}; };
  AdmissionRequest request = ConfigMap();
  request.deadline = clock_.Now() + milliseconds(200);  // shorter than the hook's own
  EXPECT_EQ(Validate(request),
            absl::StrCat("Internal error occurred: failed calling webhook \"x.example.com\": "
                         "failed to call webhook: Post \"",
                         Url("/x.example.com"), "?timeout=1s\": context deadline exceeded"));
}

TEST_F(WebhookTest, FailuresAreIgnoredWhereThePolicySaysSo) {
  Validating({Hook("x.example.com", R"(,"failurePolicy":"Ignore")")});
  AnswerText(500, "boom");
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request), "");
  AnswerAll(R"("allowed":false,"status":{"message":"no"})");
  EXPECT_EQ(Validate(request), "admission webhook \"x.example.com\" denied the request: no");
  // The request's own time is over: no ignoring helps.
  answer_ = [](const std::string&, const json::Value&) { return Answer{.never = true}; };
  request.deadline = clock_.Now() + milliseconds(50);
  EXPECT_EQ(admission_->Validate(request).status().code, 504);
}

TEST_F(WebhookTest, NobodyListens) {
  Validating({Hook("x.example.com", "", R"("url":"https://127.0.0.1:1/p")")});
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request),
            "Internal error occurred: failed calling webhook \"x.example.com\": failed to call "
            "webhook: Post \"https://127.0.0.1:1/p?timeout=10s\": dial tcp 127.0.0.1:1: connect: "
            "connection refused");
}

TEST_F(WebhookTest, ACertificateOfAnotherCaIsNotTrusted) {
  HttpsServerFake stranger({"localhost"},
                           [](const std::string&, const std::string&) { return Answer{}; });
  Validating({Hook("x.example.com", "",
                   absl::StrCat(R"("url":"https://127.0.0.1:)", stranger.address().port(), "\""))});
  AdmissionRequest request = ConfigMap();
  EXPECT_THAT(Validate(request), HasSubstr("tls: failed to verify certificate: x509: certificate "
                                           "signed by unknown authority"));
}

TEST_F(WebhookTest, AServiceIsFoundByItsEndpoints) {
  Validating({Hook("x.example.com", "",
                   R"("service":{"namespace":"dev","name":"hooks","path":"/check","port":8443})")});
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request),
            "Internal error occurred: failed calling webhook \"x.example.com\": failed to call "
            "webhook: Post \"https://hooks.dev.svc:8443/check?timeout=10s\": service \"hooks\" not "
            "found");
  Put("", "services", R"({"metadata":{"name":"hooks","namespace":"dev"},"spec":{
      "clusterIP":"10.96.0.9","ports":[{"name":"web","port":8443,"targetPort":"https"}]}})");
  Put("", "endpoints", R"({"metadata":{"name":"hooks","namespace":"dev"}})");
  EXPECT_THAT(Validate(request), HasSubstr("no endpoints available for service \"hooks\""));
  Put("", "endpoints",
      absl::StrCat(R"({"metadata":{"name":"hooks","namespace":"dev"},"subsets":[{"addresses":[
          {"ip":"127.0.0.1"}],"ports":[{"name":"web","port":)",
                   server_.address().port(), "}]}]}"));
  EXPECT_EQ(Validate(request), "");
  EXPECT_THAT(Paths(), ElementsAre("/check"));
  cache_.Delete({"", "endpoints"}, "dev", "hooks");
  Put("discovery.k8s.io", "endpointslices",
      absl::StrCat(R"({"metadata":{"name":"hooks-1","namespace":"dev","labels":{
          "kubernetes.io/service-name":"hooks"}},"ports":[{"name":"web","port":)",
                   server_.address().port(),
                   R"(}],"endpoints":[{"addresses":["127.0.0.9"],"conditions":{"ready":false}},
                      {"addresses":["127.0.0.1"],"conditions":{"ready":true}}]})"));
  EXPECT_EQ(Validate(request), "");
}

TEST_F(WebhookTest, AConnectionServesManyCalls) {
  Validating(
      {Hook("x.example.com", "",
            absl::StrCat(R"("url":"https://localhost:)", server_.address().port(), R"(/n")"))});
  for (int i = 0; i < 20; ++i) {
    AdmissionRequest request = ConfigMap();
    ASSERT_EQ(Validate(request), "");
  }
  EXPECT_EQ(server_.accepted(), 1u);
  // One that was closed meanwhile is replaced without anybody noticing.
  bool closed = false;
  answer_ = [&](const std::string&, const json::Value& review) {
    if (std::exchange(closed, true)) return Answer{200, Reply(review, "\"allowed\":true")};
    return Answer{.close_connection = true};
  };
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request), "");
  EXPECT_EQ(server_.accepted(), 2u);
}

TEST_F(WebhookTest, ValidatingWebhooksAreAskedAtTheSameTime) {
  Validating({Hook("a.example.com"), Hook("b.example.com"), Hook("c.example.com")});
  // The server sees all three although none has been answered: the first waits for the deadline.
  answer_ = [](const std::string& path, const json::Value& review) {
    if (absl::StartsWith(path, "/a")) return Answer{.never = true};
    return Answer{200, Reply(review, "\"allowed\":true")};
  };
  AdmissionRequest request = ConfigMap();
  request.deadline = clock_.Now() + milliseconds(300);
  EXPECT_THAT(Validate(request), HasSubstr("context deadline exceeded"));
  EXPECT_EQ(Paths().size(), 3u);
}

TEST_F(WebhookTest, WebhooksThatAreGoneAreNotAsked) {
  Validating({Hook("x.example.com")});
  cache_.Delete({"admissionregistration.k8s.io", "validatingwebhookconfigurations"}, "", "v");
  AdmissionRequest request = ConfigMap();
  EXPECT_EQ(Validate(request), "");
  EXPECT_TRUE(Paths().empty());
}

}  // namespace
}  // namespace meltemi::apiserver
