// Who gets to see a component's pages, and what its options refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "base/flags/flags.h"
#include "kube/client/client_fake.h"
#include "orchestrator/component/options.h"
#include "orchestrator/component/pages.h"

namespace meltemi::orchestrator {
namespace {

using apiserver::Body;
using apiserver::Request;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTokens[] = "/apis/authentication.k8s.io/v1/tokenreviews";
constexpr char kAccess[] = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

class PagesTest : public testing::Test {
 protected:
  PagesTest() {
    pages_.AddCheck({.name = "ping", .check = [] { return absl::OkStatus(); }});
    pages_.AddDebug("queues", [] { return "three"; });
    client_.on_call = [this](const kube::ApiCall& call) -> kube::Result<kube::ApiAnswer> {
      if (call.path == kTokens && absl::StrContains(call.body, "\"good\"")) {
        return kube::ApiAnswer{201, R"({"status":{"authenticated":true,"user":{
            "username":"scraper","groups":["watchers"]}}})"};
      }
      if (call.path == kTokens) return kube::ApiAnswer{201, R"({"status":{}})"};
      if (call.path == kAccess) {
        return kube::ApiAnswer{
            201, absl::StrCat(R"({"status":{"allowed":)", allowed_ ? "true" : "false", "}}")};
      }
      return kube::GenericStatus(404, "");
    };
  }

  Body Get(const std::string& path, const std::string& token = "") {
    Request request;
    request.method = "GET";
    request.info.path = path;
    request.info.verb = "get";
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    request.certificate = certificate_;
    return std::get<Body>(pages_.Handle(request));
  }

  FakeClock clock_;
  kube::ClientFake client_;
  metrics::Registry metrics_;
  DelegatedAccess access_{client_, clock_};
  Pages pages_{access_, metrics_};
  std::optional<apiserver::ClientCertificate> certificate_;
  bool allowed_ = true;
};

TEST_F(PagesTest, HealthIsForEverybody) {
  EXPECT_EQ(Get("/healthz").bytes, "ok");
  EXPECT_THAT(client_.TakeCalls(), ElementsAre());
}

TEST_F(PagesTest, WhoSaysNothingOrLiesSeesNothing) {
  EXPECT_EQ(Get("/metrics").code, 401);
  EXPECT_EQ(Get("/metrics", "bad").code, 401);
}

TEST_F(PagesTest, ATokenIsAskedAboutOnceInTenSeconds) {
  EXPECT_EQ(Get("/debug/queues", "good").bytes, "three");
  EXPECT_EQ(Get("/debug/queues", "good").bytes, "three");
  EXPECT_EQ(client_.TakeCalls().size(), 2u);
  clock_.Advance(seconds(11));
  EXPECT_EQ(Get("/debug/queues", "good").bytes, "three");
  EXPECT_EQ(client_.TakeCalls().size(), 2u);
}

TEST_F(PagesTest, WhoMayNotIsTold) {
  allowed_ = false;
  const Body answer = Get("/metrics", "good");
  EXPECT_EQ(answer.code, 403);
  EXPECT_THAT(answer.bytes, HasSubstr("User \\\"scraper\\\" cannot get path"));
  // A refusal is not remembered: whoever is given the right has it at once.
  allowed_ = true;
  EXPECT_EQ(Get("/metrics", "good").code, 200);
}

TEST_F(PagesTest, TheQuestionNamesUserGroupsAndPath) {
  (void)Get("/metrics", "good");
  const std::string asked = client_.calls().back().body;
  EXPECT_THAT(asked, HasSubstr(R"("user":"scraper")"));
  EXPECT_THAT(asked, HasSubstr(R"("groups":["watchers"])"));
  EXPECT_THAT(asked, HasSubstr(R"("nonResourceAttributes":{"verb":"get","path":"/metrics"})"));
}

TEST_F(PagesTest, ACertificateOfTheClusterNeedsNoToken) {
  certificate_ = {.common_name = "admin", .organizations = {"system:masters"}, .sha256_hex = ""};
  EXPECT_EQ(Get("/metrics").code, 200);
  EXPECT_THAT(client_.TakeCalls(), ElementsAre());
  EXPECT_EQ(Get("/nothing").code, 404);
  EXPECT_THAT(Get("/").bytes, HasSubstr("/debug/queues\n"));
}

TEST_F(PagesTest, AnApiServerThatCannotBeAskedIsNoPermission) {
  client_.on_call = [](const kube::ApiCall&) -> kube::Result<kube::ApiAnswer> {
    return kube::ServiceUnavailable("it sleeps");
  };
  EXPECT_EQ(Get("/metrics", "good").code, 503);
}

TEST(OptionsTest, ALeaderStepsDownBeforeAnotherOneTakesOver) {
  ComponentOptions options;
  EXPECT_TRUE(CheckComponentOptions(options).ok());
  options.renew_deadline = options.lease_duration;
  EXPECT_THAT(std::string(CheckComponentOptions(options).message()),
              HasSubstr("--leader-elect-lease-duration must be longer"));
  options = {};
  options.retry_period = options.renew_deadline;
  EXPECT_THAT(std::string(CheckComponentOptions(options).message()), HasSubstr("1.2 times"));
  options = {};
  options.tls_cert_file = "x";
  EXPECT_FALSE(CheckComponentOptions(options).ok());
}

TEST(OptionsTest, WithoutElectionThereAreNoOptionsForIt) {
  ComponentOptions options;
  Flags flags("x");
  AddComponentFlags(&options, /*with_election=*/false, flags);
  EXPECT_FALSE(flags.Parse({"--leader-elect=false"}).ok());
}

}  // namespace
}  // namespace meltemi::orchestrator
