#include "orchestrator/apiserver/schema/empty.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/from_proto.h"

namespace meltemi::apiserver {
namespace {

class Empty : public ::testing::Test {
 protected:
  std::string Dropped(const char* type, const char* text) { return Done(type, text, &DropEmpty); }
  std::string Added(const char* type, const char* text) { return Done(type, text, &AddEmpty); }

 private:
  std::string Done(const char* type, const char* text, void (*what)(const Schema&, json::Value&)) {
    json::Value value = *json::Parse(text);
    what(*schemas_.Find(type), value);
    return json::ToString(value);
  }

  SchemaArena arena_;
  const KubeSchemas schemas_{arena_};
};

TEST_F(Empty, WhatIsAsGoodAsMissingIsDropped) {
  EXPECT_EQ(Dropped("io.k8s.api.core.v1.PodSpec",
                    R"({"hostNetwork":false,"nodeName":"","nodeSelector":{},"volumes":[],
                        "containers":[{"name":"a","image":"","args":[],"resources":{},
                                       "ports":[{"containerPort":80,"hostPort":0}]}]})"),
            R"({"containers":[{"name":"a","ports":[{"containerPort":80}]}]})");
}

TEST_F(Empty, PointersKeepWhatTheyWereGiven) {
  EXPECT_EQ(Dropped("io.k8s.api.apps.v1.DeploymentSpec",
                    R"({"replicas":0,"minReadySeconds":0,"revisionHistoryLimit":0})"),
            R"({"replicas":0,"revisionHistoryLimit":0})");
  EXPECT_EQ(Dropped("io.k8s.api.core.v1.Volume", R"({"name":"v","emptyDir":{}})"),
            R"({"name":"v","emptyDir":{}})");
  EXPECT_EQ(Dropped("io.k8s.api.core.v1.PodSpec",
                    R"({"securityContext":{},"priority":null,"affinity":{"podAffinity":{}}})"),
            R"({"securityContext":{},"affinity":{"podAffinity":{}}})");
}

TEST_F(Empty, MapsKeepTheirEmptyValues) {
  EXPECT_EQ(Dropped("io.k8s.api.core.v1.ConfigMap", R"({"data":{"a":""}})"),
            R"({"data":{"a":""}})");
}

TEST_F(Empty, WhatKubernetesAlwaysPrintsIsWritten) {
  EXPECT_EQ(Added("io.k8s.api.core.v1.Service", R"({"metadata":{"name":"s"},"spec":{}})"),
            R"({"metadata":{"name":"s","creationTimestamp":null},"spec":{},)"
            R"("status":{"loadBalancer":{}}})");
  EXPECT_EQ(Added("io.k8s.api.core.v1.PodTemplateSpec", R"({"spec":{"containers":[{}]}})"),
            R"({"spec":{"containers":[{"name":"","resources":{}}]},)"
            R"("metadata":{"creationTimestamp":null}})");
  EXPECT_EQ(Added("io.k8s.api.core.v1.ServicePort", R"({"port":80})"),
            R"({"port":80,"targetPort":0})");
  EXPECT_EQ(Added("io.k8s.api.core.v1.ResourceFieldSelector", R"({"resource":"limits.cpu"})"),
            R"({"resource":"limits.cpu","divisor":"0"})");
  EXPECT_EQ(Added("io.k8s.api.rbac.v1.ClusterRole", R"({"metadata":{}})"),
            R"({"metadata":{"creationTimestamp":null},"rules":null})");
}

}  // namespace
}  // namespace meltemi::apiserver
