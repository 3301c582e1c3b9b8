#include "kube/codec/codec.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/meta/v1/options.pb.h"
#include "kube/metrics/v1beta1/metrics.pb.h"

namespace meltemi::kube {
namespace {

template <typename T>
T Read(absl::string_view text, const DecodeLimits& limits = {}) {
  T out;
  const absl::Status status = FromJson(text, &out, limits);
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

template <typename T>
std::string Refused(absl::string_view text) {
  T out;
  return std::string(FromJson(text, &out).message());
}

TEST(CodecTest, ReadsAPod) {
  const auto pod = Read<core::v1::Pod>(R"({
    "kind": "Pod", "apiVersion": "v1", "unheardOf": {"a": [1, {"b": "}"}], "c": null},
    "metadata": {"name": "web", "labels": {"app": "web", "tier": "a\u00e4\n"}, "generation": 3,
                 "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": null,
                 "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:a": {}}}]},
    "spec": {"containers": [{"name": "c", "image": "nginx",
        "resources": {"requests": {"cpu": "100m", "memory": 5}},
        "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 1e1},
        "ports": [{"containerPort": 80}]}],
      "volumes": [{"name": "v", "emptyDir": {}}], "hostNetwork": true,
      "terminationGracePeriodSeconds": 0}})");
  EXPECT_EQ(pod.metadata().name(), "web");
  EXPECT_EQ(pod.metadata().labels().at("tier"), "a\u00e4\n");
  EXPECT_EQ(pod.metadata().generation(), 3);
  EXPECT_EQ(pod.metadata().creation_timestamp().seconds(), 1767323045);
  EXPECT_FALSE(pod.metadata().has_deletion_timestamp());
  EXPECT_EQ(pod.metadata().managed_fields_size(), 0);
  const auto& container = pod.spec().containers(0);
  EXPECT_EQ(container.resources().requests().at("cpu").string(), "100m");
  EXPECT_EQ(container.resources().requests().at("memory").string(), "5");
  // The probe's handler and the volume's source are inlined.
  EXPECT_EQ(container.liveness_probe().handler().http_get().port().str_val(), "http");
  EXPECT_EQ(container.liveness_probe().period_seconds(), 10);
  EXPECT_TRUE(pod.spec().volumes(0).volume_source().has_empty_dir());
  EXPECT_TRUE(pod.spec().has_termination_grace_period_seconds());
  EXPECT_TRUE(pod.spec().host_network());
}

TEST(CodecTest, WritesAPodAsKubernetesDoes) {
  core::v1::Pod pod;
  pod.mutable_metadata()->set_name("web\"");
  (*pod.mutable_metadata()->mutable_labels())["b"] = "2";
  (*pod.mutable_metadata()->mutable_labels())["a"] = "1";
  auto* const container = pod.mutable_spec()->add_containers();
  container->set_name("c");
  container->mutable_liveness_probe()
      ->mutable_handler()
      ->mutable_http_get()
      ->mutable_port()
      ->set_int_val(80);
  (*container->mutable_resources()->mutable_limits())["cpu"].set_string("1");
  pod.mutable_spec()->mutable_security_context();
  EXPECT_EQ(ToJson(pod),
            R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web\"",)"
            R"("creationTimestamp":null,"labels":{"a":"1","b":"2"}},"spec":{"containers":[)"
            R"({"name":"c","resources":{"limits":{"cpu":"1"}},)"
            R"("livenessProbe":{"httpGet":{"port":80}}}],"securityContext":{}},"status":{}})");
}

TEST(CodecTest, AnOptionalZeroIsWritten) {
  apps::v1::Deployment deployment;
  deployment.mutable_spec()->set_replicas(0);
  EXPECT_NE(ToJson(deployment).find(R"("spec":{"replicas":0,"template":)"), std::string::npos)
      << ToJson(deployment);
  EXPECT_TRUE(Read<apps::v1::Deployment>(ToJson(deployment)).spec().has_replicas());
  EXPECT_FALSE(Read<apps::v1::Deployment>(R"({"spec":{"replicas":null}})").spec().has_replicas());
}

TEST(CodecTest, FormsOfValues) {
  const auto lease = Read<coordination::v1::Lease>(
      R"({"spec":{"renewTime":"2026-01-02T03:04:05.25+01:00","leaseDurationSeconds":15}})");
  EXPECT_EQ(lease.spec().renew_time().nanos(), 250'000'000);
  EXPECT_NE(ToJson(lease).find(R"("renewTime":"2026-01-02T02:04:05.250000Z")"), std::string::npos);

  const auto secret = Read<core::v1::Secret>(R"({"data":{"k":"aGVsbG8="}})");
  EXPECT_EQ(secret.data().at("k"), "hello");
  EXPECT_NE(ToJson(secret).find(R"("data":{"k":"aGVsbG8="})"), std::string::npos);

  const auto revision =
      Read<apps::v1::ControllerRevision>(R"({"data": {"spec":{"a":[1,2]}},"revision":2})");
  EXPECT_EQ(revision.data().raw(), R"({"spec":{"a":[1,2]}})");
  EXPECT_NE(ToJson(revision).find(R"("data":{"spec":{"a":[1,2]}})"), std::string::npos);

  for (const char* text : {"30s", "1m0s", "1h1m1.5s", "1.5ms", "2µs", "7ns", "0s", "-1m0.001s"}) {
    const std::string json = absl::StrCat(R"({"window":")", text, R"("})");
    const std::string written = ToJson(Read<metrics::v1beta1::PodMetrics>(json));
    EXPECT_NE(written.find(absl::StrCat("\"window\":\"", text, "\"")), std::string::npos)
        << written;
  }
}

TEST(CodecTest, WhatIsWrongIsToldWithItsPlace) {
  using core::v1::Pod;
  EXPECT_EQ(Refused<Pod>(R"({"metadata":{"labels":{"a":1}}})"),
            "metadata.labels[a]: a string was expected");
  EXPECT_EQ(Refused<Pod>(R"({"spec":{"containers":[{},{"ports":[{"containerPort":"x"}]}]}})"),
            "spec.containers[1].ports[0].containerPort: an integer was expected");
  EXPECT_EQ(Refused<Pod>(R"({"spec":{"priority":3000000000}})"),
            "spec.priority: the number is too large");
  EXPECT_EQ(Refused<Pod>(R"({"spec":{"priority":1.5}})"), "spec.priority: an integer was expected");
  EXPECT_EQ(Refused<Pod>(R"({"spec":[]})"), "spec: an object was expected");
  EXPECT_EQ(Refused<Pod>(R"({"spec":{"hostNetwork":1}})"),
            "spec.hostNetwork: true or false was expected");
  EXPECT_EQ(Refused<Pod>(R"({"metadata":{"creationTimestamp":"yesterday"}})"),
            "metadata.creationTimestamp: a time such as \"2006-01-02T15:04:05Z\" was expected");
  EXPECT_EQ(Refused<Pod>(R"({"spec":{}} x)"), "the end was expected");
  EXPECT_EQ(Refused<Pod>(R"({"x":{"a":1]})"), "no JSON at byte 11");
  EXPECT_EQ(Refused<Pod>(R"({"spec")"), "no JSON at byte 7");
  EXPECT_EQ(Refused<Pod>(""), "an object was expected");
  const std::string deep = absl::StrCat(R"({"x":)", std::string(200, '['), std::string(200, ']'));
  EXPECT_NE(Refused<Pod>(deep + "}").find("no JSON"), std::string::npos);
}

TEST(CodecTest, TheLastOfTwoMembersCounts) {
  const auto pod = Read<core::v1::Pod>(
      R"({"spec":{"nodeName":"a","containers":[{"name":"a"}]},"metadata":{"labels":{"a":"b"}},
          "metadata":{"labels":{"c":"d"},"labels":{"e":"f"}},
          "spec":{"containers":[{"name":"b"}],"containers":[{"name":"c"}]}})");
  EXPECT_EQ(pod.spec().node_name(), "");
  ASSERT_EQ(pod.spec().containers_size(), 1);
  EXPECT_EQ(pod.spec().containers(0).name(), "c");
  EXPECT_EQ(pod.metadata().labels_size(), 1);
}

TEST(CodecTest, WhatIsNoUnicodeIsReplaced) {
  const auto pod = Read<core::v1::Pod>("{\"metadata\":{\"name\":\"a\xff\\ud800b\\ud83d\\ude00\"}}");
  EXPECT_EQ(pod.metadata().name(), "a\uFFFD\uFFFDb\U0001F600");
}

TEST(CodecTest, ManagedFieldsAreKeptForWhoWantsThem) {
  const auto pod = Read<core::v1::Pod>(
      R"({"metadata":{"managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}]}})",
      {.keep_managed_fields = true});
  EXPECT_EQ(pod.metadata().managed_fields(0).fields_v1().raw(), R"({"f:a":{}})");
}

TEST(CodecTest, ReadsLists) {
  std::vector<std::unique_ptr<core::v1::Pod>> pods;
  const auto add = [&] {
    pods.push_back(std::make_unique<core::v1::Pod>());
    return pods.back().get();
  };
  ListHead head;
  const absl::Status status = ListFromJson(
      R"({"kind":"PodList","metadata":{"resourceVersion":"12","continue":"abc",
          "remainingItemCount":3},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]})",
      add, &head);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(head.resource_version, "12");
  EXPECT_EQ(head.continue_token, "abc");
  ASSERT_EQ(pods.size(), 2);
  EXPECT_EQ(pods[1]->metadata().name(), "b");
  EXPECT_TRUE(ListFromJson(R"({"items":null})", add, &head).ok());
  EXPECT_EQ(ListFromJson(R"({"items":[{},{"metadata":{"name":1}}]})", add, &head).message(),
            "items[1].metadata.name: a string was expected");
}

TEST(CodecTest, SplitsWatchEvents) {
  std::string type;
  absl::string_view object;
  ASSERT_TRUE(SplitWatchEvent(R"({"type":"ADDED","object":{"a":"}"}})", &type, &object));
  EXPECT_EQ(type, "ADDED");
  EXPECT_EQ(object, R"({"a":"}"})");
  EXPECT_TRUE(SplitWatchEvent(R"( {"object":{},"x":1,"type":"ERROR"} )", &type, &object));
  for (const char* bad : {"", "{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":{})",
                          R"({"type":1,"object":{}})", R"({"type":"A","object":{}}{)"}) {
    EXPECT_FALSE(SplitWatchEvent(bad, &type, &object)) << bad;
  }
}

TEST(CodecTest, OptionsOfRequestsNameTheirKind) {
  meta::v1::DeleteOptions options;
  options.set_grace_period_seconds(0);
  EXPECT_EQ(ToJson(options),
            R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0})");
}

}  // namespace
}  // namespace meltemi::kube
