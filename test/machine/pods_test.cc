#include "test/machine/pods.h"

#include <unistd.h>
#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::machine {
namespace {

class PodsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoNamespaces(); !why.empty()) GTEST_SKIP() << why;
    auto node = Node::Make(testing::TempDir());
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = std::move(*node);
  }
  std::unique_ptr<Node> node_;
};

TEST_F(PodsTest, PodsReachEachOtherByNameAndNothingElse) {
  const auto a = node_->AddPod("a");
  const auto b = node_->AddPod("b");
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  node_->SetHost((*b)->ip(), {"b.example"});
  ASSERT_TRUE((*b)->Start("server",
                          {"python3", "-m", "http.server", "80", "--directory", "/usr/share"}, {},
                          1337)
                  .ok());
  ASSERT_TRUE(Eventually([&] { return (*b)->Listening(80); }, std::chrono::seconds(20)))
      << (*b)->Log("server");
  const Finished got =
      (*a)->Exec({"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://b.example/"});
  EXPECT_EQ(got.output, "200");
  EXPECT_NE((*a)->Exec({"curl", "-sm2", "http://192.0.2.1/"}).exit_status, 0);
}

TEST_F(PodsTest, ProcessesOfAPodRunAsTheUserAskedFor) {
  const auto pod = node_->AddPod("user");
  ASSERT_TRUE(pod.ok()) << pod.status();
  const auto process = (*pod)->Start("id", {"id"}, {}, 1337);
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ((*process)->Wait(std::chrono::seconds(20)), 0);
  EXPECT_TRUE(absl::StrContains((*pod)->Log("id"), "uid=1337 gid=1337")) << (*pod)->Log("id");
}

TEST(Process, TellsOfProgramsThatDoNotExist) {
  const auto process = Process::Start({.argv = {"no-such-program"}});
  EXPECT_FALSE(process.ok());
}

TEST(Process, DiesWithItsGroup) {
  auto process = Process::Start({.argv = {"bash", "-c", "sleep 1000 & wait"}});
  ASSERT_TRUE(process.ok());
  const pid_t pid = process->pid();
  process->Kill();
  EXPECT_TRUE(Eventually([&] { return kill(-pid, 0) != 0; }, std::chrono::seconds(10)));
}

}  // namespace
}  // namespace meltemi::machine
