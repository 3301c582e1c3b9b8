#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/install/manifests.h"

namespace meltemi::cli {
namespace {

constexpr char kAccounts[] = R"(---
apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
  labels:
    app.kubernetes.io/part-of: meltemi
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: meltemi-pilot
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
rules:
# What configuration is made of; Secrets: the certificates of gateways.
- apiGroups: [""]
  resources: [services, pods, namespaces, secrets]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [networking.istio.io, security.istio.io]
  resources: ["*"]
  verbs: [list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
# Whether proxies have got what an object says.
- apiGroups: [networking.istio.io, security.istio.io]
  resources: ["*/status"]
  verbs: [patch]
# Who a proxy is.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
# The mesh's root certificate, for the pods of every namespace.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [istio-ca-root-cert]
  verbs: [list, watch, update]
# Against which root the webhooks are verified.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  verbs: [list, watch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [meltemi-sidecar-injector]
  verbs: [get, patch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  resourceNames: [meltemi-validator]
  verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: meltemi-pilot
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: meltemi-pilot
subjects:
- kind: ServiceAccount
  name: meltemi-pilot
  namespace: istio-system
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
rules:
# The authority's key, shared by all replicas; one of its own, or the one that it was given.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [istio-ca-secret, cacerts]
  verbs: [get]
# Which replica writes.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [meltemi-pilot]
  verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: meltemi-pilot
subjects:
- kind: ServiceAccount
  name: meltemi-pilot
  namespace: istio-system
)";

constexpr char kWorkload[] = R"(---
apiVersion: v1
kind: ConfigMap
metadata:
  name: meltemi
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
data:
  inject.yaml: |
@INJECT@---
apiVersion: v1
kind: Service
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
spec:
  selector:
    app: meltemi-pilot
  ports:
  # Configuration and certificates for proxies, over TLS.
  - name: grpc-xds
    port: 15012
    targetPort: 15012
    protocol: TCP
  - name: http-monitoring
    port: 15014
    targetPort: 15014
    protocol: TCP
  - name: https-webhook
    port: 443
    targetPort: 15017
    protocol: TCP
---
# Never in the way of a drained node, whatever the number of replicas.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: meltemi-pilot
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: meltemi-pilot
  namespace: istio-system
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
spec:
  replicas: @REPLICAS@
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      app: meltemi-pilot
  template:
    metadata:
      labels:
        app: meltemi-pilot
        app.kubernetes.io/part-of: meltemi
        sidecar.istio.io/inject: "false"
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "15014"
    spec:
      serviceAccountName: meltemi-pilot
      securityContext:
        runAsNonRoot: true
        runAsUser: 1337
        runAsGroup: 1337
        seccompProfile:
          type: RuntimeDefault
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  app: meltemi-pilot
      containers:
      - name: pilot
        image: @HUB@/pilot:@TAG@
@PULL_POLICY@        args:
        - --in-cluster
        - --pod-name=$(POD_NAME)
        # In plaintext for nobody but this pod.
        - --xds-address=127.0.0.1:15010
        - --secure-address=0.0.0.0:15012
        - --http-address=0.0.0.0:15014
        - --webhook-address=0.0.0.0:15017
        - --inject-config=/etc/meltemi/inject.yaml
        - --root-namespace=istio-system
        - --domain=@DOMAIN@
        - --trust-domain=@TRUST_DOMAIN@
@MORE_ARGS@        env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              apiVersion: v1
              fieldPath: metadata.name
        ports:
        - name: grpc-xds
          containerPort: 15012
        - name: http-monitoring
          containerPort: 15014
        - name: https-webhook
          containerPort: 15017
        readinessProbe:
          httpGet:
            path: /ready
            port: 15014
          periodSeconds: 3
          timeoutSeconds: 5
        resources:
@RESOURCES@        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
        volumeMounts:
        - name: settings
          mountPath: /etc/meltemi
          readOnly: true
      volumes:
      - name: settings
        configMap:
          name: meltemi
)";

std::string Indented(absl::string_view text, size_t spaces) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!line.empty()) absl::StrAppend(&out, std::string(spaces, ' '), line, "\n");
  }
  return out;
}

std::string Resources(const ContainerResources& resources) {
  const auto part = [](absl::string_view name, const std::string& cpu, const std::string& memory) {
    std::string out;
    if (!cpu.empty()) absl::StrAppend(&out, "  cpu: \"", cpu, "\"\n");
    if (!memory.empty()) absl::StrAppend(&out, "  memory: \"", memory, "\"\n");
    return out.empty() ? out : absl::StrCat(name, ":\n", out);
  };
  return absl::StrCat(part("requests", resources.cpu_request, resources.memory_request),
                      part("limits", resources.cpu_limit, resources.memory_limit));
}

}  // namespace

std::string InjectSettingsText(const InstallSettings& settings) {
  std::string text = absl::StrCat(
      "image: ", settings.hub, "/proxy:", settings.tag, "\n",
      "xdsAddress: meltemi-pilot.istio-system.svc:15012\n", "trustDomain: ", settings.trust_domain,
      "\ndomain: ", settings.domain, "\ncni: ", settings.cni ? "true" : "false", "\n");
  if (!settings.image_pull_policy.empty()) {
    absl::StrAppend(&text, "imagePullPolicy: ", settings.image_pull_policy, "\n");
  }
  absl::StrAppend(&text, "resources:\n", Indented(Resources(settings.proxy), 2));
  return text;
}

std::string ControlPlaneManifests(const InstallSettings& settings) {
  std::string more_args;
  const auto arg = [&more_args](absl::string_view name, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&more_args, "        - --", name, "=", value, "\n");
  };
  arg("access-log-file", settings.access_log_file);
  arg("outbound-policy", settings.outbound_policy);
  const std::string pull =
      settings.image_pull_policy.empty()
          ? ""
          : absl::StrCat("        imagePullPolicy: ", settings.image_pull_policy, "\n");
  return absl::StrCat(
      kAccounts,
      absl::StrReplaceAll(kWorkload, {{"@INJECT@", Indented(InjectSettingsText(settings), 4)},
                                      {"@REPLICAS@", absl::StrCat(settings.replicas)},
                                      {"@HUB@", settings.hub},
                                      {"@TAG@", settings.tag},
                                      {"@PULL_POLICY@", pull},
                                      {"@DOMAIN@", settings.domain},
                                      {"@TRUST_DOMAIN@", settings.trust_domain},
                                      {"@MORE_ARGS@", more_args},
                                      {"@RESOURCES@", Indented(Resources(settings.pilot), 10)}}));
}

}  // namespace meltemi::cli
