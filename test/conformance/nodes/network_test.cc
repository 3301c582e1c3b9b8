// What the conformance list says of names, Services, endpoints and the ways into pods.
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/conformance/nodes/stories.h"
#include "test/machine/process.h"

namespace meltemi::conformance {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

void BothReady(nodes::Cluster* cluster) {
  static bool waited = false;
  if (std::exchange(waited, true)) return;
  cluster->Does("kubectl rollout status -n network statefulset/server --timeout=60s");
  cluster->Does("kubectl wait -n network --for=condition=Ready --timeout=60s pod/client");
}

std::string AskUdp(const std::string& host, int port) {
  return absl::StrCat(
      "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.settimeout(2)\n"
      "s.sendto(b'x', ('",
      host, "', ", port, "))\nprint(s.recv(99).decode())\n");
}

constexpr char kBoth[] = "server-0\nserver-1";

// Asks often enough that both servers answer if both are asked.
std::string Askers(const std::string& url) {
  return absl::StrCat("for i in $(seq 24); do ", url, "; done | sort -u");
}

TEST_F(Stories, NamesAreResolved) {
  BothReady(cluster().get());
  const std::string server = Get("pod -n network server-1", "{.status.podIP}");
  const std::string found = Inside(R"(
import socket
for name in ("kubernetes", "kubernetes.default", "kubernetes.default.svc",
             "kubernetes.default.svc.cluster.local", "servers", "servers.network",
             "servers.network.svc", "server-1.headless", "server-1.headless.network",
             "server-1.headless.network.svc.cluster.local", "headless", "client"):
  try:
    print(name, *sorted(socket.gethostbyname_ex(name)[2]))
  except OSError as e:
    print(name, e)
print(socket.gethostbyaddr("10.96.0.1")[0])
)",
                                   true);
  EXPECT_THAT(found, Not(HasSubstr("kubernetes 10.96.0.1"))) << "of another namespace";
  for (const char* name : {"default", "default.svc", "default.svc.cluster.local"}) {
    EXPECT_THAT(found, HasSubstr(absl::StrCat("kubernetes.", name, " 10.96.0.1\n")));
  }
  const std::string service = Get("service -n network servers", "{.spec.clusterIP}");
  for (const char* name : {"servers", "servers.network", "servers.network.svc"}) {
    EXPECT_THAT(found, HasSubstr(absl::StrCat(name, " ", service, "\n")));
  }
  for (const char* name : {"server-1.headless", "server-1.headless.network.svc.cluster.local",
                           "server-1.headless.network"}) {
    EXPECT_THAT(found, HasSubstr(absl::StrCat(name, " ", server, "\n")));
  }
  EXPECT_TRUE(absl::EndsWith(found, "\nkubernetes.default.svc.cluster.local")) << found;
  EXPECT_THAT(found, HasSubstr("client " + Get("pod -n network client", "{.status.podIP}")));
  EXPECT_THAT(Does("kubectl exec -n network server-1 -c c -- hostname -f"),
              "server-1.headless.network.svc.cluster.local");
  const std::string more = Inside(
      "nslookup -type=srv _http._tcp.servers.network.svc.cluster.local\n"
      "nslookup -type=srv _udp._udp.servers.network.svc.cluster.local\n"
      "nslookup -type=cname outside.network.svc.cluster.local\n");
  EXPECT_THAT(more, HasSubstr("service = 0 100 80 servers.network.svc.cluster.local"));
  EXPECT_THAT(more, HasSubstr("_udp._udp.servers.network.svc.cluster.local\tservice"));
  EXPECT_THAT(more, HasSubstr("canonical name = foo.example.com"));
  EXPECT_THAT(Said("network", "own-dns"),
              AllOf(HasSubstr("search resolv.conf.local"), HasSubstr("nameserver 1.1.1.1"),
                    HasSubstr("options ndots:3")));
}

TEST_F(Stories, PodsAndTheNodeReachPodsAndServices) {
  BothReady(cluster().get());
  for (const char* pod : {"server-0", "server-1"}) {
    const std::string ip = Get(absl::StrCat("pod -n network ", pod), "{.status.podIP}");
    EXPECT_EQ(Inside("wget -qO- http://" + ip + ":8080/"), pod);
    EXPECT_EQ(Inside(AskUdp(ip, 8082), true), pod);
    EXPECT_EQ(Out("curl -s --max-time 5 http://" + ip + ":8080/"), pod) << "from the node";
    EXPECT_EQ(Out("python3 -", AskUdp(ip, 8082)), pod) << "from the node";
  }
  EXPECT_EQ(Inside(Askers("wget -qO- http://servers/")), kBoth);
  EXPECT_EQ(Inside(Askers("wget -qO- http://servers:81/")), kBoth);
  EXPECT_THAT(Inside(AskUdp("servers", 80), true), HasSubstr("server-"));
  EXPECT_THAT(Inside("import socket\nprint(socket.create_connection(('kubernetes.default', 443), 5)"
                     ".getpeername())\n",
                     true),
              HasSubstr("10.96.0.1"));
  EXPECT_EQ(Get("service kubernetes", "{.spec.ports[0].name} {.spec.ports[0].port}"), "https 443");
}

TEST_F(Stories, AClientStaysWithItsServerIfTheServiceSaysSo) {
  BothReady(cluster().get());
  const std::string port = Get("service -n network sticky", "{.spec.ports[0].nodePort}");
  const std::string node = absl::StrCat("curl -s --max-time 5 http://", NodeIp(), ":", port, "/");
  const auto affinity = [](const char* to) {
    Does(absl::StrCat("kubectl patch service -n network sticky -p '{\"spec\":{",
                      "\"sessionAffinity\":\"", to, "\",\"sessionAffinityConfig\":null}}'"));
  };
  const std::string inside = Askers("wget -qO- http://sticky/");
  EXPECT_THAT(Inside(inside), testing::MatchesRegex("server-[01]"));
  EXPECT_THAT(Out(Askers(node)), testing::MatchesRegex("server-[01]"));
  affinity("None");
  EXPECT_TRUE(Prints("kubectl exec -n network client -c c -- sh -c '" + inside + "'", kBoth, 10));
  EXPECT_TRUE(Prints(Askers(node), kBoth, 10));
  affinity("ClientIP");
  EXPECT_TRUE(machine::Eventually(
      [&] { return Inside(inside).size() == 8 && Out(Askers(node)).size() == 8; },
      std::chrono::seconds(10)));
}

TEST_F(Stories, ServicesChangeTheirType) {
  BothReady(cluster().get());
  const auto patch = [](const std::string& spec) {
    Does("kubectl patch service -n network outside -p '{\"spec\":{" + spec + "}}'");
  };
  const std::string ports =
      R"("selector":{"app":"server"},"ports":[{"name":"http","port":80,"targetPort":"http"}])";
  const std::string back =
      R"("type":"ExternalName","externalName":"bar.example.com","clusterIP":"","clusterIPs":null)";
  const std::string name =
      "kubectl exec -n network client -c c -- nslookup -type=cname "
      "outside.network.svc.cluster.local | grep -c bar.example.com";
  patch(R"("type":"ClusterIP","externalName":null,)" + ports);
  EXPECT_TRUE(Prints(
      "kubectl exec -n network client -c c -- sh -c '" + Askers("wget -qO- http://outside/") + "'",
      kBoth, 10));
  patch(back);
  EXPECT_TRUE(Prints(name, "1", 10));
  patch(R"("type":"NodePort","externalName":null,)" + ports);
  const std::string port = Get("service -n network outside", "{.spec.ports[0].nodePort}");
  EXPECT_TRUE(Prints(Askers(absl::StrCat("curl -s --max-time 5 http://", NodeIp(), ":", port, "/")),
                     kBoth, 10));
  patch(back);
  EXPECT_TRUE(Prints(name, "1", 10));
  EXPECT_THAT(Get("service -n network outside", "{.spec.clusterIP}"), IsEmpty());
}

TEST_F(Stories, TheSamePortOfANodeIsTakenByAddressAndProtocol) {
  Does(
      "kubectl wait -n network --for=condition=Ready pod/port-1 pod/port-2 pod/port-3 "
      "--timeout=60s");
  EXPECT_EQ(Out("curl -s --max-time 5 http://127.0.0.1:54323/"), "port-1")
      << Out("iptables-save -t nat | grep 54323; kubectl get pods -n network -o wide");
  EXPECT_EQ(Out("curl -s --max-time 5 http://" + NodeIp() + ":54323/"), "port-2");
  EXPECT_EQ(Out("python3 -", AskUdp(NodeIp(), 54323)), "port-3");
}

TEST_F(Stories, EndpointsFollowTheirPods) {
  BothReady(cluster().get());
  Does("kubectl create -f -", R"(
kind: Service
apiVersion: v1
metadata: {name: follow, namespace: network, labels: {lived: short}}
spec: {selector: {app: follow}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
kind: Pod
apiVersion: v1
metadata: {name: follow, namespace: network, labels: {app: follow}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "600"]}]
)");
  Does("kubectl wait -n network --for=condition=Ready pod/follow --timeout=60s");
  const std::string ip = Get("pod -n network follow", "{.status.podIP}");
  const std::string slices =
      "kubectl get endpointslices -n network -l kubernetes.io/service-name=follow -o "
      "jsonpath='{.items[*].endpoints[*].addresses[*]}'";
  const std::string endpoints =
      "kubectl get endpoints -n network follow -o jsonpath='{.subsets[*].addresses[*].ip}'";
  EXPECT_TRUE(Prints(slices, ip, 10));
  EXPECT_TRUE(Prints(endpoints, ip, 10));
  Does("kubectl delete pod -n network follow");
  EXPECT_TRUE(Prints(slices, "", 10));
  EXPECT_TRUE(Prints(endpoints, "", 10));
  Does("kubectl delete service -n network follow");
  EXPECT_TRUE(
      Prints("kubectl get endpointslices -n network -o name -l "
             "kubernetes.io/service-name=follow",
             "", 20));
  EXPECT_THAT(Get("endpointslice kubernetes", "{.endpoints[*].addresses[*]}"), Not(IsEmpty()));
  EXPECT_EQ(Get("endpoints kubernetes", "{.subsets[*].addresses[*].ip}"),
            Get("endpointslice kubernetes", "{.endpoints[*].addresses[*]}"));
}

TEST_F(Stories, EndpointsByHandAppearAsSlices) {
  BothReady(cluster().get());
  const std::string ip = Get("pod -n network server-0", "{.status.podIP}");
  const std::string by_hand = R"(
kind: Endpoints
apiVersion: v1
metadata: {name: NAME, namespace: network}
subsets: [{addresses: [{ip: ADDRESS}], ports: [{name: http, port: 8080}]}]
)";
  const auto write = [&](const char* verb, const std::string& name, const std::string& address) {
    Does(absl::StrCat("sed 's/NAME/", name, "/; s/ADDRESS/", address, "/' | kubectl ", verb,
                      " -f -"),
         by_hand);
  };
  const std::string slices =
      "kubectl get endpointslices -n network -l kubernetes.io/service-name=by-hand -o "
      "jsonpath='{.items[*].endpoints[*].addresses[*]}'";
  write("create", "by-hand", "192.0.2.7");
  EXPECT_TRUE(Prints(slices, "192.0.2.7", 10));
  write("replace", "by-hand", ip);
  EXPECT_TRUE(Prints(slices, ip, 10));
  EXPECT_TRUE(Prints(
      "curl -s --max-time 5 http://" + Get("service -n network by-hand", "{.spec.clusterIP}") + "/",
      "server-0", 10));
  Does("kubectl delete endpoints -n network by-hand");
  EXPECT_TRUE(Prints(slices, "", 10));

  write("create", "without-service", "192.0.2.8");
  write("replace", "without-service", "192.0.2.9");
  Does(
      "kubectl patch endpoints -n network without-service -p '{\"metadata\":{\"labels\":"
      "{\"lived\":\"short\"}}}'");
  EXPECT_EQ(Get("endpoints -n network without-service", "{.subsets[0].addresses[0].ip}"),
            "192.0.2.9");
  Does("kubectl delete endpoints -n network -l lived=short");
}

TEST_F(Stories, TheStatusOfAServiceIsPatched) {
  Does("kubectl create -f -", R"(
kind: Service
apiVersion: v1
metadata: {name: balanced, namespace: network}
spec: {type: LoadBalancer, ports: [{port: 80}]}
)");
  Does(
      "kubectl patch service -n network balanced --subresource=status --type=merge -p '{\"status\":"
      "{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}'");
  // A change that its controller looks at, and one of the status by another way.
  Does("kubectl annotate service -n network balanced looked=at");
  Does(
      "kubectl patch service -n network balanced --subresource=status --type=merge -p '{\"status\":"
      "{\"conditions\":[{\"type\":\"Own\",\"status\":\"True\",\"reason\":\"Own\",\"message\":\"\","
      "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}'");
  EXPECT_FALSE(cluster()->Prints(
      "kubectl get service -n network balanced -o jsonpath='{.status.loadBalancer.ingress[0].ip}'",
      "", std::chrono::seconds(2)))
      << "nobody takes it back";
  EXPECT_EQ(Get("service -n network balanced", "{.status.conditions[0].type}"), "Own");
  Does("kubectl delete service -n network balanced");
}

TEST_F(Stories, EndpointsOfFiftyServicesComeSoon) {
  BothReady(cluster().get());
  Does(
      "for i in $(seq 50); do printf -- '---\\nkind: Service\\napiVersion: v1\\nmetadata: {name: "
      "many-%s, namespace: network, labels: {lived: short}}\\nspec: {selector: {app: server}, "
      "ports: [{port: 80}]}\\n' $i; done | kubectl create -f -");
  EXPECT_TRUE(
      Prints("kubectl get endpoints -n network -l lived=short -o "
             "jsonpath='{.items[*].subsets[*].addresses[0].ip}' | wc -w",
             "50", 10));
  EXPECT_EQ(Out("kubectl get services -A -l lived=short -o name | wc -l"), "50");
  Does("kubectl delete services -n network -l lived=short");
  EXPECT_EQ(Out("kubectl get services -A -l lived=short -o name 2>/dev/null | wc -l"), "0");
}

TEST_F(Stories, SlicesAndIngressesAreObjects) {
  Does("kubectl create -f -", R"(
kind: List
apiVersion: v1
items:
- {kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, metadata: &m {name: short, labels:
   {lived: short}}, addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}],
   ports: [{name: http, port: 80}]}
- {kind: IngressClass, apiVersion: networking.k8s.io/v1, metadata: *m, spec: {controller: a.b/c}}
- {kind: Ingress, apiVersion: networking.k8s.io/v1, metadata: *m,
   spec: {defaultBackend: {service: {name: none, port: {number: 80}}}}}
)");
  const std::string all = "endpointslices,ingressclasses,ingresses -l lived=short";
  EXPECT_EQ(Out("kubectl label " + all + " more=here | wc -l"), "3");
  EXPECT_EQ(Out("kubectl get " + all + ",more=here -o name | wc -l"), "3");
  Does(
      "kubectl patch ingress short --subresource=status --type=merge -p '{\"status\":"
      "{\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"}]}}}'");
  EXPECT_EQ(Get("ingress short", "{.status.loadBalancer.ingress[0].ip}"), "203.0.113.1");
  Does("kubectl delete " + all);
  EXPECT_EQ(Out("kubectl get " + all + " -o name | wc -l"), "0");
}

TEST_F(Stories, TheApiServerIsAWayToPodsAndServices) {
  BothReady(cluster().get());
  const std::string raw = "kubectl get --raw /api/v1/namespaces/network/";
  EXPECT_EQ(Does(raw + "pods/server-0:8080/proxy/"), "server-0");
  EXPECT_EQ(Does(raw + "pods/http:server-1:8081/proxy/path/"), "server-1");
  EXPECT_THAT(Does(raw + "services/servers:http/proxy/"), HasSubstr("server-"));
  EXPECT_THAT(Does(raw + "services/servers:81/proxy/path/"), HasSubstr("server-"));
}

}  // namespace
}  // namespace meltemi::conformance
