// Each invariant sees what it is there for.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "test/sim/invariant.h"
#include "test/sim/users.h"

namespace meltemi::sim {
namespace {

constexpr char kReplicaSets[] = "replicasets.apps";
constexpr char kDeployments[] = "deployments.apps";

class InvariantTest : public testing::Test {
 protected:
  // What is said about the write.
  std::string Write(const std::string& type, const std::string& resource, const std::string& name,
                    const std::string& yaml, const std::string& user) {
    absl::StatusOr<json::Value> tree = yaml::Parse(yaml);
    EXPECT_TRUE(tree.ok()) << yaml;
    json::Value& metadata = tree->MutableObject("metadata");
    metadata.Set("name", json::Value::String(name));
    metadata.Set("namespace", json::Value::String("default"));
    metadata.Set("uid", json::Value::String(absl::StrCat("uid-", name)));
    entries_.push_back({.revision = ++revision_,
                        .type = type,
                        .resource = resource,
                        .ns = resource == "nodes" || resource == "namespaces" ? "" : "default",
                        .name = name,
                        .json = json::ToString(*tree),
                        .user = user});
    const Change change = truth_.Apply(entries_.back());
    Findings findings;
    for (const auto& invariant : invariants_) {
      invariant->OnChange(truth_, change, circumstances_, findings);
    }
    return absl::StrJoin(findings.texts(), "; ");
  }
  std::string Add(const std::string& resource, const std::string& name, const std::string& yaml,
                  const std::string& user = "x") {
    return Write("ADDED", resource, name, yaml, user);
  }
  std::string Modify(const std::string& resource, const std::string& name, const std::string& yaml,
                     const std::string& user = "x") {
    return Write("MODIFIED", resource, name, yaml, user);
  }
  std::string Delete(const std::string& resource, const std::string& name, const std::string& yaml,
                     const std::string& user = "x") {
    return Write("DELETED", resource, name, yaml, user);
  }
  std::string AtEnd() {
    Findings findings;
    for (const auto& invariant : invariants_) invariant->AtEnd(truth_, findings);
    return absl::StrJoin(findings.texts(), "; ");
  }

  static std::string Owner(const std::string& kind, const std::string& name) {
    return absl::StrCat("ownerReferences: [{apiVersion: v1, kind: ", kind, ", name: ", name,
                        ", uid: uid-", name, ", controller: true}]");
  }
  static std::string Pod(const std::string& metadata, bool ready = true,
                         const std::string& phase = "Running") {
    return absl::StrCat("{metadata: {labels: {app: web}, ", metadata, "}, status: {phase: ", phase,
                        ", conditions: [{type: Ready, status: '", ready ? "True" : "False",
                        "'}]}}");
  }
  static std::string Going(const std::string& metadata) {
    return Pod(absl::StrCat(metadata, ", deletionTimestamp: '2024-01-01T00:00:00Z'"));
  }
  static std::string ReplicaSet(int replicas, int available, const std::string& metadata = "") {
    return absl::StrCat("{metadata: {generation: 1", metadata.empty() ? "" : ", ", metadata,
                        "}, spec: {replicas: ", replicas, "}, status: {observedGeneration: 1, ",
                        "replicas: ", replicas, ", availableReplicas: ", available, "}}");
  }

  Truth truth_;
  Circumstances circumstances_;
  std::vector<std::unique_ptr<Invariant>> invariants_ = AllInvariants();

 private:
  std::deque<apiserver::HistoryEntry> entries_;
  int64_t revision_ = 0;
};

TEST_F(InvariantTest, OnePodTooManyIsSeen) {
  Add(kReplicaSets, "a", ReplicaSet(1, 0));
  EXPECT_EQ(Add("pods", "a-1", Pod(Owner("ReplicaSet", "a"))), "");
  EXPECT_NE(Add("pods", "a-2", Pod(Owner("ReplicaSet", "a"))), "");
}

TEST_F(InvariantTest, AControllerMayActOnWhatItHasSeen) {
  Add(kReplicaSets, "a", ReplicaSet(2, 0));
  Add("pods", "a-1", Pod(Owner("ReplicaSet", "a")));
  // Scaled down by a user; the controller has not said that it knows.
  Modify(kReplicaSets, "a",
         "{metadata: {generation: 2}, spec: {replicas: 1}, status: {observedGeneration: 1}}");
  EXPECT_EQ(Add("pods", "a-2", Pod(Owner("ReplicaSet", "a"))), "");
  Modify(kReplicaSets, "a",
         "{metadata: {generation: 2}, spec: {replicas: 1}, status: {observedGeneration: 2}}");
  EXPECT_NE(Add("pods", "a-3", Pod(Owner("ReplicaSet", "a"))), "");
}

TEST_F(InvariantTest, APodThatItsMakerDoesNotKnowOfIsNotCounted) {
  Add(kReplicaSets, "a", ReplicaSet(1, 0));
  circumstances_.unacknowledged.insert("uid-a-1");
  Add("pods", "a-1", Pod(Owner("ReplicaSet", "a")));
  EXPECT_EQ(Add("pods", "a-2", Pod(Owner("ReplicaSet", "a"))), "");
}

TEST_F(InvariantTest, RolloutsStayWithinTheirBounds) {
  Add(kDeployments, "d",
      "{metadata: {generation: 1}, spec: {replicas: 2, strategy: {type: RollingUpdate, "
      "rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}}, status: {observedGeneration: 1}}");
  const std::string of_d = Owner("Deployment", "d"), of_a = Owner("ReplicaSet", "a");
  Add(kReplicaSets, "a", ReplicaSet(2, 2, of_d), "deployment-controller");
  Add("pods", "a-1", Pod(of_a));
  Add("pods", "a-2", Pod(of_a));
  EXPECT_EQ(Add(kReplicaSets, "b", ReplicaSet(1, 0, of_d), "deployment-controller"), "");
  EXPECT_NE(Modify(kReplicaSets, "b", ReplicaSet(2, 0, of_d), "deployment-controller"), "");
  EXPECT_NE(Modify("pods", "a-1", Going(of_a), "replicaset-controller"), "");
}

TEST_F(InvariantTest, WhatUsersTakeAwayIsNobodysFault) {
  Add(kDeployments, "d",
      "{metadata: {generation: 1}, spec: {replicas: 2, strategy: {type: RollingUpdate, "
      "rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}}, status: {observedGeneration: 1}}");
  const std::string of_a = Owner("ReplicaSet", "a");
  Add(kReplicaSets, "a", ReplicaSet(2, 2, Owner("Deployment", "d")), "deployment-controller");
  Add("pods", "a-1", Pod(of_a));
  Add("pods", "a-2", Pod(of_a));
  EXPECT_EQ(Modify("pods", "a-1", Going(of_a), kUser), "");
  EXPECT_EQ(Modify("pods", "a-2", Going(of_a), "replicaset-controller"), "");
}

TEST_F(InvariantTest, StatefulSetsBeginAndEndInOrder) {
  const std::string set =
      "{metadata: {generation: 1}, spec: {replicas: 2}, status: {observedGeneration: 1}}";
  const std::string of_db = Owner("StatefulSet", "db");
  Add("statefulsets.apps", "db", set);
  Add("pods", "db-0", Pod(of_db, false));
  EXPECT_NE(Add("pods", "db-1", Pod(of_db, false)), "");
  Modify("pods", "db-0", Pod(of_db));
  Modify("pods", "db-1", Pod(of_db));
  Modify("statefulsets.apps", "db",
         "{metadata: {generation: 2}, spec: {replicas: 0}, status: {observedGeneration: 2}}");
  EXPECT_NE(Modify("pods", "db-0", Going(of_db), "statefulset-controller"), "");
  EXPECT_EQ(Modify("pods", "db-1", Going(of_db), "statefulset-controller"), "");
}

TEST_F(InvariantTest, PodsAreBoundOnceAndWhereTheyFit) {
  Add("nodes", "n", "{status: {allocatable: {cpu: '1', memory: 1Gi, pods: '2'}}}");
  Add("nodes", "m",
      "{spec: {taints: [{key: a, effect: NoSchedule}]}, status: {allocatable: {cpu: '1', "
      "memory: 1Gi, pods: '2'}}}");
  const auto pod = [](const std::string& node) {
    return absl::StrCat("{spec: {nodeName: ", node,
                        ", containers: [{name: c, resources: {requests: {cpu: 600m}}}]}}");
  };
  EXPECT_EQ(Add("pods", "a", pod("n")), "");
  EXPECT_NE(Add("pods", "b", pod("n")), "");     // too little CPU
  EXPECT_NE(Add("pods", "c", pod("m")), "");     // the taint
  EXPECT_NE(Modify("pods", "a", pod("m")), "");  // it moves
}

TEST_F(InvariantTest, JobsCountEachPodOnce) {
  const auto job = [](int succeeded) {
    return absl::StrCat("{spec: {completions: 2, parallelism: 1}, status: {succeeded: ", succeeded,
                        "}}");
  };
  const std::string of_job = Owner("Job", "j");
  Add("jobs.batch", "j", job(0));
  EXPECT_EQ(Add("pods", "j-1", Pod(of_job)), "");
  EXPECT_NE(Add("pods", "j-2", Pod(of_job)), "");  // two at a time
  Modify("pods", "j-1", Pod(of_job, false, "Succeeded"));
  EXPECT_EQ(Modify("jobs.batch", "j", job(1)), "");
  EXPECT_NE(Modify("jobs.batch", "j", job(2)), "");
  Modify("pods", "j-2", Pod(of_job, false, "Succeeded"));
  EXPECT_NE(Add("pods", "j-3", Pod(of_job)), "");  // enough are done
  EXPECT_NE(Modify("jobs.batch", "j", job(3)), "");
}

TEST_F(InvariantTest, ForbidMeansOneJobAtATime) {
  const std::string of_cron = absl::StrCat("{metadata: {", Owner("CronJob", "c"), "}}");
  Add("cronjobs.batch", "c", "{spec: {concurrencyPolicy: Forbid}}");
  EXPECT_EQ(Add("jobs.batch", "c-1", of_cron), "");
  EXPECT_NE(Add("jobs.batch", "c-2", of_cron), "");
}

TEST_F(InvariantTest, EvictionsKeepToBudgets) {
  Add("pods", "a", Pod("generation: 0"));
  Add("pods", "b", Pod("generation: 0"));
  const std::string budget =
      "{metadata: {generation: 1}, spec: {selector: {matchLabels: {app: web}}}, status: "
      "{observedGeneration: 1, currentHealthy: 2, desiredHealthy: 1}}";
  Add("poddisruptionbudgets.policy", "p", budget);
  EXPECT_EQ(Modify("pods", "a", Going("generation: 0"), kDrainer), "");
  EXPECT_NE(Modify("pods", "b", Going("generation: 0"), kDrainer), "");
}

TEST_F(InvariantTest, TheEndHasNoOrphansAndNothingUnfinished) {
  Add("namespaces", "default", "{}");
  Add("pods", "a", Pod(Owner("ReplicaSet", "gone")));
  EXPECT_NE(AtEnd().find("is left without its owner"), std::string::npos);
  Delete("pods", "a", "{}");
  Add(kReplicaSets, "a", ReplicaSet(1, 1));
  EXPECT_NE(AtEnd().find("pods 0 of 1"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::sim
