#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/tls/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/app/apiserver_options.h"
#include "orchestrator/app/background.h"
#include "orchestrator/app/certificates.h"
#include "orchestrator/app/kubeconfig.h"
#include "orchestrator/component/files.h"

namespace meltemi::orchestrator {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 24 * 3600;

class CertificatesTest : public ::testing::Test {
 protected:
  CertificatesTest() {
    folder_ = std::string(std::getenv("TEST_TMPDIR")) + "/pki-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  absl::StatusOr<ClusterCertificates> Ensure(int64_t now_s = kNow) {
    return EnsureCertificates({.folder = folder_,
                               .dns_names = {"api.example"},
                               .ip_addresses = {"10.0.0.7"},
                               .now_s = now_s});
  }
  std::string folder_;
};

TEST_F(CertificatesTest, MadeOnceAndReadAgain) {
  const absl::StatusOr<ClusterCertificates> first = Ensure();
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<ClusterCertificates> second = Ensure();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->ca.certificate_chain_pem, second->ca.certificate_chain_pem);
  EXPECT_EQ(first->apiserver.private_key_pem, second->apiserver.private_key_pem);
  EXPECT_EQ(first->service_account_key_pem, second->service_account_key_pem);
  struct stat info;
  ASSERT_EQ(stat((folder_ + "/ca.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(CertificatesTest, SayWhoTheyAreFor) {
  const absl::StatusOr<ClusterCertificates> made = Ensure();
  ASSERT_TRUE(made.ok()) << made.status();
  const auto serving = tls::ReadCertificatePem(made->apiserver.certificate_chain_pem);
  ASSERT_TRUE(serving.ok()) << serving.status();
  EXPECT_THAT(serving->dns_names, Contains("kubernetes.default.svc"));
  EXPECT_THAT(serving->dns_names, Contains("api.example"));
  EXPECT_THAT(serving->ip_addresses, Contains("10.0.0.7"));
  const auto admin = tls::ReadCertificatePem(made->admin.certificate_chain_pem);
  ASSERT_TRUE(admin.ok()) << admin.status();
  EXPECT_EQ(admin->common_name, "kubernetes-admin");
  EXPECT_THAT(admin->organizations, ElementsAre("system:masters"));
}

TEST_F(CertificatesTest, RenewedBeforeTheyExpire) {
  const absl::StatusOr<ClusterCertificates> first = Ensure();
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<ClusterCertificates> later = Ensure(kNow + 340 * kDay);
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(first->ca.certificate_chain_pem, later->ca.certificate_chain_pem);
  EXPECT_NE(first->admin.certificate_chain_pem, later->admin.certificate_chain_pem);
}

TEST_F(CertificatesTest, ADamagedFileIsNamedWithWhatToDo) {
  ASSERT_TRUE(Ensure().ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/admin.crt", "scribble", 0644).ok());
  const std::string message(Ensure().status().message());
  EXPECT_THAT(message, HasSubstr("admin.crt"));
  EXPECT_THAT(message, HasSubstr("remove it and its key"));
}

TEST(KubeconfigTest, CarriesEverythingInside) {
  const std::string text = Kubeconfig("https://127.0.0.1:6443", "CA", "admin", {"CERT", "KEY"});
  EXPECT_THAT(text, HasSubstr("server: https://127.0.0.1:6443\n"));
  EXPECT_THAT(text, HasSubstr("certificate-authority-data: Q0E=\n"));
  EXPECT_THAT(text, HasSubstr("client-key-data: S0VZ\n"));
}

TEST(OptionsTest, SayWhatIsWrong) {
  std::string print;
  EXPECT_THAT(std::string(ParseApiServerOptions({"--secure-prt=1"}, &print).status().message()),
              HasSubstr("did you mean --secure-port?"));
  EXPECT_THAT(std::string(ParseApiServerOptions({"--tls-cert-file=x"}, &print).status().message()),
              HasSubstr("belong together"));
  const auto options = ParseApiServerOptions(
      {"--etcd-servers=http://a:1,http://b:2", "--authorization-mode", "AlwaysAllow"}, &print);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->etcd_servers, ElementsAre("http://a:1", "http://b:2"));
  EXPECT_THAT(options->authorization_modes, ElementsAre("AlwaysAllow"));
}

TEST(BackgroundTest, RepeatsUntilItSucceeds) {
  std::atomic<int> runs{0};
  std::atomic<bool> done{false};
  Background task({.name = "task", .interval = milliseconds(1), .until_ok = true}, [&] {
    if (++runs < 3) return absl::UnavailableError("not yet");
    done = true;
    return absl::OkStatus();
  });
  while (!done || !task.last().ok()) std::this_thread::yield();
  EXPECT_EQ(runs, 3);
}

TEST(BackgroundTest, EndsWhileItWaits) {
  const Background task({.name = "task", .interval = std::chrono::hours(1)},
                        [] { return absl::OkStatus(); });
}

}  // namespace
}  // namespace meltemi::orchestrator
