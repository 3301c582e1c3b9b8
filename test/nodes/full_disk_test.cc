// A node whose disk is full says so; its pods go on, and those that cannot begin say why.
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/machine/process.h"
#include "test/nodes/cluster.h"

namespace meltemi::nodes {
namespace {

using std::chrono::seconds;

// All that the node keeps (logs, images, volumes) is on a disk of its own that becomes full.
TEST(FullDisk, IsSaidAndHarmsNobodyElse) {
  std::string why_not;
  const auto cluster = Cluster::Up({.node_disk_mb = 200, .images = {"busybox"}}, &why_not);
  if (cluster == nullptr) GTEST_SKIP() << why_not;
  const auto add = [&](const std::string& name, const std::string& more) {
    cluster->Does(
        "kubectl create -f -",
        absl::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                     "}\nspec: {terminationGracePeriodSeconds: 0, ", more,
                     " volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: "
                     "busybox, imagePullPolicy: Never, command: [sh, -c, 'while true; do "
                     "date; sleep 0.1; done'], volumeMounts: [{name: v, mountPath: /v}]}]}\n"));
  };
  add("stays", "");
  cluster->Does("kubectl wait --for=condition=Ready pod/stays --timeout=30s");
  // Again: what the file system has put aside for writes under way comes back with each sync.
  cluster->Shell(absl::StrCat(
      "cd ", cluster->NodeDisk(), "; for i in 1 2 3 4 5; do cat /dev/zero >> ",
      "filler; sync; done; for i in $(seq 500); do echo x > filler.$i || break; done"));
  add("placed", "nodeName: small,");
  std::string last;
  EXPECT_TRUE(machine::Eventually(
      [&] {
        last = cluster->Out("kubectl describe pod placed");
        return absl::StrContains(last, "no space left on device");
      },
      seconds(60)))
      << last;
  EXPECT_TRUE(
      cluster->Prints("kubectl get node small -o jsonpath='{.status.conditions[?(@.type=="
                      "\"DiskPressure\")].reason}'",
                      "KubeletHasDiskPressure", seconds(60)));
  cluster->Does("kubectl wait --for=condition=Ready node/small --timeout=1s");
  add("unplaced", "");
  EXPECT_TRUE(machine::Eventually(
      [&] {
        last = cluster->Out("kubectl describe pod unplaced");
        return absl::StrContains(last,
                                 "0/1 nodes are available: 1 node(s) had untolerated taint "
                                 "{node.kubernetes.io/disk-pressure: }");
      },
      seconds(60)))
      << last;
  EXPECT_EQ(cluster->Out("kubectl exec stays -- echo lives"), "lives");

  cluster->Does("rm " + cluster->NodeDisk() + "/filler*");
  cluster->Does("kubectl wait --for=condition=Ready pod/placed --timeout=60s");
  EXPECT_EQ(cluster->Out("kubectl get pod stays -o "
                         "jsonpath='{.status.phase}{.status.containerStatuses[0].restartCount}'"),
            "Running0");
}

}  // namespace
}  // namespace meltemi::nodes
