#include "pilot/ingest/kube/convert.h"

#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/ingest/kube/kube_store.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

const KindInfo& Info(absl::string_view group, absl::string_view kind) {
  return *FindKind(group, kind);
}

Arrival Read(const KindInfo& info, absl::string_view json) {
  std::unique_ptr<google::protobuf::Message> message(PrototypeOf(info).New());
  EXPECT_TRUE(kube::FromJson(json, message.get()).ok());
  return Convert(info,
                 {std::string(info.group), std::string(info.versions[0]), "x",
                  std::string(KindName(info.kind)), true},
                 std::move(message), Validate);
}

constexpr char kPod[] = R"({
  "metadata": {"namespace": "n", "name": "web-5d-x", "labels": {"app": "web"},
    "annotations": {"sidecar.istio.io/status": "{}", "other": "x"},
    "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d", "controller": true, "uid": "u"}]},
  "spec": {"serviceAccountName": "sa", "volumes": [{"name": "v"}], "containers": [{"name": "c",
    "image": "i", "env": [{"name": "A", "value": "b"}], "ports": [{"name": "http",
    "containerPort": 8080}]}]},
  "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
    {"type": "Initialized", "status": "True"},
    {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})";

TEST(Convert, OfAPodStaysWhatTheModelReads) {
  const Arrival arrival = Read(Info("", "Pod"), kPod);
  ASSERT_NE(arrival.object, nullptr);
  EXPECT_EQ(arrival.key.ToString(), "Pod n/web-5d-x");
  EXPECT_EQ(arrival.object->meta.labels.at("app"), "web");
  EXPECT_EQ(arrival.object->meta.annotations.size(), 1u);
  const auto& pod = arrival.object->Spec<kube::core::v1::Pod>();
  EXPECT_EQ(pod.status().pod_ip(), "10.0.0.1");
  EXPECT_EQ(pod.spec().containers(0).ports(0).name(), "http");
  EXPECT_EQ(pod.metadata().owner_references(0).name(), "web-5d");
  EXPECT_EQ(pod.spec().volumes_size(), 0);
  EXPECT_EQ(pod.spec().containers(0).image(), "");
  EXPECT_EQ(pod.status().conditions_size(), 1);
  EXPECT_EQ(arrival.live, nullptr);
}

TEST(Convert, AChangeThatPilotDoesNotReadLeavesTheFingerprint) {
  const KindInfo& slices = Info("discovery.k8s.io", "EndpointSlice");
  const auto slice = [&](absl::string_view annotation, absl::string_view ip) {
    return Read(slices, absl::StrCat(R"({"metadata":{"namespace":"n","name":"s","annotations":{")",
                                     "endpoints.kubernetes.io/last-change-trigger-time", R"(":")",
                                     annotation, R"("}},"addressType":"IPv4","endpoints":[)",
                                     R"({"addresses":[")", ip,
                                     R"("],"nodeName":"n1","targetRef":{"kind":"Pod"}}]})"))
        .fingerprint;
  };
  EXPECT_EQ(slice("a", "10.0.0.1"), slice("b", "10.0.0.1"));
  EXPECT_NE(slice("a", "10.0.0.1"), slice("a", "10.0.0.2"));
}

TEST(Convert, EndpointsOfOneStateBecomeOneWithAllAddresses) {
  const Arrival slice = Read(Info("discovery.k8s.io", "EndpointSlice"),
                             R"({"metadata":{"namespace":"n","name":"s"},"addressType":"IPv4",
      "endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true}},
                   {"addresses":["10.0.0.2"],"conditions":{"ready":false}},
                   {"addresses":["10.0.0.3"]}]})");
  const auto& endpoints = slice.object->Spec<kube::discovery::v1::EndpointSlice>().endpoints();
  ASSERT_EQ(endpoints.size(), 2);
  EXPECT_EQ(endpoints[0].addresses_size(), 2);
  EXPECT_FALSE(endpoints[0].has_conditions());
  EXPECT_EQ(endpoints[1].addresses(0), "10.0.0.2");
  EXPECT_FALSE(endpoints[1].conditions().ready());
}

TEST(Convert, MembersOfANewerKubernetesAreNoErrorThoseOfIstioAre) {
  EXPECT_NE(Read(Info("", "Service"), R"({"metadata":{"name":"a","namespace":"n","new":1},
      "spec":{"ports":[{"port":80,"newer":{}}],"newest":true}})")
                .object,
            nullptr);
  const Arrival rule = Read(Info("networking.istio.io", "DestinationRule"),
                            R"({"metadata":{"name":"a","namespace":"n","new":1},
                                "spec":{"host":"a","hots":"b"}})");
  EXPECT_EQ(rule.object, nullptr);
  EXPECT_EQ(rule.diagnostics.size(), 1u);
  EXPECT_EQ(rule.live->rejected, "spec.hots: unknown field \"hots\"");
}

TEST(Convert, WhatKubectlRemembersInAnObjectIsNotKept) {
  const Arrival rule = Read(Info("networking.istio.io", "DestinationRule"),
                            R"({"metadata":{"name":"a","namespace":"n","annotations":{
      "kubectl.kubernetes.io/last-applied-configuration":"{}","b":"c"}},"spec":{"host":"a"}})");
  EXPECT_EQ(rule.object->meta.annotations.size(), 1u);
}

TEST(KubeStore, AListTakesAwayWhatItLacks) {
  const auto arrival = [](absl::string_view name, uint64_t fingerprint) {
    auto object = std::make_shared<Object>();
    object->kind = Kind::kPod;
    object->meta.name = std::string(name);
    return Arrival{.key = object->Key(), .object = object, .fingerprint = fingerprint};
  };
  KubeStore store;
  store.Apply(arrival("a", 1));
  store.Apply(arrival("b", 1));
  store.Apply({.key = {.kind = Kind::kService, .name = "x"},
               .object = std::make_shared<Object>(),
               .fingerprint = 1});
  EXPECT_EQ(store.Take().changes.updated.size(), 3u);
  std::vector<Arrival> list;
  list.push_back(arrival("b", 1));
  list.push_back(arrival("c", 1));
  store.Replace(Kind::kPod, std::move(list));
  const KubeStore::Effect effect = store.Take();
  ASSERT_EQ(effect.changes.updated.size(), 1u);
  EXPECT_EQ(effect.changes.updated[0]->meta.name, "c");
  ASSERT_EQ(effect.changes.deleted.size(), 1u);
  EXPECT_EQ(effect.changes.deleted[0].name, "a");
  EXPECT_EQ(store.Objects().size(), 3u);
}

TEST(KubeStore, WhatCameAndWentBetweenTwoLooksIsNoChange) {
  KubeStore store;
  const ObjectKey key{.kind = Kind::kPod, .ns = "n", .name = "a"};
  store.Apply({.key = key, .object = std::make_shared<Object>(), .fingerprint = 1});
  store.Apply({.key = key, .gone = true});
  EXPECT_TRUE(store.Take().changes.empty());
}

}  // namespace
}  // namespace meltemi::pilot
