#include "orchestrator/controllers/clusterdns/cluster_dns.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

constexpr char kNamespace[] = "kube-system", kName[] = "kube-dns";
constexpr char kManager[] = "cluster-dns-controller.meltemi.dev";
constexpr char kManagedBy[] = "app.kubernetes.io/managed-by";
constexpr char kSliceManagedBy[] = "endpointslice.kubernetes.io/managed-by";
constexpr char kServiceName[] = "kubernetes.io/service-name";
constexpr int kDnsPort = 53;
constexpr size_t kEndpointsMax = 1000;  // of a slice

// The ports by the names that kubeadm gives them.
struct DnsPort {
  const char* name;
  const char* protocol;
};
constexpr DnsPort kPorts[] = {{"dns", "UDP"}, {"dns-tcp", "TCP"}};

template <typename Labels>
bool HasLabel(const Labels& labels, const char* key, const char* value) {
  const auto found = labels.find(key);
  return found != labels.end() && found->second == value;
}

// Both are read from the one Ready condition: "Unknown" is what the node controller makes of a
// silent one, which has been ready.
bool HasBeenReady(const Node& node) {
  for (const auto& condition : node.status().conditions()) {
    if (condition.type() == "Ready") {
      return condition.status() == "True" || condition.status() == "Unknown";
    }
  }
  return false;
}

// Empty: it has none that can be an endpoint's. Hollow nodes are on the loopback.
std::string Ipv4Of(const Node& node) {
  for (const auto& address : node.status().addresses()) {
    const std::string& ip = address.address();
    const bool is_reachable = !absl::StrContains(ip, ':') && !absl::StartsWith(ip, "127.") &&
                              !absl::StartsWith(ip, "169.254.");
    if (address.type() == "InternalIP" && is_reachable) return ip;
  }
  return "";
}

class ClusterDnsController final : public Running {
 public:
  ClusterDnsController(Context& context, const ClusterDnsOptions& options);
  void Start() override {
    queue_->Add({kNamespace, kName});
    queue_->Start();
  }

 private:
  kube::ReconcileResult Reconcile();
  // Empty: there is none, and nothing to be done.
  kube::Result<std::string> ServiceUid(bool wanted);
  Service WantedService() const;
  std::map<std::string, std::string> Servers();
  EndpointSlice WantedSlice(size_t index, const std::string& service_uid) const;
  kube::Outcome WriteSlice(const EndpointSlice& wanted);

  Context& context_;
  const ClusterDnsOptions options_;
  const kube::Lister<Node> nodes_;
  const kube::Lister<Service> services_;
  const kube::Lister<EndpointSlice> slices_;
  // Of the queue's one worker. A node that is not Ready for a moment keeps its place.
  std::set<std::string> known_;

  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

ClusterDnsController::ClusterDnsController(Context& context, const ClusterDnsOptions& options)
    : context_(context),
      options_(options),
      nodes_(context.informers.ListerOf<Node>()),
      services_(context.informers.ListerOf<Service>()),
      slices_(context.informers.ListerOf<EndpointSlice>()) {
  kube::ControllerOptions queue;
  queue.name = "cluster_dns";
  queue.workers = 1;
  queue.backoff_min = milliseconds(100);
  queue.backoff_max = minutes(5);
  queue_ = kube::NewController(queue, context.executor, context.metrics,
                               [this](const kube::NamespacedName&) { return Reconcile(); });
  const auto add = [this] { queue_->Add({kNamespace, kName}); };
  context.informers.Of<Node>().AddHandler([add](const kube::Change& change) {
    // Heartbeats change nothing here.
    if (change.before && change.after) {
      const auto& before = static_cast<const Node&>(*change.before);
      const auto& after = static_cast<const Node&>(*change.after);
      if (HasBeenReady(before) == HasBeenReady(after) && Ipv4Of(before) == Ipv4Of(after)) return;
    }
    add();
  });
  context.informers.Of<Service>().AddHandler([add](const kube::Change& change) {
    const auto& service =
        static_cast<const Service&>(change.after ? *change.after : *change.before);
    if (service.metadata().name() == kName && service.metadata().namespace_() == kNamespace) add();
  });
  context.informers.Of<EndpointSlice>().AddHandler([add](const kube::Change& change) {
    const auto& slice =
        static_cast<const EndpointSlice&>(change.after ? *change.after : *change.before);
    if (HasLabel(slice.metadata().labels(), kSliceManagedBy, kManager)) add();
  });
}

// Node name -> address, of all that have a server.
std::map<std::string, std::string> ClusterDnsController::Servers() {
  // After a restart of this controller its slices tell who was known.
  for (const auto& slice : slices_.List(kNamespace)) {
    if (!HasLabel(slice->metadata().labels(), kSliceManagedBy, kManager)) continue;
    for (const auto& endpoint : slice->endpoints()) known_.insert(endpoint.node_name());
  }
  std::map<std::string, std::string> servers;
  std::set<std::string> still;
  for (const auto& node : nodes_.List()) {
    const std::string& name = node->metadata().name();
    if (!HasBeenReady(*node) && known_.count(name) == 0) continue;
    const std::string address = Ipv4Of(*node);
    if (address.empty()) continue;
    still.insert(name);
    servers[name] = address;
  }
  known_ = std::move(still);
  return servers;
}

Service ClusterDnsController::WantedService() const {
  Service service;
  auto* meta = service.mutable_metadata();
  meta->set_namespace_(kNamespace);
  meta->set_name(kName);
  auto& labels = *meta->mutable_labels();
  labels["k8s-app"] = kName;
  labels["kubernetes.io/cluster-service"] = "true";
  labels["kubernetes.io/name"] = "CoreDNS";  // what tools look for
  labels[kManagedBy] = kManager;
  auto* spec = service.mutable_spec();
  spec->set_cluster_ip(options_.cluster_ip);
  spec->add_cluster_ips(options_.cluster_ip);
  spec->set_type("ClusterIP");
  spec->set_internal_traffic_policy("Local");
  for (const DnsPort& one : kPorts) {
    auto* port = spec->add_ports();
    port->set_name(one.name);
    port->set_protocol(one.protocol);
    port->set_port(kDnsPort);
    port->mutable_target_port()->set_int_val(options_.node_port);
  }
  return service;
}

kube::Result<std::string> ClusterDnsController::ServiceUid(bool wanted) {
  const auto service = services_.Get(kNamespace, kName);
  if (service == nullptr) {
    if (!wanted) return std::string();
    const kube::Result<Service> made = kube::Create(context_.client, WantedService());
    if (made.ok()) return made->metadata().uid();
    // The informer has not shown it yet: it comes, and with it the next look.
    if (kube::IsAlreadyExists(made.status())) return std::string();
    return made.status();
  }
  const bool ours = HasLabel(service->metadata().labels(), kManagedBy, kManager) &&
                    !service->metadata().has_deletion_timestamp();
  return ours ? service->metadata().uid() : std::string();
}

EndpointSlice ClusterDnsController::WantedSlice(size_t index,
                                                const std::string& service_uid) const {
  EndpointSlice slice;
  auto* meta = slice.mutable_metadata();
  meta->set_namespace_(kNamespace);
  meta->set_name(absl::StrCat(kName, "-nodes-", index));
  auto& labels = *meta->mutable_labels();
  labels[kServiceName] = kName;
  labels[kSliceManagedBy] = kManager;
  auto* owner = meta->add_owner_references();
  owner->set_api_version("v1");
  owner->set_kind("Service");
  owner->set_name(kName);
  owner->set_uid(service_uid);
  owner->set_controller(true);
  slice.set_address_type("IPv4");
  for (const DnsPort& one : kPorts) {
    auto* port = slice.add_ports();
    port->set_name(one.name);
    port->set_protocol(one.protocol);
    port->set_port(options_.node_port);
  }
  return slice;
}

kube::Outcome ClusterDnsController::WriteSlice(const EndpointSlice& wanted) {
  using google::protobuf::util::MessageDifferencer;
  const std::string& name = wanted.metadata().name();
  const auto current = slices_.Get(kNamespace, name);
  if (current == nullptr) {
    const kube::Result<EndpointSlice> made = kube::Create(context_.client, wanted);
    if (made.ok() || kube::IsAlreadyExists(made.status())) return kube::Done{};
    return made.status();
  }
  EndpointSlice next = *current;
  *next.mutable_endpoints() = wanted.endpoints();
  *next.mutable_ports() = wanted.ports();
  *next.mutable_metadata()->mutable_owner_references() = wanted.metadata().owner_references();
  if (MessageDifferencer::Equals(next, *current)) return kube::Done{};
  const kube::Result<EndpointSlice> written = kube::Update(context_.client, next);
  // Gone, or newer than the informer shows: the change that tells so brings it here again.
  if (written.ok() || kube::IsNotFound(written.status())) return kube::Done{};
  return written.status();
}

kube::ReconcileResult ClusterDnsController::Reconcile() {
  const std::map<std::string, std::string> servers = Servers();
  const kube::Result<std::string> uid = ServiceUid(!servers.empty());
  if (!uid.ok()) return uid.status();
  if (uid->empty()) return kube::Finished();
  std::vector<EndpointSlice> wanted;
  for (const auto& [node, address] : servers) {
    if (wanted.empty() || static_cast<size_t>(wanted.back().endpoints_size()) == kEndpointsMax) {
      wanted.push_back(WantedSlice(wanted.size(), *uid));
    }
    auto* endpoint = wanted.back().add_endpoints();
    endpoint->add_addresses(address);
    endpoint->set_node_name(node);
    endpoint->mutable_conditions()->set_ready(true);
    endpoint->mutable_conditions()->set_serving(true);
    endpoint->mutable_conditions()->set_terminating(false);
  }
  std::set<std::string> names;
  for (const EndpointSlice& slice : wanted) {
    names.insert(slice.metadata().name());
    if (kube::Outcome written = WriteSlice(slice); !written.ok()) return written.status();
  }
  for (const auto& slice : slices_.List(kNamespace)) {
    const auto& meta = slice->metadata();
    if (!HasLabel(meta.labels(), kSliceManagedBy, kManager) || names.count(meta.name()) > 0) {
      continue;
    }
    const kube::Outcome gone =
        kube::Delete<EndpointSlice>(context_.client, kNamespace, meta.name());
    if (!gone.ok() && !kube::IsNotFound(gone.status())) return gone.status();
  }
  return kube::Finished();
}

}  // namespace

std::unique_ptr<Running> NewClusterDnsController(Context& context,
                                                 const ClusterDnsOptions& options) {
  return std::make_unique<ClusterDnsController>(context, options);
}

}  // namespace meltemi::controllers
