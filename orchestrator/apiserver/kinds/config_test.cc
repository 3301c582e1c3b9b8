// ConfigMaps, Secrets and Namespaces.
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/namespace.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Config : public KindTest {};

TEST_F(Config, MapsHoldOneMebibyte) {
  Use("", "v1", "configmaps");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ndata: {k: v}"), IsEmpty());
  const std::string big(1024 * 1024 + 1, 'x');
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ndata: {k: " + big + "}"),
              ElementsAre("[]: Too long: may not be more than 1048576 bytes"));
}

TEST_F(Config, KeysAreFileNames) {
  Use("", "v1", "configmaps");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ndata: {a/b: v}"),
              ElementsAre("data[a/b]: Invalid value: \"a/b\": a valid config key must consist of "
                          "alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                          "'KEY_NAME',  or 'key-name', regex used for validation is "
                          "'[-._a-zA-Z0-9]+')"));
  EXPECT_THAT(
      CreateErrors("metadata: {name: a, namespace: b}\ndata: {k: v}\nbinaryData: {k: dg==}"),
      ElementsAre("data[k]: Invalid value: \"k\": duplicate of key present in binaryData"));
}

TEST_F(Config, FrozenOnesStayAsTheyAre) {
  Use("", "v1", "configmaps");
  const char* frozen = "metadata: {name: a, namespace: b}\nimmutable: true\ndata: {k: v}";
  EXPECT_THAT(UpdateErrors(frozen, frozen), IsEmpty());
  EXPECT_THAT(UpdateErrors(frozen, "metadata: {name: a, namespace: b}\ndata: {k: w}"),
              ElementsAre("immutable: Forbidden: field is immutable when `immutable` is set",
                          "data: Forbidden: field is immutable when `immutable` is set"));
}

TEST_F(Config, TablesCountEntries) {
  Use("", "v1", "configmaps");
  EXPECT_THAT(
      Row("{metadata: {name: a, creationTimestamp: \"1970-01-01T00:00:00Z\"}, data: {x: y}, "
          "binaryData: {z: dg==}}",
          60),
      ElementsAre("a", "2", "60s"));
  Use("", "v1", "secrets");
  EXPECT_THAT(Row("{metadata: {name: a}, type: Opaque, data: {x: dg==}}"),
              ElementsAre("a", "Opaque", "1", "<unknown>"));
}

TEST_F(Config, SecretsTakeTextAndGiveBytes) {
  Use("", "v1", "secrets");
  const json::Value secret = Created(
      "metadata: {name: a, namespace: b}\nstringData: {k: hello}\ndata: {k: eA==, l: eQ==}");
  EXPECT_EQ(Json(*secret.Find("data")), R"({"k":"aGVsbG8=","l":"eQ=="})");
  EXPECT_EQ(secret.Find("stringData"), nullptr);
  EXPECT_EQ(secret.FindString("type"), "Opaque");
}

TEST_F(Config, SecretsOfATypeHoldWhatItNeeds) {
  Use("", "v1", "secrets");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ntype: kubernetes.io/tls"),
              ElementsAre("data[tls.crt]: Required value", "data[tls.key]: Required value"));
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ntype: kubernetes.io/basic-auth"),
              ElementsAre("data[username]: Required value", "data[password]: Required value"));
  EXPECT_THAT(
      CreateErrors("metadata: {name: a, namespace: b}\ntype: kubernetes.io/service-account-token"),
      ElementsAre("metadata.annotations[kubernetes.io/service-account.name]: Required value"));
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ntype: "
                           "kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: "
                           "\"{}\"}"),
              IsEmpty());
  EXPECT_THAT(UpdateErrors("metadata: {name: a, namespace: b}",
                           "metadata: {name: a, namespace: b}\ntype: other"),
              ElementsAre("type: Invalid value: \"other\": field is immutable"));
}

TEST_F(Config, NamespacesAreActiveAndHaveAFinalizer) {
  Use("", "v1", "namespaces");
  const json::Value ns = Created("metadata: {name: blue}");
  EXPECT_EQ(Json(*ns.Find("spec")), R"({"finalizers":["kubernetes"]})");
  EXPECT_EQ(Json(*ns.Find("status")), R"({"phase":"Active"})");
  EXPECT_EQ(Json(*ns.Find("metadata", "labels")), R"({"kubernetes.io/metadata.name":"blue"})");
  EXPECT_THAT(CreateErrors("metadata: {name: a.b}"),
              ElementsAre("metadata.name: Invalid value: \"a.b\": must not contain dots"));
}

TEST_F(Config, OnlyFinalizeTakesFinalizersOfNamespaces) {
  Use("", "v1", "namespaces");
  const json::Value kept = Updated("metadata: {name: a}", "metadata: {name: a}\nspec: {}");
  EXPECT_EQ(Json(*kept.Find("spec")), R"({"finalizers":["kubernetes"]})");
  json::Value object = Yaml("metadata: {name: a, labels: {x: y}}\nspec: {finalizers: []}");
  PrepareFinalize(Created("metadata: {name: a}"), object);
  EXPECT_EQ(Json(*object.Find("spec")), R"({"finalizers":[]})");
  EXPECT_EQ(object.Find("metadata", "labels", "x"), nullptr);
  EXPECT_THAT(Texts(ValidateFinalize(object)), IsEmpty());
}

TEST_F(Config, ANamespaceTerminatesOnceItIsDeleted) {
  Use("", "v1", "namespaces");
  EXPECT_THAT(UpdateErrors("metadata: {name: a}",
                           "metadata: {name: a}\nstatus: {phase: Terminating}", Scope::kStatus),
              ElementsAre("status.Phase: Invalid value: \"Terminating\": may only be 'Active' if "
                          "`deletionTimestamp` is empty"));
  EXPECT_THAT(Row("{metadata: {name: a}, status: {phase: Active}}"),
              ElementsAre("a", "Active", "<unknown>"));
}

}  // namespace
}  // namespace meltemi::apiserver
