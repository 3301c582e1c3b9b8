#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/yaml/parse.h"
#include "base/yaml/write.h"
#include "cli/install/manifests.h"
#include "pilot/inject/inject_pod.h"
#include "pilot/inject/settings.h"
#include "pilot/inject/workload.h"

namespace meltemi::cli {
namespace {

using json::Value;

constexpr char kGateway[] = R"(---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: istio-ingressgateway
  namespace: istio-system
  labels:
    app: istio-ingressgateway
    app.kubernetes.io/part-of: meltemi
---
apiVersion: v1
kind: Service
metadata:
  name: istio-ingressgateway
  namespace: istio-system
  labels:
    app: istio-ingressgateway
    istio: ingressgateway
    app.kubernetes.io/part-of: meltemi
spec:
  type: LoadBalancer
  selector:
    app: istio-ingressgateway
    istio: ingressgateway
  ports:
  - name: status-port
    port: 15021
    targetPort: 15021
  - name: http2
    port: 80
    targetPort: 80
  - name: https
    port: 443
    targetPort: 443
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: istio-ingressgateway
  namespace: istio-system
  labels:
    app: istio-ingressgateway
    app.kubernetes.io/part-of: meltemi
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: istio-ingressgateway
---
)";

constexpr char kDeployment[] = R"(
apiVersion: apps/v1
kind: Deployment
metadata:
  name: istio-ingressgateway
  namespace: istio-system
  labels:
    app: istio-ingressgateway
    istio: ingressgateway
    app.kubernetes.io/part-of: meltemi
spec:
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      app: istio-ingressgateway
      istio: ingressgateway
  template:
    metadata:
      labels:
        app: istio-ingressgateway
        istio: ingressgateway
        app.kubernetes.io/part-of: meltemi
        sidecar.istio.io/inject: "false"
      annotations:
        inject.istio.io/templates: gateway
    spec:
      serviceAccountName: istio-ingressgateway
      terminationGracePeriodSeconds: 60
      securityContext:
        seccompProfile:
          type: RuntimeDefault
        sysctls:
        - name: net.ipv4.ip_unprivileged_port_start
          value: "0"
      containers:
      - name: istio-proxy
        image: auto
        ports:
        - {name: status-port, containerPort: 15021, protocol: TCP}
        - {name: http2, containerPort: 80, protocol: TCP}
        - {name: https, containerPort: 443, protocol: TCP}
)";

}  // namespace

std::string GatewayManifests(const InstallSettings& settings) {
  // What the webhook would make of it, without needing the webhook: a gateway starts although the
  // control plane is away.
  absl::StatusOr<Value> deployment = yaml::Parse(kDeployment);
  const absl::StatusOr<pilot::InjectSettings> inject =
      pilot::ParseInjectSettings(InjectSettingsText(settings));
  if (!deployment.ok() || !inject.ok()) return "";  // a test decodes every document
  Value* const pod = deployment->Find("spec")->Find("template");
  const pilot::WorkloadMeta workload = {"apps/v1", "Deployment", "istio-ingressgateway"};
  absl::StatusOr<pilot::InjectedPod> injected =
      pilot::InjectPod(*pod, "istio-system", workload, *inject);
  if (!injected.ok()) return "";
  *pod = std::move(injected->pod);
  // It is whole: nobody shall take it for a pod that was injected once and has to be again.
  Value* const annotations = pod->Find("metadata")->Find("annotations");
  for (const char* name :
       {"sidecar.istio.io/status", "proxy.istio.io/overrides", "inject.istio.io/templates"}) {
    annotations->Remove(name);
  }
  return absl::StrCat(kGateway, yaml::ToYaml(*deployment));
}

}  // namespace meltemi::cli
