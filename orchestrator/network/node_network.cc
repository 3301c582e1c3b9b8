#include "orchestrator/network/node_network.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/net/address.h"
#include "kube/core/v1/node.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/component/files.h"
#include "orchestrator/network/forwarding.h"
#include "orchestrator/network/texts.h"

namespace meltemi::network {
namespace {

namespace fs = std::filesystem;
using kube::core::v1::Node;

// In the order in which a runtime would read them.
std::vector<std::string> ForeignConfigurations(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool configuration = absl::EndsWith(name, ".conf") || absl::EndsWith(name, ".conflist") ||
                               absl::EndsWith(name, ".json");
    if (configuration && name != kCniFile) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool IsIpv4Cidr(const std::string& text) {
  const absl::StatusOr<net::Cidr> cidr = net::Cidr::Parse(text);
  return cidr.ok() && cidr->family() == AF_INET;
}

// "" when the node has none yet.
std::string AddressOf(const Node& node) {
  for (const auto& address : node.status().addresses()) {
    const absl::StatusOr<net::Address> ip = net::Address::FromIp(address.address(), 0);
    if (address.type() == "InternalIP" && ip.ok() && ip->family() == AF_INET) {
      return address.address();
    }
  }
  return "";
}

std::string PodCidrOf(const Node& node) {
  for (const std::string& cidr : node.spec().pod_cidrs()) {
    if (IsIpv4Cidr(cidr)) return cidr;
  }
  return IsIpv4Cidr(node.spec().pod_cidr()) ? node.spec().pod_cidr() : "";
}

class Impl final : public NodeNetwork {
 public:
  Impl(const NodeNetworkOptions& options, kube::Informers& informers, kube::Executor& executor,
       System* system, std::unique_ptr<System> owned)
      : options_(options),
        owned_(std::move(owned)),
        system_(*system),
        nodes_(informers.ListerOf<Node>()),
        queue_(kube::NewController(
            {.name = "node-network", .workers = 1, .backoff_max = seconds(30)}, executor, nullptr,
            [this](const kube::NamespacedName&) { return Reconcile(); })) {
    kube::Informer& informer = informers.Of<Node>();
    informer.SetTransform([](google::protobuf::Message& message) {
      Node& node = static_cast<Node&>(message);
      node.mutable_status()->clear_images();
      node.mutable_metadata()->clear_managed_fields();
    });
    informer.AddHandler([this](const kube::Change& change) {
      // Heartbeats are most of what there is to hear, and say nothing here.
      if (change.before != nullptr && change.after != nullptr &&
          Same(static_cast<const Node&>(*change.before), static_cast<const Node&>(*change.after))) {
        return;
      }
      queue_->Add({});
    });
  }

  absl::Status SetPodCidr(const std::string& cidr) override {
    if (!IsIpv4Cidr(cidr)) {
      return absl::InvalidArgumentError(absl::StrCat("'", cidr, "' is no IPv4 pod CIDR"));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    pod_cidr_ = cidr;
    return SetUp();
  }

  void Start() override {
    queue_->Start();
    queue_->Add({});
  }

 private:
  static bool Same(const Node& a, const Node& b) {
    return PodCidrOf(a) == PodCidrOf(b) && AddressOf(a) == AddressOf(b);
  }

  // Whether the pods' network is somebody else's business. Says so once.
  bool IsForeign() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.cni_conf_dir.empty()) return false;
    const std::vector<std::string> foreign = ForeignConfigurations(options_.cni_conf_dir);
    const std::string first = foreign.empty() ? "" : foreign[0];
    if (first != foreign_) {
      if (!first.empty()) {
        LOG(kInfo, "network", options_.cni_conf_dir, "/", first,
            " is there: the pod network is left to it");
        // Some of it may be gone already, or have never been.
        (void)TakeDown();
      }
      foreign_ = first;
    }
    return !first.empty();
  }

  absl::Status TakeDown() {
    NodeNetworkOptions keep_bridge = options_;
    keep_bridge.bridge.clear();  // pods that were there before still use it
    return RemoveNodeNetwork(keep_bridge, system_);
  }

  absl::Status SetUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.cni_conf_dir.empty() || pod_cidr_.empty() || IsForeign()) return absl::OkStatus();
    absl::Status status = system_.SetSysctl("net/ipv4/ip_forward", "1");
    if (!status.ok()) return status;
    // The way out first: a pod that starts at once finds it.
    absl::StatusOr<std::string> done =
        system_.Run({"nft", "-f", "-"}, MasqueradeScript(pod_cidr_, options_.cluster_cidr));
    if (!done.ok()) return done.status();
    status = AcceptForwarding(system_, {options_.cluster_cidr});
    if (!status.ok()) return status;
    return WriteConfiguration();
  }

  absl::Status WriteConfiguration() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    CniOptions cni;
    cni.bridge = options_.bridge;
    cni.pod_cidr = pod_cidr_;
    cni.ipam_dir = options_.ipam_dir;
    cni.mtu = options_.mtu > 0 ? options_.mtu : system_.DefaultMtu();
    cni.chained_plugin = options_.chained_plugin;
    cni.bridge_filtered = FilterBridges();
    const std::string text = CniConfigList(cni);
    const std::string path = absl::StrCat(options_.cni_conf_dir, "/", kCniFile);
    const absl::StatusOr<std::string> before = orchestrator::ReadWholeFile(path);
    // The runtime reads the folder anew whenever something is written there.
    if (before.ok() && *before == text) return absl::OkStatus();
    std::error_code error;
    fs::create_directories(options_.cni_conf_dir, error);
    const absl::Status status = orchestrator::WriteFileAtomically(path, text, 0644);
    if (status.ok()) LOG(kInfo, "network", "pods get addresses of ", pod_cidr_);
    return status;
  }

  bool FilterBridges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    constexpr char kSetting[] = "net/bridge/bridge-nf-call-iptables";
    absl::Status status = system_.SetSysctl(kSetting, "1");
    if (absl::IsNotFound(status)) {
      (void)system_.Run({"modprobe", "br_netfilter"});
      status = system_.SetSysctl(kSetting, "1");
    }
    if (bridge_filtered_ != status.ok()) {
      bridge_filtered_ = status.ok();
      if (!status.ok()) {
        LOG(kWarn, "network", status.message(),
            "; pods get links of their own instead of a bridge");
      }
    }
    return status.ok();
  }

  kube::ReconcileResult Reconcile() {
    const std::lock_guard<std::mutex> lock(mutex_);
    absl::Status status = SetUp();
    if (status.ok() && !IsForeign()) status = SetRoutes();
    if (!status.ok()) return kube::InternalError(status.message());
    // A link that went down took its routes along; a firewall that was reloaded, our table.
    return kube::Again(options_.check_interval);
  }

  absl::Status SetRoutes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Routes wanted;
    for (const Lister::Ptr& node : nodes_.List()) {
      const std::string cidr = PodCidrOf(*node), address = AddressOf(*node);
      if (node->metadata().name() == options_.node_name || cidr.empty() || address.empty()) {
        continue;
      }
      wanted.emplace(cidr, address);
    }
    const absl::StatusOr<std::string> printed =
        system_.Run({"ip", "-4", "route", "show", "proto", absl::StrCat(kRouteProtocol)});
    if (!printed.ok()) return printed.status();
    const std::string changes = RouteChanges(ParseRoutes(*printed), wanted);
    if (changes.empty()) return absl::OkStatus();
    if (options_.cni_conf_dir.empty()) {
      absl::Status status = system_.SetSysctl("net/ipv4/ip_forward", "1");
      if (!status.ok()) return status;
    }
    // One that can't be set (a node that is not on a common link) does not hold up the others.
    return system_.Run({"ip", "-force", "-batch", "-"}, changes).status();
  }

  using Lister = kube::Lister<Node>;

  const NodeNetworkOptions options_;
  const std::unique_ptr<System> owned_;
  System& system_;
  const Lister nodes_;
  std::mutex mutex_;
  std::string pod_cidr_ ABSL_GUARDED_BY(mutex_), foreign_ ABSL_GUARDED_BY(mutex_);
  std::optional<bool> bridge_filtered_ ABSL_GUARDED_BY(mutex_);
  const std::unique_ptr<kube::Controller> queue_;  // the last: it uses all of the above
};

}  // namespace

std::unique_ptr<NodeNetwork> NewNodeNetwork(const NodeNetworkOptions& options,
                                            kube::Informers& informers, kube::Executor& executor,
                                            System& system) {
  return std::make_unique<Impl>(options, informers, executor, &system, nullptr);
}

std::unique_ptr<NodeNetwork> NewNodeNetwork(const NodeNetworkOptions& options,
                                            kube::Informers& informers, kube::Executor& executor) {
  std::unique_ptr<System> system = NewSystem();
  System* const raw = system.get();
  return std::make_unique<Impl>(options, informers, executor, raw, std::move(system));
}

absl::Status RemoveNodeNetwork(const NodeNetworkOptions& options) {
  return RemoveNodeNetwork(options, *NewSystem());
}

absl::Status RemoveNodeNetwork(const NodeNetworkOptions& options, System& system) {
  std::error_code error;
  absl::Status status;
  const auto run = [&](const std::vector<std::string>& argv, const std::string& input = "") {
    status.Update(system.Run(argv, input).status());
  };
  if (!options.cni_conf_dir.empty()) {
    fs::remove(absl::StrCat(options.cni_conf_dir, "/", kCniFile), error);
  }
  // Declared before it is deleted: one that is not there is no error then.
  run({"nft", "-f", "-"}, absl::StrCat("table ip ", kTable, "\ndelete table ip ", kTable, "\n"));
  status.Update(StopForwarding(system));
  const std::string protocol = absl::StrCat(kRouteProtocol);
  const absl::StatusOr<std::string> routes =
      system.Run({"ip", "-4", "route", "show", "proto", protocol});
  if (routes.ok() && !ParseRoutes(*routes).empty()) {
    run({"ip", "-force", "-batch", "-"}, RouteChanges(ParseRoutes(*routes), {}));
  }
  if (options.bridge.empty()) return status;
  if (system.Run({"ip", "link", "show", options.bridge}).ok()) {
    run({"ip", "link", "del", options.bridge});
  }
  const absl::StatusOr<std::string> saved = system.Run({"iptables-save", "-t", "nat"});
  if (saved.ok()) {
    const std::string leftovers = PortmapLeftovers(*saved, options.bridge);
    if (!leftovers.empty()) run({"iptables-restore", "--noflush"}, leftovers);
  }
  fs::remove_all(options.ipam_dir, error);
  return status;
}

}  // namespace meltemi::network
