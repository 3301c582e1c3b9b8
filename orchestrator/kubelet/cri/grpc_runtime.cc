#include "orchestrator/kubelet/cri/grpc_runtime.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "cri/runtime/v1/services.grpc.pb.h"
#include "orchestrator/kubelet/cri/grpc_calls.h"

namespace meltemi::kubelet {
namespace {

using cri::ImageService;
using cri::RuntimeService;

constexpr char kPodUid[] = "io.kubernetes.pod.uid";
constexpr size_t kExecBytesMax = size_t{1} << 20;
constexpr int kReconnectMinMs = 50;

absl::Status IgnoreNotFound(absl::Status status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

int64_t SecondsUp(Duration d) {
  return std::max<int64_t>(0, std::chrono::ceil<seconds>(d).count());
}

template <typename T>
std::vector<T> Taken(google::protobuf::RepeatedPtrField<T>* items) {
  return {std::make_move_iterator(items->begin()), std::make_move_iterator(items->end())};
}

class GrpcRuntime final : public Runtime {
 public:
  GrpcRuntime(const GrpcRuntimeOptions& options, std::shared_ptr<grpc::Channel> channel,
              std::shared_ptr<grpc::Channel> image_channel)
      : options_(options),
        runtime_(RuntimeService::NewStub(std::move(channel))),
        image_(ImageService::NewStub(std::move(image_channel))) {}

  absl::StatusOr<cri::VersionResponse> Version() override;
  absl::StatusOr<cri::RuntimeStatus> Status() override;
  absl::StatusOr<std::string> RunPodSandbox(const cri::PodSandboxConfig& config,
                                            const std::string& handler) override;
  absl::Status StopPodSandbox(const std::string& id) override;
  absl::Status RemovePodSandbox(const std::string& id) override;
  absl::StatusOr<cri::PodSandboxStatus> PodSandboxStatus(const std::string& id) override;
  absl::StatusOr<std::vector<cri::PodSandbox>> ListPodSandboxes(
      const std::string& pod_uid) override;
  absl::StatusOr<std::string> CreateContainer(const std::string& sandbox,
                                              const cri::ContainerConfig& config,
                                              const cri::PodSandboxConfig& pod) override;
  absl::Status StartContainer(const std::string& id) override;
  absl::Status RemoveContainer(const std::string& id) override;
  absl::StatusOr<cri::ContainerStatus> ContainerStatus(const std::string& id) override;
  absl::StatusOr<std::vector<cri::Container>> ListContainers(const std::string& pod_uid) override;
  absl::StatusOr<std::vector<cri::ContainerStats>> ListContainerStats(
      const std::string& pod_uid) override;
  absl::Status ReopenContainerLog(const std::string& id) override;
  void StopContainer(const std::string& id, Duration grace,
                     std::function<void(absl::Status)> done) override;
  void ExecSync(const std::string& id, const std::vector<std::string>& command, Duration timeout,
                std::function<void(absl::StatusOr<ExecResult>)> done) override;
  absl::StatusOr<std::string> Exec(const std::string& id, const std::vector<std::string>& command,
                                   const StreamOptions& options) override;
  absl::StatusOr<std::string> Attach(const std::string& id, const StreamOptions& options) override;
  absl::StatusOr<std::string> PortForward(const std::string& sandbox,
                                          const std::vector<int32_t>& ports) override;
  void PullImage(const std::string& image, const PullAuth& auth,
                 const cri::PodSandboxConfig* sandbox,
                 std::function<void(absl::StatusOr<std::string>)> done) override;
  absl::StatusOr<cri::Image> ImageStatus(const std::string& image) override;
  absl::StatusOr<std::vector<cri::Image>> ListImages() override;
  absl::Status RemoveImage(const std::string& image) override;
  absl::StatusOr<std::vector<cri::FilesystemUsage>> ImageFsInfo() override;

 private:
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, Duration timeout) {
    grpc::ClientContext context;
    SetDeadline(context, timeout);
    return FromGrpc((stub.*method)(&context, request, response));
  }
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (RuntimeService::Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                    const Request& request, Response* response) {
    return Call(*runtime_, method, request, response, options_.timeout);
  }
  template <typename Request, typename Response>
  absl::Status CallImage(grpc::Status (ImageService::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                         const Request& request, Response* response) {
    return Call(*image_, method, request, response, options_.timeout);
  }

  // The sandboxes' image, as the runtime was configured; "": it does not say.
  std::string SandboxImage();

  const GrpcRuntimeOptions options_;
  const std::unique_ptr<RuntimeService::Stub> runtime_;
  const std::unique_ptr<ImageService::Stub> image_;
  std::mutex mutex_;
  std::optional<std::string> sandbox_image_;  // guarded by mutex_; nothing: not asked for yet
  PendingCalls pending_;                      // the last: it is destroyed first, and waits
};

absl::StatusOr<cri::VersionResponse> GrpcRuntime::Version() {
  cri::VersionRequest request;
  request.set_version("0.1.0");
  cri::VersionResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::Version, request, &response);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<cri::RuntimeStatus> GrpcRuntime::Status() {
  cri::StatusResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::Status, cri::StatusRequest(), &response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_status());
}

absl::StatusOr<std::string> GrpcRuntime::RunPodSandbox(const cri::PodSandboxConfig& config,
                                                       const std::string& handler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  request.set_runtime_handler(handler);
  cri::RunPodSandboxResponse response;
  const absl::Status status = Call(*runtime_, &RuntimeService::Stub::RunPodSandbox, request,
                                   &response, options_.sandbox_timeout);
  if (!status.ok()) return status;
  return response.pod_sandbox_id();
}

absl::Status GrpcRuntime::StopPodSandbox(const std::string& id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  cri::StopPodSandboxResponse response;
  return IgnoreNotFound(Call(*runtime_, &RuntimeService::Stub::StopPodSandbox, request, &response,
                             options_.sandbox_timeout));
}

absl::Status GrpcRuntime::RemovePodSandbox(const std::string& id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  cri::RemovePodSandboxResponse response;
  return IgnoreNotFound(Call(*runtime_, &RuntimeService::Stub::RemovePodSandbox, request, &response,
                             options_.sandbox_timeout));
}

absl::StatusOr<cri::PodSandboxStatus> GrpcRuntime::PodSandboxStatus(const std::string& id) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  cri::PodSandboxStatusResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::PodSandboxStatus, request, &response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_status());
}

absl::StatusOr<std::vector<cri::PodSandbox>> GrpcRuntime::ListPodSandboxes(
    const std::string& pod_uid) {
  cri::ListPodSandboxRequest request;
  if (!pod_uid.empty()) (*request.mutable_filter()->mutable_label_selector())[kPodUid] = pod_uid;
  cri::ListPodSandboxResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::ListPodSandbox, request, &response);
  if (!status.ok()) return status;
  return Taken(response.mutable_items());
}

absl::StatusOr<std::string> GrpcRuntime::CreateContainer(const std::string& sandbox,
                                                         const cri::ContainerConfig& config,
                                                         const cri::PodSandboxConfig& pod) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod;
  cri::CreateContainerResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::CreateContainer, request, &response);
  if (!status.ok()) return status;
  return response.container_id();
}

absl::Status GrpcRuntime::StartContainer(const std::string& id) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  cri::StartContainerResponse response;
  return Call(&RuntimeService::Stub::StartContainer, request, &response);
}

absl::Status GrpcRuntime::RemoveContainer(const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  cri::RemoveContainerResponse response;
  return IgnoreNotFound(Call(&RuntimeService::Stub::RemoveContainer, request, &response));
}

absl::StatusOr<cri::ContainerStatus> GrpcRuntime::ContainerStatus(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  cri::ContainerStatusResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::ContainerStatus, request, &response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_status());
}

absl::StatusOr<std::vector<cri::Container>> GrpcRuntime::ListContainers(
    const std::string& pod_uid) {
  cri::ListContainersRequest request;
  if (!pod_uid.empty()) (*request.mutable_filter()->mutable_label_selector())[kPodUid] = pod_uid;
  cri::ListContainersResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::ListContainers, request, &response);
  if (!status.ok()) return status;
  return Taken(response.mutable_containers());
}

absl::StatusOr<std::vector<cri::ContainerStats>> GrpcRuntime::ListContainerStats(
    const std::string& pod_uid) {
  cri::ListContainerStatsRequest request;
  if (!pod_uid.empty()) (*request.mutable_filter()->mutable_label_selector())[kPodUid] = pod_uid;
  cri::ListContainerStatsResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::ListContainerStats, request, &response);
  if (!status.ok()) return status;
  return Taken(response.mutable_stats());
}

absl::Status GrpcRuntime::ReopenContainerLog(const std::string& id) {
  cri::ReopenContainerLogRequest request;
  request.set_container_id(id);
  cri::ReopenContainerLogResponse response;
  return Call(&RuntimeService::Stub::ReopenContainerLog, request, &response);
}

void GrpcRuntime::StopContainer(const std::string& id, Duration grace,
                                std::function<void(absl::Status)> done) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(SecondsUp(grace));
  pending_.Start<cri::StopContainerResponse>(
      std::move(request), std::max(grace, Duration(0)) + options_.spare_timeout,
      [this](auto... args) { runtime_->async()->StopContainer(args...); },
      [done = std::move(done)](absl::Status status, const cri::StopContainerResponse&) {
        done(IgnoreNotFound(std::move(status)));
      });
}

void GrpcRuntime::ExecSync(const std::string& id, const std::vector<std::string>& command,
                           Duration timeout, std::function<void(absl::StatusOr<ExecResult>)> done) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_timeout(SecondsUp(timeout));
  const Duration deadline = timeout > Duration(0) ? timeout + options_.spare_timeout : Duration(0);
  pending_.Start<cri::ExecSyncResponse>(
      std::move(request), deadline, [this](auto... args) { runtime_->async()->ExecSync(args...); },
      [done = std::move(done)](absl::Status status, const cri::ExecSyncResponse& response) {
        if (!status.ok()) return done(std::move(status));
        done(ExecResult{response.exit_code(), response.stdout().substr(0, kExecBytesMax),
                        response.stderr().substr(0, kExecBytesMax)});
      });
}

absl::StatusOr<std::string> GrpcRuntime::Exec(const std::string& id,
                                              const std::vector<std::string>& command,
                                              const StreamOptions& options) {
  cri::ExecRequest request;
  request.set_container_id(id);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_tty(options.tty);
  request.set_stdin(options.in);
  request.set_stdout(options.out);
  request.set_stderr(options.err);
  cri::ExecResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::Exec, request, &response);
  if (!status.ok()) return status;
  return response.url();
}

absl::StatusOr<std::string> GrpcRuntime::Attach(const std::string& id,
                                                const StreamOptions& options) {
  cri::AttachRequest request;
  request.set_container_id(id);
  request.set_tty(options.tty);
  request.set_stdin(options.in);
  request.set_stdout(options.out);
  request.set_stderr(options.err);
  cri::AttachResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::Attach, request, &response);
  if (!status.ok()) return status;
  return response.url();
}

absl::StatusOr<std::string> GrpcRuntime::PortForward(const std::string& sandbox,
                                                     const std::vector<int32_t>& ports) {
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(sandbox);
  for (const int32_t port : ports) request.add_port(port);
  cri::PortForwardResponse response;
  const absl::Status status = Call(&RuntimeService::Stub::PortForward, request, &response);
  if (!status.ok()) return status;
  return response.url();
}

void GrpcRuntime::PullImage(const std::string& image, const PullAuth& auth,
                            const cri::PodSandboxConfig* sandbox,
                            std::function<void(absl::StatusOr<std::string>)> done) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(image);
  cri::AuthConfig out;
  out.set_username(auth.username);
  out.set_password(auth.password);
  out.set_auth(auth.auth);
  out.set_server_address(auth.server_address);
  out.set_identity_token(auth.identity_token);
  out.set_registry_token(auth.registry_token);
  if (out.ByteSizeLong() > 0) *request.mutable_auth() = std::move(out);
  if (sandbox != nullptr) *request.mutable_sandbox_config() = *sandbox;
  pending_.Start<cri::PullImageResponse>(
      std::move(request), options_.pull_timeout,
      [this](auto... args) { image_->async()->PullImage(args...); },
      [done = std::move(done)](absl::Status status, const cri::PullImageResponse& response) {
        if (!status.ok()) return done(std::move(status));
        done(response.image_ref());
      });
}

absl::StatusOr<cri::Image> GrpcRuntime::ImageStatus(const std::string& image) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(image);
  cri::ImageStatusResponse response;
  const absl::Status status = CallImage(&ImageService::Stub::ImageStatus, request, &response);
  if (!status.ok()) return status;
  return std::move(*response.mutable_image());
}

absl::StatusOr<std::vector<cri::Image>> GrpcRuntime::ListImages() {
  cri::ListImagesResponse response;
  const absl::Status status =
      CallImage(&ImageService::Stub::ListImages, cri::ListImagesRequest(), &response);
  if (!status.ok()) return status;
  // containerd says itself since 1.7 that this one is not to be removed.
  const std::string sandbox = SandboxImage();
  for (cri::Image& image : *response.mutable_images()) {
    for (const std::string& tag : image.repo_tags()) {
      if (tag == sandbox) image.set_pinned(true);
    }
  }
  return Taken(response.mutable_images());
}

std::string GrpcRuntime::SandboxImage() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (sandbox_image_) return *sandbox_image_;
  }
  cri::StatusRequest request;
  request.set_verbose(true);
  cri::StatusResponse response;
  if (!Call(&RuntimeService::Stub::Status, request, &response).ok()) return "";
  std::string found;
  const auto info = response.info().find("config");
  if (info != response.info().end()) {
    const auto config = json::Parse(info->second);
    if (config.ok()) found = std::string(config->FindString("sandboxImage"));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  sandbox_image_ = found;
  return found;
}

absl::Status GrpcRuntime::RemoveImage(const std::string& image) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(image);
  cri::RemoveImageResponse response;
  return IgnoreNotFound(CallImage(&ImageService::Stub::RemoveImage, request, &response));
}

absl::StatusOr<std::vector<cri::FilesystemUsage>> GrpcRuntime::ImageFsInfo() {
  cri::ImageFsInfoResponse response;
  const absl::Status status =
      CallImage(&ImageService::Stub::ImageFsInfo, cri::ImageFsInfoRequest(), &response);
  if (!status.ok()) return status;
  return Taken(response.mutable_image_filesystems());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const std::string& endpoint,
                                                       const GrpcRuntimeOptions& options) {
  constexpr char kScheme[] = "unix:///";
  if (!absl::StartsWith(endpoint, kScheme) || endpoint.size() == sizeof kScheme - 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the endpoint of a container runtime is unix:///PATH, not \"", endpoint, "\""));
  }
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  args.SetMaxSendMessageSize(static_cast<int>(options.message_bytes_max));
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(ToMillis(options.reconnect_max)));
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Two runtimes of one process share no connection.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), args);
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

void SetDeadline(grpc::ClientContext& context, Duration timeout) {
  if (timeout <= Duration(0)) return;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout));
}

absl::StatusOr<std::unique_ptr<Runtime>> NewGrpcRuntime(const std::string& endpoint,
                                                        const GrpcRuntimeOptions& options) {
  auto channel = Connect(endpoint, options);
  if (!channel.ok()) return channel.status();
  auto image_channel = channel;
  if (!options.image_endpoint.empty() && options.image_endpoint != endpoint) {
    image_channel = Connect(options.image_endpoint, options);
    if (!image_channel.ok()) return image_channel.status();
  }
  return std::make_unique<GrpcRuntime>(options, *std::move(channel), *std::move(image_channel));
}

}  // namespace meltemi::kubelet
