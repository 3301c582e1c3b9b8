#include "orchestrator/apiserver/chain/chain.h"

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/metrics/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/in_flight.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

// Knows one token, "letmein", as alice; nobody else is refused but "wrong".
class FakeAuthenticator final : public Authenticator {
 public:
  kube::Result<std::optional<Authenticated>> Authenticate(const Credentials& given) override {
    if (given.bearer_token == "wrong") return kube::Unauthorized();
    Authenticated who;
    who.user.name = given.bearer_token == "letmein" ? "alice" : "system:anonymous";
    return std::optional<Authenticated>(std::move(who));
  }
};

// Anonymous may look at health; alice may do everything, but not impersonate.
class FakeAuthorizer final : public Authorizer {
 public:
  Verdict Authorize(const Attributes& attributes) override {
    const bool allowed = attributes.verb != "impersonate" &&
                         (attributes.user.name == "alice" || attributes.path == "/readyz");
    return {allowed ? Decision::kAllow : Decision::kNoOpinion, ""};
  }
};

class FakeIssuer final : public TokenIssuer {
 public:
  IssuedToken Issue(const TokenRequest&) override { return {}; }
  std::string KeySetJson() const override { return R"({"keys":[]})"; }
  std::string DiscoveryJson() const override { return "{}"; }
};

class Named final : public Handler {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  Reply Handle(Request& request) override {
    return Body{.bytes = name_ + " for " + request.user.name};
  }

 private:
  const std::string name_;
};

class ChainTest : public ::testing::Test {
 protected:
  ChainTest() {
    health_.Add({.name = "ping", .check = [] { return absl::OkStatus(); }});
    health_.Add({.name = "etcd", .check = [this] { return store_; }, .live = false});
  }
  Body Get(const std::string& target, const std::string& token = "letmein",
           std::map<std::string, std::string> headers = {}) {
    Request request;
    request.method = "GET";
    request.target = target;
    const size_t mark = target.find('?');
    const std::string query = mark == std::string::npos ? "" : target.substr(mark + 1);
    request.query = Query::Parse(query);
    request.info = ParseRequestInfo("GET", target.substr(0, mark), query);
    request.headers = std::move(headers);
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    return std::get<Body>(chain_->Handle(request));
  }

  FakeClock clock_;
  FakeAuthenticator authenticator_;
  FakeAuthorizer authorizer_;
  FakeIssuer tokens_;
  InFlightLimiter limiter_{1, 1};
  metrics::Registry metrics_;
  Health health_;
  absl::Status store_;
  Named resources_{"resources"}, discovery_{"discovery"}, openapi_{"openapi"};
  std::unique_ptr<Handler> chain_ = NewChain({.clock = clock_,
                                              .authenticator = authenticator_,
                                              .authorizer = authorizer_,
                                              .limiter = limiter_,
                                              .tokens = tokens_,
                                              .health = health_,
                                              .metrics = metrics_,
                                              .resources = resources_,
                                              .discovery = discovery_,
                                              .openapi = openapi_});
};

TEST_F(ChainTest, EachPathHasItsHandler) {
  EXPECT_EQ(Get("/api/v1/namespaces/default/pods").bytes, "resources for alice");
  EXPECT_EQ(Get("/apis/apps/v1").bytes, "discovery for alice");
  EXPECT_EQ(Get("/api").bytes, "discovery for alice");
  EXPECT_EQ(Get("/openapi/v3").bytes, "openapi for alice");
  EXPECT_EQ(Get("/openid/v1/jwks").content_type, "application/jwk-set+json");
  EXPECT_THAT(Get("/version").bytes, HasSubstr("\"gitVersion\""));
  EXPECT_THAT(Get("/").bytes, HasSubstr("/openapi/v2"));
  EXPECT_EQ(Get("/nonsense").code, 404);
  EXPECT_THAT(Get("/nonsense").bytes,
              HasSubstr("the server could not find the requested resource"));
}

TEST_F(ChainTest, WhoIsNotKnownOrMayNotGetsNoAnswer) {
  EXPECT_EQ(Get("/version", "wrong").code, 401);
  EXPECT_EQ(Get("/version", "").code, 403);
  EXPECT_EQ(Get("/readyz", "").bytes, "ok");
  const Body refused = Get("/version", "letmein", {{"impersonate-user", "bob"}});
  EXPECT_EQ(refused.code, 403);
  EXPECT_THAT(refused.bytes, HasSubstr("cannot impersonate resource"));
}

TEST_F(ChainTest, AFullServerSaysSoAndCountsIt) {
  Request other;
  other.info = ParseRequestInfo("GET", "/api/v1/pods", "");
  const InFlightLimiter::Ticket taken = limiter_.Enter(other);
  const Body refused = Get("/api/v1/pods");
  EXPECT_EQ(refused.code, 429);
  EXPECT_THAT(metrics_.RenderPrometheus(), HasSubstr("code=\"429\""));
}

TEST_F(ChainTest, HealthNamesWhatFailsButNotWhy) {
  EXPECT_THAT(Get("/readyz?verbose").bytes, HasSubstr("[+]etcd ok\nreadyz check passed"));
  store_ = absl::UnavailableError("secret path /x");
  const Body failed = Get("/readyz");
  EXPECT_EQ(failed.code, 500);
  EXPECT_THAT(failed.bytes, HasSubstr("[-]etcd failed: reason withheld"));
  EXPECT_FALSE(absl::StrContains(failed.bytes, "secret"));
  EXPECT_EQ(Get("/livez").bytes, "ok");
  EXPECT_EQ(Get("/readyz/ping").bytes, "ok");
  EXPECT_EQ(Get("/readyz?exclude=etcd").bytes, "ok");
  EXPECT_EQ(Get("/readyz/nothing").code, 404);
}

TEST_F(ChainTest, MetricsAreLabelledByWhatIsServedAlone) {
  Get("/api/v1/namespaces/default/pods");
  Get("/made/up/by/a/scanner");
  const std::string text = metrics_.RenderPrometheus();
  EXPECT_THAT(text, HasSubstr("resource=\"pods\""));
  EXPECT_FALSE(absl::StrContains(text, "scanner"));
  EXPECT_EQ(metrics_.Sum("apiserver_current_inflight_requests"), 0);
}

}  // namespace
}  // namespace meltemi::apiserver
