#include "orchestrator/kubelet/bootstrap/bootstrap.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/certificates/v1/certificates.pb.h"
#include "kube/client/kubeconfig.h"
#include "orchestrator/component/files.h"
#include "orchestrator/controllers/certificates/certificates.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubelet/bootstrap/files.h"

namespace meltemi::kubelet {
namespace {

using controllers::World;
using kube::certificates::v1::CertificateSigningRequest;
using testing::HasSubstr;

class BootstrapTest : public testing::Test {
 protected:
  BootstrapTest() {
    char path[] = "/tmp/bootstrap_test.XXXXXX";
    folder_ = mkdtemp(path);
    options_.node_name = "n1";
    options_.cert_dir = folder_ + "/pki";
    options_.kubeconfig = folder_ + "/kubeconfig";
  }
  ~BootstrapTest() override { std::filesystem::remove_all(folder_); }

  int64_t Now() { return Seconds(world_.executor().clock()); }
  static int64_t Seconds(const Clock& clock) {
    return std::chrono::duration_cast<seconds>(clock.WallNow().time_since_epoch()).count();
  }
  void RunSigner() {
    const auto ca = tls::NewCertificate({.common_name = "kubernetes",
                                         .is_ca = true,
                                         .not_before_s = Now() - 60,
                                         .not_after_s = Now() + 10LL * 365 * 86400},
                                        {});
    world_.Run(*controllers::NewCertificateSigner(
        world_.context(),
        {.ca_cert_pem = ca->certificate_chain_pem, .ca_key_pem = ca->private_key_pem}));
  }
  std::unique_ptr<IdentityRequest> Ask() {
    return RequestIdentity(
        options_, process_->client(), world_.executor(),
        [this](const absl::Status& status) { troubles_.push_back(std::string(status.message())); },
        [this](absl::StatusOr<tls::KeyPair> pair) { answer_ = std::move(pair); });
  }
  // What a person (or the approver) does.
  void Decide(const char* type) {
    for (CertificateSigningRequest& request : world_.List<CertificateSigningRequest>()) {
      if (request.status().conditions_size() > 0) continue;
      auto& condition = *request.mutable_status()->add_conditions();
      condition.set_type(type);
      condition.set_status("True");
      condition.set_reason("Because");
      const kube::Outcome done =
          kube::internal::UpdateInto(world_.user(), kube::ResourceOf<CertificateSigningRequest>(),
                                     "approval", request, nullptr);
      EXPECT_TRUE(done.ok());
    }
    world_.Settle();
  }
  void WriteIdentity(const std::string& node, int64_t from_s, int64_t to_s) {
    const auto pair = tls::NewCertificate({.common_name = "system:node:" + node,
                                           .organizations = {"system:nodes"},
                                           .client_auth = true,
                                           .not_before_s = from_s,
                                           .not_after_s = to_s},
                                          {});
    ASSERT_TRUE(WriteCurrent(options_.cert_dir, *pair, from_s).ok());
  }

  World world_;
  std::unique_ptr<apiserver::MemoryApi::Process> process_ =
      world_.api().NewProcess("system:bootstrap:abcdef");
  std::string folder_;
  BootstrapOptions options_;
  std::vector<std::string> troubles_;
  std::optional<absl::StatusOr<tls::KeyPair>> answer_;
};

TEST_F(BootstrapTest, ARequestBecomesAnIdentity) {
  RunSigner();
  const auto request = Ask();
  world_.Settle();
  ASSERT_EQ(world_.List<CertificateSigningRequest>().size(), 1u);
  EXPECT_FALSE(answer_.has_value());
  Decide("Approved");
  world_.Advance(seconds(1));
  ASSERT_TRUE(answer_.has_value());
  ASSERT_TRUE(answer_->ok()) << answer_->status();
  const auto info = tls::ReadCertificatePem((*answer_)->certificate_chain_pem);
  EXPECT_EQ(info->common_name, "system:node:n1");
  EXPECT_TRUE(tls::IsCertificateOf((*answer_)->certificate_chain_pem, (*answer_)->private_key_pem));
  EXPECT_TRUE(troubles_.empty());
}

TEST_F(BootstrapTest, ARefusalEndsIt) {
  const auto request = Ask();
  world_.Settle();
  Decide("Denied");
  world_.Advance(seconds(1));
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(std::string(answer_->status().message()), HasSubstr("was refused: Because"));
}

TEST_F(BootstrapTest, AnApiServerThatIsAwayIsWaitedFor) {
  process_->SetFate([](const kube::ApiCall&) { return apiserver::Fate::kLoseCall; });
  const auto request = Ask();
  world_.Advance(seconds(3));
  EXPECT_FALSE(troubles_.empty());
  EXPECT_FALSE(answer_.has_value());
  process_->SetFate({});
  RunSigner();
  world_.Advance(seconds(6));
  Decide("Approved");
  world_.Advance(seconds(6));
  ASSERT_TRUE(answer_.has_value());
  EXPECT_TRUE(answer_->ok());
}

TEST_F(BootstrapTest, OneThatNobodyDecidesOnIsMadeAnew) {
  const auto request = Ask();
  world_.Advance(minutes(16));
  EXPECT_EQ(world_.List<CertificateSigningRequest>().size(), 2u);
  EXPECT_THAT(troubles_.back(), HasSubstr("kubectl certificate approve csr-"));
  EXPECT_LT(world_.Writes(), 20u);
}

TEST_F(BootstrapTest, DestroyedItIsSilent) {
  RunSigner();
  auto request = Ask();
  world_.Settle();
  Decide("Approved");
  request.reset();
  world_.Advance(minutes(1));
  EXPECT_FALSE(answer_.has_value());
}

TEST_F(BootstrapTest, RenewsInTheLastThirdOfItsLife) {
  RunSigner();
  WriteIdentity("n1", Now(), Now() + 1000 * 60);
  const std::string before = (*ReadCurrent(options_.cert_dir)).certificate_chain_pem;
  int renewed = 0;
  const auto renewal = StartIdentityRenewal(options_, process_->client(), world_.executor(),
                                            world_.random(), [&] { ++renewed; });
  world_.Advance(minutes(699));
  EXPECT_EQ(world_.List<CertificateSigningRequest>().size(), 0u);
  int waited = 0;
  while (world_.List<CertificateSigningRequest>().empty() && ++waited < 202) {
    world_.Advance(minutes(1));
  }
  EXPECT_LT(waited, 202);
  Decide("Approved");
  world_.Advance(seconds(10));
  EXPECT_EQ(renewed, 1);
  EXPECT_NE((*ReadCurrent(options_.cert_dir)).certificate_chain_pem, before);
}

TEST_F(BootstrapTest, AGoodIdentityNeedsNobody) {
  const SystemClock clock;
  WriteIdentity("n1", Seconds(clock) - 10, Seconds(clock) + 1000);
  ASSERT_TRUE(
      orchestrator::WriteFileAtomically(options_.kubeconfig, "apiVersion: v1\n", 0600).ok());
  EXPECT_TRUE(EnsureIdentity(options_, clock).ok());
  options_.node_name = "n2";
  EXPECT_THAT(std::string(EnsureIdentity(options_, clock).message()),
              HasSubstr("is for system:node:n1, not for node n2; give --bootstrap-kubeconfig"));
  options_.node_name = "n1";
  WriteIdentity("n1", Seconds(clock) - 1000, Seconds(clock) - 10);
  EXPECT_THAT(std::string(EnsureIdentity(options_, clock).message()), HasSubstr("has expired"));
}

TEST_F(BootstrapTest, TheKubeconfigFollowsTheServer) {
  const SystemClock clock;
  WriteIdentity("n1", Seconds(clock) - 10, Seconds(clock) + 1000);
  options_.bootstrap_kubeconfig = folder_ + "/bootstrap";
  ASSERT_TRUE(orchestrator::WriteFileAtomically(
                  options_.bootstrap_kubeconfig,
                  "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: "
                  "'https://10.0.0.9:6443'}\nusers:\n- name: b\n  user: {token: "
                  "abcdef.0123456789abcdef}\ncontexts:\n- name: c\n  context: {cluster: a, user: "
                  "b}\ncurrent-context: c\n",
                  0600)
                  .ok());
  ASSERT_TRUE(EnsureIdentity(options_, clock).ok());
  const auto access = kube::ReadKubeconfig(options_.kubeconfig);
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://10.0.0.9:6443");
  EXPECT_TRUE(tls::IsCertificateOf(access->certificate_pem, access->key_pem));
}

TEST_F(BootstrapTest, TheServingCertificateIsMadeOncePerName) {
  const SystemClock clock;
  const auto first = ServingCertificate(options_.cert_dir, "n1", {"10.0.0.1"}, clock);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = ServingCertificate(options_.cert_dir, "n1", {"10.0.0.1"}, clock);
  EXPECT_EQ(first->certificate_chain_pem, again->certificate_chain_pem);
  const auto moved = ServingCertificate(options_.cert_dir, "n1", {"10.0.0.2"}, clock);
  EXPECT_NE(first->certificate_chain_pem, moved->certificate_chain_pem);
}

}  // namespace
}  // namespace meltemi::kubelet
