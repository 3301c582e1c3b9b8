#include "orchestrator/kubeproxy/sync.h"

#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log/log.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubeproxy/model/facts.h"
#include "orchestrator/kubeproxy/model/tracker.h"
#include "orchestrator/kubeproxy/sync_metrics.h"

namespace meltemi::kubeproxy {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

constexpr char kComponent[] = "kube-proxy";
constexpr char kPrimary[] = "primary";

absl::Status ReadRanges(absl::string_view option, absl::string_view text,
                        std::vector<SourceRange>& out) {
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    if (absl::StrContains(part, ':')) continue;  // the other family's
    const std::optional<SourceRange> range = ParseRange(part);
    if (!range) {
      return absl::InvalidArgumentError(
          absl::StrCat(option, ": ", part, " is not a range of addresses such as 10.244.0.0/16"));
    }
    out.push_back(*range);
  }
  return absl::OkStatus();
}

// The address under which the cluster knows the node.
Ipv4 NodeIpOf(const Node& node) {
  for (const auto& address : node.status().addresses()) {
    if (address.type() != "InternalIP") continue;
    if (const std::optional<Ipv4> ip = ParseIp(address.address())) return *ip;
  }
  return 0;
}

class Sync final : public KubeProxy {
 public:
  Sync(const KubeProxyOptions& options, RulesOptions rules, bool primary_only, SyncParts parts,
       kube::Informers& informers, kube::Executor& executor, metrics::Registry* metrics)
      : options_(options),
        primary_only_(primary_only),
        clock_(executor.clock()),
        started_at_(clock_.WallNow()),
        parts_(std::move(parts)),
        metrics_(metrics),
        wanted_rules_(std::move(rules)) {
    if (parts_.new_health) health_ = parts_.new_health([this] { return healthy(); });
    kube::ControllerOptions queue;
    queue.name = kComponent;
    queue.workers = 1;
    queue.backoff_min = seconds(1);
    queue.backoff_max = std::max<Duration>(options.sync_full, seconds(1));
    queue_ = kube::NewController(queue, executor, metrics,
                                 [this](const kube::NamespacedName&) { return Run(); });
    Follow<Service>(informers, "", TrimService);
    Follow<EndpointSlice>(informers, "", TrimSlice);
    Follow<Node>(informers, absl::StrCat("metadata.name=", options.node_name), [](Node& node) {
      node.clear_spec();
      node.mutable_status()->clear_images();
      node.mutable_status()->clear_conditions();
      node.mutable_metadata()->clear_managed_fields();
    });
  }

  void Start() override {
    queue_->Start();
    const std::lock_guard<std::mutex> lock(mutex_);
    started_ = true;
    state_.due_since = clock_.Now();
    queue_->Add(kKey);
  }

  bool healthy() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!state_.succeeded) return false;
    return !state_.due_since || clock_.Now() - *state_.due_since <= 2 * options_.sync_full;
  }

 private:
  // What there is of work, and how it went.
  struct State {
    bool succeeded = false;  // the last time
    // Since when something has been waiting to be written.
    std::optional<MonotonicTime> due_since;
  };
  static inline const kube::NamespacedName kKey{"", "rules"};

  template <typename T>
  void Follow(kube::Informers& informers, const std::string& selector, void (*trim)(T&)) {
    kube::Informer& informer = informers.Of<T>(selector);
    informer.SetTransform(
        [trim](google::protobuf::Message& message) { trim(static_cast<T&>(message)); });
    informer.AddHandler([this](const kube::Change& change) {
      // What is read is kept, not the message: a first list may be large.
      std::vector<Pending> pending = Read(static_cast<const T*>(change.before.get()),
                                          static_cast<const T*>(change.after.get()));
      const std::lock_guard<std::mutex> lock(mutex_);
      pending_.insert(pending_.end(), std::make_move_iterator(pending.begin()),
                      std::make_move_iterator(pending.end()));
      if (!started_) return;
      if (!state_.due_since) state_.due_since = clock_.Now();
      queue_->Add(kKey);
    });
  }

  kube::ReconcileResult Run() {
    const MonotonicTime begin = clock_.Now();
    if (last_run_ && begin - *last_run_ < options_.sync_min) {
      return kube::Again(options_.sync_min - (begin - *last_run_));
    }
    last_run_ = begin;
    TakeChanges();
    const bool full = NeedsReplace();
    absl::Status status = Write(full);
    Finish(status, begin, full);
    if (!status.ok()) {
      return kube::Status{.code = 0, .reason = "", .message = std::string(status.message())};
    }
    AfterSuccess();
    return kube::Again(options_.sync_full);
  }

  // Of a service, a slice of it, or this node.
  struct Pending {
    kube::NamespacedName service;
    std::string slice;  // "": the service itself
    std::optional<ServiceFacts> service_facts;
    std::optional<SliceFacts> slice_facts;
    std::optional<WallTime> trigger;
    std::optional<Ipv4> node_ip;
  };
  static std::vector<Pending> Read(const Service* before, const Service* after) {
    const auto& metadata = (after != nullptr ? after : before)->metadata();
    Pending pending;
    pending.service = {metadata.namespace_(), metadata.name()};
    if (after != nullptr) pending.service_facts = ReadService(*after);
    return {std::move(pending)};
  }
  std::vector<Pending> Read(const EndpointSlice* before, const EndpointSlice* after) const {
    std::vector<Pending> all;
    // A slice's label may be changed: it is then another service's.
    for (const EndpointSlice* slice : {before, after}) {
      if (slice == nullptr || ServiceOf(*slice).empty()) continue;
      Pending& pending = all.emplace_back();
      pending.service = {slice->metadata().namespace_(), ServiceOf(*slice)};
      pending.slice = slice->metadata().name();
      if (slice != after) continue;
      pending.slice_facts = ReadSlice(*slice, options_.node_name);
      pending.trigger = TriggerOf(*slice);
    }
    if (all.size() == 2 && all[0].service == all[1].service) all.erase(all.begin());
    return all;
  }
  static std::vector<Pending> Read(const Node*, const Node* after) {
    if (after == nullptr) return {};
    Pending pending;
    pending.node_ip = NodeIpOf(*after);
    return {std::move(pending)};
  }

  void TakeChanges() {
    std::vector<Pending> all;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      all.swap(pending_);
      // What comes from now on is due anew; what is taken becomes so again if it fails.
      state_.due_since.reset();
    }
    for (Pending& pending : all) Take(pending);
    std::vector<ServiceChange> changes = tracker_.Take();
    changes_.insert(changes_.end(), std::make_move_iterator(changes.begin()),
                    std::make_move_iterator(changes.end()));
  }

  void Take(Pending& pending) {
    if (pending.node_ip) {
      wanted_rules_.node_ip = *pending.node_ip;
      if (primary_only_) wanted_rules_.node_port_addresses = {{wanted_rules_.node_ip, 32}};
    } else if (pending.slice.empty()) {
      metrics_.CountServiceChange();
      tracker_.SetService(pending.service, std::move(pending.service_facts));
    } else {
      metrics_.CountEndpointChange();
      if (pending.trigger && *pending.trigger >= started_at_) {
        metrics_.NoteTrigger(*pending.trigger);
      }
      tracker_.SetSlice(pending.service, pending.slice, std::move(pending.slice_facts));
    }
  }

  bool NeedsReplace() {
    if (!written_ || wanted_rules_ != *written_) return true;
    if (last_look_ && clock_.Now() - *last_look_ < options_.sync_full) return false;
    last_look_ = clock_.Now();
    const absl::StatusOr<bool> intact = parts_.writer->Intact();
    if (!intact.ok()) {
      LOG(kWarn, "kube-proxy", "cannot see the rules: ", intact.status().message());
    } else if (!*intact) {
      LOG(kWarn, "kube-proxy", "the rules were removed by somebody else: all are written anew");
    }
    return !intact.ok() || !*intact;
  }

  absl::Status Write(bool full) {
    if (!full) {
      if (changes_.empty()) return absl::OkStatus();
      absl::Status status = parts_.writer->Apply(changes_);
      if (status.ok()) return status;
      metrics_.CountFailure();
      LOG(kWarn, "kube-proxy",
          "a change could not be written, so all is written anew: ", status.message());
    }
    written_.reset();
    absl::Status status = parts_.writer->Replace(wanted_rules_, tracker_.All());
    if (status.ok()) {
      written_ = wanted_rules_;
      last_look_ = clock_.Now();
    } else {
      metrics_.CountFailure();
    }
    return status;
  }

  void Finish(const absl::Status& status, MonotonicTime begin, bool full) {
    const MonotonicTime end = clock_.Now();
    metrics_.RecordSync(end - begin, full, status.ok(), clock_.WallNow());
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.succeeded = status.ok();
    if (!status.ok() && !state_.due_since) state_.due_since = begin;
  }

  void AfterSuccess() {
    if (const absl::Status status = parts_.flows->Forget(changes_); !status.ok()) {
      LOG(kWarn, "kube-proxy", "flows to endpoints that are gone may last: ", status.message());
    }
    ServeHealth();
    changes_.clear();
    if (parts_.remove_other_mode) std::exchange(parts_.remove_other_mode, nullptr)();
  }

  void ServeHealth() {
    if (health_ == nullptr) return;
    for (const ServiceChange& change : changes_) {
      const kube::NamespacedName& key = (change.after ? change.after : change.before)->key;
      if (change.after != nullptr && change.after->health_check_port != 0) {
        health_states_[key] = {key, change.after->health_check_port, change.after->local_ready};
      } else {
        health_states_.erase(key);
      }
    }
    std::vector<ServiceHealthState> states;
    for (const auto& [key, state] : health_states_) states.push_back(state);
    health_->Serve(states);
  }

  // Constant after construction.
  const KubeProxyOptions options_;
  const bool primary_only_;  // node ports are offered at the node's own address alone
  const Clock& clock_;
  const WallTime started_at_;

  // Of the run that is under way.
  SyncParts parts_;
  SyncMetrics metrics_;
  RulesOptions wanted_rules_;
  std::optional<RulesOptions> written_;  // nullopt: nothing is known to be written
  Tracker tracker_;
  std::vector<ServiceChange> changes_;  // not yet written, or not yet followed up
  std::optional<MonotonicTime> last_run_, last_look_;
  std::map<kube::NamespacedName, ServiceHealthState> health_states_;

  mutable std::mutex mutex_;
  std::vector<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  State state_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<ServiceHealth> health_;
  std::unique_ptr<kube::Controller> queue_;  // the last: it waits for what is under way
};

}  // namespace

absl::StatusOr<std::unique_ptr<KubeProxy>> NewSync(const KubeProxyOptions& options, SyncParts parts,
                                                   kube::Informers& informers,
                                                   kube::Executor& executor,
                                                   metrics::Registry* metrics) {
  RulesOptions rules;
  bool primary_only = false;
  rules.masquerade_all = options.masquerade_all;
  absl::Status status = ReadRanges("cluster_cidr", options.cluster_cidr, rules.pods);
  for (const std::string& text : options.node_port_addresses) {
    if (text == kPrimary) {
      primary_only = true;
    } else {
      status.Update(ReadRanges("node_port_addresses", text, rules.node_port_addresses));
    }
  }
  if (rules.pods.size() > 1) {
    status.Update(
        absl::InvalidArgumentError("cluster_cidr: more than one range of IPv4 addresses"));
  }
  if (!status.ok()) return status;
  // Until the node's address is known, no address has node ports.
  if (primary_only) rules.node_port_addresses = {{0, 32}};
  return std::make_unique<Sync>(options, std::move(rules), primary_only, std::move(parts),
                                informers, executor, metrics);
}

}  // namespace meltemi::kubeproxy
