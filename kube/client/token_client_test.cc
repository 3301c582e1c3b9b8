#include "kube/client/token_client.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "kube/client/client_fake.h"

namespace meltemi::kube {
namespace {

class TokenClientTest : public testing::Test {
 protected:
  TokenClientTest()
      : tokens_(NewServiceAccountTokens(base_, clock_, "kube-system", "job-controller")),
        client_(NewTokenClient(base_, *tokens_)) {
    base_.on_call = [this](const ApiCall& call) { return Answer(call); };
  }

  Result<ApiAnswer> Answer(const ApiCall& call) {
    if (absl::EndsWith(call.path, "/token")) {
      if (!reachable_) return GenericStatus(503, "no");
      if (!exists_) return NotFound({"", "serviceaccounts"}, "job-controller");
      return ApiAnswer{.body = absl::StrCat(R"({"status":{"token":"t)", ++issued_, R"("}})")};
    }
    if (absl::EndsWith(call.path, "/serviceaccounts")) {
      exists_ = true;
      return ApiAnswer{.body = "{}"};
    }
    if (call.bearer_token == refused_) return Unauthorized();
    return ApiAnswer{.body = call.bearer_token};
  }
  std::string TokenOfACall() {
    const Result<ApiAnswer> answer = client_->Call({.path = "/x"});
    return answer.ok() ? answer->body : answer.status().message;
  }

  FakeClock clock_;
  ClientFake base_;
  bool exists_ = true, reachable_ = true;
  int issued_ = 0;
  std::string refused_ = "-";
  std::unique_ptr<TokenSource> tokens_;
  std::unique_ptr<Client> client_;
};

TEST_F(TokenClientTest, OneTokenIsAskedForAndRenewedInTime) {
  EXPECT_EQ(TokenOfACall(), "t1");
  EXPECT_EQ(TokenOfACall(), "t1");
  EXPECT_EQ(base_.TakeCalls(),
            (std::vector<std::string>{
                "POST /api/v1/namespaces/kube-system/serviceaccounts/job-controller/token",
                "GET /x", "GET /x"}));
  clock_.Advance(minutes(47));
  EXPECT_EQ(TokenOfACall(), "t1");
  clock_.Advance(minutes(2));
  EXPECT_EQ(TokenOfACall(), "t2");
}

TEST_F(TokenClientTest, TheServiceAccountIsMadeWhenItIsMissing) {
  exists_ = false;
  EXPECT_EQ(TokenOfACall(), "t1");
  EXPECT_EQ(base_.calls()[1].body,
            R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"job-controller"}})");
}

TEST_F(TokenClientTest, ATokenLastsWhileItCanNotBeRenewed) {
  EXPECT_EQ(TokenOfACall(), "t1");
  reachable_ = false;
  clock_.Advance(minutes(50));
  EXPECT_EQ(TokenOfACall(), "t1");
  clock_.Advance(minutes(11));
  EXPECT_EQ(TokenOfACall(), "no");
}

TEST_F(TokenClientTest, ATokenThatIsNotAcceptedIsReplacedOnce) {
  EXPECT_EQ(TokenOfACall(), "t1");
  refused_ = "t1";
  EXPECT_EQ(TokenOfACall(), "t2");
  base_.on_call = [this](const ApiCall& call) -> Result<ApiAnswer> {
    if (absl::EndsWith(call.path, "/token")) return Answer(call);
    return Unauthorized();
  };
  base_.TakeCalls();
  EXPECT_EQ(TokenOfACall(), "Unauthorized");
  EXPECT_EQ(base_.TakeCalls().size(), 3);  // with the old one, for a new one, with that
}

}  // namespace
}  // namespace meltemi::kube
