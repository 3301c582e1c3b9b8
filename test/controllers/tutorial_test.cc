// The tutorial's steps 01, 02, 04 and 05 with the real kubectl on hollow nodes: with the user's own
// manifests where they are at hand, and with ours from examples/workloads.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "test/controllers/cluster.h"
#include "test/controllers/pod_log.h"
#include "test/kubectl/cluster.h"
#include "test/scenarios/programs.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::core::v1::Pod;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

constexpr std::chrono::seconds kWaitMax(60);

struct Variant {
  const char* name;
  size_t program;  // of kubectl::Programs
  bool users;      // the user's own manifests
};

const std::vector<kubectl::Program>& Programs() {
  static const auto& programs = *new std::vector<kubectl::Program>(kubectl::Programs());
  return programs;
}

class Tutorial : public testing::TestWithParam<Variant> {
 protected:
  static void SetUpTestSuite() {
    cluster() = std::make_unique<Cluster>(
        ClusterOptions{.nodes = 3,
                       .kubelet_args = {"--ready-delay=20ms", "--stop-delay=20ms"},
                       .controller_manager_args = {"--load-balancer-pool=192.0.2.10-192.0.2.20"}});
  }
  static void TearDownTestSuite() { cluster().reset(); }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }

  void SetUp() override {
    const kubectl::Program& program = Programs()[GetParam().program];
    if (!program.why_not.empty()) GTEST_SKIP() << program.why_not;
    kubectl_ = absl::StrCat("kubectl() { ", program.path, " \"$@\"; }; ");
    manifests_ = GetParam().users
                     ? scenarios::UserTutorialFolder()
                     : Parent(scenarios::WorkspaceFile("examples/workloads/01-deployment.yaml"));
    if (manifests_.empty()) GTEST_SKIP() << "the tutorial's manifests are not beside the checkout";
    ns_ = absl::AsciiStrToLower(absl::StrCat(
        "t-", absl::StrReplaceAll(testing::UnitTest::GetInstance()->current_test_info()->name(),
                                  {{"/", "-"}})));
    ASSERT_EQ(Run("kubectl create namespace " + ns_).exit_status, 0);
    ASSERT_EQ(Run("kubectl config set-context --current --namespace=" + ns_).exit_status, 0);
    name_ = Out(absl::StrCat("sed -n 's/^  name: //p' ", File("01")));
  }
  void TearDown() override {
    if (!ns_.empty()) Run("kubectl delete namespace --wait=false " + ns_);
  }

  static std::string Parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
  std::string File(const std::string& step) const {
    return absl::StrCat(manifests_, "/", step, "-deployment.yaml");
  }
  std::string ImageIn(const std::string& step) const {
    return Out(absl::StrCat("sed -n 's/^.* image: //p' ", File(step)));
  }
  Answer Run(const std::string& line) const { return cluster()->Shell(kubectl_ + line); }
  std::string Out(const std::string& line) const {
    return std::string(absl::StripAsciiWhitespace(Run(line).output));
  }
  // Succeeds, and what it prints.
  std::string Does(const std::string& line) const {
    const Answer answer = Run(line);
    EXPECT_EQ(answer.exit_status, 0) << line << "\n" << answer.output;
    return answer.output;
  }
  size_t Pods() const {
    const auto pods = kube::List<Pod>(cluster()->client(), {.ns = ns_});
    return pods.ok() ? pods->size() : 999;
  }
  std::string Image() const {
    return Out(absl::StrCat("kubectl get deployment ", name_,
                            " -o jsonpath={.spec.template.spec.containers[0].image}"));
  }
  int64_t Revision() const {
    const auto pods = kube::List<Pod>(cluster()->client(), {.ns = ns_});
    int64_t revision = 0;
    if (!pods.ok()) return revision;
    for (const Pod& pod : *pods) {
      revision = std::max<int64_t>(revision, std::stoll(pod.metadata().resource_version()));
    }
    return revision;
  }
  void WaitForRollout() {
    EXPECT_THAT(Does("kubectl rollout status deployment/" + name_ + " --timeout=60s"),
                HasSubstr(absl::StrCat("deployment \"", name_, "\" successfully rolled out")));
  }
  // What the rollout does stays within [9, 11] of 10 pods.
  void ExpectBounds(const PodLog& log, int64_t from) const {
    const std::string app = absl::StrCat(ns_, "/", name_);
    const Extremes extremes = ExtremesOf(log.events(), app, from, INT64_MAX);
    EXPECT_EQ(extremes.active_max, 11);  // it has been used, so it has been seen
    EXPECT_THAT(CheckBounds(log.events(), app, from, INT64_MAX, {11, 9}), IsEmpty());
  }

  std::string kubectl_, manifests_, ns_, name_;
};

TEST_P(Tutorial, Step01CreatesExposesScalesAndDeletes) {
  EXPECT_EQ(Does("kubectl apply -f " + File("01")),
            absl::StrCat("deployment.apps/", name_, " created\n"));
  EXPECT_EQ(
      Does(absl::StrCat("kubectl expose deployment ", name_, " --port=80 --type=LoadBalancer")),
      absl::StrCat("service/", name_, " exposed\n"));
  EXPECT_TRUE(machine::Eventually(
      [&] { return absl::StrContains(Out("kubectl get service " + name_), " 192.0.2.1"); },
      kWaitMax))
      << Out("kubectl get service " + name_);
  WaitForRollout();
  Does("kubectl scale --replicas 2 deployment/" + name_);
  WaitForRollout();
  EXPECT_THAT(Out("kubectl get deployment " + name_),
              HasSubstr(absl::StrCat(name_, "   2/2     2            2 ")));
  Does(absl::StrCat("kubectl set image deployment/", name_, " nginx=nginx:1.11"));
  WaitForRollout();
  EXPECT_EQ(Image(), "nginx:1.11");
  const std::string described = Out("kubectl describe deployment " + name_);
  EXPECT_THAT(described,
              HasSubstr("2 desired | 2 updated | 2 total | 2 available | 0 unavailable"));
  EXPECT_THAT(described, HasSubstr("Available      True    MinimumReplicasAvailable"));
  EXPECT_THAT(described, HasSubstr("Progressing    True    NewReplicaSetAvailable"));
  EXPECT_TRUE(machine::Eventually(
      [&] {
        return absl::StrContains(Out("kubectl describe deployment " + name_),
                                 absl::StrCat("Scaled up replica set ", name_, "-"));
      },
      kWaitMax));
  const Answer refused =
      Run(absl::StrCat("kubectl apply -f ", manifests_, "/01-service-without-port.yaml"));
  EXPECT_NE(refused.exit_status, 0);
  EXPECT_THAT(refused.output, HasSubstr("port"));
  EXPECT_EQ(Does("kubectl delete deployment " + name_),
            absl::StrCat("deployment.apps \"", name_, "\" deleted\n"));
  EXPECT_TRUE(machine::Eventually([&] { return Pods() == 0; }, kWaitMax)) << Out("kubectl get all");
}

TEST_P(Tutorial, Steps02To05RollOutAndBackWithinTheirBounds) {
  Does("kubectl apply -f " + File("02"));
  WaitForRollout();
  EXPECT_THAT(Out("kubectl get deployment " + name_), HasSubstr("10/10"));
  const std::string first = ImageIn("02");
  EXPECT_EQ(Image(), first);

  // 04: another tag, recorded.
  PodLog log(cluster()->address());
  const int64_t from = Revision();
  Does(absl::StrCat("sed 's|", first, "|nginx:1.99|' ", File("02"), " > 04.yaml"));
  Does("kubectl apply --record -f 04.yaml");
  WaitForRollout();
  EXPECT_EQ(Image(), "nginx:1.99");

  // 05: the history, and back.
  EXPECT_THAT(Out("kubectl rollout history deployment/" + name_),
              AllOf(HasSubstr("REVISION  CHANGE-CAUSE\n1         <none>\n2         kubectl"),
                    HasSubstr("apply"), HasSubstr("--record=true")));
  EXPECT_THAT(Out(absl::StrCat("kubectl rollout history deployment/", name_, " --revision=2")),
              HasSubstr("nginx:1.99"));
  EXPECT_THAT(Does("kubectl rollout undo deployment/" + name_), HasSubstr("rolled back"));
  WaitForRollout();
  EXPECT_EQ(Image(), first);
  Does(absl::StrCat("kubectl set image deployment/", name_, " '*=nginx:2.0'"));
  WaitForRollout();
  Does(absl::StrCat("kubectl rollout undo deployment/", name_, " --to-revision=2"));
  WaitForRollout();
  EXPECT_EQ(Image(), "nginx:1.99");
  EXPECT_THAT(Out("kubectl rollout history deployment/" + name_),
              MatchesRegex("(.|\n)*\n3 +.*\n4 +.*\n5 +.*"));

  Does("kubectl rollout pause deployment/" + name_);
  Does(absl::StrCat("kubectl set image deployment/", name_, " '*=nginx:3.0'"));
  EXPECT_THAT(Run("kubectl rollout undo deployment/" + name_).output, HasSubstr("paused"));
  Does("kubectl rollout resume deployment/" + name_);
  WaitForRollout();
  EXPECT_EQ(Image(), "nginx:3.0");
  EXPECT_TRUE(log.WaitFor(Revision()));
  ExpectBounds(log, from);
  EXPECT_THAT(log.surprises(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kubectl, Tutorial,
                         testing::Values(Variant{"InstalledUsers", 0, true},
                                         Variant{"InstalledOurs", 0, false},
                                         Variant{"DebianUsers", 1, true},
                                         Variant{"DebianOurs", 1, false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace meltemi::controllers
