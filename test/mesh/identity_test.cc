// Who is believed to be whom: certificates that change all the time lose no request, and whoever
// shows a token or certificate that is missing, made up, expired or somebody else's is refused,
// with the reason, and nobody else notices.
#include <chrono>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "security/v1alpha1/ca.pb.h"
#include "test/machine/process.h"
#include "test/mesh/mesh_world.h"
#include "test/nodes/cluster.h"

namespace meltemi::mesh {
namespace {

using machine::Eventually;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kThis[] = "spiffe://cluster.local/ns/default/sa/default";
constexpr char kThief[] = "spiffe://cluster.local/ns/default/sa/thief";

// Four servers with TLS of their own, and no sidecar: certificates as in the Secret `impostor`.
constexpr char kImpostor[] = R"(apiVersion: v1
kind: Service
metadata: {name: impostor}
spec:
  selector: {app: impostor}
  ports:
  - {name: http-good, port: 8001}
  - {name: http-foreign, port: 8002}
  - {name: http-expired, port: 8003}
  - {name: http-thief, port: 8004}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: impostor}
spec:
  host: impostor
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: v1
kind: Pod
metadata:
  name: impostor
  labels: {app: impostor, sidecar.istio.io/inject: "false"}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: server
    image: registry.ioros.com/docker.io/dustise/flaskapp
    imagePullPolicy: IfNotPresent
    command: [python3, -c]
    args:
    - |
      import http.server, ssl, threading
      for port, name in (8004, "thief"), (8003, "expired"), (8002, "foreign"), (8001, "good"):
          server = http.server.ThreadingHTTPServer(("", port), http.server.SimpleHTTPRequestHandler)
          context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
          context.load_cert_chain(f"/cert/{name}.crt", f"/cert/{name}.key")
          server.socket = context.wrap_socket(server.socket, server_side=True,
                                              do_handshake_on_connect=False)
          threading.Thread(target=server.serve_forever).start()
    readinessProbe: {tcpSocket: {port: 8001}}
    volumeMounts: [{name: cert, mountPath: /cert}]
  volumes: [{name: cert, secret: {secretName: impostor}}]
)";

class IdentityTest : public MeshTest {
 protected:
  static std::string File(const std::string& name) { return cluster()->folder() + "/" + name; }
  static std::string Pilot() {
    return absl::StrCat(cluster()->NodeIp(cluster()->NodeNames()[0]), ":15012");
  }

  // The mesh's own authority.
  static tls::KeyPair MeshRoot() {
    const auto part = [](const std::string& name) {
      return Does(
          absl::StrCat("kubectl -n istio-system get secret istio-ca-secret -o jsonpath='{"
                       ".data.",
                       name, "\\.pem}' | base64 -d"));
    };
    return {.certificate_chain_pem = part("ca-cert"), .private_key_pem = part("ca-key")};
  }
  static tls::KeyPair ForeignRoot() {
    const int64_t now_s = std::time(nullptr);
    return *tls::NewCertificate({.common_name = "foreign",
                                 .is_ca = true,
                                 .not_before_s = now_s - 3600,
                                 .not_after_s = now_s + 86400},
                                {});
  }
  // NAME.crt and NAME.key for `uri`.
  static void WriteWorkload(const std::string& name, const tls::KeyPair& root, const char* uri,
                            bool expired = false) {
    const int64_t now_s = std::time(nullptr);
    const auto pair = tls::NewCertificate({.uris = {uri},
                                           .server_auth = true,
                                           .client_auth = true,
                                           .not_before_s = now_s - 7200,
                                           .not_after_s = expired ? now_s - 3600 : now_s + 3600},
                                          root);
    ASSERT_TRUE(pair.ok()) << pair.status();
    machine::WriteFile(File(name + ".crt"), pair->certificate_chain_pem);
    machine::WriteFile(File(name + ".key"), pair->private_key_pem);
  }
  static void WriteWorkloads() {
    WriteWorkload("good", MeshRoot(), kThis);
    WriteWorkload("foreign", ForeignRoot(), kThis);
    WriteWorkload("expired", MeshRoot(), kThis, /*expired=*/true);
    WriteWorkload("thief", MeshRoot(), kThief);
  }

  // For the pod of `selector`, as the kubelet gets it.
  static std::string Token(const std::string& selector, const std::string& audience = "istio-ca") {
    const std::string pod =
        Does(absl::StrCat("kubectl get pods -o name -l ", selector, " | head -n 1 | cut -d/ -f2"));
    return Does(absl::StrCat("kubectl create token default --audience=", audience,
                             " --bound-object-kind=Pod --bound-object-name=", pod));
  }
  // The same, over since an hour, and signed by who may sign.
  static std::string Expired(const std::string& token) {
    const std::vector<std::string> parts = absl::StrSplit(token, '.');
    std::string claims;
    EXPECT_TRUE(absl::WebSafeBase64Unescape(parts.at(1), &claims));
    for (const char* key : {"exp", "iat", "nbf"}) {
      const std::string mark = absl::StrCat("\"", key, "\":");
      const size_t at = claims.find(mark);
      if (at == std::string::npos) continue;
      const size_t digits = at + mark.size();
      const size_t end = claims.find_first_not_of("0123456789", digits);
      const int64_t past = std::time(nullptr) - (key == std::string("exp") ? 3600 : 7200);
      claims.replace(digits, end - digits, absl::StrCat(past));
    }
    const std::string text = absl::StrCat(parts.at(0), ".", Unpadded(claims));
    const auto signature = tls::Sign(machine::ReadFile(File("pki/sa.key")), text);
    EXPECT_TRUE(signature.ok()) << signature.status();
    return absl::StrCat(text, ".", Unpadded(*signature));
  }
  static std::string Unpadded(absl::string_view bytes) {
    std::string text = absl::WebSafeBase64Escape(bytes);
    while (absl::EndsWith(text, "=")) text.pop_back();
    return text;
  }

  // What the authority answers to a request for a certificate for `uri`: "STATUS message".
  static std::string AskAuthority(const std::string& token, const char* uri,
                                  const std::string& csr = "") {
    istio::v1::auth::IstioCertificateRequest request;
    const std::string key = *tls::NewPrivateKeyPem(tls::KeyKind::kEcdsaP256);
    request.set_csr(csr.empty() ? *tls::NewSigningRequestPem({.uris = {uri}}, key) : csr);
    const std::string bytes = request.SerializeAsString();
    const auto size = static_cast<uint32_t>(bytes.size());
    std::string frame(1, '\0');
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(size >> shift);
    machine::WriteFile(File("request"), frame + bytes);
    const std::string answer = cluster()->Out(absl::StrCat(
        "kubectl -n default get configmap istio-ca-root-cert -o "
        "jsonpath='{.data.root-cert\\.pem}' > root.pem; curl -s -m 10 --http2 --cacert root.pem "
        "-D - -o answer -H 'content-type: application/grpc' -H 'te: trailers' ",
        token.empty() ? "" : absl::StrCat("-H 'authorization: Bearer ", token, "' "),
        "--data-binary @request https://", Pilot(),
        "/istio.v1.auth.IstioCertificateService/CreateCertificate"));
    return absl::StrCat(HeaderOf(answer, "grpc-status"), " ", HeaderOf(answer, "grpc-message"));
  }
  static std::string HeaderOf(const std::string& answer, const std::string& name) {
    for (absl::string_view line : absl::StrSplit(answer, absl::ByAnyChar("\r\n"))) {
      if (absl::StartsWith(line, name + ": ")) {
        return absl::StrReplaceAll(line.substr(name.size() + 2), {{"%27", "'"}});
      }
    }
    return "";
  }
  static int64_t PilotCounter(const std::string& name) {
    int64_t value = 0;
    for (absl::string_view line : absl::StrSplit(cluster()->Pilot("/metrics"), '\n')) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      if (parts.first == name && absl::SimpleAtoi(parts.second, &value)) break;
    }
    return value;
  }

  // A proxy on this machine that says it is `workload`; runs until its log has `expected`.
  static void ExpectProxyLogs(const std::string& expected, const std::string& token,
                              const std::string& root_pem, const std::string& workload) {
    machine::WriteFile(File("token"), token);
    machine::WriteFile(File("root.pem"), root_pem);
    auto proxy = cluster()->Start(
        {"proxy/app/meltemi-proxy", "sidecar", "--xds-address=" + Pilot(),
         "--token-file=" + File("token"), "--root-cert=" + File("root.pem"), "--namespace=default",
         "--service-account=default", "--workload=" + workload, "--ip=192.0.2.77", "--admin-port=0",
         "--status-port=off", "--stats-port=off", "--concurrency=1"},
        File("proxy.log"));
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    EXPECT_TRUE(
        Eventually([&] { return absl::StrContains(proxy->Output(), expected); }, seconds(10)))
        << expected << "\n"
        << proxy->Output();
  }
};

TEST_F(IdentityTest, AHundredRotationsLoseNoRequest) {
  Does("kubectl scale deployment flaskapp-v1 flaskapp-v2 --replicas=2");
  Does(
      "kubectl patch deployment sleep flaskapp-v1 flaskapp-v2 -p '{\"spec\":{\"template\":{"
      "\"metadata\":{\"annotations\":{\"proxy.istio.io/config\":\"{proxyMetadata: {SECRET_TTL: "
      "4s}}\"}}}}}'");
  for (const char* name : {"sleep", "flaskapp-v1", "flaskapp-v2"}) {
    Does(absl::StrCat("kubectl rollout status --timeout=90s deployment/", name));
  }
  // Each tenth request over a connection of its own.
  Does("kubectl apply -f -",
       "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: flaskapp}\n"
       "spec:\n  host: flaskapp\n  trafficPolicy: {connectionPool: {http: "
       "{maxRequestsPerConnection: 10}}}\n");
  Does("kubectl wait --for=condition=Programmed destinationrule/flaskapp --timeout=20s");
  ASSERT_TRUE(cluster()->Prints("kubectl get pods -l app=sleep -o name | wc -l", "1", seconds(60)));
  const std::string ip = PodIp("app=sleep");
  const std::string name = "citadel_server_success_cert_issuance_count";
  const int64_t before = PilotCounter(name);
  const int64_t own_before = Stat(ip, "istio_agent_num_outgoing_requests");
  const int64_t handshakes = Stat(PodIp("version=v1"), "listener_ssl_handshake");
  UnderLoad(
      "a hundred new certificates",
      [&] {
        EXPECT_TRUE(Eventually([&] { return PilotCounter(name) >= before + 100; }, seconds(120)));
      },
      /*connections=*/2);
  EXPECT_GT(Stat(ip, "istio_agent_num_outgoing_requests"), own_before + 10);
  EXPECT_EQ(Stat(ip, "istio_agent_num_failed_outgoing_requests"), 0);
  EXPECT_GT(Stat(PodIp("version=v1"), "listener_ssl_handshake"), handshakes + 20);
  Does("kubectl delete destinationrule flaskapp");
  Does("kubectl scale deployment flaskapp-v1 flaskapp-v2 --replicas=1");
}

TEST_F(IdentityTest, TheAuthorityRefusesWhatProvesNothing) {
  const int64_t tokens = PilotCounter("citadel_server_authentication_failure_count");
  const int64_t names = PilotCounter("citadel_server_id_extraction_err_count");
  const int64_t requests = PilotCounter("citadel_server_csr_parsing_err_count");
  UnderLoad("wrong tokens", [] {
    const std::string good = Token("app=sleep");
    EXPECT_THAT(AskAuthority(good, kThis), StartsWith("0 "));
    EXPECT_THAT(AskAuthority("", kThis), AllOf(StartsWith("16 "), HasSubstr("no token")));
    EXPECT_THAT(AskAuthority("garbage", kThis),
                AllOf(StartsWith("16 "), HasSubstr("the token is not valid")));
    EXPECT_THAT(AskAuthority(Expired(good), kThis), AllOf(StartsWith("16 "), HasSubstr("expired")));
    EXPECT_THAT(AskAuthority(Token("app=sleep", "elsewhere"), kThis),
                AllOf(StartsWith("16 "), HasSubstr("the token is not")));
    EXPECT_THAT(AskAuthority(good, kThief), AllOf(StartsWith("7 "), HasSubstr(kThief)));
    EXPECT_THAT(AskAuthority(good, kThis, "garbage"), StartsWith("3 "));
  });
  EXPECT_EQ(PilotCounter("citadel_server_authentication_failure_count"), tokens + 4);
  EXPECT_EQ(PilotCounter("citadel_server_id_extraction_err_count"), names + 1);
  EXPECT_EQ(PilotCounter("citadel_server_csr_parsing_err_count"), requests + 1);
}

TEST_F(IdentityTest, AProxyIsWhoItsTokenSays) {
  const std::string root = MeshRoot().certificate_chain_pem;
  const std::string token = Token("app=sleep");
  const int64_t refused = PilotCounter("pilot_xds_refused");
  UnderLoad("stolen tokens", [&] {
    ExpectProxyLogs("says pod 'flaskapp-v1'", token, root, "flaskapp-v1");
    ExpectProxyLogs("the token is not valid", "garbage", root, "sleep");
    // Whoever is not the mesh's pilot gets no token.
    ExpectProxyLogs("CERTIFICATE_VERIFY_FAILED", token, ForeignRoot().certificate_chain_pem,
                    "sleep");
  });
  EXPECT_GT(PilotCounter("pilot_xds_refused"), refused);
}

TEST_F(IdentityTest, ServersWithWrongCertificatesAreNotBelieved) {
  WriteWorkloads();
  std::string line = "kubectl create secret generic impostor";
  for (const char* name : {"good", "foreign", "expired", "thief"}) {
    absl::StrAppend(&line, " --from-file=", name, ".crt --from-file=", name, ".key");
  }
  Does(line);
  Does("kubectl apply -f -", kImpostor);
  Does("kubectl wait --for=condition=Ready pod/impostor --timeout=60s");
  Does("kubectl wait --for=condition=Programmed destinationrule/impostor --timeout=20s");
  const auto ask = [](int port) {
    return cluster()->Out(absl::StrCat(
        "kubectl exec deploy/sleep -c sleep -- curl -s -m 5 -w ' %{http_code}' http://impostor:",
        port, "/cert/ || true"));
  };
  UnderLoad("servers with wrong certificates", [&] {
    EXPECT_TRUE(Becomes("deploy/sleep", "http://impostor:8001/", "200"));
    const std::string wrong[] = {"foreign", "expired", "thief"};
    for (int port = 8002; port <= 8004; ++port) {
      const std::string stat = port == 8004 ? "ssl.fail_verify_san" : "ssl.fail_verify_error";
      const int64_t before = world()->Stat(stat);
      EXPECT_THAT(ask(port), AllOf(HasSubstr("503"), HasSubstr("TLS_error"))) << wrong[port - 8002];
      EXPECT_GT(world()->Stat(stat), before) << stat << " " << wrong[port - 8002];
      EXPECT_THAT(cluster()->Out(absl::StrCat("kubectl logs deploy/sleep -c istio-proxy --tail=2000"
                                              " | grep 'impostor:",
                                              port, "'")),
                  HasSubstr("503 UF,URX"));
    }
  });
  Does("kubectl delete pod/impostor service/impostor destinationrule/impostor --grace-period=1");
}

TEST_F(IdentityTest, ClientsWithWrongCertificatesAreNotBelieved) {
  WriteWorkloads();
  Does("kubectl apply -f -", kStrict);
  const std::string ip = PodIp("version=v1");
  const auto ask = [&](const std::string& name) {
    return cluster()->Out(absl::StrCat(
        "curl -sk -m 5 -o /dev/null -w '%{http_code}' ",
        name.empty() ? "" : absl::StrCat("--cert ", name, ".crt --key ", name, ".key "), "https://",
        ip, ":80/env/version || true"));
  };
  UnderLoad("clients with wrong certificates", [&] {
    EXPECT_TRUE(Eventually([&] { return ask("") == "000"; }, seconds(20)));
    EXPECT_EQ(ask("good"), "200");
    for (const char* name : {"foreign", "expired"}) {
      const int64_t before = Stat(ip, "listener_ssl_fail_verify_error");
      EXPECT_EQ(ask(name), "000") << name;
      EXPECT_EQ(Stat(ip, "listener_ssl_fail_verify_error"), before + 1) << name;
    }
    const int64_t before = Stat(ip, "listener_ssl_fail_verify_no_cert");
    EXPECT_EQ(ask(""), "000");
    EXPECT_EQ(Stat(ip, "listener_ssl_fail_verify_no_cert"), before + 1);
  });
  Does("kubectl delete peerauthentication default");
}

}  // namespace
}  // namespace meltemi::mesh
