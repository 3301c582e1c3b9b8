#include "orchestrator/app/node_kubelet.h"

#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/cri/grpc_runtime.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/probes/network_prober.h"
#include "orchestrator/kubelet/probes/probes.h"
#include "orchestrator/kubelet/server/kubelet_server.h"
#include "orchestrator/kubelet/stats/stats.h"
#include "orchestrator/kubelet/volumes/volumes.h"
#include "orchestrator/network/node_network.h"

namespace meltemi::orchestrator {
namespace {

constexpr Duration kNetworkRetry = seconds(1);

class NodeKubelet final : public Work {
 public:
  NodeKubelet(NodeKubeletOptions options, Parts& parts)
      : options_(std::move(options)), parts_(parts), recorder_(parts.RecorderOf("kubelet")) {}

  absl::Status Make() {
    absl::StatusOr<std::unique_ptr<kubelet::Runtime>> runtime =
        kubelet::NewGrpcRuntime(options_.container_runtime_endpoint);
    if (!runtime.ok()) return runtime.status();
    runtime_ = *std::move(runtime);
    absl::StatusOr<std::unique_ptr<kubelet::PodCgroups>> cgroups =
        kubelet::NewPodCgroups({.root = options_.cgroup_root, .usage_root = options_.usage_cgroup});
    if (!cgroups.ok()) return cgroups.status();
    cgroups_ = *std::move(cgroups);
    images_ =
        kubelet::NewImages(options_.images, *runtime_, parts_.executor, recorder_, &parts_.metrics);
    volumes_ = kubelet::NewVolumes(
        {.node_name = options_.node.name,
         .root = options_.root_dir,
         .local_volumes = options_.local_volumes_dir,
         .in_use =
             [this](const std::string& uid) { return pods_ == nullptr || pods_->InRuntime(uid); }},
        parts_.client, parts_.informers, parts_.executor);
    configs_ = kubelet::NewContainerConfigs(ConfigsOptions(), parts_.client, parts_.informers,
                                            *runtime_, *volumes_, parts_.clock);
    prober_ = kubelet::NewNetworkProber(parts_.clock);
    probes_ = kubelet::NewProbes(*runtime_, *prober_, parts_.executor, recorder_, parts_.random,
                                 &parts_.metrics);
    MakePods();
    stats_ = kubelet::NewStats({.node_name = options_.node.name, .root = options_.root_dir},
                               parts_.executor, *pods_, *runtime_, *cgroups_, *volumes_);
    if (absl::Status status = Serve(); !status.ok()) return status;
    MakeNode();
    renewal_ = kubelet::StartIdentityRenewal(
        options_.identity, parts_.client, parts_.executor, parts_.random,
        [this] { parts_.begin_anew("its certificate has been renewed"); });
    rotation_ = kubelet::NewLogRotation(options_.logs, *runtime_, parts_.executor);
    return absl::OkStatus();
  }

  void Start() override {
    volumes_->Start();
    pods_->Start();
    node_->Start();
    if (network_ != nullptr) network_->Start();
  }

 private:
  kubelet::ContainerConfigsOptions ConfigsOptions() const {
    return {.node_name = options_.node.name,
            .root = options_.root_dir,
            .log_root = options_.pod_log_dir,
            .cluster_domain = options_.cluster_domain,
            .cluster_dns = options_.cluster_dns,
            .resolv_conf = options_.resolv_conf,
            .node_ips = {options_.node.ip}};
  }

  void MakePods() {
    const kubelet::PodsParts pods{.client = parts_.client,
                                  .informers = parts_.informers,
                                  .executor = parts_.executor,
                                  .recorder = recorder_,
                                  .random = parts_.random,
                                  .metrics = &parts_.metrics,
                                  .runtime = *runtime_,
                                  .images = *images_,
                                  .volumes = *volumes_,
                                  .probes = *probes_,
                                  .cgroups = *cgroups_,
                                  .configs = *configs_};
    pods_ =
        kubelet::NewPods(pods, {.node_name = options_.node.name, .node_ips = {options_.node.ip}});
  }

  absl::Status Serve() {
    absl::StatusOr<net::Address> address =
        net::Address::FromIp(options_.bind_address, options_.port);
    if (!address.ok()) return address.status();
    absl::StatusOr<tls::KeyPair> identity = kubelet::ServingCertificate(
        options_.identity.cert_dir, options_.node.name, {options_.node.ip}, parts_.clock);
    if (!identity.ok()) return identity.status();
    kubelet::KubeletServerOptions serving{.address = *address,
                                          .identity = *std::move(identity),
                                          .client_ca_pem = parts_.serving.client_ca_pem,
                                          .node_name = options_.node.name,
                                          .authorize = {}};
    serving.authorize = [this](const apiserver::Request& request, absl::string_view verb,
                               absl::string_view subresource) -> kube::Outcome {
      const kube::Result<apiserver::UserInfo> user = parts_.access_reviews.Authenticate(request);
      if (!user.ok()) return user.status();
      return parts_.access_reviews.AuthorizeNode(*user, verb, options_.node.name, subresource);
    };
    absl::StatusOr<std::unique_ptr<kubelet::KubeletServer>> server = kubelet::StartKubeletServer(
        serving, parts_.clock, *pods_, *runtime_, *stats_, parts_.metrics);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    options_.node.port = server_->port();
    return absl::OkStatus();
  }

  void MakeNode() {
    if (options_.manage_network) {
      network_ = network::NewNodeNetwork({.node_name = options_.node.name,
                                          .cni_conf_dir = options_.cni_conf_dir,
                                          .cluster_cidr = options_.cluster_cidr,
                                          .ipam_dir = options_.cni_ipam_dir,
                                          .chained_plugin = options_.cni_chained_plugin},
                                         parts_.informers, parts_.executor);
    }
    node_ = kubelet::NewNodeKeeper(
        options_.node, parts_.client, parts_.informers, parts_.executor, recorder_, *runtime_,
        [this] { return pods_->healthy() ? std::string() : std::string("PLEG is not healthy"); });
    if (network_ == nullptr) return;
    node_->OnPodCidr([this](const std::string& cidr) { SetPodCidr(cidr); });
  }

  // Tried again until it succeeds.
  void SetPodCidr(const std::string& cidr) {
    const absl::Status status = network_->SetPodCidr(cidr);
    const std::lock_guard<std::mutex> lock(mutex_);
    again_.reset();
    if (status.ok()) return;
    LOG(kError, "network", "pod network ", cidr, ": ", status.message());
    again_ = parts_.executor.After(kNetworkRetry, [this, cidr] { SetPodCidr(cidr); });
  }

  NodeKubeletOptions options_;
  Parts& parts_;
  kube::EventRecorder& recorder_;

  // In the order in which they are made.
  std::unique_ptr<kubelet::Runtime> runtime_;
  std::unique_ptr<kubelet::PodCgroups> cgroups_;
  std::unique_ptr<kubelet::Images> images_;
  std::unique_ptr<kubelet::Volumes> volumes_;
  std::unique_ptr<kubelet::ContainerConfigs> configs_;
  std::unique_ptr<kubelet::NetworkProber> prober_;
  std::unique_ptr<kubelet::Probes> probes_;
  std::unique_ptr<kubelet::Pods> pods_;
  std::unique_ptr<kubelet::Stats> stats_;
  std::unique_ptr<kubelet::KubeletServer> server_;
  std::unique_ptr<network::NodeNetwork> network_;
  std::unique_ptr<kubelet::NodeKeeper> node_;
  std::mutex mutex_;
  std::unique_ptr<kube::Delayed> again_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<kubelet::IdentityRenewal> renewal_;
  std::unique_ptr<kubelet::LogRotation> rotation_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> NewNodeKubelet(NodeKubeletOptions options, Parts& parts) {
  if (options.node.ip.empty()) options.node.ip = kubelet::DefaultNodeIp();
  if (options.node.ip.empty()) {
    return absl::InvalidArgumentError("there is no default route: give --node-ip");
  }
  if (options.local_volumes_dir.empty()) {
    options.local_volumes_dir = absl::StrCat(options.root_dir, "/local-volumes");
  }
  options.node.root = options.root_dir;
  auto work = std::make_unique<NodeKubelet>(std::move(options), parts);
  if (absl::Status status = work->Make(); !status.ok()) return status;
  return work;
}

}  // namespace meltemi::orchestrator
