#include "test/conformance/nodes/stories.h"

#include <stdlib.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "test/machine/process.h"

namespace meltemi::conformance {

void Stories::SetUpTestSuite() {
  cluster() = nodes::Cluster::Up({.images = {"nginx-1.10", "busybox", "flaskapp"}}, &why_not());
  if (cluster() == nullptr) return;
  for (const char* name : {"pods", "volumes", "network"}) {
    Does(absl::StrCat("kubectl create namespace ", name));
  }
  Does(absl::StrCat("kubectl create -f ", File("manifests/volumes.yaml"), " -f ",
                    File("manifests/lasting.yaml"), " -f ", File("manifests/pods.yaml"), " -f ",
                    File("manifests/subpaths.yaml")));
  Does(absl::StrCat("sed s/NODE_IP/", NodeIp(), "/ ", File("manifests/network.yaml"),
                    " | kubectl create -f -"));
  Does("kubectl wait -n pods --for=condition=Ready --timeout=60s pod/listener");
  Does(absl::StrCat("kubectl create -f ", File("manifests/hooks.yaml")));
  Does("kubectl wait -n volumes --for=condition=Ready --timeout=60s pod/follows");
  EXPECT_EQ(Out("kubectl exec -n volumes follows -- sh -c 'cat /v/*map*/* /v/*secret*/*'"),
            "oldoldoldoldoldoldoldold");
  // They are read again within a minute: the story about it comes late.
  for (const char* kind : {"configmap", "secret"}) {
    const std::string volumes = absl::StrCat("kubectl -n volumes ");
    const std::string of = absl::StrCat(kind, kind[0] == 's' ? " generic " : " ");
    Does(absl::StrCat(volumes, "create ", of, "new --from-literal=data-1=new --dry-run=client ",
                      "-o yaml | sed 's/name: new/name: first/' | ", volumes, "replace -f -"));
    Does(absl::StrCat(volumes, "delete ", kind, " goes"));
    Does(absl::StrCat(volumes, "create ", of, "comes --from-literal=data-1=new"));
  }
}

std::unique_ptr<nodes::Cluster>& Stories::cluster() {
  static auto& cluster = *new std::unique_ptr<nodes::Cluster>();
  return cluster;
}

std::string& Stories::why_not() {
  static auto& why = *new std::string();
  return why;
}

std::string Stories::File(const std::string& name) {
  const std::string path = absl::StrCat("test/conformance/nodes/", name);
  char* const real = realpath(path.c_str(), nullptr);
  EXPECT_NE(real, nullptr) << path;
  const std::string out = real == nullptr ? path : real;
  std::free(real);
  return out;
}

std::string Stories::Said(const std::string& name_space, const std::string& pod) {
  const std::string of = absl::StrCat(" -n ", name_space, " ");
  EXPECT_TRUE(machine::Eventually(
      [&] {
        const std::string phase = Get(absl::StrCat("pod", of, pod), "{.status.phase}");
        return phase == "Succeeded" || phase == "Failed";
      },
      std::chrono::seconds(60)))
      << Out(absl::StrCat("kubectl describe pod", of, pod));
  return Does(absl::StrCat(
      "kubectl logs", of, pod,
      " --all-containers --prefix | sed 's:.pod/[^/]*/\\([^]]*\\)\\]:\\n\\1:g' | sed '/^$/d'"));
}

std::string Stories::Log(const std::string& name_space, const std::string& pod,
                         const std::string& container) {
  return Does(absl::StrCat("kubectl logs -n ", name_space, " ", pod, " -c ", container));
}

std::string Stories::Inside(const std::string& line, bool python) {
  return python ? Out("kubectl exec -i -n network client -c python -- /usr/bin/python3 -", line)
                : Out("kubectl exec -i -n network client -c c -- sh", line);
}

std::string Stories::NodeIp() { return cluster()->NodeIp(cluster()->NodeNames().front()); }

}  // namespace meltemi::conformance
