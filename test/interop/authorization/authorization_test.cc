// The same AuthorizationPolicies, as pilot translates them, in Envoy and in meltemi-proxy: every
// request of a generated table gets the same answer, and the log names the same policy.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/tls/certificate.h"
#include "test/interop/authorization/bootstrap.h"
#include "test/interop/authorization/client.h"
#include "test/interop/authorization/table.h"
#include "test/machine/process.h"
#include "test/scenarios/programs.h"

namespace meltemi::authorization {
namespace {

using std::chrono::seconds;

constexpr uint64_t kSeed = 20'240;
constexpr int kWorkloads = 48;
constexpr int kHttpEach = 24, kTlsEach = 12, kTcpEach = 6;

// Ports that nothing uses at the moment, held until all are chosen.
std::vector<int> FreePorts(size_t count) {
  std::vector<int> fds, ports;
  while (ports.size() < count) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    fds.push_back(fd);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int fd : fds) close(fd);
  return ports;
}

tls::KeyPair Certificate(const tls::CertificateRequest& about, const tls::KeyPair& issuer) {
  tls::CertificateRequest request = about;
  request.not_before_s = time(nullptr) - 3600;
  request.not_after_s = time(nullptr) + 3600;
  auto made = tls::NewCertificate(request, issuer);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *std::move(made) : tls::KeyPair();
}

// What one proxy made of the table.
struct Outcome {
  std::vector<Answer> answers;
  std::vector<std::string> details;             // of the log, for each request
  std::map<std::string, std::string> counters;  // of the HTTP filters that counted
};

// One line of what is compared.
std::string Compared(const Outcome& outcome, size_t i) {
  return absl::StrCat(outcome.answers[i].status, " '", outcome.answers[i].rest, "' ",
                      outcome.details[i]);
}

class AuthorizationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    envoy_ = scenarios::FetchPeer("envoy", &why_not);
    if (envoy_.empty()) GTEST_SKIP() << "no Envoy to compare with: " << why_not;
    folder_ = scenarios::FreshFolder("authorization");
    MakeIdentities();
    MakeTable();
  }

  void MakeIdentities() {
    const tls::KeyPair root = Certificate({.common_name = "root", .is_ca = true}, {});
    const auto client = [&](std::vector<std::string> uris, std::vector<std::string> dns_names) {
      return Certificate({.common_name = "client",
                          .dns_names = std::move(dns_names),
                          .uris = std::move(uris),
                          .client_auth = true},
                         root);
    };
    identities_.a = client({"spiffe://cluster.local/ns/foo/sa/a"}, {});
    identities_.b = client({"spiffe://cluster.local/ns/bar/sa/b"}, {"b.example.com"});
    identities_.dns_name = client({}, {"b.example.com"});
    identities_.roots_pem = root.certificate_chain_pem;
    options_.roots_pem = root.certificate_chain_pem;
    options_.server = Certificate(
        {.common_name = "server", .dns_names = {"a.example.com"}, .server_auth = true}, root);
  }

  void MakeTable() {
    std::vector<int> ports = FreePorts(3 * kWorkloads + 2);
    const auto next = [&ports] {
      const int port = ports.back();
      ports.pop_back();
      return port;
    };
    options_.admin_port = next();
    options_.plain_port = next();
    for (int i = 0; i < kWorkloads; ++i) {
      Workload workload;
      workload.ports = {next(), next(), next()};
      workload.policies = MakePolicies(kSeed + static_cast<uint64_t>(i), workload.ports);
      options_.workloads.push_back(workload);
      for (Request& request :
           MakeRequests(kSeed + 1000 + static_cast<uint64_t>(i), kHttpEach, kTlsEach, kTcpEach)) {
        requests_.push_back(std::move(request));
        workload_of_.push_back(static_cast<size_t>(i));
      }
    }
  }

  int PortOf(size_t i) const {
    const WorkloadPorts& ports = options_.workloads[workload_of_[i]].ports;
    switch (requests_[i].kind) {
      case Kind::kHttp:
        return ports.http;
      case Kind::kTls:
        return ports.tls;
      case Kind::kTcp:
        return ports.tcp;
    }
    return 0;
  }

  // Starts the program with the configuration, asks everything, and reads its log.
  Outcome Run(const std::string& name, const std::vector<std::string>& program) {
    options_.log_path = absl::StrCat(folder_, "/", name, ".log");
    std::string wrong;
    const std::string config = absl::StrCat(folder_, "/", name, ".json");
    machine::WriteFile(config, MakeBootstrap(options_, &wrong));
    EXPECT_EQ(wrong, "");
    std::vector<std::string> argv = program;
    argv.insert(argv.end(), {"-c", config, "--concurrency", "1"});
    auto process = machine::Process::Start(
        {.argv = argv, .env = {}, .output_path = absl::StrCat(folder_, "/", name, ".out")});
    EXPECT_TRUE(process.ok()) << process.status();
    if (!process.ok() || !Serves(*process)) return {};
    Outcome outcome;
    Client client(identities_);
    for (size_t i = 0; i < requests_.size(); ++i) {
      outcome.answers.push_back(client.Send(requests_[i], PortOf(i), absl::StrCat("case-", i)));
    }
    outcome.counters = Counters();
    process->Signal(SIGTERM);
    process->Wait(seconds(20));
    ReadLog(&outcome);
    return outcome;
  }

  bool Serves(machine::Process& process) {
    const int port = options_.workloads.back().ports.tcp;
    const bool up =
        machine::Eventually([&] { return !process.running() || Answers(port); }, seconds(30)) &&
        process.running();
    EXPECT_TRUE(up) << process.Output();
    return up;
  }

  bool Answers(int port) const {
    Request request;
    request.kind = Kind::kTcp;
    request.source_ip = "127.0.0.1";
    return Client(Identities()).Send(request, port, "").status != "nobody listens";
  }

  // The lines of rbac in /stats/prometheus that are not 0, labels sorted.
  std::map<std::string, std::string> Counters() const {
    Request request;
    request.method = "GET";
    request.path = "/stats/prometheus";
    request.host = "admin";
    request.source_ip = "127.0.0.1";
    std::map<std::string, std::string> counters;
    const Answer answer = Client(Identities()).Send(request, options_.admin_port, "");
    for (const absl::string_view line : absl::StrSplit(answer.rest, '\n')) {
      if (!absl::StartsWith(line, "envoy_http_rbac_")) continue;
      const size_t open = line.find('{'), shut = line.rfind('}');
      if (open == absl::string_view::npos || shut == absl::string_view::npos) continue;
      const std::string value(line.substr(shut + 2));
      if (value == "0") continue;
      std::vector<std::string> labels =
          absl::StrSplit(line.substr(open + 1, shut - open - 1), ',', absl::SkipEmpty());
      std::sort(labels.begin(), labels.end());
      std::string key(line.substr(0, open));
      for (const std::string& label : labels) absl::StrAppend(&key, " ", label);
      counters[key] = value;
    }
    return counters;
  }

  // "H CASE CODE FLAGS DETAILS" and "T LOCAL PORT-REMOTE PORT FLAGS DETAILS".
  void ReadLog(Outcome* outcome) const {
    std::map<std::string, std::string> lines;
    const std::string log = machine::ReadFile(options_.log_path);
    for (const absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 2));
      if (parts.size() == 3) lines[parts[1]] = parts[2];
    }
    for (size_t i = 0; i < requests_.size(); ++i) {
      const bool tcp = requests_[i].kind == Kind::kTcp;
      const std::string key = tcp ? absl::StrCat(PortOf(i), "-", outcome->answers[i].client_port)
                                  : absl::StrCat("case-", i);
      const auto found = lines.find(key);
      outcome->details.push_back(found == lines.end() ? "not logged" : found->second);
    }
  }

  std::string envoy_, folder_;
  Identities identities_;
  BootstrapOptions options_;
  std::vector<Request> requests_;
  std::vector<size_t> workload_of_;
};

TEST_F(AuthorizationTest, EnvoyAndWeDecideAlike) {
  const Outcome theirs = Run(
      "envoy", {envoy_, "--base-id", absl::StrCat(options_.admin_port), "--log-level", "error"});
  ASSERT_FALSE(HasFailure());
  const Outcome ours = Run("meltemi-proxy", {scenarios::BuiltPrograms().proxy});
  ASSERT_FALSE(HasFailure());
  int different = 0;
  std::map<std::string, int> statuses;
  for (size_t i = 0; i < requests_.size(); ++i) {
    ++statuses[ours.answers[i].status];
    if (Compared(ours, i) == Compared(theirs, i)) continue;
    if (++different > 1) continue;  // the first is enough to look at
    ADD_FAILURE() << "request " << i << ": " << requests_[i].ToString()
                  << "\nEnvoy:         " << Compared(theirs, i)
                  << "\nmeltemi-proxy: " << Compared(ours, i) << "\nport " << PortOf(i)
                  << ", policies:\n"
                  << options_.workloads[workload_of_[i]].policies;
  }
  EXPECT_EQ(different, 0) << "of " << requests_.size() << " cases";
  EXPECT_EQ(ours.counters, theirs.counters);
  // A table in which everything is allowed, or nothing, would show little.
  EXPECT_GT(statuses["200"], static_cast<int>(requests_.size() / 5));
  EXPECT_GT(statuses["403"], static_cast<int>(requests_.size() / 5));
  EXPECT_GT(statuses["no answer"], 20) << "connections that a network filter refused";
  RecordProperty("cases", static_cast<int>(requests_.size()));
}

}  // namespace
}  // namespace meltemi::authorization
