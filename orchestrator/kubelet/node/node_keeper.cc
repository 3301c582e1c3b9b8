#include <fcntl.h>
#include <ifaddrs.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "base/net/address.h"
#include "base/net/interfaces.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/status.pb.h"
#include "kube/client/typed.h"
#include "kube/core/v1/event.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/node/machine.h"
#include "orchestrator/kubelet/node/node.h"
#include "orchestrator/kubelet/node/node_parts.h"
#include "orchestrator/kubelet/node/node_status.h"

namespace meltemi::kubelet {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::ContainerImage;
using kube::core::v1::Node;
using kube::core::v1::NodeStatus;

// Until it is ready for the first time, but not for ever.
constexpr Duration kQuick = milliseconds(200), kQuickFor = minutes(2);
constexpr Duration kRuntimeCheck = seconds(5), kRuntimeCheckBad = seconds(1);
constexpr Duration kRuntimeDownAfter = seconds(30);
constexpr Duration kImagesRefresh = seconds(30);
constexpr size_t kImagesMax = 50;
constexpr int kNamesPerImageMax = 5;

// The keys of the queue: what one of them waits for holds up no other one.
constexpr char kRuntimeKey[] = "runtime", kStatusKey[] = "status", kLeaseKey[] = "lease",
               kCidrKey[] = "pod-cidr";

kube::ControllerOptions QueueOptions() {
  kube::ControllerOptions out;
  out.name = "node";
  out.workers = 4;
  out.backoff_min = kQuick;
  out.backoff_max = seconds(7);
  return out;
}

// "NetworkReady=false reason:X message:Y"; "" when it holds.
std::string BadCondition(const cri::RuntimeStatus& status, const std::string& type) {
  for (const cri::RuntimeCondition& condition : status.conditions()) {
    if (condition.type() != type) continue;
    if (condition.status()) return "";
    return absl::StrCat(type, "=false reason:", condition.reason(),
                        " message:", condition.message());
  }
  return "<nil>";
}

// The largest first.
std::vector<ContainerImage> ImagesOf(std::vector<cri::Image> images) {
  std::stable_sort(images.begin(), images.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  if (images.size() > kImagesMax) images.resize(kImagesMax);
  std::vector<ContainerImage> out;
  for (const cri::Image& image : images) {
    ContainerImage& added = out.emplace_back();
    added.set_size_bytes(static_cast<int64_t>(image.size()));
    for (const auto* names : {&image.repo_digests(), &image.repo_tags()}) {
      for (const std::string& name : *names) {
        if (added.names_size() < kNamesPerImageMax) added.add_names(name);
      }
    }
  }
  return out;
}

// What was last learnt of the runtime.
struct RuntimeSight {
  std::optional<MonotonicTime> last_ok;
  std::string runtime_error, network_error;
  std::string version;
  bool version_due = true;  // it may be another one after it was away
  std::vector<ContainerImage> images;
  std::string images_path;
  MonotonicTime images_due{};
};

std::string PodCidrOf(const Node& node) {
  const auto& cidrs = node.spec().pod_cidrs();
  return cidrs.empty() ? node.spec().pod_cidr() : absl::StrJoin(cidrs, ",");
}

bool IsReady(const NodeStatus& status) {
  const kube::core::v1::NodeCondition* const ready = FindCondition(status, kReady.type);
  return ready != nullptr && ready->status() == "True";
}

// A bad state counts until it has been over for a while.
class Pressure {
 public:
  bool Observe(bool bad, MonotonicTime now, Duration transition) {
    if (bad) seen_ = now;
    return seen_.has_value() && (bad || now - *seen_ < transition);
  }

 private:
  std::optional<MonotonicTime> seen_;
};

class ApiNodeKeeper final : public NodeKeeper {
 public:
  ApiNodeKeeper(const NodeOptions& options, kube::Client& client, kube::Informers& informers,
                kube::Executor& executor, kube::EventRecorder& recorder, Runtime& runtime,
                std::function<std::string()> healthy)
      : options_(options),
        client_(client),
        executor_(executor),
        recorder_(recorder),
        runtime_(runtime),
        healthy_(std::move(healthy)),
        began_(executor.clock().Now()),
        nodes_(informers.ListerOf<Node>(NodeSelector(options.name))),
        controller_(
            kube::NewController(QueueOptions(), executor, nullptr,
                                [this](const kube::NamespacedName& key) { return Work(key); })) {
    informers.Of<Node>(NodeSelector(options.name)).AddHandler([this](const kube::Change& change) {
      OnNode(change);
    });
  }
  ~ApiNodeKeeper() override { controller_.reset(); }

  void Start() override {
    Tell({kube::kNormal, "Starting", "Starting kubelet."});
    controller_->Add({"", kRuntimeKey});
    controller_->Add({"", kStatusKey});
    controller_->Start();
  }
  void OnPodCidr(std::function<void(const std::string& cidr)> told) override {
    told_ = std::move(told);
  }
  bool ready() const override { return ready_; }

 private:
  kube::ReconcileResult Work(const kube::NamespacedName& key) {
    if (key.name == kRuntimeKey) return CheckRuntime();
    if (key.name == kStatusKey) return CheckStatus();
    if (key.name == kLeaseKey) return CheckLease();
    CheckPodCidr();
    return kube::Finished();
  }

  bool Hurries() const { return !was_ready_ && executor_.clock().Now() - began_ < kQuickFor; }
  void OnNode(const kube::Change& change);
  void NoteSchedulable(const Node& node);
  void Tell(const NodeEvent& event);

  kube::ReconcileResult CheckRuntime();
  void LookAtImages();
  kube::ReconcileResult CheckStatus();
  kube::ReconcileResult CheckLease();
  void CheckPodCidr();

  std::vector<std::string> Problems(const RuntimeSight& runtime) const;
  NodeSight Look();
  kube::Outcome Register();
  kube::Outcome TakeOver(const Node& wanted);
  kube::Outcome Write();
  void Written(const Node& node, const std::vector<NodeEvent>& events);

  const NodeOptions options_;
  kube::Client& client_;
  kube::Executor& executor_;
  kube::EventRecorder& recorder_;
  Runtime& runtime_;
  const std::function<std::string()> healthy_;
  const MonotonicTime began_;
  const kube::Lister<Node> nodes_;
  std::function<void(const std::string&)> told_;
  std::atomic<bool> ready_{false}, was_ready_{false};

  std::mutex mutex_;
  RuntimeSight runtime_sight_;              // guarded by mutex_
  std::string uid_;                         // guarded by mutex_; "": not registered
  std::optional<bool> last_unschedulable_;  // guarded by mutex_

  // Each belongs to its key, which one at a time works on.
  Pressure memory_, disk_;      // status
  MonotonicTime report_due_{};  // status
  bool told_bad_disk_ = false;  // status
  std::optional<Lease> lease_;  // lease
  std::string cidr_;            // pod-cidr

  std::unique_ptr<kube::Controller> controller_;
};

void ApiNodeKeeper::Tell(const NodeEvent& event) {
  // kubectl describe looks for events of kubelets under the node's name as its UID.
  kube::core::v1::ObjectReference reference;
  reference.set_kind("Node");
  reference.set_name(options_.name);
  reference.set_uid(options_.name);
  recorder_.RecordFor(reference, event.type, event.reason, event.message);
}

void ApiNodeKeeper::OnNode(const kube::Change& change) {
  const Node& node = static_cast<const Node&>(*(change.after ? change.after : change.before));
  if (change.type == kube::Change::Type::kDeleted) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (uid_ != node.metadata().uid()) return;
    uid_.clear();
    ready_ = false;
    LOG(kInfo, "node", options_.name, " was deleted: it registers again");
    controller_->Add({"", kStatusKey});
    return;
  }
  NoteSchedulable(node);
  controller_->Add({"", kCidrKey});
  // Somebody has given up on the node: it is alive, and says so. Or somebody has announced an
  // extended resource, which becomes allocatable.
  const auto* const before = static_cast<const Node*>(change.before.get());
  const bool resources =
      before != nullptr && before->status().capacity_size() != node.status().capacity_size();
  if (resources || (ready_ && !IsReady(node.status()))) controller_->Add({"", kStatusKey});
}

void ApiNodeKeeper::NoteSchedulable(const Node& node) {
  const bool unschedulable = node.spec().unschedulable();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(last_unschedulable_, unschedulable).value_or(false) == unschedulable) return;
  }
  const char* const event = unschedulable ? "NodeNotSchedulable" : "NodeSchedulable";
  Tell({kube::kNormal, event, absl::StrCat("Node ", options_.name, " status is now: ", event)});
}

kube::ReconcileResult ApiNodeKeeper::CheckRuntime() {
  const absl::StatusOr<cri::RuntimeStatus> status = runtime_.Status();
  bool fine = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    RuntimeSight& sight = runtime_sight_;
    const RuntimeSight before = sight;
    if (status.ok()) {
      const std::string network = BadCondition(*status, "NetworkReady");
      const std::string runtime = BadCondition(*status, "RuntimeReady");
      sight.network_error =
          network.empty() ? "" : absl::StrCat("container runtime network not ready: ", network);
      sight.runtime_error =
          runtime.empty() ? "" : absl::StrCat("container runtime not ready: ", runtime);
      if (runtime.empty()) sight.last_ok = executor_.clock().Now();
      fine = network.empty() && runtime.empty();
    } else {
      LOG(kInfo, "node",
          "the container runtime does not tell its status: ", status.status().message());
      sight.version_due = true;
    }
    if (before.network_error != sight.network_error ||
        before.runtime_error != sight.runtime_error ||
        before.last_ok.has_value() != sight.last_ok.has_value()) {
      controller_->Add({"", kStatusKey});
    }
  }
  if (status.ok()) LookAtImages();
  if (Hurries()) return kube::Again(kQuick);
  return kube::Again(fine ? kRuntimeCheck : kRuntimeCheckBad);
}

void ApiNodeKeeper::LookAtImages() {
  const MonotonicTime now = executor_.clock().Now();
  bool version_due, images_due;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    version_due = runtime_sight_.version_due;
    images_due = runtime_sight_.images_due <= now;
  }
  if (version_due) {
    if (const absl::StatusOr<cri::VersionResponse> version = runtime_.Version(); version.ok()) {
      absl::string_view number = version->runtime_version();
      if (number.substr(0, 1) == "v") number.remove_prefix(1);
      const std::lock_guard<std::mutex> lock(mutex_);
      runtime_sight_.version = absl::StrCat(version->runtime_name(), "://", number);
      runtime_sight_.version_due = false;
    }
  }
  if (!images_due) return;
  absl::StatusOr<std::vector<cri::Image>> images = runtime_.ListImages();
  const absl::StatusOr<std::vector<cri::FilesystemUsage>> folders = runtime_.ImageFsInfo();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (images.ok()) {
    runtime_sight_.images = ImagesOf(*std::move(images));
    runtime_sight_.images_due = now + kImagesRefresh;
  }
  if (folders.ok() && !folders->empty()) {
    runtime_sight_.images_path = folders->front().fs_id().mountpoint();
  }
}

std::vector<std::string> ApiNodeKeeper::Problems(const RuntimeSight& runtime) const {
  std::vector<std::string> out;
  const auto add = [&out](std::string problem) {
    if (!problem.empty()) out.push_back(std::move(problem));
  };
  if (!runtime.last_ok.has_value()) {
    add("container runtime status check may not have completed yet");
  } else if (executor_.clock().Now() - *runtime.last_ok >= kRuntimeDownAfter) {
    add("container runtime is down");
  }
  add(healthy_());
  add(runtime.runtime_error);
  add(runtime.network_error);
  return out;
}

NodeSight ApiNodeKeeper::Look() {
  NodeSight out;
  std::string images_path;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    out.problems = Problems(runtime_sight_);
    out.runtime_version = runtime_sight_.version;
    out.images = runtime_sight_.images;
    images_path = runtime_sight_.images_path;
  }
  if (out.runtime_version.empty()) out.runtime_version = "remote://Unknown";
  out.now = executor_.clock().WallNow();
  out.machine = ReadMachine(options_.machine_root);
  out.pods_fs = ReadFileSystem(options_.root);
  out.ip = options_.ip.empty() ? DefaultNodeIp() : options_.ip;
  const FileSystemSpace images_fs = ReadFileSystem(images_path);
  if (!images_path.empty() && images_fs.capacity_bytes == 0 && !told_bad_disk_) {
    told_bad_disk_ = true;
    Tell({kube::kWarning, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem"});
  }
  const MonotonicTime now = executor_.clock().Now();
  const Duration transition = options_.pressure_transition_period;
  out.memory_pressure = memory_.Observe(LowOnMemory(options_, out.machine), now, transition);
  out.disk_pressure = disk_.Observe(
      LowOnDisk(options_, out.pods_fs) || LowOnDisk(options_, images_fs), now, transition);
  return out;
}

kube::ReconcileResult ApiNodeKeeper::CheckStatus() {
  bool registered;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    registered = !uid_.empty();
  }
  kube::Outcome done = registered ? Write() : Register();
  if (!done.ok()) return done.status();
  return kube::Again(Hurries() ? kQuick : options_.status_interval);
}

kube::Outcome ApiNodeKeeper::Register() {
  const NodeSight sight = Look();
  Node wanted;
  wanted.mutable_metadata()->set_name(options_.name);
  for (const auto& [key, value] : WellKnownLabels(options_.name, sight.machine.architecture)) {
    (*wanted.mutable_metadata()->mutable_labels())[key] = value;
  }
  for (const auto& [key, value] : options_.labels) {
    (*wanted.mutable_metadata()->mutable_labels())[key] = value;
  }
  for (const std::string& taint : options_.taints) {
    *wanted.mutable_spec()->add_taints() = ParseTaint(taint);
  }
  std::vector<NodeEvent> events;
  *wanted.mutable_status() = NextNodeStatus(options_, sight, NodeStatus(), &events);
  kube::Result<Node> registered = kube::Create(client_, wanted);
  if (!registered.ok() && kube::IsAlreadyExists(registered.status())) return TakeOver(wanted);
  if (!registered.ok()) return registered.status();
  LOG(kInfo, "node", options_.name, " is registered");
  Written(*registered, events);
  return kube::Done{};
}

// Of an earlier process, or made by somebody: the labels that only the node itself knows are set
// again; others, which somebody may have changed, stay.
kube::Outcome ApiNodeKeeper::TakeOver(const Node& wanted) {
  kube::Result<Node> found = kube::Get<Node>(client_, "", options_.name);
  if (!found.ok()) return found.status();
  std::string patch;
  json::Writer writer(&patch);
  writer.BeginObject().Key("metadata").BeginObject().Key("labels").BeginObject();
  bool differs = false;
  const auto well_known =
      WellKnownLabels(options_.name, wanted.status().node_info().architecture());
  for (const auto& [key, value] : wanted.metadata().labels()) {
    const bool own = well_known.count(key) > 0 || key == "topology.kubernetes.io/zone" ||
                     key == "topology.kubernetes.io/region" ||
                     key == "node.kubernetes.io/instance-type";
    const auto held = found->metadata().labels().find(key);
    if (!own || (held != found->metadata().labels().end() && held->second == value)) continue;
    writer.Key(key).String(value);
    differs = true;
  }
  writer.EndObject().EndObject().EndObject();
  if (differs) {
    found = kube::Patch<Node>(client_, "", options_.name, kube::PatchType::kMerge, patch);
    if (!found.ok()) return found.status();
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    uid_ = found->metadata().uid();
  }
  controller_->Add({"", kLeaseKey});
  report_due_ = executor_.clock().Now();
  return Write();
}

kube::Outcome ApiNodeKeeper::Write() {
  const NodeSight sight = Look();
  std::vector<NodeEvent> events;
  const bool due = report_due_ <= executor_.clock().Now();
  if (const std::shared_ptr<const Node> known = nodes_.Get("", options_.name); known && !due) {
    if (SameNodeStatus(known->status(),
                       NextNodeStatus(options_, sight, known->status(), &events))) {
      return kube::Done{};
    }
  }
  kube::Result<Node> written = kube::Modify<Node>(
      client_, "", options_.name,
      [&](Node& node) {
        events.clear();
        NodeStatus next = NextNodeStatus(options_, sight, node.status(), &events);
        const bool same = SameNodeStatus(node.status(), next);
        if (same && !due) return false;
        *node.mutable_status() = std::move(next);
        return true;
      },
      /*status_only=*/true);
  if (!written.ok()) {
    if (kube::IsNotFound(written.status())) {
      const std::lock_guard<std::mutex> lock(mutex_);
      uid_.clear();
      ready_ = false;
    }
    return written.status();
  }
  Written(*written, events);
  return kube::Done{};
}

void ApiNodeKeeper::Written(const Node& node, const std::vector<NodeEvent>& events) {
  for (const NodeEvent& event : events) Tell(event);
  report_due_ = executor_.clock().Now() + options_.status_report_interval;
  ready_ = IsReady(node.status());
  if (ready_) was_ready_ = true;
  bool is_new = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_new = std::exchange(uid_, node.metadata().uid()) != node.metadata().uid();
  }
  if (is_new) controller_->Add({"", kLeaseKey});
}

kube::ReconcileResult ApiNodeKeeper::CheckLease() {
  std::string uid;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    uid = uid_;
  }
  if (uid.empty()) return kube::Finished();
  const bool held = lease_.has_value() && lease_->metadata().owner_references(0).uid() == uid;
  if (!held) lease_ = MakeLease(options_.name, uid, options_.lease_duration);
  kube::Result<Lease> renewed =
      RenewLease(client_, executor_.clock().WallNow(), *std::exchange(lease_, std::nullopt));
  if (!renewed.ok()) return renewed.status();
  if (renewed->metadata().owner_references_size() > 0) lease_ = *std::move(renewed);
  return kube::Again(options_.lease_renew_interval);
}

void ApiNodeKeeper::CheckPodCidr() {
  const std::shared_ptr<const Node> node = nodes_.Get("", options_.name);
  if (node == nullptr) return;
  const std::string cidr = PodCidrOf(*node);
  if (cidr.empty() || std::exchange(cidr_, cidr) == cidr) return;
  if (told_) told_(cidr);
}

}  // namespace

std::unique_ptr<NodeKeeper> NewNodeKeeper(const NodeOptions& options, kube::Client& client,
                                          kube::Informers& informers, kube::Executor& executor,
                                          kube::EventRecorder& recorder, Runtime& runtime,
                                          std::function<std::string()> healthy) {
  return std::make_unique<ApiNodeKeeper>(options, client, informers, executor, recorder, runtime,
                                         std::move(healthy));
}

std::string NodeSelector(const std::string& node_name) {
  return absl::StrCat("metadata.name=", node_name);
}

std::string DefaultNodeIp() {
  std::string interface;
  bool first = true;
  for (const absl::string_view line : absl::StrSplit(ReadMachineFile("/proc/net/route"), '\n')) {
    // Iface Destination Gateway Flags …
    const std::vector<absl::string_view> words = absl::StrSplit(line, '\t');
    if (!std::exchange(first, false) && words.size() > 7 && words[1] == "00000000" &&
        words[7] == "00000000") {
      interface = std::string(words[0]);
      break;
    }
  }
  ifaddrs* list = nullptr;
  if (interface.empty() || getifaddrs(&list) != 0) return net::FirstGlobalIp();
  std::string ip;
  for (const ifaddrs* it = list; it != nullptr && ip.empty(); it = it->ifa_next) {
    if (it->ifa_addr == nullptr || interface != it->ifa_name) continue;
    if (it->ifa_addr->sa_family == AF_INET) {
      ip = net::Address::FromSockaddr(it->ifa_addr, sizeof(sockaddr_in)).ip();
    }
  }
  freeifaddrs(list);
  return ip.empty() ? net::FirstGlobalIp() : ip;
}

}  // namespace meltemi::kubelet
