// Kinds that users define.
#include "test/kubectl/stories.h"

namespace meltemi::kubectl {
namespace {

class CustomResourceTest : public Stories {};
INSTANTIATE_TEST_SUITE_P(Kubectl, CustomResourceTest, ::testing::Values(0u, 1u), ProgramName);

constexpr char kDefinition[] = R"(apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ships.sea.example}
spec:
  group: sea.example
  scope: Namespaced
  names: {plural: ships, singular: ship, kind: Ship, shortNames: [sh], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.masts, statusReplicasPath: .status.masts}
    additionalPrinterColumns:
    - {name: Masts, type: integer, jsonPath: .spec.masts}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [name]
            properties:
              name: {type: string, minLength: 2, description: What is painted on it.}
              masts: {type: integer, minimum: 1, maximum: 7, default: 2}
          status:
            type: object
            properties:
              masts: {type: integer}
)";

constexpr char kShip[] =
    "apiVersion: sea.example/v1\nkind: Ship\nmetadata: {name: argo}\nspec: {name: Argo}\n";

TEST_P(CustomResourceTest, DefinedUsedAndRemoved) {
  EXPECT_EQ(Out("kubectl apply -f -", kDefinition),
            "customresourcedefinition.apiextensions.k8s.io/ships.sea.example created");
  EXPECT_EQ(Out("kubectl wait --for=condition=Established crd/ships.sea.example --timeout=5s"),
            "customresourcedefinition.apiextensions.k8s.io/ships.sea.example condition met");
  EXPECT_EQ(Out("kubectl apply -f -", kShip), "ship.sea.example/argo created");
  EXPECT_THAT(Out("kubectl get sh"), MatchesRegex("NAME +MASTS\nargo +2"));
  EXPECT_EQ(Out("kubectl scale ship argo --replicas=3"), "ship.sea.example/argo scaled");
  EXPECT_EQ(Out("kubectl get ship argo -o jsonpath={.spec.masts}"), "3");
  EXPECT_THAT(Out("kubectl apply -f -", absl::StrReplaceAll(kShip, {{"name: Argo", "name: A"}})),
              HasSubstr("spec.name in body should be at least 2 chars long"));
  EXPECT_THAT(Out("kubectl explain ship.spec.name"), HasSubstr("What is painted on it."));
  EXPECT_THAT(Out("kubectl get all"), HasSubstr("ship.sea.example/argo"));
  EXPECT_EQ(Out("kubectl delete crd ships.sea.example"),
            "customresourcedefinition.apiextensions.k8s.io \"ships.sea.example\" deleted");
  EXPECT_EQ(Out("kubectl api-resources --api-group=sea.example -o name"), "");
  EXPECT_THAT(Out("kubectl get --raw /apis/sea.example/v1/ships"), HasSubstr("(NotFound)"));
}

}  // namespace
}  // namespace meltemi::kubectl
