#include "orchestrator/controllers/certificates/certificates.h"

#include <utility>

#include "absl/strings/match.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/tls/signing_request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/config.pb.h"
#include "orchestrator/controllers/certificates/request_rules.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Secret;
using testing::ElementsAre;
using testing::HasSubstr;

// Answers SubjectAccessReviews; everything else goes on.
class ReviewingClient final : public kube::Client {
 public:
  explicit ReviewingClient(kube::Client& base) : base_(base) {}
  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    if (!absl::EndsWith(call.path, "/subjectaccessreviews")) return base_.Call(call);
    const json::Value review = *json::Parse(call.body);
    asked.push_back(review.Find("spec", "user")->text() + " " +
                    review.Find("spec")->Find("resourceAttributes", "subresource")->text());
    json::Value answer = review;
    const bool yes = std::find(allowed.begin(), allowed.end(), asked.back()) != allowed.end();
    answer.MutableObject("status").Set("allowed", json::Value::Bool(yes));
    return kube::ApiAnswer{201, json::ToString(answer)};
  }
  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall& call, kube::WatchSink& sink) override {
    return base_.Watch(call, sink);
  }
  std::vector<std::string> asked, allowed;

 private:
  kube::Client& base_;
};

class Both final : public Running {
 public:
  Both(std::unique_ptr<Running> first, std::unique_ptr<Running> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  void Start() override {
    first_->Start();
    second_->Start();
  }

 private:
  const std::unique_ptr<Running> first_, second_;
};

class CertificatesTest : public testing::Test {
 protected:
  CertificatesTest()
      : client_(world_.context().client),
        context_{.client = client_,
                 .informers = world_.context().informers,
                 .executor = world_.executor(),
                 .recorder = world_.context().recorder,
                 .random = world_.random()} {}

  int64_t Now() {
    return std::chrono::duration_cast<seconds>(context_.WallNow().time_since_epoch()).count();
  }
  CertificateSignerOptions Authority() {
    const auto ca = tls::NewCertificate({.common_name = "kubernetes",
                                         .is_ca = true,
                                         .not_before_s = Now() - 60,
                                         .not_after_s = Now() + 10LL * 365 * 86400},
                                        {});
    return {.ca_cert_pem = ca->certificate_chain_pem, .ca_key_pem = ca->private_key_pem};
  }
  void RunBoth() {
    world_.Run(std::make_unique<Both>(NewCertificateApprover(context_),
                                      *NewCertificateSigner(context_, Authority())));
  }
  // As who the test's client is: "system:bootstrap:abcdef" or a node.
  Request Ask(const tls::CertificateRequest& subject, const char* user,
              const char* signer = kKubeletClientSigner,
              std::vector<std::string> usages = {"digital signature", "client auth"}) {
    key_ = *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
    Request request;
    request.mutable_metadata()->set_generate_name("csr-");
    request.mutable_spec()->set_request(*tls::NewSigningRequestPem(subject, key_));
    request.mutable_spec()->set_signer_name(signer);
    request.mutable_spec()->set_username("root");  // a lie, which the server corrects
    for (const std::string& usage : usages) request.mutable_spec()->add_usages(usage);
    auto process = world_.api().NewProcess(user);
    const kube::Result<Request> made = kube::Create(process->client(), request);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.status().message);
    world_.Settle();
    return made.ok() ? *made : Request();
  }
  Request Fresh(const Request& request) {
    return world_.Get<Request>(request.metadata().name(), "");
  }
  void Decide(const Request& request, const char* type) {
    Request decided = Fresh(request);
    auto& condition = *decided.mutable_status()->add_conditions();
    condition.set_type(type);
    condition.set_status("True");
    const kube::Outcome done = kube::internal::UpdateInto(
        world_.user(), kube::ResourceOf<Request>(), "approval", decided, nullptr);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.status().message);
    world_.Settle();
  }

  World world_;
  ReviewingClient client_;
  Context context_;
  std::string key_;
};

const tls::CertificateRequest kNode = {.common_name = "system:node:n1",
                                       .organizations = {"system:nodes"}};

TEST_F(CertificatesTest, ANewKubeletGetsItsCertificate) {
  client_.allowed = {"system:bootstrap:abcdef nodeclient"};
  RunBoth();
  const Request asked = Ask(kNode, "system:bootstrap:abcdef");
  EXPECT_EQ(asked.spec().username(), "system:bootstrap:abcdef");
  const Request done = Fresh(asked);
  ASSERT_EQ(done.status().conditions_size(), 1);
  EXPECT_EQ(done.status().conditions(0).message(),
            "Auto approving kubelet client certificate after SubjectAccessReview.");
  EXPECT_TRUE(tls::IsCertificateOf(done.status().certificate(), key_));
  const auto info = tls::ReadCertificatePem(done.status().certificate());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "system:node:n1");
  EXPECT_THAT(info->organizations, ElementsAre("system:nodes"));
  EXPECT_EQ(info->not_after_s, Now() + 365 * 86400 - 300);
}

TEST_F(CertificatesTest, AKubeletRenewsItsOwnAndNobodyElses) {
  client_.allowed = {"system:node:n1 selfnodeclient"};
  world_.Run(NewCertificateApprover(context_));
  EXPECT_TRUE(IsApproved(Fresh(Ask(kNode, "system:node:n1"))));
  const tls::CertificateRequest other = {.common_name = "system:node:n2",
                                         .organizations = {"system:nodes"}};
  EXPECT_FALSE(IsDecided(Fresh(Ask(other, "system:node:n1"))));
  EXPECT_EQ(client_.asked.back(), "system:node:n1 nodeclient");
}

TEST_F(CertificatesTest, ServingCertificatesWaitForAPerson) {
  client_.allowed = {"system:node:n1 nodeclient", "system:node:n1 selfnodeclient"};
  RunBoth();
  tls::CertificateRequest subject = kNode;
  subject.dns_names = {"n1"};
  const Request asked =
      Ask(subject, "system:node:n1", kKubeletServingSigner, {"digital signature", "server auth"});
  EXPECT_FALSE(IsDecided(Fresh(asked)));
  Decide(asked, "Approved");
  EXPECT_TRUE(tls::IsCertificateOf(Fresh(asked).status().certificate(), key_));
}

TEST_F(CertificatesTest, WhatASignerDoesNotSignFailsWithTheReason) {
  world_.Run(*NewCertificateSigner(context_, Authority()));
  const Request asked = Ask(kNode, "system:node:n1", kKubeletClientSigner, {"server auth"});
  Decide(asked, "Approved");
  const Request failed = Fresh(asked);
  const auto* const condition = FindCondition(failed, "Failed");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->reason(), "SignerValidationFailure");
  EXPECT_EQ(condition->message(),
            "usages did not match [client auth digital signature key encipherment]");
  EXPECT_EQ(failed.status().certificate(), "");
}

TEST_F(CertificatesTest, DeniedRequestsAreNotSigned) {
  world_.Run(*NewCertificateSigner(context_, Authority()));
  const Request asked = Ask(kNode, "system:node:n1");
  Decide(asked, "Denied");
  EXPECT_EQ(Fresh(asked).status().certificate(), "");
}

TEST_F(CertificatesTest, ShortLivesAreHonoured) {
  client_.allowed = {"system:node:n1 selfnodeclient"};
  RunBoth();
  Request request;
  request.mutable_metadata()->set_name("short");
  key_ = *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
  request.mutable_spec()->set_request(*tls::NewSigningRequestPem(kNode, key_));
  request.mutable_spec()->set_signer_name(kKubeletClientSigner);
  request.mutable_spec()->set_expiration_seconds(900);
  request.mutable_spec()->add_usages("digital signature");
  request.mutable_spec()->add_usages("client auth");
  auto process = world_.api().NewProcess("system:node:n1");
  ASSERT_TRUE(kube::Create(process->client(), request).ok());
  world_.Settle();
  const auto info =
      tls::ReadCertificatePem(world_.Get<Request>("short", "").status().certificate());
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->not_after_s, Now() + 900);
}

TEST_F(CertificatesTest, TheAuthorityHasToBeOne) {
  CertificateSignerOptions options = Authority();
  options.ca_key_pem = Authority().ca_key_pem;
  EXPECT_FALSE(NewCertificateSigner(context_, options).ok());
  EXPECT_FALSE(NewCertificateSigner(context_, {}).ok());
}

TEST_F(CertificatesTest, OldRequestsGo) {
  world_.Run(NewCertificateCleaner(context_));
  const Request pending = Ask(kNode, "system:node:n1");
  const Request denied = Ask(kNode, "system:node:n1");
  Decide(denied, "Denied");
  world_.Advance(minutes(59));
  EXPECT_EQ(world_.List<Request>().size(), 2u);
  world_.Advance(minutes(63));
  EXPECT_THAT(world_.List<Request>(), testing::SizeIs(1));
  EXPECT_EQ(world_.List<Request>()[0].metadata().name(), pending.metadata().name());
  world_.Advance(minutes(24 * 60));
  EXPECT_EQ(world_.List<Request>().size(), 0u);
}

TEST_F(CertificatesTest, TokensGoWhenTheyExpire) {
  world_.Run(NewBootstrapTokenCleaner(context_));
  const auto token = [&](const char* name, absl::string_view more) {
    world_.Create<Secret>(absl::StrCat("{metadata: {name: bootstrap-token-", name,
                                       ", namespace: kube-system}, type: "
                                       "bootstrap.kubernetes.io/token, stringData: {token-id: ",
                                       name, ", token-secret: 0123456789abcdef", more, "}}"));
  };
  const std::string in_an_hour =
      absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(Now() + 3600), absl::UTCTimeZone());
  token("aaaaaa", absl::StrCat(", expiration: '", in_an_hour, "'"));
  token("bbbbbb", "");
  token("cccccc", ", expiration: nonsense");
  world_.Settle();
  EXPECT_THAT(world_.List<Secret>("kube-system"), testing::SizeIs(2));
  world_.Advance(minutes(61));
  const std::vector<Secret> left = world_.List<Secret>("kube-system");
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].metadata().name(), "bootstrap-token-bbbbbb");
}

}  // namespace
}  // namespace meltemi::controllers
