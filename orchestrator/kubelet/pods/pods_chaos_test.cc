// Pods in a world where everything fails sometimes, in an order that a seed decides; at the end,
// when it is quiet, all is as it should be, and at no moment was anything told that was not so.
#include <optional>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/pods/pods_world.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using testing::IsEmpty;

constexpr const char* kSpecs[] = {
    "containers: [{name: web, image: nginx}]",
    "restartPolicy: Never, containers: [{name: job, image: a}]",
    "restartPolicy: OnFailure, containers: [{name: crash, image: a}]",
    "terminationGracePeriodSeconds: 5, initContainers: [{name: proxy, image: a, restartPolicy: "
    "Always}, {name: job, image: a}], containers: [{name: web, image: nginx, lifecycle: "
    "{postStart: "
    "{exec: {command: [a]}}, preStop: {exec: {command: [b]}}}}, {name: stubborn, image: b}]",
    "activeDeadlineSeconds: 15, containers: [{name: web, image: nginx}]",
};

class Chaos {
 public:
  explicit Chaos(uint64_t seed) : w_(seed), random_(seed) {
    w_.runtime.SetContainer("job", {.exits_after = seconds(2)});
    w_.runtime.SetContainer("crash", {.exits_after = seconds(1), .exit_code = 1});
    w_.runtime.SetContainer("stubborn", {.ignores_signal = true});
    w_.fake.hooks["web"] = {milliseconds(700), absl::OkStatus()};
    w_.runtime.on_call = [this](absl::string_view) { return Fault(); };
    w_.Start();
    Fate();
  }

  void Run() {
    for (int step = 0; step < 60; ++step) {
      Step();
      w_.Advance(milliseconds(100 + static_cast<int64_t>(random_.Below(2500))));
      Check();
    }
    calm_ = true;
    w_.Advance(minutes(1));
    Check();
    CheckEnd();
  }

 private:
  bool Chance(uint64_t percent) { return random_.Below(100) < percent; }

  RuntimeFault Fault() {
    if (calm_ || !Chance(4)) return {};
    switch (random_.Below(4)) {
      case 0:
        return RuntimeFault::Unavailable();
      case 1:
        return RuntimeFault::Hangs();
      case 2:
        return RuntimeFault::LosesAnswer();
      default:
        return RuntimeFault::Error(absl::UnknownError("no"));
    }
  }

  void Fate() {
    w_.process().SetFate([this](const kube::ApiCall& call) {
      if (calm_ || call.method == "GET" || !Chance(10)) return apiserver::Fate::kPass;
      switch (random_.Below(3)) {
        case 0:
          return apiserver::Fate::kRefuse;
        case 1:
          return apiserver::Fate::kLoseCall;
        default:
          return apiserver::Fate::kLoseAnswer;
      }
    });
  }

  void Step() {
    const std::string name = absl::StrCat("p", random_.Below(6));
    const std::optional<Pod> pod = w_.world.Find<Pod>(name);
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        if (!pod.has_value()) w_.AddPod(name, kSpecs[random_.Below(std::size(kSpecs))]);
        return;
      case 3:
        if (pod.has_value()) w_.Delete(name, Chance(30) ? 0 : Chance(50) ? 2 : -1);
        return;
      case 4:
        w_.runtime.Exit(absl::StrCat("default/", name, "/web"), Chance(50) ? 0 : 1);
        return;
      case 5:
        w_.runtime.KillSandbox(absl::StrCat("default/", name));
        return;
      case 6:
        if (Chance(20)) w_.runtime.Reboot();
        return;
      case 7:
        w_.Start();
        Fate();
        return;
    }
  }

  // No container runs twice, and nothing runs of what is said to have ended.
  void Check() {
    std::set<std::string> seen;
    for (const std::string& running : w_.runtime.Running()) {
      seen.insert(running.substr(0, running.find('#')));
    }
    for (const Pod& pod : w_.world.List<Pod>("default")) {
      const std::string& phase = pod.status().phase();
      if (phase != "Succeeded" && phase != "Failed") continue;
      const std::string prefix = absl::StrCat("default/", pod.metadata().name(), "/");
      const auto at = seen.lower_bound(prefix);
      const bool runs = at != seen.end() && absl::StartsWith(*at, prefix);
      // One of that name that was deleted by force may still be about to end.
      if (runs && forced_.count(pod.metadata().name()) == 0) {
        ADD_FAILURE() << *at << " runs, and its pod is " << phase;
      }
    }
    for (const auto& entry : w_.world.api().history()) {
      if (entry.resource == "pods" && entry.type == "DELETED") forced_.insert(entry.name);
    }
  }

  void CheckEnd() {
    for (const Pod& pod : w_.world.List<Pod>("default")) {
      SCOPED_TRACE(pod.ShortDebugString());
      EXPECT_FALSE(pod.metadata().has_deletion_timestamp());
      const std::string& policy = pod.spec().restart_policy();
      if (policy == "Always" && !pod.spec().has_active_deadline_seconds()) {
        EXPECT_EQ(w_.PhaseOf(pod.metadata().name()), "Running Ready");
      } else if (pod.spec().has_active_deadline_seconds()) {
        EXPECT_EQ(pod.status().phase(), "Failed");
      }
    }
    for (const Pod& pod : w_.world.List<Pod>("default")) w_.Delete(pod.metadata().name());
    w_.Advance(minutes(1));
    EXPECT_THAT(w_.world.List<Pod>("default"), IsEmpty());
    EXPECT_EQ(w_.runtime.containers(), 0u);
    EXPECT_EQ(w_.runtime.sandboxes(), 0u);
  }

  PodsWorld w_;
  FastRandom random_;
  bool calm_ = false;
  std::set<std::string> forced_;
};

TEST(PodsChaos, EndsInOrder) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Chaos(seed).Run();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace meltemi::kubelet
