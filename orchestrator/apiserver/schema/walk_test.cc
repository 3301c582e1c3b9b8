#include "orchestrator/apiserver/schema/walk.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/builder.h"
#include "orchestrator/apiserver/schema/formats.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Texts = std::vector<std::string>;

// A Deployment as far as these tests need one.
class BuiltInTest : public testing::Test {
 protected:
  BuiltInTest() : build_(arena_), deployment_(build_.Object("io.k8s.api.apps.v1.Deployment")) {
    Schema& port = build_.Object("io.k8s.api.core.v1.ContainerPort");
    build_.Add(port, "containerPort", build_.Int32());
    build_.Add(port, "protocol", build_.String()).default_value = Value::String("TCP");
    Schema& container = build_.Object("io.k8s.api.core.v1.Container");
    build_.Add(container, "name", build_.String());
    build_.Add(container, "ports", build_.KeyedList(port, "containerPort"));
    build_.Add(container, "limits", build_.Map(build_.String("quantity")));
    build_.Add(container, "target", build_.Scalar(SchemaType::kIntOrString, "int-or-string"));
    build_.Add(container, "args", build_.List(build_.String()));
    build_.Add(container, "data", build_.String("byte"));
    Schema& raw = build_.Scalar(SchemaType::kAny);
    build_.Add(container, "raw", raw);
    Schema& spec = build_.Object("io.k8s.api.apps.v1.DeploymentSpec");
    build_.Add(spec, "replicas", build_.Int32()).default_value = Value::Int(1);
    build_.Add(spec, "paused", build_.Bool());
    build_.Add(spec, "containers", build_.KeyedList(container, "name"));
    build_.Add(deployment_, "apiVersion", build_.String());
    build_.Add(deployment_, "kind", build_.String());
    build_.Add(deployment_, "metadata", NewObjectMetaSchema(arena_));
    build_.Add(deployment_, "spec", spec);
  }

  Texts Pruned(absl::string_view text, std::string* out) {
    Value object = *json::Parse(text);
    const Texts removed = Prune(deployment_, object);
    *out = json::ToString(object);
    return removed;
  }
  std::string TypeError(absl::string_view text) {
    return CheckTypes(deployment_, *json::Parse(text));
  }

  SchemaArena arena_;
  SchemaBuilder build_;
  Schema& deployment_;
};

TEST_F(BuiltInTest, UnknownFieldsGoAndAreNamed) {
  std::string left;
  EXPECT_EQ(Pruned(R"({"kind":"Deployment","spec":{"replicaz":1,"replicas":2,"containers":[
                      {"name":"a"},{"nam":"b","ports":[{"x":1}]}]},"metadata":{"foo":1,
                      "labels":{"any":"thing"}},"extra":{"a":{}}})",
                   &left),
            (Texts{"spec.replicaz", "spec.containers[1].nam", "spec.containers[1].ports[0].x",
                   "metadata.foo", "extra"}));
  EXPECT_EQ(left, R"({"kind":"Deployment","spec":{"replicas":2,"containers":[{"name":"a"},)"
                  R"({"ports":[{}]}]},"metadata":{"labels":{"any":"thing"}}})");
}

TEST_F(BuiltInTest, NullsReadLikeGoReadsThem) {
  std::string left;
  EXPECT_TRUE(Pruned(R"({"spec":{"replicas":null,"containers":[{"name":null,"args":["a",null],
                         "raw":{"keep":null}},null]},
                         "metadata":{"labels":{"a":null},"creationTimestamp":null}})",
                     &left)
                  .empty());
  EXPECT_EQ(left, R"({"spec":{"containers":[{"args":["a",""],"raw":{"keep":null}},{}]},)"
                  R"("metadata":{"labels":{"a":""}}})");
}

TEST_F(BuiltInTest, QuantitiesAndTimesTakeTheirCanonicalForm) {
  std::string left;
  Pruned(R"({"metadata":{"creationTimestamp":"2026-01-02T03:04:05.75+01:00"},"spec":{"containers":[
             {"limits":{"cpu":0.5,"memory":"1024Mi","x":"2000m"}}]}})",
         &left);
  EXPECT_EQ(left,
            R"({"metadata":{"creationTimestamp":"2026-01-02T02:04:05Z"},"spec":{"containers":)"
            R"([{"limits":{"cpu":"500m","memory":"1Gi","x":"2"}}]}})");
}

TEST_F(BuiltInTest, TypeErrorsUseGosWords) {
  EXPECT_EQ(TypeError(R"({"spec":{"replicas":"3"}})"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of "
            "type int32");
  EXPECT_EQ(
      TypeError(R"({"spec":{"replicas":3.5}})"),
      "json: cannot unmarshal number 3.5 into Go struct field DeploymentSpec.spec.replicas of "
      "type int32");
  EXPECT_EQ(TypeError(R"({"spec":{"replicas":3000000000}})"),
            "json: cannot unmarshal number 3000000000 into Go struct field "
            "DeploymentSpec.spec.replicas of type int32");
  EXPECT_EQ(
      TypeError(R"({"spec":{"containers":[{"name":"a"},{"ports":[{"containerPort":"x"}]}]}})"),
      "json: cannot unmarshal string into Go struct field "
      "ContainerPort.spec.containers.ports.containerPort of type int32");
  EXPECT_EQ(TypeError(R"({"spec":{"containers":{}}})"),
            "json: cannot unmarshal object into Go struct field DeploymentSpec.spec.containers of "
            "type []v1.Container");
  EXPECT_EQ(TypeError(R"({"spec":"x"})"),
            "json: cannot unmarshal string into Go struct field Deployment.spec of type "
            "v1.DeploymentSpec");
  EXPECT_EQ(TypeError(R"({"metadata":{"labels":{"a":1}}})"),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
            "string");
  EXPECT_EQ(TypeError(R"({"metadata":{"labels":[]}})"),
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type "
            "map[string]string");
  EXPECT_EQ(TypeError(R"({"spec":{"containers":[{"target":true}]}})"),
            "json: cannot unmarshal bool into Go value of type int32");
  EXPECT_EQ(TypeError(R"({"spec":{"containers":[{"limits":{"cpu":"1 core"}}]}})"),
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_EQ(TypeError(R"({"spec":{"containers":[{"data":"YWJ*"}]}})"),
            "illegal base64 data at input byte 3");
  EXPECT_EQ(TypeError(R"({"metadata":{"creationTimestamp":"yesterday"}})"),
            R"(parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" )"
            R"(as "2006")");
  EXPECT_EQ(TypeError(R"({"metadata":{"creationTimestamp":"2026-01-02"}})"),
            R"(parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T")");
  EXPECT_EQ(TypeError(R"({"spec":{"replicas":3,"paused":false,"containers":[{"target":"http",
                          "limits":{"cpu":2},"data":"YWI=","raw":[1,{}]}]}})"),
            "");
}

TEST_F(BuiltInTest, DefaultsFillInWhatIsMissingInWhatIsThere) {
  Value object = *json::Parse(
      R"({"spec":{"replicas":null,"containers":[{"ports":[{},{"protocol":"UDP"}]}]}})");
  ApplyDefaults(deployment_, object);
  EXPECT_EQ(json::ToString(object),
            R"({"spec":{"replicas":1,"containers":[{"ports":[{"protocol":"TCP"},)"
            R"({"protocol":"UDP"}]}]}})");
  Value without = *json::Parse(R"({"kind":"Deployment"})");
  ApplyDefaults(deployment_, without);
  EXPECT_EQ(json::ToString(without), R"({"kind":"Deployment"})");
}

TEST_F(BuiltInTest, ReportsAreBounded) {
  std::string text = R"({"spec":{)";
  for (int i = 0; i < 1000; ++i) text += "\"x" + std::to_string(i) + "\":1,";
  text += R"("replicas":1}})";
  std::string left;
  EXPECT_EQ(Pruned(text, &left).size(), 100u);
  EXPECT_EQ(left, R"({"spec":{"replicas":1}})");
}

TEST(FormatsTest, TakeAndRefuseWhatKubernetesDoes) {
  struct Case {
    const char *format, *good, *bad;
  };
  constexpr Case kCases[] = {
      {"date", "2024-02-29", "2023-02-29"},
      {"date-time", "2024-01-02T03:04:05.5Z", "2024-01-02 03:04:05Z"},
      {"uuid", "0D7A1A2e-94a4-4d43-8d1d-1d1c2d2c2b2a", "0d7a1a2e-94a4"},
      {"uuid4", "0d7a1a2e-94a4-4d43-8d1d-1d1c2d2c2b2a", "0d7a1a2e-94a4-1d43-8d1d-1d1c2d2c2b2a"},
      {"ipv4", "10.0.0.1", "10.0.0.256"},
      {"ipv6", "fd00::1", "10.0.0.1"},
      {"cidr", "10.0.0.0/8", "10.0.0.0/33"},
      {"byte", "YWI=", "YWI"},
      {"duration", "1h30m", "soon"},
      {"duration", "3 days", "3 moons"},
      {"email", "Ann <a.b@example.com>", "example.com"},
      {"hostname", "www.example.com", "-x.example.com"},
      {"uri", "https://example.com/a?b", "example.com"},
      {"mac", "01:23:45:67:89:ab", "01:23:45:67:89"},
      {"hexcolor", "#fff", "#ffff"},
      {"rgbcolor", "rgb(1, 2,255)", "rgb(1,2,256)"},
      {"isbn10", "0321751043", "0321751044"},
      {"isbn13", "978-0321751041", "978-0321751042"},
      {"ssn", "111-22-3333", "111223333"},
      {"creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"},
      {"bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77bcf86cd79943901"},
  };
  for (const Case& one : kCases) {
    ASSERT_TRUE(IsKnownFormat(one.format)) << one.format;
    EXPECT_TRUE(HasFormat(one.good, one.format)) << one.format << " " << one.good;
    EXPECT_FALSE(HasFormat(one.bad, one.format)) << one.format << " " << one.bad;
    EXPECT_FALSE(HasFormat("", one.format)) << one.format;
  }
  EXPECT_TRUE(HasFormat("", "password"));
  EXPECT_FALSE(IsKnownFormat("int32"));
  EXPECT_FALSE(IsKnownFormat("made-up"));
}

}  // namespace
}  // namespace meltemi::apiserver
