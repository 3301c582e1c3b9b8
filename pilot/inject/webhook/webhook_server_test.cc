// The webhooks as an API server calls them.
#include "pilot/inject/webhook/webhook_server.h"

#include <ctime>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/http/client/client_connection.h"
#include "base/json/parse.h"
#include "base/tls/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::pilot {
namespace {

using testing::HasSubstr;

constexpr char kReview[] =
    R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",)"
    R"("kind":{"kind":"Pod"},"namespace":"default","object":{"metadata":{"name":"a"},)"
    R"("spec":{"containers":[{"name":"a"}]}}}})";

struct Answer {
  int status = 0;
  std::string body;
};

class WebhookTest : public testing::Test,
                    public http::ClientConnectionEvents,
                    public http::StreamReceiver {
 protected:
  WebhookTest() : loop_(NewEventLoop(clock_)), shard_(registry_.NewShard()) {}
  ~WebhookTest() override {
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  void SetUp() override {
    tls::CertificateRequest request;
    request.common_name = "pilot";
    request.dns_names = {"meltemi-pilot.istio-system.svc"};
    request.server_auth = true;
    request.not_before_s = std::time(nullptr) - 60;
    request.not_after_s = std::time(nullptr) + 3600;
    auto identity = tls::NewCertificate(request, {});
    ASSERT_TRUE(identity.ok()) << identity.status();
    ca_ = identity->certificate_chain_pem;
    WebhookOptions options;
    options.address = net::Address::Loopback4(0);
    options.identity = *identity;
    options.validate = [](absl::string_view review) -> absl::StatusOr<std::string> {
      if (review.empty()) return absl::InvalidArgumentError("nothing to look at");
      return "looked at";
    };
    auto server = WebhookServer::Start(*loop_, shard_.root(), std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Answer Post(const std::string& path, const std::string& body,
              const std::string& type = "application/json", const std::string& method = "POST") {
    tls::ClientOptions options;
    options.ca_pem = ca_;
    options.server_name = "meltemi-pilot.istio-system.svc";
    options.alpn = {"h2"};
    auto context = tls::NewClientContext(options);
    EXPECT_TRUE(context.ok()) << context.status();
    answer_ = {};
    done_ = false;
    auto client = std::make_unique<http::ClientConnection>(
        *loop_, tls::NewClientConnection(*loop_, server_->address(), net::Address(), {}, *context),
        http::Protocol::kHttp2, *this);
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method(method);
    headers->set_scheme("https");
    headers->set_authority("meltemi-pilot.istio-system.svc");
    headers->set_path(path);
    headers->Add("content-type", type);
    http::Stream& stream = client->NewStream(this);
    stream.SendHeaders(*headers, body.empty());
    Buffer data(body);
    if (!body.empty()) stream.SendData(data, true);
    for (int i = 0; i < 500 && !done_; ++i) loop_->RunOnce(milliseconds(20));
    client->Abandon();
    loop_->DeferDelete(std::move(client));
    return answer_;
  }
  uint64_t Count(const char* name) { return shard_.root().GetCounter(name).value(); }

  void OnHeaders(http::HeaderMapPtr headers, bool end) override {
    answer_.status = headers->status();
    done_ |= end;
  }
  void OnData(Buffer& data, bool end) override {
    answer_.body += data.ToString();
    done_ |= end;
  }
  void OnTrailers(http::HeaderMapPtr) override { done_ = true; }
  void OnReset(http::ResetCause, absl::string_view detail) override {
    answer_.body = std::string(detail);
    done_ = true;
  }
  void OnWriteBlocked(bool) override {}

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  metrics::Registry registry_;
  metrics::Shard& shard_;
  std::unique_ptr<WebhookServer> server_;
  std::string ca_;
  Answer answer_;
  bool done_ = false;
};

TEST_F(WebhookTest, InjectsUnderEveryPathBelowInject) {
  for (const char* path : {"/inject", "/inject?timeout=10s", "/inject/cluster/a"}) {
    const Answer answer = Post(path, kReview);
    EXPECT_EQ(answer.status, 200);
    const auto review = json::Parse(answer.body);
    ASSERT_TRUE(review.ok()) << answer.body;
    EXPECT_FALSE(review->Find("response")->FindString("patch").empty());
  }
  EXPECT_EQ(Count("sidecar_injection_success_total"), 3u);
}

TEST_F(WebhookTest, NewSettingsHoldForTheNextPod) {
  auto off = std::make_shared<InjectSettings>();
  off->policy_enabled = false;
  server_->SetSettings(off);
  EXPECT_THAT(Post("/inject", kReview).body, HasSubstr(R"("allowed":true}})"));
  EXPECT_EQ(Count("sidecar_injection_skip_total"), 1u);
}

TEST_F(WebhookTest, ValidationIsSomebodyElses) {
  EXPECT_EQ(Post("/validate", kReview).body, "looked at");
  EXPECT_EQ(Post("/validate", "").status, 400);
}

TEST_F(WebhookTest, GarbageIsRefusedAndCountedAndHarmsNobody) {
  EXPECT_EQ(Post("/inject", "garbage").status, 400);
  EXPECT_THAT(Post("/inject", "{}").body, HasSubstr("kind must be AdmissionReview"));
  EXPECT_EQ(Post("/inject", kReview, "text/plain").status, 415);
  EXPECT_EQ(Post("/inject", "", "application/json", "GET").status, 405);
  EXPECT_EQ(Post("/injection", kReview).status, 404);
  EXPECT_EQ(Count("webhook_malformed_requests_total"), 5u);
  EXPECT_EQ(Post("/inject", kReview).status, 200);
}

}  // namespace
}  // namespace meltemi::pilot
