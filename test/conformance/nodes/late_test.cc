// Stories that take their time, and the one that nothing outlives.
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/conformance/nodes/stories.h"
#include "test/machine/process.h"

namespace meltemi::conformance {
namespace {

using testing::HasSubstr;

constexpr char kCounts[] = "{.status.containerStatuses[*].restartCount}";

TEST_F(Stories, LateProbesRestartWhatIsIllAndNothingElse) {
  int most = 0;
  bool fewer = false;
  EXPECT_TRUE(machine::Eventually(
      [&] {
        bool all = true;
        int sum = 0;
        for (const auto count : absl::StrSplit(Get("pod -n pods fails-probes", kCounts), ' ')) {
          const int restarts = std::atoi(std::string(count).c_str());
          sum += restarts;
          all = all && restarts >= 2;
        }
        fewer = fewer || sum < most;
        most = sum;
        return all;
      },
      std::chrono::seconds(100)))
      << Get("pod -n pods fails-probes", kCounts);
  EXPECT_FALSE(fewer) << "a count of restarts only grows";
  const std::string events = Out("kubectl describe pod -n pods fails-probes");
  for (const char* container : {"http", "exec", "grpc"}) {
    EXPECT_THAT(events, HasSubstr(absl::StrCat("Container ", container,
                                               " failed liveness probe, will be restarted")));
  }
  EXPECT_EQ(Get("pod -n pods holds", kCounts), "0 0 0 0 0");
  EXPECT_EQ(Get("pod -n pods holds", "{range .status.containerStatuses[*]}{.name}:{.ready} {end}"),
            "exec:true grpc:true http:true never-ready:false tcp:true");
  const std::string late = Get("pod -n pods late",
                               "{.status.containerStatuses[0].restartCount} "
                               "{.status.containerStatuses[0].state.running.startedAt} "
                               "{.status.conditions[?(@.type==\"Ready\")].lastTransitionTime}");
  EXPECT_EQ(Out("set -- " + late +
                "; [ $(( $(date -d $3 +%s) - $(date -d $2 +%s) )) -ge 8 ] && "
                "echo $1 times restarted, never ready too soon"),
            "0 times restarted, never ready too soon");
}

TEST_F(Stories, LateVolumesFollowWhatChanges) {
  EXPECT_TRUE(Prints("kubectl exec -n volumes follows -- sh -c 'cat /v/*map*/* /v/*secret*/*'",
                     "newnewnewnewnewnewnewnew", 110));
  Does("kubectl label pod -n volumes follows tier=new --overwrite");
  Does("kubectl annotate pod -n volumes follows builder=new --overwrite");
  const std::string self = "builder=\"new\"tier=\"new\"";
  EXPECT_TRUE(Prints("kubectl exec -n volumes follows -- sh -c 'cat /v/self/* /v/pself/*'",
                     absl::StrCat(self, self), 110));
}

// Last: whatever tolerates nothing has to go.
TEST_F(Stories, LatestTaintsEvictAfterATimeThatIsTolerated) {
  const std::string pod = R"(
kind: Pod
apiVersion: v1
metadata: {name: NAME, namespace: default, labels: {group: tainted}}
spec:
  terminationGracePeriodSeconds: 0
  tolerations: [{key: story, effect: NoExecute, operator: Exists, tolerationSeconds: SECONDS}]
  containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "600"]}]
)";
  for (const auto& [name, time] : {std::make_pair("soon", "3"), std::make_pair("later", "8")}) {
    Does(absl::StrCat("sed 's/NAME/", name, "/; s/SECONDS/", time, "/' | kubectl create -f -"),
         pod);
  }
  Does("kubectl wait --for=condition=Ready pod/soon pod/later --timeout=30s");
  const std::string node = cluster()->NodeNames().front();
  Does(absl::StrCat("kubectl taint node ", node, " story=told:NoExecute"));
  const std::string left = "kubectl get pods -l group=tainted -o name 2>/dev/null";
  EXPECT_TRUE(Prints(left, "pod/later", 20));
  Does(absl::StrCat("kubectl taint node ", node, " story-"));
  EXPECT_EQ(Out("sleep 8; " + left), "pod/later") << "the taint has gone in time";
  Does(absl::StrCat("kubectl taint node ", node, " story=told:NoExecute"));
  EXPECT_TRUE(Prints(left, "", 30));
}

}  // namespace
}  // namespace meltemi::conformance
