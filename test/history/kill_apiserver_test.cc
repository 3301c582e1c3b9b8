// `meltemi-orchestrator apiserver` is killed again and again while clients work on it over HTTPS;
// nothing that was acknowledged is lost, and every watch goes on where it was.
//
//   kill_apiserver_test [--rounds N] [--seed N]
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/random/random.h"
#include "orchestrator/store/etcd/etcd_process.h"
#include "orchestrator/store/etcd/etcd_store.h"
#include "orchestrator/store/sqlite/sqlite_store.h"
#include "test/history/api_workload.h"
#include "test/history/history.h"
#include "test/history/workload.h"
#include "test/machine/process.h"

namespace meltemi::history {
namespace {

constexpr char kServer[] = "orchestrator/app/meltemi-orchestrator";
constexpr uint64_t kIdsPerRound = 1'000'000;
constexpr std::chrono::seconds kWaitMax(30);

struct RunOptions {
  uint64_t rounds = 100;
  uint64_t seed = 1;
};
RunOptions* run_options = nullptr;  // main's

std::string NewFolder() {
  std::string name = absl::StrCat(testing::TempDir(), "/api-XXXXXX");
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

class ApiServerUnderTest {
 public:
  explicit ApiServerUnderTest(std::string etcd = "") : etcd_(std::move(etcd)) {}

  // Starts it, and waits until it is ready unless it ends before.
  bool Start() {
    const std::string file = folder_ + "/url";
    std::remove(file.c_str());
    std::vector<std::string> argv = {kServer,          "apiserver", "--data-dir",    data(),
                                     "--bind-address", "127.0.0.1", "--secure-port", "0",
                                     "--address-file", file,        "--log-level",   "warn"};
    if (!etcd_.empty()) argv.insert(argv.end(), {"--etcd-servers", etcd_});
    auto process = machine::Process::Start({.argv = argv, .output_path = folder_ + "/log"});
    EXPECT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    std::string url;
    machine::Eventually(
        [&] {
          std::ifstream in(file);
          return (std::getline(in, url) && !url.empty()) || !process_.running();
        },
        std::chrono::seconds(60));
    address_ = std::string(absl::StripPrefix(url, "https://"));
    EXPECT_FALSE(address_.empty()) << "the server did not start: " << process_.Output();
    return !address_.empty();
  }
  void Kill() { process_.Kill(); }
  std::string data() const { return folder_ + "/data"; }
  ApiServerAddress address() const { return {address_, data() + "/pki"}; }

 private:
  const std::string etcd_;
  const std::string folder_ = NewFolder();
  machine::Process process_;
  std::string address_;
};

std::vector<Change> TruthOf(store::Store& store) {
  std::vector<Change> truth = ReadTruth(store, kConfigMapPrefix);
  // Others begin with a k too (kube-root-ca.crt).
  const auto foreign = [](const Change& change) {
    return change.key.size() != std::string(kConfigMapPrefix).size() + 1;
  };
  truth.erase(std::remove_if(truth.begin(), truth.end(), foreign), truth.end());
  for (Change& change : truth) {
    const auto object = json::Parse(change.value);
    if (!object.ok()) continue;
    const json::Value* value = object->Find("data", "v");
    change.value = value == nullptr ? "" : value->text();
  }
  return truth;
}

void Report(const History& history, const std::vector<Change>& truth) {
  const History::Counts counts = history.counts();
  std::printf(
      "%zu changes; %zu writes acknowledged, %zu refused, %zu unknown; %zu reads; "
      "%zu watches saw %zu events\n",
      truth.size(), counts.acknowledged, counts.refused, counts.unknown, counts.reads,
      counts.sessions, counts.events);
}

TEST(KilledApiServer, LosesNothing) {
  ApiServerUnderTest server;
  History history;
  FastRandom random(run_options->seed);
  std::vector<std::string> surprises;
  for (uint64_t round = 0; round <= run_options->rounds; ++round) {
    ASSERT_TRUE(server.Start()) << "round " << round;
    const ApiWorkload workload({.server = server.address(),
                                .seed = run_options->seed + round,
                                .first_id = 1 + round * kIdsPerRound,
                                .watch_after = history.last_seen()},
                               history);
    EXPECT_TRUE(history.WaitForAcknowledged(1, kWaitMax)) << "round " << round;
    history.WaitForLines(random.Below(150), kWaitMax);
    const bool last = round == run_options->rounds;
    EXPECT_TRUE(!last || history.WaitForWatch(kWaitMax));
    server.Kill();
    surprises = workload.surprises();
    ASSERT_EQ(absl::StrJoin(surprises, "\n"), "") << "round " << round;
  }
  const SystemClock clock;
  const auto store = store::OpenSqliteStore({.path = server.data() + "/state.db"}, clock);
  ASSERT_TRUE(store.ok()) << store.status();
  const std::vector<Change> truth = TruthOf(**store);
  Report(history, truth);
  EXPECT_GT(history.counts().acknowledged, run_options->rounds);
  EXPECT_GT(history.counts().events, run_options->rounds);
  EXPECT_EQ(absl::StrJoin(history.Check(truth), "\n"), "");
}

TEST(KilledApiServer, WithAnEtcdThatIsKilledLosesNothing) {
  auto etcd = store::EtcdProcess::Start({.folder = NewFolder()});
  if (absl::IsNotFound(etcd.status())) GTEST_SKIP() << etcd.status().message();
  ASSERT_TRUE(etcd.ok()) << etcd.status();
  ApiServerUnderTest server((*etcd)->endpoint());
  ASSERT_TRUE(server.Start());
  History history;
  FastRandom random(run_options->seed);
  {
    const ApiWorkload workload(
        {.server = server.address(), .seed = run_options->seed, .reconnect = true}, history);
    for (uint64_t round = 0; round < std::max<uint64_t>(run_options->rounds / 5, 3); ++round) {
      EXPECT_TRUE(history.WaitForAcknowledged(10 + random.Below(30), kWaitMax));
      (*etcd)->Kill();
      ASSERT_TRUE((*etcd)->Restart().ok());
    }
    EXPECT_TRUE(history.WaitForAcknowledged(20, kWaitMax));
    EXPECT_TRUE(history.WaitForWatch(kWaitMax));
    EXPECT_EQ(absl::StrJoin(workload.surprises(), "\n"), "");
  }
  server.Kill();
  const auto store = store::OpenEtcdStore({.endpoints = {(*etcd)->endpoint()}});
  ASSERT_TRUE(store.ok());
  const std::vector<Change> truth = TruthOf(**store);
  Report(history, truth);
  EXPECT_GT(history.counts().acknowledged, 30u);
  EXPECT_GT(history.counts().events, 30u);
  EXPECT_EQ(absl::StrJoin(history.Check(truth), "\n"), "");
}

}  // namespace
}  // namespace meltemi::history

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  meltemi::history::RunOptions options;
  meltemi::history::run_options = &options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    uint64_t& option = name == "--rounds" ? options.rounds : options.seed;
    if ((name != "--rounds" && name != "--seed") || !absl::SimpleAtoi(argv[i + 1], &option)) {
      std::fprintf(stderr, "usage: kill_apiserver_test [--rounds N] [--seed N]\n");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
