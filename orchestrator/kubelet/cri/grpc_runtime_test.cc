#include "orchestrator/kubelet/cri/grpc_runtime.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/services.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Context = grpc::ServerContext;

// Keeps what it was asked last; waits where the test says so, until it is let go or cancelled.
class Server final : public cri::RuntimeService::Service, public cri::ImageService::Service {
 public:
  explicit Server(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<cri::RuntimeService::Service*>(this));
    builder.RegisterService(static_cast<cri::ImageService::Service*>(this));
    builder.SetMaxSendMessageSize(64 << 20);
    // While the client's thread polls for both, a large answer goes on only when this is over.
    builder.SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, 20);
    server_ = builder.BuildAndStart();
  }
  ~Server() override {
    LetGo();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }
  void LetGo() {
    const std::lock_guard<std::mutex> lock(mutex_);
    hangs = false;
    changed_.notify_all();
  }

  grpc::Status Version(Context* context, const cri::VersionRequest*,
                       cri::VersionResponse* response) override {
    Wait(context);
    response->set_runtime_name("test");
    response->mutable_version()->assign(answer_bytes, 'x');
    return grpc::Status::OK;
  }
  grpc::Status RunPodSandbox(Context*, const cri::RunPodSandboxRequest* request,
                             cri::RunPodSandboxResponse* response) override {
    sandbox = *request;
    response->set_pod_sandbox_id("s1");
    return {grpc::StatusCode::UNKNOWN, "failed to setup network"};
  }
  grpc::Status RemoveContainer(Context*, const cri::RemoveContainerRequest*,
                               cri::RemoveContainerResponse*) override {
    return {grpc::StatusCode::NOT_FOUND, "gone"};
  }
  grpc::Status ListContainers(Context*, const cri::ListContainersRequest* request,
                              cri::ListContainersResponse* response) override {
    list = *request;
    response->add_containers()->set_id("c1");
    return grpc::Status::OK;
  }
  grpc::Status StopContainer(Context* context, const cri::StopContainerRequest* request,
                             cri::StopContainerResponse*) override {
    stop = *request;
    Wait(context);
    return grpc::Status::OK;
  }
  grpc::Status ExecSync(Context*, const cri::ExecSyncRequest* request,
                        cri::ExecSyncResponse* response) override {
    exec = *request;
    response->mutable_stdout()->assign(3 << 20, 'o');
    response->set_stderr("e");
    response->set_exit_code(7);
    return grpc::Status::OK;
  }
  grpc::Status Status(Context*, const cri::StatusRequest* request,
                      cri::StatusResponse* response) override {
    ++statuses;
    if (request->verbose()) (*response->mutable_info())["config"] = R"({"sandboxImage":"pause:1"})";
    return grpc::Status::OK;
  }
  grpc::Status ListImages(Context*, const cri::ListImagesRequest*,
                          cri::ListImagesResponse* response) override {
    response->add_images()->add_repo_tags("nginx:1");
    response->add_images()->add_repo_tags("pause:1");
    return grpc::Status::OK;
  }
  grpc::Status PullImage(Context*, const cri::PullImageRequest* request,
                         cri::PullImageResponse* response) override {
    pull = *request;
    response->set_image_ref("sha256:1");
    return grpc::Status::OK;
  }

  cri::RunPodSandboxRequest sandbox;
  cri::ListContainersRequest list;
  cri::StopContainerRequest stop;
  cri::ExecSyncRequest exec;
  cri::PullImageRequest pull;
  int statuses = 0;
  size_t answer_bytes = 0;
  std::atomic<bool> hangs = false;

 private:
  void Wait(Context* context) {
    std::unique_lock<std::mutex> lock(mutex_);
    // A cancellation wakes nobody: so it is looked at now and then.
    while (hangs && !context->IsCancelled()) changed_.wait_for(lock, milliseconds(10));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<grpc::Server> server_;
};

class GrpcRuntimeTest : public ::testing::Test {
 protected:
  // Short: a socket's path has 107 bytes.
  const std::string path_ = absl::StrCat("/tmp/cri-test-", getpid(), ".sock");
  const std::string endpoint_ = absl::StrCat("unix://", path_);

  ~GrpcRuntimeTest() override { unlink(path_.c_str()); }
  std::unique_ptr<Runtime> Connect(const GrpcRuntimeOptions& options = {}) {
    auto made = NewGrpcRuntime(endpoint_, options);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
};

TEST_F(GrpcRuntimeTest, CallsCarryWhatTheyShouldAndErrorsTheirWords) {
  Server server(endpoint_);
  const auto runtime = Connect();
  EXPECT_EQ(runtime->Version()->runtime_name(), "test");
  cri::PodSandboxConfig config;
  config.set_hostname("box");
  const absl::Status failed = runtime->RunPodSandbox(config, "kata").status();
  EXPECT_EQ(server.sandbox.config().hostname(), "box");
  EXPECT_EQ(server.sandbox.runtime_handler(), "kata");
  EXPECT_EQ(RuntimeErrorText(failed), "rpc error: code = Unknown desc = failed to setup network");
  EXPECT_EQ((*runtime->ListContainers("u-1"))[0].id(), "c1");
  EXPECT_EQ(server.list.filter().label_selector().at("io.kubernetes.pod.uid"), "u-1");
  EXPECT_TRUE(runtime->RemoveContainer("c1").ok());
  EXPECT_EQ(runtime->PodSandboxStatus("s").status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(GrpcRuntimeTest, WhatLastsTellsItsEnd) {
  Server server(endpoint_);
  const auto runtime = Connect();
  std::promise<absl::StatusOr<ExecResult>> exec;
  runtime->ExecSync("c1", {"a", "b"}, milliseconds(1500),
                    [&](absl::StatusOr<ExecResult> r) { exec.set_value(std::move(r)); });
  const ExecResult result = *exec.get_future().get();
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.out.size(), 1u << 20);
  EXPECT_EQ(result.err, "e");
  EXPECT_EQ(server.exec.timeout(), 2);  // whole seconds, never less
  EXPECT_THAT(server.exec.cmd(), ElementsAre("a", "b"));

  std::promise<absl::StatusOr<std::string>> pull;
  runtime->PullImage("nginx", {.username = "anna"}, nullptr,
                     [&](absl::StatusOr<std::string> r) { pull.set_value(std::move(r)); });
  EXPECT_EQ(*pull.get_future().get(), "sha256:1");
  EXPECT_EQ(server.pull.auth().username(), "anna");
  std::promise<absl::Status> stop;
  runtime->StopContainer("c1", seconds(30), [&](absl::Status s) { stop.set_value(s); });
  EXPECT_TRUE(stop.get_future().get().ok());
  EXPECT_EQ(server.stop.timeout(), 30);
}

TEST_F(GrpcRuntimeTest, ARuntimeThatHangsRunsIntoTheDeadline) {
  Server server(endpoint_);
  const auto runtime = Connect({.timeout = milliseconds(300)});
  server.hangs = true;
  EXPECT_EQ(runtime->Version().status().code(), absl::StatusCode::kDeadlineExceeded);
  server.LetGo();
  EXPECT_TRUE(runtime->Version().ok());
}

TEST_F(GrpcRuntimeTest, ARuntimeThatComesBackIsFound) {
  const auto runtime = Connect({.reconnect_max = milliseconds(100)});
  EXPECT_EQ(runtime->Version().status().code(), absl::StatusCode::kUnavailable);
  for (int i = 0; i < 2; ++i) {
    auto server = std::make_unique<Server>(endpoint_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    absl::Status status = runtime->Version().status();
    while (!status.ok() && std::chrono::steady_clock::now() < until) {
      status = runtime->Version().status();
    }
    EXPECT_TRUE(status.ok()) << status;
    server.reset();
    EXPECT_FALSE(runtime->Version().ok());
  }
}

TEST_F(GrpcRuntimeTest, AnAnswerThatIsTooLargeIsAnError) {
  Server server(endpoint_);
  const auto runtime = Connect();
  server.answer_bytes = 17 << 20;
  EXPECT_EQ(runtime->Version().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(GrpcRuntimeTest, WhoeverStillWaitsIsToldAtTheEnd) {
  Server server(endpoint_);
  auto runtime = Connect();
  server.hangs = true;
  int told = 0;
  absl::Status status;
  runtime->StopContainer("c1", seconds(30), [&](absl::Status s) {
    ++told;
    status = s;
  });
  runtime.reset();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

// Without it no sandbox could be made where there is no registry.
TEST_F(GrpcRuntimeTest, TheSandboxesImageIsPinned) {
  Server server(endpoint_);
  const auto runtime = Connect();
  for (int i = 0; i < 2; ++i) {
    const auto images = runtime->ListImages();
    ASSERT_EQ(images.value().size(), 2u);
    EXPECT_FALSE((*images)[0].pinned());
    EXPECT_TRUE((*images)[1].pinned());
  }
  EXPECT_EQ(server.statuses, 1);
}

TEST_F(GrpcRuntimeTest, AnEndpointIsAUnixSocket) {
  for (const char* bad : {"", "/run/x.sock", "tcp://1.2.3.4:5", "unix:///"}) {
    EXPECT_THAT(std::string(NewGrpcRuntime(bad).status().message()), HasSubstr("unix:///PATH"));
  }
}

}  // namespace
}  // namespace meltemi::kubelet
