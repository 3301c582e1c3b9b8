// The store's process is killed again and again while clients work on it; nothing that was
// acknowledged is lost, and every watch goes on where it was.
//
//   kill_store_test [--rounds N] [--seed N]
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock/clock.h"
#include "base/random/random.h"
#include "orchestrator/store/etcd/etcd_process.h"
#include "orchestrator/store/etcd/etcd_store.h"
#include "orchestrator/store/sqlite/sqlite_store.h"
#include "test/history/history.h"
#include "test/history/workload.h"

namespace meltemi::history {
namespace {

constexpr char kVictim[] = "test/history/store_victim";
constexpr uint64_t kIdsPerRound = 1'000'000;
constexpr std::chrono::seconds kWaitMax(30);

struct RunOptions {
  uint64_t rounds = 100;
  uint64_t seed = 1;
};
RunOptions* run_options = nullptr;  // main's

std::string NewFolder() {
  std::string name = absl::StrCat(testing::TempDir(), "/history-XXXXXX");
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

// One life of the victim; its lines go into the history, also those that were under way when it
// died.
class Victim {
 public:
  Victim(const std::vector<std::string>& args, History& history) : history_(history) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) Exec(args, ends[1]);
    close(ends[1]);
    reader_ = std::thread([this, fd = ends[0]] { ReadAll(fd); });
  }
  ~Victim() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    reader_.join();
  }

 private:
  [[noreturn]] static void Exec(const std::vector<std::string>& args, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  void ReadAll(int fd) {
    std::string text;
    char bytes[65536];
    for (ssize_t size = 0; (size = read(fd, bytes, sizeof(bytes))) > 0;) {
      text.append(bytes, static_cast<size_t>(size));
      size_t begin = 0;
      for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        history_.AddLine(absl::string_view(text).substr(begin, end - begin));
      }
      text.erase(0, begin);
    }
    close(fd);
  }

  History& history_;
  pid_t pid_ = -1;
  std::thread reader_;
};

void Report(const char* what, const History& history, const std::vector<Change>& truth) {
  const History::Counts counts = history.counts();
  std::printf(
      "%s: %zu changes; %zu writes acknowledged, %zu refused, %zu unknown; %zu reads; "
      "%zu watches saw %zu events\n",
      what, truth.size(), counts.acknowledged, counts.refused, counts.unknown, counts.reads,
      counts.sessions, counts.events);
}

TEST(KilledStore, SqliteLosesNothing) {
  const std::string path = NewFolder() + "/store.db";
  History history;
  FastRandom random(run_options->seed);
  for (uint64_t round = 0; round <= run_options->rounds; ++round) {
    const Victim victim({kVictim, path, absl::StrCat(run_options->seed + round),
                         absl::StrCat(1 + round * kIdsPerRound), absl::StrCat(history.last_seen())},
                        history);
    // At any moment from its start on; most rounds after it has begun to answer.
    if (round % 5 == 0) {
      history.WaitForLines(1, microseconds(random.Below(60'000)));
    } else {
      EXPECT_TRUE(history.WaitForAcknowledged(1, kWaitMax)) << "round " << round;
      history.WaitForLines(random.Below(400), kWaitMax);
    }
    const bool last = round == run_options->rounds;
    EXPECT_TRUE(!last || history.WaitForWatch(kWaitMax));
  }
  const SystemClock clock;
  const auto store = store::OpenSqliteStore({.path = path}, clock);
  ASSERT_TRUE(store.ok()) << store.status();
  const std::vector<Change> truth = ReadTruth(**store, kPrefix);
  Report("SQLite", history, truth);
  EXPECT_GT(history.counts().acknowledged, run_options->rounds);
  EXPECT_GT(history.counts().events, run_options->rounds);
  EXPECT_EQ(absl::StrJoin(history.Check(truth), "\n"), "");
}

TEST(KilledStore, EtcdThatIsKilledLosesNothing) {
  auto etcd = store::EtcdProcess::Start({.folder = NewFolder()});
  if (absl::IsNotFound(etcd.status())) GTEST_SKIP() << etcd.status().message();
  ASSERT_TRUE(etcd.ok()) << etcd.status();
  const auto store = store::OpenEtcdStore({.endpoints = {(*etcd)->endpoint()}});
  ASSERT_TRUE(store.ok());
  History history;
  FastRandom random(run_options->seed);
  const uint64_t rounds = std::max<uint64_t>(run_options->rounds / 20, 3);
  {
    const Workload workload(**store, {.seed = run_options->seed},
                            [&history](const std::string& line) { history.AddLine(line); });
    for (uint64_t round = 0; round < rounds; ++round) {
      EXPECT_TRUE(history.WaitForAcknowledged(20 + random.Below(40), kWaitMax));
      (*etcd)->Kill();
      ASSERT_TRUE((*etcd)->Restart().ok());
    }
    EXPECT_TRUE(history.WaitForAcknowledged(20, kWaitMax));
    EXPECT_TRUE(history.WaitForWatch(kWaitMax));
  }
  const std::vector<Change> truth = ReadTruth(**store, kPrefix);
  Report("etcd", history, truth);
  EXPECT_GT(history.counts().acknowledged, rounds);
  EXPECT_GT(history.counts().events, 0u);
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
      std::fprintf(stderr, "usage: kill_store_test [--rounds N] [--seed N]\n");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
