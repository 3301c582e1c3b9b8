// The ingress gateway as `meltemi install` prints it, asked from outside of the cluster: several
// hosts, each with its certificate, one of them handed on; and a server outside of the cluster that
// rules hold for.
#include <chrono>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/tls/certificate.h"
#include "test/machine/process.h"
#include "test/mesh/mesh_world.h"
#include "test/nodes/cluster.h"

namespace meltemi::mesh {
namespace {

using machine::Eventually;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kEdge[] = R"(apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [plain.example.com]
  - port: {number: 80, name: http-redirect, protocol: HTTP}
    hosts: [flask.example.com, httpbin.example.com]
    tls: {httpsRedirect: true}
  - port: {number: 443, name: https-flask, protocol: HTTPS}
    hosts: [flask.example.com]
    tls: {mode: SIMPLE, credentialName: flask}
  - port: {number: 443, name: https-httpbin, protocol: HTTPS}
    hosts: [httpbin.example.com]
    tls: {mode: SIMPLE, credentialName: httpbin}
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: [tls.example.com]
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: flask-edge}
spec:
  hosts: [flask.example.com, plain.example.com]
  gateways: [istio-system/edge]
  http: [{route: [{destination: {host: flaskapp}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin-edge}
spec:
  hosts: [httpbin.example.com]
  gateways: [istio-system/edge]
  http:
  - match: [{uri: {prefix: /headers}}]
    route: [{destination: {host: httpbin, port: {number: 8000}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tls-edge}
spec:
  hosts: [tls.example.com]
  gateways: [istio-system/edge]
  tls:
  - match: [{port: 443, sniHosts: [tls.example.com]}]
    route: [{destination: {host: tls, port: {number: 443}}}]
)";

// It speaks TLS itself, and has a sidecar.
constexpr char kTlsServer[] = R"(apiVersion: v1
kind: Service
metadata: {name: tls}
spec:
  selector: {app: tls}
  ports: [{name: https, port: 443, targetPort: 8443}]
---
apiVersion: v1
kind: Pod
metadata: {name: tls, labels: {app: tls}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: server
    image: registry.ioros.com/docker.io/dustise/flaskapp
    imagePullPolicy: IfNotPresent
    command: [python3, -c]
    args:
    - |
      import http.server, ssl
      server = http.server.ThreadingHTTPServer(("", 8443), http.server.SimpleHTTPRequestHandler)
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain("/cert/tls.crt", "/cert/tls.key")
      server.socket = context.wrap_socket(server.socket, server_side=True)
      server.serve_forever()
    readinessProbe: {tcpSocket: {port: 8443}}
    volumeMounts: [{name: cert, mountPath: /cert}]
  volumes: [{name: cert, secret: {secretName: tls}}]
)";

constexpr char kOutside[] = R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [outside.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 8090, name: http, protocol: HTTP}]
  endpoints: [{address: 198.51.100.10}]
)";
constexpr char kOutsideRule[] = R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec:
  hosts: [outside.example.com]
  http:
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: outside.example.com}}]
  - route: [{destination: {host: outside.example.com}}]
    headers: {response: {set: {x-by: mesh}}}
)";

class GatewayTest : public MeshTest {
 protected:
  void SetUp() override {
    const bool first = cluster() == nullptr;
    MeshTest::SetUp();
    if (first && cluster() != nullptr && !HasFatalFailure()) Open();
  }

  // The gateway, its certificates, its hosts.
  static void Open() {
    machine::WriteFile(File("ca.crt"), Root().certificate_chain_pem);
    Does("kubectl apply -f -", kTlsServer);
    for (const char* name : {"flask", "httpbin"}) ApplySecret(name, "istio-system");
    tls_serial() = ApplySecret("tls", "default");
    const nodes::Answer printed =
        cluster()->Run({"cli/meltemi", "install", "--only=gateways"}, seconds(10));
    ASSERT_EQ(printed.exit_status, 0) << printed.output;
    Does("kubectl apply -f -", printed.output);
    Does("kubectl -n istio-system rollout status deployment/istio-ingressgateway --timeout=60s");
    Does("kubectl wait --for=condition=Ready pod/tls --timeout=60s");
    Does("kubectl apply -f -", kStrict);
    Does("kubectl apply -f -", kEdge);
    Does(
        "kubectl wait --for=condition=Programmed --timeout=30s virtualservice/flask-edge "
        "virtualservice/httpbin-edge virtualservice/tls-edge");
    Does("kubectl -n istio-system wait --for=condition=Programmed gateway/edge --timeout=30s");
    const std::string node_port =
        "kubectl -n istio-system get service istio-ingressgateway -o "
        "jsonpath='{.spec.ports[?(@.port==PORT)].nodePort}'";
    const std::string ip = cluster()->NodeIp(cluster()->NodeNames()[0]);
    for (const char* port : {"80", "443"}) {
      std::string line = node_port;
      line.replace(line.find("PORT"), 4, port);
      absl::StrAppend(&curl(), " --connect-to :", port, ":", ip, ":", Does(line));
    }
  }

  static std::string File(const std::string& name) { return cluster()->folder() + "/" + name; }
  static std::string& tls_serial() {
    static auto& serial = *new std::string();
    return serial;
  }
  static std::string& curl() {
    static auto& curl = *new std::string(absl::StrCat("curl -s -m 5 --cacert ", File("ca.crt")));
    return curl;
  }
  static absl::StatusOr<tls::KeyPair> NewCertificate(const std::string& dns_name,
                                                     const tls::KeyPair& issuer) {
    const int64_t now_s = std::time(nullptr);
    tls::CertificateRequest request{.common_name = dns_name.empty() ? "root" : dns_name,
                                    .is_ca = dns_name.empty(),
                                    .server_auth = !dns_name.empty(),
                                    .not_before_s = now_s - 3600,
                                    .not_after_s = now_s + 86400};
    if (!dns_name.empty()) request.dns_names = {dns_name};
    return tls::NewCertificate(request, issuer);
  }
  static const tls::KeyPair& Root() {
    static const auto& root = *new tls::KeyPair(*NewCertificate("", {}));
    return root;
  }
  // A new key and certificate for NAME.example.com; returns its serial number.
  static std::string ApplySecret(const std::string& name, const std::string& ns) {
    const auto pair = NewCertificate(name + ".example.com", Root());
    EXPECT_TRUE(pair.ok()) << pair.status();
    if (!pair.ok()) return "";
    machine::WriteFile(File("new.crt"), pair->certificate_chain_pem);
    machine::WriteFile(File("new.key"), pair->private_key_pem);
    Does(absl::StrCat("kubectl -n ", ns, " create secret tls ", name,
                      " --cert=new.crt --key=new.key --dry-run=client -o yaml | kubectl apply "
                      "--server-side -f -"));
    return tls::ReadCertificatePem(pair->certificate_chain_pem)->serial_hex;
  }
  // What curl prints, and then "STATUS EXIT".
  static std::string Ask(const std::string& url, const std::string& options = "") {
    return cluster()->Out(
        absl::StrCat(curl(), " -w ' %{http_code} %{exitcode}' ", options, " ", url, " || true"));
  }
  // Of the certificate that is served.
  static std::string Serial(const std::string& host) {
    return cluster()->Out(absl::StrCat(curl(), " -o /dev/null -w '%{certs}' https://", host,
                                       "/headers | sed -n 's/^Serial Number://p'"));
  }
  // Connections of ten requests each, one after the other, while `change` happens.
  static void NothingFailsDuring(const std::function<void()>& change) {
    auto load = cluster()->Start(
        {"bash", "-c",
         absl::StrCat("cd ", cluster()->folder(), "; while [ ! -e enough ]; do ", curl(),
                      " -o /dev/null --rate 50/s -w '%{http_code} %{exitcode} %{errormsg}\\n' "
                      "'https://flask.example.com/env/version?n=[1-10]'; done")},
        File("load.log"));
    ASSERT_TRUE(load.ok()) << load.status();
    EXPECT_TRUE(Eventually([&] { return !load->Output().empty(); }, seconds(10)));
    change();
    machine::WriteFile(File("enough"), "");
    EXPECT_EQ(load->Wait(seconds(10)), 0);
    Does("rm enough");
    std::vector<std::string> failed;
    int good = 0;
    for (const absl::string_view line : absl::StrSplit(load->Output(), '\n', absl::SkipEmpty())) {
      if (absl::StartsWith(line, "200 0")) {
        ++good;
      } else {
        failed.emplace_back(line);
      }
    }
    std::printf("%d requests, %zu failed\n", good, failed.size());
    EXPECT_GT(good, 20);
    EXPECT_THAT(failed, IsEmpty());
  }
};

TEST_F(GatewayTest, EachHostHasItsCertificateAndItsRoutes) {
  EXPECT_THAT(Ask("https://flask.example.com/env/version"), EndsWith(" 200 0"));
  EXPECT_THAT(Ask("https://httpbin.example.com/headers"), EndsWith(" 200 0"));
  EXPECT_THAT(Ask("https://httpbin.example.com/get"), EndsWith("404 0")) << "no route";
  EXPECT_NE(Serial("flask.example.com"), Serial("httpbin.example.com"));
  EXPECT_THAT(Ask("http://plain.example.com/env/version"), EndsWith(" 200 0"));
}

TEST_F(GatewayTest, PodsBehindItSeeItsIdentityUnderStrict) {
  EXPECT_THAT(Ask("https://httpbin.example.com/headers"),
              HasSubstr("URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"));
}

TEST_F(GatewayTest, PlaintextIsSentToHttps) {
  EXPECT_EQ(Ask("'http://flask.example.com/env/version?a=b'", "-w '%{http_code} %{redirect_url}'"),
            "301 https://flask.example.com/env/version?a=b");
}

TEST_F(GatewayTest, PassthroughLeadsToThePodsOwnTls) {
  EXPECT_THAT(Ask("https://tls.example.com/", "-o /dev/null"), EndsWith("200 0"));
  EXPECT_EQ(Serial("tls.example.com"), tls_serial()) << "which the gateway does not have";
}

TEST_F(GatewayTest, AnUnknownNameIsRefused) {
  const std::string ip = PodIp("istio=ingressgateway", "istio-system");
  const int64_t before = Stat(ip, "listener_no_filter_chain_match");
  EXPECT_THAT(Ask("https://unknown.example.com/"), EndsWith("000 35")) << "during the handshake";
  EXPECT_EQ(Stat(ip, "listener_no_filter_chain_match"), before + 1);
  EXPECT_THAT(Ask("http://unknown.example.com/"), EndsWith("404 0"));
}

TEST_F(GatewayTest, ANewCertificateIsServedAndNoRequestFails) {
  NothingFailsDuring([] {
    for (int i = 0; i < 5; ++i) {
      const std::string serial = ApplySecret("flask", "istio-system");
      EXPECT_TRUE(Eventually([&] { return Serial("flask.example.com") == serial; }, seconds(10)));
    }
  });
}

TEST_F(GatewayTest, ASecretThatCannotBeReadOrIsGoneLeavesTheOldOneInUse) {
  const std::string old = Serial("flask.example.com");
  const std::string garbage =
      "---\n{apiVersion: v1, kind: Secret, metadata: {name: flask, namespace: istio-system}, type: "
      "kubernetes.io/tls, stringData: {tls.crt: abc, tls.key: def}}";
  Does("kubectl apply --server-side --force-conflicts -f -", garbage);
  EXPECT_TRUE(Eventually(
      [] {
        return absl::StrContains(cluster()->Out("cat run/pilot.log"),
                                 "secret 'kubernetes://flask': certificate chain");
      },
      seconds(10)));
  EXPECT_EQ(Serial("flask.example.com"), old);
  Does("kubectl -n istio-system delete secret flask");
  EXPECT_EQ(Serial("flask.example.com"), old);
  EXPECT_THAT(Ask("https://httpbin.example.com/headers"), EndsWith(" 200 0"));
  const std::string serial = ApplySecret("flask", "istio-system");
  EXPECT_TRUE(Eventually([&] { return Serial("flask.example.com") == serial; }, seconds(10)));
}

TEST_F(GatewayTest, NoRequestFailsWhileTheGatewayIsReplaced) {
  NothingFailsDuring([] {
    Does("kubectl -n istio-system rollout restart deployment/istio-ingressgateway");
    Does("kubectl -n istio-system rollout status deployment/istio-ingressgateway --timeout=60s");
    // Until the old one is gone.
    EXPECT_TRUE(cluster()->Prints(
        "kubectl -n istio-system get pods -l istio=ingressgateway -o name | wc -l", "1",
        seconds(60)));
  });
}

TEST_F(GatewayTest, RulesHoldForWhatIsOutside) {
  auto server = cluster()->Start(
      {"python3", "-m", "http.server", "8090", "--directory", cluster()->folder() + "/images"},
      File("outside.log"));
  ASSERT_TRUE(server.ok()) << server.status();
  const auto ask = [](const std::string& path) {
    // The name leads to nobody: it is the sidecar that knows where the server is.
    return cluster()->Out(
        absl::StrCat("kubectl exec deploy/sleep -c sleep -- curl -s -m 2 -o /dev/null -w "
                     "'%{http_code} %header{x-by}' --resolve outside.example.com:8090:192.0.2.9 "
                     "http://outside.example.com:8090",
                     path, " || true"));
  };
  EXPECT_THAT(ask("/"), StartsWith("000"));
  Does("kubectl apply -f -", kOutside);
  EXPECT_TRUE(Eventually([&] { return ask("/") == "200"; }, seconds(20)));
  Does("kubectl apply -f -", kOutsideRule);
  Does("kubectl wait --for=condition=Programmed virtualservice/outside --timeout=20s");
  EXPECT_EQ(ask("/broken"), "418");
  EXPECT_EQ(ask("/"), "200 mesh");
  EXPECT_THAT(cluster()->Out("kubectl logs deploy/sleep -c istio-proxy --tail=3"),
              HasSubstr("\"outside.example.com:8090\" \"198.51.100.10:8090\""));
  Does("kubectl delete virtualservice/outside serviceentry/outside");
  EXPECT_TRUE(Eventually([&] { return absl::StartsWith(ask("/"), "000"); }, seconds(20)));
}

}  // namespace
}  // namespace meltemi::mesh
