// Other people's clients against the server as it is shipped: client-go and
// @kubernetes/client-node.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "test/interop/clients/fetch.h"
#include "test/machine/process.h"

namespace meltemi::interop {
namespace {

using machine::Eventually;
using machine::Process;
using machine::ProcessOptions;
using std::chrono::seconds;

constexpr seconds kPatience{60};

std::string FreshFolder(const std::string& name) {
  std::string folder = absl::StrCat(::testing::TempDir(), "/", name, "-", getpid());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

// The API server in a folder of its own. Stopped and started again, it keeps its port and its data.
class Server {
 public:
  explicit Server(std::vector<std::string> options = {})
      : folder_(FreshFolder("apiserver")), options_(std::move(options)) {}
  ~Server() { std::filesystem::remove_all(folder_); }

  // What is wrong, or "".
  std::string Start() {
    const std::string address_file = absl::StrCat(folder_, "/address");
    std::filesystem::remove(address_file);
    ProcessOptions options;
    options.argv = {"orchestrator/app/meltemi-orchestrator",
                    "apiserver",
                    absl::StrCat("--data-dir=", folder_, "/data"),
                    "--bind-address=127.0.0.1",
                    absl::StrCat("--secure-port=", port_),
                    absl::StrCat("--address-file=", address_file)};
    options.argv.insert(options.argv.end(), options_.begin(), options_.end());
    options.output_path = absl::StrCat(folder_, "/log");
    absl::StatusOr<Process> process = Process::Start(options);
    if (!process.ok()) return process.status().ToString();
    process_ = *std::move(process);
    auto ready = [&] { return !machine::ReadFile(address_file).empty() || !process_.running(); };
    if (!Eventually(ready, kPatience) || !process_.running()) return process_.Output();
    std::vector<std::string> parts = absl::StrSplit(machine::ReadFile(address_file), ':');
    port_ = parts.back();
    return "";
  }

  std::string Stop() {
    process_.Signal(SIGTERM);
    const int status = process_.Wait(kPatience);
    return status == 0 ? "" : absl::StrCat("ended with ", status, ": ", process_.Output());
  }

  std::string kubeconfig() const { return absl::StrCat(folder_, "/data/admin.kubeconfig"); }

 private:
  const std::string folder_;
  const std::vector<std::string> options_;
  std::string port_ = "0";
  Process process_;
};

// A client that plays a story and now and then asks for something to be done.
class Client {
 public:
  explicit Client(std::vector<std::string> argv) : folder_(FreshFolder("client")) {
    argv.push_back(folder_);
    ProcessOptions options;
    options.argv = std::move(argv);
    options.env = {absl::StrCat("HOME=", folder_)};
    options.output_path = absl::StrCat(folder_, "/output");
    absl::StatusOr<Process> process = Process::Start(options);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *std::move(process);
  }
  ~Client() { std::filesystem::remove_all(folder_); }

  // The line that begins with `word`, once it is there; "" when it does not come.
  std::string AwaitLine(const std::string& word) {
    std::string found;
    (void)Eventually(
        [&] {
          const bool ended = !process_.running();
          for (absl::string_view line : absl::StrSplit(process_.Output(), '\n')) {
            if (absl::StartsWith(line, word)) found = std::string(line);
          }
          return !found.empty() || ended;
        },
        kPatience);
    EXPECT_NE(found, "") << process_.Output();
    return found;
  }
  void Tell(const std::string& file) {
    machine::WriteFile(absl::StrCat(folder_, "/", file), "yes");
  }

  void ExpectDone() {
    EXPECT_EQ(process_.Wait(2 * kPatience), 0) << process_.Output();
    EXPECT_TRUE(absl::StrContains(process_.Output(), "done")) << process_.Output();
  }

 private:
  const std::string folder_;
  Process process_;
};

class ClientsTest : public ::testing::Test {
 protected:
  // Skips the test when the client can't be had.
  std::string Program(const std::string& name) {
    std::string why_not;
    std::string program = Fetch(name, &why_not);
    if (program.empty()) Skip(why_not);
    return program;
  }
  void Skip(const std::string& why) { GTEST_SKIP() << why; }

  void Restart(Server& server, Client& client) {
    ASSERT_NE(client.AwaitLine("restart"), "");
    ASSERT_EQ(server.Stop(), "");
    ASSERT_EQ(server.Start(), "");
    client.Tell("restarted");
  }
};

TEST_F(ClientsTest, ClientGoCreatesChangesAndDeletes) {
  const std::string client_go = Program("client");
  if (client_go.empty()) return;
  Server server;
  ASSERT_EQ(server.Start(), "");
  Client({client_go, "typed", server.kubeconfig()}).ExpectDone();
}

TEST_F(ClientsTest, ClientGosInformerSeesEverythingOnceAlsoAcrossARestart) {
  const std::string client_go = Program("client");
  if (client_go.empty()) return;
  Server server;
  ASSERT_EQ(server.Start(), "");
  Client client({client_go, "informer", server.kubeconfig()});
  Restart(server, client);
  client.ExpectDone();
}

TEST_F(ClientsTest, ClientGosCandidatesElectOneLeaderAtATime) {
  const std::string client_go = Program("client");
  if (client_go.empty()) return;
  Server server;
  ASSERT_EQ(server.Start(), "");
  Client({client_go, "election", server.kubeconfig()}).ExpectDone();
}

TEST_F(ClientsTest, NodesClientWatchesAcrossARestart) {
  const std::string folder = Program("node");
  if (folder.empty()) return;
  Server server;
  ASSERT_EQ(server.Start(), "");
  Client client({"node", absl::StrCat(folder, "/client.mjs"), server.kubeconfig()});
  Restart(server, client);
  client.ExpectDone();
}

// A real etcd, because its history can be compacted from outside.
class Etcd {
 public:
  Etcd() : folder_(FreshFolder("etcd")) {}
  ~Etcd() { std::filesystem::remove_all(folder_); }

  bool Start() {
    // Ports that nobody else has at this moment; etcd can't choose its own.
    const int base = 20'000 + getpid() % 10'000 * 2;
    url_ = absl::StrCat("http://127.0.0.1:", base);
    const std::string peer = absl::StrCat("http://127.0.0.1:", base + 1);
    ProcessOptions options;
    options.argv = {"etcd",
                    "--data-dir",
                    absl::StrCat(folder_, "/data"),
                    "--listen-client-urls",
                    url_,
                    "--advertise-client-urls",
                    url_,
                    "--listen-peer-urls",
                    peer,
                    "--initial-advertise-peer-urls",
                    peer,
                    "--initial-cluster",
                    absl::StrCat("default=", peer)};
    options.output_path = absl::StrCat(folder_, "/log");
    absl::StatusOr<Process> process = Process::Start(options);
    if (!process.ok()) return false;
    process_ = *std::move(process);
    return Eventually(
        [this] { return absl::StrContains(Post("/v3/maintenance/status", "{}"), "db"); },
        seconds(20));
  }
  std::string Compact(const std::string& revision) {
    return Post("/v3/kv/compaction",
                absl::StrCat(R"({"revision":")", revision, R"(","physical":true})"));
  }
  const std::string& url() const { return url_; }

 private:
  std::string Post(const std::string& path, const std::string& body) {
    ProcessOptions options;
    options.argv = {"curl", "-s", "--max-time", "5", "-d", body, absl::StrCat(url_, path)};
    return machine::RunToEnd(options, seconds(10)).output;
  }

  const std::string folder_;
  std::string url_;
  Process process_;
};

TEST_F(ClientsTest, ClientGoListsAnewWhenItsVersionIsCompacted) {
  const std::string client_go = Program("client");
  if (client_go.empty()) return;
  Etcd etcd;
  if (!etcd.Start()) GTEST_SKIP() << "etcd does not start here: apt-get install etcd-server curl";
  Server server({absl::StrCat("--etcd-servers=", etcd.url())});
  ASSERT_EQ(server.Start(), "");
  Client client({client_go, "expired", server.kubeconfig()});
  const std::string line = client.AwaitLine("compact ");
  ASSERT_NE(line, "");
  // A server that was there all the time may still have the history; one that starts has not.
  ASSERT_EQ(server.Stop(), "");
  const std::string answer = etcd.Compact(line.substr(std::string("compact ").size()));
  EXPECT_TRUE(absl::StrContains(answer, "header")) << answer;
  ASSERT_EQ(server.Start(), "");
  client.Tell("compacted");
  client.ExpectDone();
}

}  // namespace
}  // namespace meltemi::interop
