#include "base/json/parse.h"
#include "base/yaml/parse.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/verbs/continue_token.h"
#include "orchestrator/apiserver/verbs/negotiation.h"
#include "orchestrator/apiserver/verbs/yaml_text.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Shape = Representation::Shape;

TEST(YamlTextTest, WritesWhatKubectlWouldShow) {
  EXPECT_EQ(ToYaml(*json::Parse(R"({"kind":"Pod","apiVersion":"v1","spec":{"containers":[
                {"name":"a","args":["-x","true","7"],"ports":[]},{"name":"b"}],"n":3},"e":{}})")),
            "apiVersion: v1\n"
            "e: {}\n"
            "kind: Pod\n"
            "spec:\n"
            "  containers:\n"
            "  - args:\n"
            "    - \"-x\"\n"
            "    - \"true\"\n"
            "    - \"7\"\n"
            "    name: a\n"
            "    ports: []\n"
            "  - name: b\n"
            "  n: 3\n");
}

TEST(YamlTextTest, ComesBackTheSame) {
  for (const char* text :
       {R"({"a":"","b":"yes","c":"1e3","d":"a: b","e":"x #y","f":" lead","g":"tail "})",
        R"({"a":"line\nline","b":"\u0001\"\\","c":"é","d":null,"e":true,"f":-1.5})",
        R"({"a":[[1,2],[],{}],"b":[{"c":{"d":[{"e":1}]}}],"- x":"- y","?":"{","&":"*"})",
        R"({"time":"2026-01-02T03:04:05Z","ip":"1.2.3.4","colon:":"a:b","end":"x:"})"}) {
    const Value value = *json::Parse(text);
    const std::string yaml = ToYaml(value);
    const absl::StatusOr<Value> back = yaml::Parse(yaml);
    ASSERT_TRUE(back.ok()) << back.status() << "\n" << yaml;
    // Members are sorted: compared as text that is sorted again.
    EXPECT_EQ(ToYaml(*back), yaml) << text;
  }
}

Request Asking(absl::string_view accept) {
  Request request;
  request.headers["accept"] = std::string(accept);
  return request;
}

TEST(NegotiationTest, TheBestThatThereIs) {
  EXPECT_EQ(NegotiateAnswer(Asking(""))->shape, Shape::kObject);
  EXPECT_TRUE(NegotiateAnswer(Asking("application/json;q=0.5, application/yaml"))->yaml);
  const auto table = NegotiateAnswer(
      Asking("application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json"));
  EXPECT_EQ(table->shape, Shape::kTable);
  EXPECT_EQ(table->meta_version, "v1beta1");
  EXPECT_EQ(
      NegotiateAnswer(Asking("application/json;as=Table;v=v2;g=meta.k8s.io, application/json"))
          ->shape,
      Shape::kObject);
  EXPECT_FALSE(NegotiateAnswer(Asking("text/html")).ok());
  EXPECT_TRUE(NegotiateAnswer(Asking("text/html,*/*;q=0.8")).ok());
  EXPECT_FALSE(NegotiateWatch(Asking("application/yaml")).ok());
  EXPECT_TRUE(NegotiateWatch(Asking("application/json;stream=watch")).ok());
}

TEST(NegotiationTest, PeopleGetIndentedAnswers) {
  Request request = Asking("*/*");
  request.headers["user-agent"] = "curl/7.88";
  EXPECT_TRUE(NegotiateAnswer(request)->pretty);
  request.query = Query::Parse("pretty=false");
  EXPECT_FALSE(NegotiateAnswer(request)->pretty);
}

TEST(ContinueTokenTest, ComesBackTheSame) {
  const ContinueToken token{.revision = 42, .start = std::string("ns/name\0", 8)};
  const auto back = DecodeContinue(EncodeContinue(token));
  ASSERT_TRUE(back.ok()) << back.status().message;
  EXPECT_EQ(back->revision, 42);
  EXPECT_EQ(back->start, token.start);
  for (const char* bad : {"", "!", "bm8", "e30"}) EXPECT_FALSE(DecodeContinue(bad).ok()) << bad;
}

}  // namespace
}  // namespace meltemi::apiserver
