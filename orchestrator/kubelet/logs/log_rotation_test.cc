#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/logs/logs.h"

namespace meltemi::kubelet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// One container that runs; what the runtime would write, the test writes.
class RotationTest : public testing::Test {
 protected:
  RotationTest() {
    folder_ = absl::StrCat(testing::TempDir(), "rotation/");
    mkdir(folder_.c_str(), 0755);
    for (const std::string& file : Files()) unlink((folder_ + file).c_str());
    cri::PodSandboxConfig pod;
    pod.mutable_metadata()->set_name("web");
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid("u1");
    pod.set_log_directory(folder_);
    const auto sandbox = runtime_->RunPodSandbox(pod, "");
    EXPECT_TRUE(sandbox.ok());
    machine_.AddImage("nginx");
    cri::ContainerConfig config;
    config.mutable_metadata()->set_name("c");
    config.mutable_image()->set_image("nginx");
    config.set_log_path("0.log");
    const auto id = runtime_->CreateContainer(*sandbox, config, pod);
    EXPECT_TRUE(id.ok()) << id.status();
    EXPECT_TRUE(runtime_->StartContainer(*id).ok());
    machine_.TakeCalls();
    rotation_ = NewLogRotation({.size_max = 100, .files_max = 3}, *runtime_, executor_);
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> out;
    DIR* const dir = opendir(folder_.c_str());
    while (const dirent* entry = readdir(dir)) {
      if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
    }
    closedir(dir);
    std::sort(out.begin(), out.end());
    return out;
  }
  void Say(const std::string& text) { std::ofstream(folder_ + "0.log", std::ios::app) << text; }
  std::string Unpacked(const std::string& file) const {
    const gzFile in = gzopen((folder_ + file).c_str(), "rb");
    char text[1000];
    const int size = gzread(in, text, sizeof text);
    gzclose(in);
    return std::string(text, static_cast<size_t>(std::max(0, size)));
  }

  std::string folder_;
  kube::ExecutorFake executor_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  std::unique_ptr<LogRotation> rotation_;
};

TEST_F(RotationTest, RenamesCompressesAndForgets) {
  Say(std::string(99, 'a'));
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log"));
  EXPECT_THAT(machine_.TakeCalls(), IsEmpty());

  Say("a");
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log.20240101-000020"));
  EXPECT_THAT(machine_.TakeCalls(), ElementsAre("ReopenContainerLog default/web/c#0"));

  Say(std::string(100, 'b'));
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log.20240101-000020.gz", "0.log.20240101-000030"));
  EXPECT_EQ(Unpacked("0.log.20240101-000020.gz"), std::string(100, 'a'));

  Say(std::string(100, 'c'));
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log.20240101-000030.gz", "0.log.20240101-000040"));
}

TEST_F(RotationTest, ARuntimeThatDoesNotReopenKeepsItsFile) {
  machine_.on_call = [](absl::string_view call) {
    return absl::StartsWith(call, "ReopenContainerLog") ? RuntimeFault::Unavailable()
                                                        : RuntimeFault();
  };
  Say(std::string(100, 'a'));
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log"));
  machine_.on_call = nullptr;
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log.20240101-000020"));
}

TEST_F(RotationTest, OneThatDiedIsMadeUpFor) {
  // After renaming: nobody told the runtime.
  std::ofstream(folder_ + "0.log.20231231-000000") << "old";
  executor_.Advance(seconds(10));
  EXPECT_THAT(machine_.TakeCalls(), ElementsAre("ReopenContainerLog default/web/c#0"));
  // While compressing.
  std::ofstream(folder_ + "0.log.20231231-000000.tmp") << "half";
  Say(std::string(100, 'a'));
  executor_.Advance(seconds(10));
  EXPECT_THAT(Files(), ElementsAre("0.log.20231231-000000.gz", "0.log.20240101-000020"));
}

TEST_F(RotationTest, ContainersThatDoNotRunAreLeftAlone) {
  Say(std::string(200, 'a'));
  ASSERT_TRUE(machine_.Exit("default/web/c", 0));
  executor_.Advance(seconds(30));
  EXPECT_THAT(Files(), ElementsAre("0.log"));
}

}  // namespace
}  // namespace meltemi::kubelet
