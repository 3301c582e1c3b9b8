// What the conformance list says of volumes: what is in them, whose it is, and the objects of
// storage.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "test/conformance/nodes/stories.h"
#include "test/machine/process.h"

namespace meltemi::conformance {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(Stories, VolumesHoldMapsSecretsAndThePodItself) {
  const std::string said = Said("volumes", "contents");
  for (const std::string& prefix : {std::string(), std::string("p")}) {
    for (const std::string& kind : {std::string("map"), std::string("secret")}) {
      const std::string value = kind == "map" ? "value-" : "secret-";
      for (const std::string& line :
           {std::string("/data-1 644 ") + value + "1", std::string("/data-2 644 ") + value + "2",
            "-again/data-1 644 " + value + "1", "-mode/data-1 400 " + value + "1",
            "-items/path/to/data-2 644 " + value + "2", "-items/one 400 " + value + "1"}) {
        EXPECT_THAT(said, HasSubstr(absl::StrCat("limited ./", prefix, kind, line)));
      }
    }
    for (const std::string& line :
         {std::string("name 400 contents"), std::string("moded 440 contents"),
          std::string("labels 400 ends=\"well\" tier=\"front\""),
          std::string("annotations 400 builder=\"bar\""), std::string("cpu-limit 400 2"),
          std::string("cpu-request 400 20"), std::string("memory-limit 400 33554432"),
          std::string("memory-request 400 16777216"),
          "cpu-default 400 " + Get("node", "{..allocatable.cpu}")}) {
      EXPECT_THAT(said, HasSubstr(absl::StrCat("limited ./", prefix, "self/", line)));
    }
    EXPECT_THAT(said, ContainsRegex(absl::StrCat("/", prefix, "self/memory-default 400 [0-9]{8}")));
  }
  EXPECT_THAT(said, HasSubstr("limited  ff 00 01")) << "bytes that are no text";
  EXPECT_THAT(said, HasSubstr("/all/all/map 644 value-1"));
  EXPECT_THAT(said, HasSubstr("/all/all/secret 644 secret-1"));
  EXPECT_THAT(said, HasSubstr("/all/all/name 644 contents"));
  EXPECT_THAT(said, HasSubstr("limited token"));
  EXPECT_THAT(said, HasSubstr("unlimited value-1value-2value-1value-2REFUSED")) << "not root";
}

TEST_F(Stories, VolumesBelongToThePodsGroup) {
  const std::string said = Said("volumes", "group");
  EXPECT_THAT(said, HasSubstr("c secret/data-1 440 1001\nc secret-1"));
  EXPECT_THAT(said, HasSubstr("c psecret/data-1 440 1001\nc secret-1"));
}

TEST_F(Stories, ScratchSpaceIsEverybodysOnDiskAndInMemory) {
  const std::string said = Said("volumes", "scratch");
  for (const auto& [who, uid] : {std::make_pair("root", "0"), std::make_pair("other", "1001")}) {
    EXPECT_THAT(said, HasSubstr(absl::StrCat(who, " /disk 777")));
    EXPECT_THAT(said, HasSubstr(absl::StrCat(who, " /memory 1777\n", who, " tmpfs")));
    for (const char* medium : {"disk", "memory"}) {
      for (const char* mode : {"644", "666", "777"}) {
        EXPECT_THAT(said, HasSubstr(absl::StrCat(who, " /", medium, "/0", mode, "-", uid, " ", mode,
                                                 " ", uid, "\n", who, " text")));
      }
    }
  }
  EXPECT_THAT(said, HasSubstr("reader shared\nreader text"));
}

TEST_F(Stories, PartsOfVolumesAreMountedAlsoByVariables) {
  const std::string said = Said("volumes", "parts");
  for (const char* line : {"c map: of map", "c secret: of secret", "c self: parts",
                           "c projected: of map", "c mine", "over of map"}) {
    EXPECT_THAT(said, HasSubstr(line));
  }
  for (const char* pod : {"part-absolute", "part-backticks"}) {
    EXPECT_TRUE(Prints(absl::StrCat("kubectl get pod -n volumes ", pod,
                                    " -o jsonpath='{.status.containerStatuses[0].state.waiting"
                                    ".reason}'"),
                       "CreateContainerConfigError"));
  }
  EXPECT_THAT(Get("pod -n volumes part-absolute", "{..waiting.message}"),
              HasSubstr("must not be an absolute path"));
  EXPECT_THAT(Get("pod -n volumes part-backticks", "{..waiting.message}"),
              HasSubstr("must not contain"));
  Does("kubectl annotate pod -n volumes part-later where=there");
  EXPECT_TRUE(Prints("kubectl logs -n volumes part-later", "there"));
}

TEST_F(Stories, SecretsOfTheSameNameDoNotMix) {
  EXPECT_EQ(Get("secret -n pods secret", "{.data.data-1}"), "YW5vdGhlcg==");
  EXPECT_THAT(Said("volumes", "contents"), HasSubstr("/secret/data-1 644 secret-1"));
}

TEST_F(Stories, FiftyMapsInFivePodsComeWithoutARace) {
  Does(
      "for i in $(seq 50); do printf -- '---\\nkind: ConfigMap\\napiVersion: v1\\n"
      "metadata: {name: race-%s, namespace: volumes}\\ndata: {data-1: value}\\n' $i; done"
      " | kubectl create -f -");
  Does(
      "{ printf 'kind: ReplicationController\\napiVersion: v1\\nmetadata: {name: race,"
      " namespace: volumes}\\nspec:\\n  replicas: 5\\n  template:\\n    metadata: {labels:"
      " {app: race}}\\n    spec:\\n      terminationGracePeriodSeconds: 0\\n      containers:"
      " [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, \"600\"],"
      " volumeMounts: ['; for i in $(seq 50); do printf '{name: v%s, mountPath: /v/%s}, ' $i $i;"
      " done; printf ']}]\\n      volumes:\\n';"
      " for i in $(seq 50); do printf '      - {name: v%s, configMap: {name: race-%s}}\\n' $i $i;"
      " done; } | kubectl create -f -");
  EXPECT_TRUE(Prints("kubectl get rc -n volumes race -o jsonpath={.status.readyReplicas}", "5"));
  Does("kubectl delete rc -n volumes race");
}

TEST_F(Stories, StorageObjectsLive) {
  Does("kubectl create -f -", R"(
kind: List
apiVersion: v1
items:
- {kind: CSIDriver, apiVersion: storage.k8s.io/v1, metadata: &m {name: short, labels:
   {lived: short}}, spec: {attachRequired: false, volumeLifecycleModes: [Ephemeral]}}
- {kind: CSINode, apiVersion: storage.k8s.io/v1, metadata: *m, spec: {drivers: []}}
- {kind: StorageClass, apiVersion: storage.k8s.io/v1, metadata: *m, provisioner: example.com/none}
- {kind: CSIStorageCapacity, apiVersion: storage.k8s.io/v1, metadata: *m, storageClassName: short,
   capacity: 1Gi}
- {kind: VolumeAttachment, apiVersion: storage.k8s.io/v1, metadata: *m,
   spec: {attacher: example.com, nodeName: none, source: {persistentVolumeName: short}}}
- {kind: PersistentVolume, apiVersion: v1, metadata: *m, spec: {capacity: {storage: 1Gi},
   accessModes: [ReadWriteOnce], storageClassName: other, hostPath: {path: /tmp}}}
- {kind: PersistentVolumeClaim, apiVersion: v1, metadata: *m, spec: {storageClassName: none,
   accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
)");
  const std::string all =
      "csidrivers,csinodes,storageclasses,csistoragecapacities,volumeattachments,"
      "persistentvolumes,persistentvolumeclaims -l lived=short";
  EXPECT_EQ(Out("kubectl label " + all + " more=here | wc -l"), "7");
  EXPECT_EQ(Out("kubectl get " + all + ",more=here -o name | wc -l"), "7");
  const auto patched = [](const std::string& what, const std::string& status) {
    Does(absl::StrCat("kubectl patch ", what, " short --subresource=status --type=merge -p '{",
                      "\"status\":{", status, "}}'"));
    return Get(what + " short", "{.status}");
  };
  EXPECT_THAT(patched("volumeattachment", "\"attached\":true"), HasSubstr("\"attached\":true"));
  EXPECT_THAT(patched("pv", "\"message\":\"own\""), HasSubstr("\"message\":\"own\""));
  EXPECT_THAT(patched("pvc", "\"conditions\":[{\"type\":\"Own\",\"status\":\"True\"}]"),
              HasSubstr("\"type\":\"Own\""));
  Does("kubectl delete --timeout=20s " + all);
  EXPECT_THAT(Get(all, "{.items[*].metadata.name}"), IsEmpty());
}

}  // namespace
}  // namespace meltemi::conformance
