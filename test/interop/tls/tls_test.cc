// Mutual TLS between meltemi-proxy and Envoy, as sidecars speak it: each is the client's and the
// server's once, over HTTP/1.1 and HTTP/2, TLS 1.2 and 1.3, with names checked at both ends.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/tls/certificate.h"
#include "test/interop/tls/sidecars.h"
#include "test/machine/process.h"
#include "test/scenarios/programs.h"

namespace meltemi::tls_interop {
namespace {

using std::chrono::seconds;

constexpr char kClientName[] = "spiffe://cluster.local/ns/default/sa/client";
constexpr char kServerName[] = "spiffe://cluster.local/ns/default/sa/server";
constexpr char kNobody[] = "spiffe://cluster.local/ns/default/sa/nobody";

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

tls::KeyPair Certificate(const tls::CertificateRequest& about, const tls::KeyPair& issuer) {
  tls::CertificateRequest request = about;
  request.not_before_s = time(nullptr) - 3600;
  request.not_after_s = time(nullptr) + 3600;
  auto made = tls::NewCertificate(request, issuer);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *std::move(made) : tls::KeyPair();
}

enum class Kind : uint8_t { kOurs, kEnvoy };

struct Case {
  Kind client;
  bool http2;
  bool tls13;
  std::string Name() const {
    return absl::StrCat(client == Kind::kOurs ? "OursToEnvoy" : "EnvoyToOurs",
                        http2 ? "Http2" : "Http1", tls13 ? "Tls13" : "Tls12");
  }
};

class TlsTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    std::string why_not;
    envoy_ = scenarios::FetchPeer("envoy", &why_not);
    if (envoy_.empty()) GTEST_SKIP() << "no Envoy to talk to: " << why_not;
    folder_ = scenarios::FreshFolder(absl::StrCat("tls-", GetParam().Name()));
    const tls::KeyPair root = Certificate({.common_name = "root", .is_ca = true}, {});
    const auto workload = [&](const char* uri) {
      return Certificate(
          {.common_name = "", .uris = {uri}, .server_auth = true, .client_auth = true}, root);
    };
    roots_pem_ = root.certificate_chain_pem;
    client_pair_ = workload(kClientName);
    server_pair_ = workload(kServerName);
    const Kind server = GetParam().client == Kind::kOurs ? Kind::kEnvoy : Kind::kOurs;
    server_ = {.admin_port = FreePort(),
               .port = FreePort(),
               .own = server_pair_,
               .roots_pem = roots_pem_,
               .peer_name = kClientName,
               .tls13 = GetParam().tls13,
               .http2 = GetParam().http2,
               .log_path = folder_ + "/server.access"};
    client_ = server_;
    client_.admin_port = FreePort();
    client_.port = FreePort();
    client_.own = client_pair_;
    client_.peer_name = kServerName;
    client_.log_path = folder_ + "/client.access";
    client_.upstream_port = server_.port;
    server_kind_ = server;
  }

  void Start() {
    Run("server", server_kind_, ServerSidecar(server_), server_.port, &server_process_);
    Run("client", GetParam().client, ClientSidecar(client_), client_.port, &client_process_);
  }
  void Run(const std::string& name, Kind kind, const std::string& config, int port,
           machine::Process* process) {
    const std::string path = absl::StrCat(folder_, "/", name, ".json");
    machine::WriteFile(path, config);
    std::vector<std::string> argv = {scenarios::BuiltPrograms().proxy};
    if (kind == Kind::kEnvoy) {
      argv = {envoy_, "--use-dynamic-base-id", "--log-level", "error"};
    }
    argv.insert(argv.end(), {"-c", path, "--concurrency", "1"});
    auto started = machine::Process::Start(
        {.argv = argv, .env = {}, .output_path = absl::StrCat(folder_, "/", name, ".out")});
    ASSERT_TRUE(started.ok()) << started.status();
    *process = *std::move(started);
    const bool up =
        machine::Eventually([&] { return !process->running() || Listens(port); }, seconds(30));
    ASSERT_TRUE(up && process->running()) << process->Output();
  }
  static bool Listens(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const bool up = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    return up;
  }

  // "200 mesh": what the application behind the client's sidecar gets.
  std::string Ask() const {
    const machine::Finished finished =
        machine::RunToEnd({.argv = {"curl", "-s", "-m", "20", "-w", " %{http_code}",
                                    absl::StrCat("http://127.0.0.1:", client_.port, "/")}},
                          seconds(30));
    return finished.output;
  }
  // All of the access log: it is written out when the program ends.
  static std::string LogOf(const Sidecar& sidecar, machine::Process* process) {
    process->Signal(SIGTERM);
    process->Wait(seconds(20));
    return machine::ReadFile(sidecar.log_path);
  }
  // The sum over all labels of a Prometheus metric.
  static int64_t Metric(int admin_port, const std::string& name) {
    const std::string text =
        machine::RunToEnd(
            {.argv = {"curl", "-s", "-m", "20",
                      absl::StrCat("http://127.0.0.1:", admin_port, "/stats/prometheus")}},
            seconds(30))
            .output;
    int64_t sum = 0, value = 0;
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::StartsWith(line, name + "{") && !absl::StartsWith(line, name + " ")) continue;
      if (absl::SimpleAtoi(line.substr(line.rfind(' ') + 1), &value)) sum += value;
    }
    return sum;
  }

  std::string envoy_, folder_, roots_pem_;
  tls::KeyPair client_pair_, server_pair_;
  Kind server_kind_ = Kind::kEnvoy;
  Sidecar server_, client_;
  machine::Process server_process_, client_process_;
};

TEST_P(TlsTest, RequestsPassWithBothNamesCheckedAndSessionsAreResumed) {
  Start();
  ASSERT_FALSE(HasFatalFailure());
  // Each on a connection of its own.
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Ask(), "mesh 200");
  EXPECT_GE(Metric(client_.admin_port, "envoy_cluster_ssl_handshake"), 6);
  EXPECT_GE(Metric(client_.admin_port, "envoy_cluster_ssl_session_reused"), 3);
  EXPECT_GE(Metric(server_.admin_port, "envoy_listener_ssl_session_reused"), 3);
  const std::vector<std::string> lines =
      absl::StrSplit(LogOf(server_, &server_process_), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), 6u);
  for (const std::string& line : lines) {
    EXPECT_EQ(line, absl::StrCat("200 ", GetParam().http2 ? "HTTP/2" : "HTTP/1.1", " ",
                                 GetParam().tls13 ? "TLSv1.3" : "TLSv1.2", " ", kClientName, " ",
                                 kServerName, " ", kSni));
  }
}

TEST_P(TlsTest, AServerOfAnotherNameIsRefused) {
  client_.peer_name = kNobody;
  Start();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_TRUE(absl::EndsWith(Ask(), " 503"));
  EXPECT_GE(Metric(client_.admin_port, "envoy_cluster_ssl_fail_verify_san"), 1);
  EXPECT_EQ(LogOf(server_, &server_process_), "") << "no request may have reached it";
  EXPECT_EQ(LogOf(client_, &client_process_), "503 UF\n");
}

TEST_P(TlsTest, AClientOfAnotherNameIsRefused) {
  server_.peer_name = kNobody;
  Start();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_TRUE(absl::EndsWith(Ask(), " 503"));
  EXPECT_GE(Metric(server_.admin_port, "envoy_listener_ssl_fail_verify_san"), 1);
  EXPECT_EQ(LogOf(server_, &server_process_), "");
}

TEST_P(TlsTest, AClientOfAForeignRootIsRefused) {
  const tls::KeyPair foreign = Certificate({.common_name = "foreign", .is_ca = true}, {});
  client_.own = Certificate({.uris = {kClientName}, .client_auth = true}, foreign);
  Start();
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_TRUE(absl::EndsWith(Ask(), " 503"));
  EXPECT_GE(Metric(server_.admin_port, "envoy_listener_ssl_fail_verify_error"), 1);
  EXPECT_EQ(LogOf(server_, &server_process_), "");
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Kind client : {Kind::kOurs, Kind::kEnvoy}) {
    for (const bool http2 : {false, true}) {
      for (const bool tls13 : {false, true}) cases.push_back({client, http2, tls13});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Peers, TlsTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.Name(); });

}  // namespace
}  // namespace meltemi::tls_interop
