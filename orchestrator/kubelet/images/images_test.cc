#include "orchestrator/kubelet/images/images.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder_fake.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/images/go_duration_text.h"

namespace meltemi::kubelet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = ImageState::Kind;

class ImagesTest : public ::testing::Test {
 protected:
  ImagesTest() { Make({}); }

  void Make(const ImagesOptions& options) {
    images_ = NewImages(options, *runtime_, executor_, recorder_, nullptr);
    images_->OnChange([this](const std::string& uid) { changed_.push_back(uid); });
  }
  ImageState Want(const std::string& image, const std::string& policy = "IfNotPresent",
                  uint32_t attempt = 0, const std::string& uid = "uid-1",
                  const std::vector<PullAuth>& auths = {}) {
    auto pod = std::make_shared<kube::core::v1::Pod>();
    pod->mutable_metadata()->set_namespace_("default");
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_uid(uid);
    kube::core::v1::Container& container = *pod->mutable_spec()->add_containers();
    container.set_name("app");
    container.set_image(image);
    container.set_image_pull_policy(policy);
    return images_->Want(pod, container, attempt, auths, {});
  }

  kube::ExecutorFake executor_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  kube::EventRecorderFake recorder_;
  std::vector<std::string> changed_;
  std::unique_ptr<Images> images_;
};

TEST_F(ImagesTest, WhatIsPresentIsTakenAtOnce) {
  machine_.AddImage("nginx");
  const ImageState state = Want("nginx");
  EXPECT_EQ(state.kind, Kind::kPresent);
  EXPECT_THAT(state.ref, HasSubstr("sha256:"));
  Want("nginx");
  EXPECT_THAT(recorder_.Take(), ElementsAre("Normal Pulled Container image \"nginx\" already "
                                            "present on machine"));
  EXPECT_THAT(machine_.TakeCalls(), IsEmpty());
}

TEST_F(ImagesTest, WhatIsNotThereIsPulled) {
  machine_.SetImage("nginx", {.pull_takes = milliseconds(1200), .size_bytes = 42});
  EXPECT_EQ(Want("nginx").kind, Kind::kPulling);
  executor_.Advance(seconds(2));
  EXPECT_THAT(changed_, ElementsAre("uid-1"));
  EXPECT_EQ(Want("nginx").kind, Kind::kPresent);
  EXPECT_THAT(recorder_.Take(),
              ElementsAre("Normal Pulling Pulling image \"nginx\"",
                          "Normal Pulled Successfully pulled image \"nginx\" in 1.2s (1.2s "
                          "including waiting). Image size: 42 bytes."));
}

TEST_F(ImagesTest, AlwaysPullsOncePerStart) {
  machine_.AddImage("nginx");
  EXPECT_EQ(Want("nginx", "Always", 0).kind, Kind::kPulling);
  executor_.Advance(seconds(1));
  EXPECT_EQ(Want("nginx", "Always", 0).kind, Kind::kPresent);
  executor_.Advance(minutes(1));
  EXPECT_EQ(Want("nginx", "Always", 0).kind, Kind::kPresent);
  EXPECT_EQ(Want("nginx", "Always", 1).kind, Kind::kPulling);
  executor_.Advance(seconds(1));
  EXPECT_THAT(machine_.TakeCalls(), SizeIs(2));
}

TEST_F(ImagesTest, APullThatFailsBacksOffAndIsTriedAgain) {
  machine_.SetImage("x", {.pull_error = absl::NotFoundError("not found")});
  EXPECT_EQ(Want("x").kind, Kind::kPulling);
  executor_.Advance(seconds(1));
  ImageState state = Want("x");
  EXPECT_EQ(state.reason, "ErrImagePull");
  EXPECT_EQ(state.message, "rpc error: code = NotFound desc = not found");
  executor_.Advance(seconds(5));
  state = Want("x");
  EXPECT_EQ(state.reason, "ImagePullBackOff");
  EXPECT_EQ(state.message,
            "Back-off pulling image \"x\": ErrImagePull: rpc error: code = NotFound desc = not "
            "found");
  EXPECT_THAT(recorder_.Take(),
              ElementsAre("Normal Pulling Pulling image \"x\"",
                          "Warning Failed Failed to pull image \"x\": rpc error: code = NotFound "
                          "desc = not found",
                          "Warning Failed Error: ErrImagePull",
                          "Normal BackOff Back-off pulling image \"x\"",
                          "Warning Failed Error: ImagePullBackOff"));
  EXPECT_THAT(machine_.TakeCalls(), SizeIs(1));
  // It is looked at again when its time has come, and comes in the end.
  changed_.clear();
  executor_.Advance(seconds(5));
  EXPECT_THAT(changed_, Contains("uid-1"));
  machine_.SetImage("x", {});
  EXPECT_EQ(Want("x").reason, "ImagePullBackOff");
  EXPECT_THAT(machine_.TakeCalls(), IsEmpty());  // the queue's thread does it
  executor_.Advance(seconds(1));
  EXPECT_EQ(Want("x").kind, Kind::kPresent);
}

TEST_F(ImagesTest, BackOffsGrowUpToTheirMaximum) {
  machine_.SetImage("x", {.pull_error = absl::NotFoundError("not found")});
  for (int i = 0; i < 3600; ++i) {
    Want("x");
    executor_.Advance(seconds(1));
  }
  // 10 s, 20 s, 40 s, 80 s, 160 s, then every 300 s.
  EXPECT_THAT(machine_.TakeCalls(), SizeIs(16));
}

TEST_F(ImagesTest, NamesAndPoliciesThatCannotWorkSaySo) {
  EXPECT_EQ(Want("Nginx").reason, "InvalidImageName");
  EXPECT_THAT(recorder_.Take(),
              ElementsAre(HasSubstr("Warning InspectFailed Failed to apply default image tag "
                                    "\"Nginx\": couldn't parse image name \"Nginx\": invalid "
                                    "reference format"),
                          "Warning Failed Error: InvalidImageName"));
  EXPECT_EQ(Want("", "Always", 0, "uid-9").reason, "InvalidImageName");
  executor_.Advance(seconds(10));
  EXPECT_THAT(changed_, Contains("uid-9"));
  const ImageState never = Want("busybox", "Never");
  EXPECT_EQ(never.reason, "ErrImageNeverPull");
  EXPECT_EQ(never.message, "Container image \"busybox\" is not present with pull policy of Never");
  machine_.AddImage("busybox");
  executor_.Advance(seconds(10));
  EXPECT_THAT(changed_, Contains("uid-1"));
  EXPECT_EQ(Want("busybox", "Never").kind, Kind::kPresent);
}

TEST_F(ImagesTest, ARuntimeThatDoesNotAnswerIsAnInspectError) {
  machine_.on_call = [](absl::string_view) { return RuntimeFault::Unavailable(); };
  EXPECT_EQ(Want("nginx").reason, "ImageInspectError");
  machine_.on_call = nullptr;
  machine_.AddImage("nginx");
  executor_.Advance(seconds(10));
  EXPECT_EQ(Want("nginx").kind, Kind::kPresent);
}

TEST_F(ImagesTest, PodsThatWantTheSameShareAPull) {
  for (const char* uid : {"a", "b", "c"}) Want("nginx", "IfNotPresent", 0, uid);
  executor_.Advance(seconds(1));
  EXPECT_THAT(machine_.TakeCalls(), ElementsAre("PullImage nginx"));
  EXPECT_THAT(changed_, ElementsAre("a", "b", "c"));
}

TEST_F(ImagesTest, AtMostSoManyPullsAtOnce) {
  Make({.parallel_pulls_max = 2});
  for (int i = 0; i < 5; ++i) {
    const std::string name = "image-" + std::to_string(i);
    machine_.SetImage(name, {.pull_takes = seconds(10)});
    Want(name, "IfNotPresent", 0, name);
  }
  executor_.Advance(seconds(1));
  EXPECT_THAT(machine_.TakeCalls(), SizeIs(2));
  executor_.Advance(seconds(10));
  EXPECT_THAT(machine_.TakeCalls(), SizeIs(2));
  executor_.Advance(seconds(30));
  EXPECT_THAT(changed_, SizeIs(5));
}

TEST_F(ImagesTest, CredentialsAreTriedInTurn) {
  machine_.SetImage("private", {.needs_username = "anna"});
  Want("private", "Always", 0, "uid-1", {{.username = "bert"}, {.username = "anna"}});
  executor_.Advance(seconds(1));
  EXPECT_EQ(Want("private", "Always").kind, Kind::kPresent);
  Want("private", "Always", 0, "uid-2", {{.username = "bert"}, {.username = "carl"}});
  executor_.Advance(seconds(1));
  const ImageState state = Want("private", "Always", 0, "uid-2");
  EXPECT_EQ(state.reason, "ErrImagePull");
  EXPECT_EQ(state.message.front(), '[');
}

TEST_F(ImagesTest, WhoIsForgottenIsNotTold) {
  Want("nginx");
  images_->Forget("uid-1");
  executor_.Advance(seconds(1));
  EXPECT_THAT(changed_, IsEmpty());
}

TEST_F(ImagesTest, APullOutlivesTheOneWhoAskedForIt) {
  Want("nginx");
  executor_.RunReady();
  images_.reset();
  executor_.Advance(seconds(1));
  EXPECT_TRUE(machine_.HasImage("nginx"));
}

// What fills the disk, oldest first; used, kept, pinned and young images stay.
TEST_F(ImagesTest, UnusedImagesGoWhenTheDiskFills) {
  uint64_t available = 0;
  ImagesOptions options{.keep = {"pause:1"}};
  options.space = [&](const std::string&) {
    return ImagesOptions::Space{.capacity_bytes = 1000, .available_bytes = available};
  };
  Make(options);
  for (const char* name : {"old", "used", "pause:1"}) {
    machine_.SetImage(name, {.present = true, .size_bytes = 100});
  }
  const std::string sandbox = *runtime_->RunPodSandbox({}, "");
  cri::ContainerConfig config;
  config.mutable_image()->set_image(runtime_->ImageStatus("used")->id());
  ASSERT_TRUE(runtime_->CreateContainer(sandbox, config, {}).ok());
  available = 500;
  executor_.Advance(minutes(5));
  EXPECT_TRUE(machine_.HasImage("old"));

  available = 100;
  machine_.SetImage("young", {.present = true, .size_bytes = 100});
  executor_.Advance(minutes(5));
  EXPECT_FALSE(machine_.HasImage("old"));
  EXPECT_TRUE(machine_.HasImage("used"));
  EXPECT_TRUE(machine_.HasImage("pause:1"));
  EXPECT_TRUE(machine_.HasImage("young"));
}

TEST(GoDurationText, IsWhatGoPrints) {
  EXPECT_EQ(GoDurationText(Duration(0)), "0s");
  EXPECT_EQ(GoDurationText(milliseconds(834)), "834ms");
  EXPECT_EQ(GoDurationText(milliseconds(1200)), "1.2s");
  EXPECT_EQ(GoDurationText(milliseconds(60'050)), "1m0.05s");
  EXPECT_EQ(GoDurationText(seconds(3600)), "1h0m0s");
}

}  // namespace
}  // namespace meltemi::kubelet
