#include "orchestrator/kubelet/cri/runtime_fake.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

cri::PodSandboxConfig PodConfig(uint32_t attempt = 0) {
  cri::PodSandboxConfig out;
  out.mutable_metadata()->set_namespace_("default");
  out.mutable_metadata()->set_name("web");
  out.mutable_metadata()->set_uid("uid-1");
  out.mutable_metadata()->set_attempt(attempt);
  (*out.mutable_labels())["io.kubernetes.pod.uid"] = "uid-1";
  out.set_log_directory("/logs");
  return out;
}

cri::ContainerConfig AppConfig(const std::string& image = "nginx", uint32_t attempt = 0) {
  cri::ContainerConfig out;
  out.mutable_metadata()->set_name("app");
  out.mutable_metadata()->set_attempt(attempt);
  out.mutable_image()->set_image(image);
  out.set_log_path("app/0.log");
  (*out.mutable_labels())["io.kubernetes.pod.uid"] = "uid-1";
  return out;
}

class RuntimeFakeTest : public ::testing::Test {
 protected:
  // A container of the default pod that runs.
  std::string Start(const std::string& image = "nginx") {
    sandbox_ = *runtime_->RunPodSandbox(PodConfig(), "");
    const std::string id = *runtime_->CreateContainer(sandbox_, AppConfig(image), PodConfig());
    EXPECT_TRUE(runtime_->StartContainer(id).ok());
    return id;
  }
  cri::ContainerStatus StatusOf(const std::string& id) { return *runtime_->ContainerStatus(id); }
  void Stop(const std::string& id, Duration grace) {
    runtime_->StopContainer(id, grace, [this](absl::Status s) { ends_.push_back(s); });
  }

  kube::ExecutorFake executor_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  std::string sandbox_;
  std::vector<absl::Status> ends_;
};

TEST_F(RuntimeFakeTest, APodRunsAndIsTakenAway) {
  const std::string id = Start();
  EXPECT_EQ(machine_.Sandbox("default/web")->network().ip(), "10.244.0.2");
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(StatusOf(id).log_path(), "/logs/app/0.log");
  EXPECT_THAT(machine_.Running(), ElementsAre("default/web/app#0"));
  EXPECT_EQ(runtime_->ListContainers("uid-1")->size(), 1u);
  EXPECT_EQ(runtime_->ListContainers("another")->size(), 0u);

  EXPECT_TRUE(runtime_->StopPodSandbox(sandbox_).ok());
  EXPECT_EQ(StatusOf(id).exit_code(), 137);
  EXPECT_EQ(machine_.Sandbox("default/web")->network().ip(), "");
  EXPECT_TRUE(runtime_->RemovePodSandbox(sandbox_).ok());
  EXPECT_TRUE(runtime_->RemovePodSandbox(sandbox_).ok());
  EXPECT_EQ(machine_.containers() + machine_.sandboxes(), 0u);
  EXPECT_THAT(machine_.TakeCalls(),
              ElementsAre("RunPodSandbox default/web#0", "CreateContainer default/web/app#0",
                          "StartContainer default/web/app#0", "StopPodSandbox default/web#0",
                          "RemovePodSandbox default/web#0", "RemovePodSandbox sandbox-1"));
}

TEST_F(RuntimeFakeTest, ContainersEndAsTheirScriptSays) {
  machine_.SetContainer("crash", {.exits_after = seconds(3), .exit_code = 2});
  const std::string id = Start("crash");
  executor_.Advance(seconds(2));
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
  executor_.Advance(seconds(1));
  EXPECT_EQ(StatusOf(id).exit_code(), 2);
  EXPECT_EQ(StatusOf(id).reason(), "Error");
  EXPECT_EQ(StatusOf(id).finished_at() - StatusOf(id).started_at(), 3'000'000'000);

  machine_.SetContainer("app", ContainerScript::OomKilled(seconds(1)));
  const std::string next = *runtime_->CreateContainer(sandbox_, AppConfig("x", 1), PodConfig());
  EXPECT_TRUE(runtime_->StartContainer(next).ok());
  executor_.Advance(seconds(1));
  EXPECT_EQ(StatusOf(next).reason(), "OOMKilled");
}

TEST_F(RuntimeFakeTest, NamesAreReservedUntilTheyAreRemoved) {
  Start();
  EXPECT_THAT(std::string(runtime_->RunPodSandbox(PodConfig(), "").status().message()),
              HasSubstr("failed to reserve sandbox name"));
  EXPECT_TRUE(runtime_->RunPodSandbox(PodConfig(1), "").ok());
  EXPECT_FALSE(runtime_->CreateContainer(sandbox_, AppConfig(), PodConfig()).ok());
}

TEST_F(RuntimeFakeTest, AFailedStartLeavesAnExitedContainer) {
  machine_.SetContainer("app", {.start_error = absl::UnknownError("exec: \"x\": not found")});
  sandbox_ = *runtime_->RunPodSandbox(PodConfig(), "");
  const std::string id = *runtime_->CreateContainer(sandbox_, AppConfig(), PodConfig());
  EXPECT_FALSE(runtime_->StartContainer(id).ok());
  EXPECT_EQ(StatusOf(id).exit_code(), 128);
  EXPECT_EQ(StatusOf(id).reason(), "StartError");
}

TEST_F(RuntimeFakeTest, StoppingTakesAsLongAsTheContainerLikes) {
  machine_.SetContainer("app", {.stops_after = seconds(4), .stop_exit_code = 0});
  const std::string id = Start();
  Stop(id, seconds(30));
  executor_.Advance(seconds(3));
  EXPECT_THAT(ends_, IsEmpty());
  executor_.Advance(seconds(1));
  EXPECT_THAT(ends_, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(StatusOf(id).exit_code(), 0);
}

TEST_F(RuntimeFakeTest, WhoIgnoresTheSignalIsKilled) {
  machine_.SetContainer("app", {.ignores_signal = true});
  const std::string id = Start();
  Stop(id, seconds(5));
  executor_.Advance(seconds(5));
  EXPECT_THAT(ends_, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(StatusOf(id).exit_code(), 137);
}

TEST_F(RuntimeFakeTest, WhoCannotBeKilledRunsIntoTheDeadline) {
  machine_.SetContainer("app", {.unkillable = true});
  const std::string id = Start();
  Stop(id, seconds(5));
  executor_.Advance(minutes(3));
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
}

TEST_F(RuntimeFakeTest, CommandsAnswerAndRunIntoTheirTimeOut) {
  machine_.on_exec = [](const ExecCall& call) {
    return ExecAnswer{.result = {1, call.container + ":" + call.command[0], ""},
                      .takes = seconds(2)};
  };
  const std::string id = Start();
  std::vector<absl::StatusOr<ExecResult>> got;
  const auto done = [&](absl::StatusOr<ExecResult> result) { got.push_back(std::move(result)); };
  runtime_->ExecSync(id, {"check"}, seconds(5), done);
  runtime_->ExecSync(id, {"check"}, seconds(1), done);
  executor_.Advance(seconds(2));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(got[1]->out, "app:check");
  EXPECT_EQ(got[1]->exit_code, 1);
}

TEST_F(RuntimeFakeTest, ImagesArePulledOrNot) {
  machine_.SetImage("missing", {.pull_error = absl::NotFoundError("not found")});
  machine_.SetImage("private", {.needs_username = "anna"});
  EXPECT_EQ(runtime_->ImageStatus("nginx")->id(), "");
  std::vector<absl::StatusOr<std::string>> got;
  const auto done = [&](absl::StatusOr<std::string> result) { got.push_back(std::move(result)); };
  runtime_->PullImage("nginx:latest", {}, nullptr, done);
  runtime_->PullImage("missing", {}, nullptr, done);
  runtime_->PullImage("private", {}, nullptr, done);
  runtime_->PullImage("private", {.username = "anna"}, nullptr, done);
  executor_.Advance(seconds(1));
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(runtime_->ImageStatus("nginx")->id(), *got[0]);
  EXPECT_EQ(runtime_->ImageStatus(*got[0])->repo_tags(0), "docker.io/library/nginx:latest");
  EXPECT_EQ(got[1].status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(got[2].ok());
  EXPECT_TRUE(got[3].ok());
  EXPECT_TRUE(runtime_->RemoveImage("nginx").ok());
  EXPECT_FALSE(machine_.HasImage("nginx"));
}

TEST_F(RuntimeFakeTest, FaultsStandBeforeOrAfterWhatIsDone) {
  machine_.on_call = [](absl::string_view call) {
    if (call == "ListContainers") return RuntimeFault::Unavailable();
    if (call == "RunPodSandbox default/web#0") return RuntimeFault::LosesAnswer();
    return RuntimeFault{};
  };
  EXPECT_EQ(runtime_->ListContainers("").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(runtime_->RunPodSandbox(PodConfig(), "").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(machine_.sandboxes(), 1u);
}

TEST_F(RuntimeFakeTest, ContainersOutliveTheClient) {
  machine_.SetContainer("app", {.stops_after = seconds(4)});
  const std::string id = Start();
  Stop(id, seconds(30));
  runtime_ = machine_.Connect();
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0].code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_RUNNING);
  executor_.Advance(seconds(4));
  EXPECT_EQ(StatusOf(id).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(ends_.size(), 1u);
}

TEST_F(RuntimeFakeTest, AMachineThatStartsAnewRunsNothing) {
  const std::string id = Start();
  machine_.Reboot();
  EXPECT_EQ(StatusOf(id).exit_code(), 255);
  EXPECT_EQ(machine_.Sandbox("default/web")->state(), cri::SANDBOX_NOTREADY);
  EXPECT_THAT(machine_.Running(), IsEmpty());
}

}  // namespace
}  // namespace meltemi::kubelet
