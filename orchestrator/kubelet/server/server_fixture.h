// What tests of the kubelet's server have in common: pods, statistics and a runtime that a test
// describes, and a streaming server that it plays itself.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "cri/runtime/v1/stats.pb.h"
#include "cri/runtime/v1/status.pb.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/stats/stats.h"

namespace meltemi::kubelet {

// Thread-safe.
class FakePods final : public Pods {
 public:
  void Set(std::shared_ptr<const PodOnNode> pod) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pods_[pod->state.ns + "/" + pod->state.name] = std::move(pod);
  }
  void Remove(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pods_.erase(key);
  }
  void Start() override {}
  std::shared_ptr<const PodOnNode> Find(absl::string_view ns,
                                        absl::string_view name) const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = pods_.find(std::string(ns) + "/" + std::string(name));
    return at == pods_.end() ? nullptr : at->second;
  }
  std::vector<std::shared_ptr<const PodOnNode>> List() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::shared_ptr<const PodOnNode>> out;
    for (const auto& [key, pod] : pods_) out.push_back(pod);
    return out;
  }
  void Touch(const std::string&) override {}
  bool healthy() const override { return is_healthy; }
  bool is_healthy = true;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const PodOnNode>> pods_;
};

class FakeStats final : public Stats {
 public:
  std::string SummaryJson(bool brief) override { return brief ? R"({"brief":1})" : R"({"all":1})"; }
  std::string ResourceMetrics() override { return "resource 1\n"; }
  std::string ContainerMetrics() override { return "container 1\n"; }
};

// A runtime of which nothing but its streams is asked. Thread-safe.
class StreamsRuntime final : public Runtime {
 public:
  // What Exec, Attach and PortForward answer, and what they were asked.
  absl::StatusOr<std::string> url = absl::UnimplementedError("no URL");
  std::string TakeAsked() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(asked_, "");
  }

  absl::StatusOr<std::string> Exec(const std::string& id, const std::vector<std::string>& command,
                                   const StreamOptions& options) override {
    return Ask("exec " + id, command, options);
  }
  absl::StatusOr<std::string> Attach(const std::string& id, const StreamOptions& options) override {
    return Ask("attach " + id, {}, options);
  }
  absl::StatusOr<std::string> PortForward(const std::string& sandbox,
                                          const std::vector<int32_t>& ports) override {
    std::vector<std::string> words;
    for (const int32_t port : ports) words.push_back(std::to_string(port));
    return Ask("forward " + sandbox, words, {});
  }
  void ExecSync(const std::string& id, const std::vector<std::string>& command, Duration,
                std::function<void(absl::StatusOr<ExecResult>)> done) override {
    (void)Ask("run " + id, command, {});
    done(exec_result);
  }
  absl::StatusOr<ExecResult> exec_result = ExecResult{.exit_code = 0, .out = "out", .err = "err"};

  absl::StatusOr<cri::VersionResponse> Version() override { return No(); }
  absl::StatusOr<cri::RuntimeStatus> Status() override { return No(); }
  absl::StatusOr<std::string> RunPodSandbox(const cri::PodSandboxConfig&,
                                            const std::string&) override {
    return No();
  }
  absl::Status StopPodSandbox(const std::string&) override { return No(); }
  absl::Status RemovePodSandbox(const std::string&) override { return No(); }
  absl::StatusOr<cri::PodSandboxStatus> PodSandboxStatus(const std::string&) override {
    return No();
  }
  absl::StatusOr<std::vector<cri::PodSandbox>> ListPodSandboxes(const std::string&) override {
    return No();
  }
  absl::StatusOr<std::string> CreateContainer(const std::string&, const cri::ContainerConfig&,
                                              const cri::PodSandboxConfig&) override {
    return No();
  }
  absl::Status StartContainer(const std::string&) override { return No(); }
  absl::Status RemoveContainer(const std::string&) override { return No(); }
  absl::StatusOr<cri::ContainerStatus> ContainerStatus(const std::string&) override { return No(); }
  absl::StatusOr<std::vector<cri::Container>> ListContainers(const std::string&) override {
    return No();
  }
  absl::StatusOr<std::vector<cri::ContainerStats>> ListContainerStats(const std::string&) override {
    return No();
  }
  absl::Status ReopenContainerLog(const std::string&) override { return No(); }
  void StopContainer(const std::string&, Duration,
                     std::function<void(absl::Status)> done) override {
    done(No());
  }
  void PullImage(const std::string&, const PullAuth&, const cri::PodSandboxConfig*,
                 std::function<void(absl::StatusOr<std::string>)> done) override {
    done(No());
  }
  absl::StatusOr<cri::Image> ImageStatus(const std::string&) override { return No(); }
  absl::StatusOr<std::vector<cri::Image>> ListImages() override { return No(); }
  absl::Status RemoveImage(const std::string&) override { return No(); }
  absl::StatusOr<std::vector<cri::FilesystemUsage>> ImageFsInfo() override { return No(); }

 private:
  static absl::Status No() { return absl::UnimplementedError("not asked for"); }
  absl::StatusOr<std::string> Ask(std::string what, const std::vector<std::string>& words,
                                  const StreamOptions& options) {
    for (const std::string& word : words) what += " " + word;
    if (options.in) what += " +in";
    if (options.out) what += " +out";
    if (options.err) what += " +err";
    if (options.tty) what += " +tty";
    const std::lock_guard<std::mutex> lock(mutex_);
    asked_ = what;
    return url;
  }
  std::mutex mutex_;
  std::string asked_;
};

// The streaming server of a runtime, as the test plays it: one connection at a time, without TLS,
// on the test's own loop.
class StreamingServer final : private net::ConnectionHandler {
 public:
  explicit StreamingServer(Loop& loop) : loop_(loop) {
    auto listener = net::Listen(loop, net::Address::Loopback4(0), {},
                                [this](int fd, const net::Address& remote) {
                                  Forget();
                                  received.clear();
                                  ended = false;
                                  connection_ = net::NewServerConnection(loop_, fd, remote, {});
                                  connection_->SetHandler(this);
                                });
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  ~StreamingServer() override {
    Forget();
    loop_.DeferDelete(std::move(listener_));
    loop_.RunOnce(Duration(0));
  }
  std::string Url(const std::string& path) const {
    return "http://" + listener_->address().ToString() + path;
  }
  bool Got(absl::string_view text) const { return absl::StrContains(received, text); }
  void Say(Buffer& bytes) {
    connection_->output().MoveFrom(bytes);
    connection_->FlushSoon();
  }
  void Say(absl::string_view text) {
    Buffer bytes(text);
    Say(bytes);
  }
  void End() { connection_->CloseWrite(); }

  std::string received;
  bool ended = false;  // the kubelet has

 private:
  void OnRead(Buffer& in, bool end) override {
    received += in.ToString();
    in.Clear();
    ended |= end;
  }
  void OnWriteBlocked(bool) override {}
  void OnClosed(net::CloseCause, absl::string_view) override { ended = true; }
  void Forget() {
    if (connection_ == nullptr) return;
    connection_->SetHandler(nullptr);
    loop_.DeferDelete(std::move(connection_));
  }

  Loop& loop_;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<net::Connection> connection_;
};

// default/web with one container "main" that runs.
inline std::shared_ptr<PodOnNode> RunningPod() {
  auto pod = std::make_shared<kube::core::v1::Pod>();
  pod->mutable_metadata()->set_namespace_("default");
  pod->mutable_metadata()->set_name("web");
  pod->mutable_metadata()->set_uid("u1");
  pod->mutable_spec()->add_containers()->set_name("main");
  auto* const status = pod->mutable_status()->add_container_statuses();
  status->set_name("main");
  status->set_container_id("containerd://c1");
  status->mutable_state()->mutable_running();
  auto out = std::make_shared<PodOnNode>();
  out->pod = pod;
  out->state.uid = "u1";
  out->state.ns = "default";
  out->state.name = "web";
  SandboxState sandbox;
  sandbox.id = "s1";
  sandbox.ready = true;
  out->state.sandboxes.push_back(sandbox);
  ContainerState container;
  container.id = "c1";
  container.name = "main";
  container.phase = ContainerState::Phase::kRunning;
  out->state.containers.push_back(container);
  return out;
}

}  // namespace meltemi::kubelet
