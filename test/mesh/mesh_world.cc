#include "test/mesh/mesh_world.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/machine/load.h"
#include "test/nodes/cluster_world.h"
#include "test/scenarios/programs.h"

namespace meltemi::mesh {

using nodes::Cluster;
using std::chrono::seconds;

std::unique_ptr<Cluster>& MeshTest::cluster() {
  static auto& cluster = *new std::unique_ptr<Cluster>();
  return cluster;
}

std::unique_ptr<scenarios::World>& MeshTest::world() {
  static auto& world = *new std::unique_ptr<scenarios::World>();
  return world;
}

void MeshTest::TearDownTestSuite() {
  world().reset();
  cluster().reset();
}

void MeshTest::SetUp() {
  static auto& why_not = *new std::string();
  if (cluster() == nullptr && why_not.empty()) {
    cluster() = Cluster::Up(options_, &why_not);
    if (cluster() != nullptr) {
      auto started = StartClusterWorld(*cluster(), scenarios::WorkspaceFile("examples/tutorial"));
      ASSERT_TRUE(started.ok()) << started.status();
      world() = std::move(*started);
    }
  }
  if (cluster() == nullptr) GTEST_SKIP() << why_not;
  ASSERT_NE(world(), nullptr);
}

void MeshTest::Kill(const std::string& part) {
  Does(absl::StrCat("kill -9 $(cat run/", part, ".pid)"));
}

void MeshTest::UpAgain() {
  const nodes::Answer up = cluster()->UpAgain();
  EXPECT_EQ(up.exit_status, 0) << up.output;
}

std::string MeshTest::Status(const std::string& pod, const std::string& url) {
  return cluster()->Out(absl::StrCat("kubectl exec ", pod,
                                     " -c sleep -- curl -s -o /dev/null -m 5 -w '%{http_code}' ",
                                     url, " 2>/dev/null || true"));
}

bool MeshTest::Becomes(const std::string& pod, const std::string& url, const std::string& status) {
  return machine::Eventually([&] { return Status(pod, url) == status; }, seconds(30));
}

void MeshTest::UnderLoad(const char* what, const std::function<void()>& change, int connections) {
  const auto load = world()->StartLoad(kUrl, connections);
  change();
  const machine::LoadResult result = load->Stop();
  std::printf("%s: %s\n", what, result.Text().c_str());
  EXPECT_GT(result.requests, 100) << what << "\n" << result.output;
  EXPECT_EQ(result.failed(), 0) << what << "\n" << result.output;
}

std::string MeshTest::PodIp(const std::string& selector, const std::string& ns) {
  return cluster()->Out(absl::StrCat("kubectl -n ", ns, " get pods -l ", selector,
                                     " -o jsonpath='{.items[0].status.podIP}'"));
}

int64_t MeshTest::Stat(const std::string& ip, const std::string& name) {
  const std::string stats =
      cluster()->Out(absl::StrCat("curl -s -m 5 http://", ip, ":15090/stats/prometheus"));
  int64_t sum = 0;
  for (const absl::string_view line : absl::StrSplit(stats, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    int64_t value = 0;
    if (absl::EndsWith(parts.first.substr(0, parts.first.find('{')), name) &&
        absl::SimpleAtoi(parts.second, &value)) {
      sum += value;
    }
  }
  return sum;
}

}  // namespace meltemi::mesh
