// Rollouts while the controller-manager, the scheduler and the API server are killed at random: the
// end state is right every time, and nothing that must never be is seen on the way.
//
//   kill_test [--rollouts N] [--seed N]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/random/random.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "test/controllers/cluster.h"
#include "test/controllers/pod_log.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::StatefulSet;
using kube::batch::v1::Job;
using kube::core::v1::Pod;
using testing::IsEmpty;

constexpr int kDeployments = 10;
constexpr int kReplicas = 5;
constexpr std::chrono::seconds kConvergeMax(240);
constexpr auto kKillEvery = std::chrono::milliseconds(1500);
constexpr auto kDownFor = std::chrono::milliseconds(300);

struct RunOptions {
  uint64_t rollouts = 50;
  uint64_t seed = 1;
};
RunOptions* run_options = nullptr;  // main's

std::string DeploymentYaml(int number) {
  return absl::StrCat(R"({"metadata":{"name":"web-)", number, R"(","namespace":"default"},
    "spec":{"replicas":)",
                      kReplicas, R"(,"selector":{"matchLabels":{"app":"web-)", number, R"("}},
    "strategy":{"rollingUpdate":{"maxSurge":1,"maxUnavailable":1}},
    "template":{"metadata":{"labels":{"app":"web-)",
                      number, R"("}},
      "spec":{"containers":[{"name":"c","image":"web:0"}]}}}})");
}

constexpr char kStatefulSet[] = R"({"metadata":{"name":"db","namespace":"default"},
    "spec":{"replicas":3,"serviceName":"db","selector":{"matchLabels":{"app":"db"}},
    "template":{"metadata":{"labels":{"app":"db"}},
      "spec":{"containers":[{"name":"c","image":"db:0"}]}}}})";

std::string JobYaml(uint64_t number) {
  return absl::StrCat(R"({"metadata":{"name":"job-)", number, R"(","namespace":"default"},
    "spec":{"completions":4,"parallelism":2,"completionMode":"Indexed",
    "template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"job"}]}}}})");
}

// Kills a part of the cluster every now and then, and begins again what is down.
class Killer {
 public:
  Killer(Cluster& cluster, uint64_t seed) : cluster_(cluster), random_(seed) {}

  // To be called often.
  void Step() {
    const auto now = std::chrono::steady_clock::now();
    for (const std::string& part : cluster_.parts()) {
      if (cluster_.Running(part)) continue;
      auto& since = down_since_[part];
      if (since == std::chrono::steady_clock::time_point()) since = now;
      if (now - since < kDownFor) continue;
      since = {};
      cluster_.Start(part);
    }
    if (!on_ || now < next_) return;
    next_ = now + kKillEvery / 2 + kKillEvery * random_.Below(1000) / 1000;
    std::vector<std::string> victims = cluster_.parts();
    victims.pop_back();  // not the kubelet
    const std::string victim = victims[random_.Below(victims.size())];
    if (!cluster_.Running(victim)) return;
    cluster_.Kill(victim);
    ++kills_[victim];
  }
  void Start() { on_ = true; }
  void Stop() { on_ = false; }
  std::string Kills() const {
    std::vector<std::string> out;
    for (const auto& [part, count] : kills_) out.push_back(absl::StrCat(part, " ", count));
    return absl::StrJoin(out, ", ");
  }

 private:
  Cluster& cluster_;
  FastRandom random_;
  bool on_ = false;
  std::chrono::steady_clock::time_point next_;
  std::map<std::string, std::chrono::steady_clock::time_point> down_since_;
  std::map<std::string, int> kills_;
};

// A write of the test's own, until it is known to have taken place.
template <typename Call>
void Insist(Killer& killer, Call call) {
  EXPECT_TRUE(machine::Eventually(
      [&] {
        killer.Step();
        const kube::Outcome done = call();
        return done.ok() || kube::IsAlreadyExists(done.status());
      },
      kConvergeMax));
}

class KilledCluster : public testing::Test {
 protected:
  kube::Outcome Post(const std::string& path, const std::string& body) {
    const auto made = cluster_.client().Call(
        {.method = "POST", .path = path, .body = body, .timeout = seconds(2)});
    if (!made.ok()) return made.status();
    return kube::Done{};
  }
  kube::Outcome SetImage(const std::string& path, const std::string& image) {
    const auto done = cluster_.client().Call(
        {.method = "PATCH",
         .path = path,
         .body = absl::StrCat(R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":")",
                              image, R"("}]}}}})"),
         .content_type = "application/strategic-merge-patch+json",
         .timeout = seconds(2)});
    if (!done.ok()) return done.status();
    return kube::Done{};
  }
  template <typename T>
  bool RolledOut(const std::string& name, const std::string& image, int replicas) {
    const auto found = kube::Get<T>(cluster_.client(), "default", name);
    if (!found.ok()) return false;
    const auto& status = found->status();
    return found->spec().template_().spec().containers(0).image() == image &&
           status.observed_generation() >= found->metadata().generation() &&
           status.updated_replicas() == replicas && status.replicas() == replicas &&
           status.available_replicas() == replicas;
  }
  bool JobIsComplete(const std::string& name) {
    const auto job = kube::Get<Job>(cluster_.client(), "default", name);
    return job.ok() && job->status().succeeded() == 4 && job->status().has_completion_time();
  }
  void Until(Killer& killer, const std::string& what, const std::function<bool()>& done) {
    EXPECT_TRUE(machine::Eventually(
        [&] {
          killer.Step();
          return done();
        },
        kConvergeMax))
        << what;
  }
  void Create(Killer& killer);
  void Round(Killer& killer, uint64_t round);
  void WaitForRollouts(Killer& killer, uint64_t round);
  void ExpectEndState(uint64_t rounds);
  void ExpectInvariants(const std::vector<PodEvent>& events, int64_t from, int64_t to);
  void PrintLogs();
  int64_t Revision() {
    const auto pods = kube::List<Pod>(cluster_.client(), {.ns = "default"});
    int64_t revision = 0;
    if (!pods.ok()) return 0;
    for (const Pod& pod : *pods) {
      int64_t number = 0;
      if (absl::SimpleAtoi(pod.metadata().resource_version(), &number)) {
        revision = std::max(revision, number);
      }
    }
    return revision;
  }

  Cluster cluster_{{.nodes = 4,
                    .controller_managers = 2,
                    .schedulers = 1,
                    .quick_election = true,
                    .kubelet_args = {"--ready-delay=30ms", "--stop-delay=50ms", "--run-for=200ms",
                                     "--log-level=warn"}}};
};

void KilledCluster::ExpectEndState(uint64_t rounds) {
  const auto pods = kube::List<Pod>(cluster_.client(), {.ns = "default"});
  ASSERT_TRUE(pods.ok());
  std::map<std::string, int> running;  // by app and image
  for (const Pod& pod : *pods) {
    if (pod.metadata().labels().count("app") == 0) continue;
    ++running[absl::StrCat(pod.metadata().labels().at("app"), " ",
                           pod.spec().containers(0).image())];
  }
  for (int i = 0; i < kDeployments; ++i) {
    EXPECT_EQ(running[absl::StrCat("web-", i, " web:", rounds)], kReplicas) << i;
  }
  EXPECT_EQ(running[absl::StrCat("db db:", rounds)], 3);
  EXPECT_EQ(running.size(), static_cast<size_t>(kDeployments + 1));
}

void KilledCluster::Create(Killer& killer) {
  for (int i = 0; i < kDeployments; ++i) {
    Insist(killer,
           [&] { return Post("/apis/apps/v1/namespaces/default/deployments", DeploymentYaml(i)); });
  }
  Insist(killer,
         [&] { return Post("/apis/apps/v1/namespaces/default/statefulsets", kStatefulSet); });
  WaitForRollouts(killer, 0);
}

void KilledCluster::WaitForRollouts(Killer& killer, uint64_t round) {
  for (int i = 0; i < kDeployments; ++i) {
    const std::string name = absl::StrCat("web-", i);
    Until(killer, absl::StrCat(name, " of round ", round),
          [&] { return RolledOut<Deployment>(name, absl::StrCat("web:", round), kReplicas); });
  }
  Until(killer, absl::StrCat("db of round ", round),
        [&] { return RolledOut<StatefulSet>("db", absl::StrCat("db:", round), 3); });
}

void KilledCluster::Round(Killer& killer, uint64_t round) {
  for (int i = 0; i < kDeployments; ++i) {
    Insist(killer, [&] {
      return SetImage(absl::StrCat("/apis/apps/v1/namespaces/default/deployments/web-", i),
                      absl::StrCat("web:", round));
    });
  }
  Insist(killer, [&] {
    return SetImage("/apis/apps/v1/namespaces/default/statefulsets/db", absl::StrCat("db:", round));
  });
  Insist(killer, [&] { return Post("/apis/batch/v1/namespaces/default/jobs", JobYaml(round)); });
  WaitForRollouts(killer, round);
  Until(killer, absl::StrCat("job-", round),
        [&] { return JobIsComplete(absl::StrCat("job-", round)); });
}

void KilledCluster::ExpectInvariants(const std::vector<PodEvent>& events, int64_t from,
                                     int64_t to) {
  for (int i = 0; i < kDeployments; ++i) {
    EXPECT_THAT(CheckBounds(events, absl::StrCat("default/web-", i), from, to,
                            {kReplicas + 1, kReplicas - 1}),
                IsEmpty());
  }
  EXPECT_THAT(CheckBounds(events, "default/db", from, to, {3, 2}), IsEmpty());
  EXPECT_THAT(CheckNames(events), IsEmpty());
  EXPECT_THAT(CheckCompletions(events), IsEmpty());
}

void KilledCluster::PrintLogs() {
  constexpr size_t kBytesMax = 6000;
  for (const std::string& part : cluster_.parts()) {
    const std::string text = cluster_.LogOf(part);
    const size_t from = text.size() > kBytesMax ? text.size() - kBytesMax : 0;
    std::printf("%s\n", text.substr(from).c_str());
  }
}

TEST_F(KilledCluster, RollsOutWithinItsBounds) {
  PodLog log(cluster_.address());
  Killer killer(cluster_, run_options->seed);
  Create(killer);
  const int64_t from = Revision();
  killer.Start();
  const uint64_t rounds = std::max<uint64_t>(1, run_options->rollouts / kDeployments);
  for (uint64_t round = 1; round <= rounds && !HasFailure(); ++round) Round(killer, round);
  killer.Stop();
  Until(killer, "stopped pods are gone", [&] {
    const auto pods = kube::List<Pod>(cluster_.client(), {.ns = "default"});
    return pods.ok() && std::none_of(pods->begin(), pods->end(), [](const Pod& pod) {
             return pod.metadata().has_deletion_timestamp();
           });
  });
  ExpectEndState(rounds);
  const int64_t to = Revision();
  EXPECT_TRUE(log.WaitFor(to));
  const std::vector<PodEvent> events = log.events();
  std::printf("killed: %s; %zu events of pods\n", killer.Kills().c_str(), events.size());
  ExpectInvariants(events, from, to);
  EXPECT_THAT(log.surprises(), IsEmpty());
  if (HasFailure()) PrintLogs();
}

}  // namespace
}  // namespace meltemi::controllers

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  meltemi::controllers::RunOptions options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const absl::string_view name = argv[i];
    uint64_t* const value = name == "--rollouts" ? &options.rollouts
                            : name == "--seed"   ? &options.seed
                                                 : nullptr;
    if (value == nullptr || !absl::SimpleAtoi(argv[i + 1], value)) {
      std::fprintf(stderr, "usage: kill_test [--rollouts N] [--seed N]\n");
      return 2;
    }
  }
  meltemi::controllers::run_options = &options;
  return RUN_ALL_TESTS();
}
