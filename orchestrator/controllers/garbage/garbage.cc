#include "orchestrator/controllers/garbage/garbage.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/garbage/collector.h"
#include "orchestrator/controllers/garbage/graph.h"
#include "orchestrator/controllers/garbage/kind_map.h"
#include "orchestrator/controllers/garbage/monitors.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

constexpr Duration kDiscoverEvery = seconds(30);
// A new kind is served a moment after its definition was written.
constexpr Duration kDiscoverSoon = seconds(1);
constexpr Duration kCheckLate = seconds(1);
constexpr Duration kSyncPoll = milliseconds(100);
// A kind that can't be listed does not hold up all others for ever.
constexpr Duration kSyncMax = seconds(60);

const kube::NamespacedName kDiscover{"", "discover"};
const kube::NamespacedName kStart{"", "start"};

class GarbageCollector final : public Running {
 public:
  explicit GarbageCollector(Context& context)
      : context_(context),
        monitors_(
            context, graph_, [this](const GraphWork& work) { Apply(work); },
            [this] { discovery_->AddAfter(kDiscover, kDiscoverSoon); }),
        collector_({.client = context.client,
                    .graph = graph_,
                    .kinds = kinds_,
                    .apply = [this](const GraphWork& work) { Apply(work); },
                    .check =
                        [this](const std::string& uid) {
                          checks_->Add({"", uid});
                        },
                    .behind = [this](int64_t rev) { return monitors_.Behind(rev); }}),
        checks_(kube::NewController(
            {.name = "garbage_collector_attempt_to_delete", .workers = 20}, context.executor,
            context.metrics,
            [this](const kube::NamespacedName& key) { return collector_.Check(key.name); })),
        orphans_(kube::NewController(
            {.name = "garbage_collector_attempt_to_orphan", .workers = 5}, context.executor,
            context.metrics,
            [this](const kube::NamespacedName& key) { return collector_.Orphan(key.name); })),
        discovery_(kube::NewController(
            {.name = "garbage_collector_discovery", .workers = 1, .backoff_max = kDiscoverEvery},
            context.executor, context.metrics, [this](const kube::NamespacedName& key) {
              return key == kStart ? StartWhenSynced() : Discover();
            })) {}

  ~GarbageCollector() override { monitors_.Stop(); }

  void Start() override {
    start_by_ = context_.executor.clock().Now() + kSyncMax;
    discovery_->Add(kDiscover);
    discovery_->Add(kStart);
    discovery_->Start();
  }

 private:
  void Apply(const GraphWork& work) {
    for (const std::string& uid : work.to_check) checks_->Add({"", uid});
    for (const std::string& uid : work.check_late) checks_->AddAfter({"", uid}, kCheckLate);
    for (const std::string& uid : work.to_orphan) orphans_->Add({"", uid});
    for (const GraphWork::BadReference& bad : work.bad_references) Complain(bad);
  }

  void Complain(const GraphWork::BadReference& bad) {
    kube::core::v1::ObjectReference object;
    object.set_api_version(bad.dependent.kind.api_version);
    object.set_kind(bad.dependent.kind.kind);
    object.set_namespace_(bad.dependent.ns);
    object.set_name(bad.dependent.name);
    object.set_uid(bad.dependent.uid);
    context_.recorder("garbage-collector-controller")
        .RecordFor(object, kube::kWarning, "OwnerRefInvalidNamespace",
                   absl::StrCat("ownerRef ", bad.owner.ToString(),
                                " does not exist in namespace \"", bad.dependent.ns, "\""));
  }

  kube::ReconcileResult Discover() {
    kube::Result<kube::ServedResources> found = kube::Discover(context_.client);
    if (!found.ok()) return found.status();
    if (found->resources.empty()) return kube::Again(kDiscoverEvery);
    auto served = std::make_shared<kube::ServedResources>(*std::move(found));
    // What could not be asked about is taken to be as it was.
    if (served_ != nullptr) {
      for (const kube::ServedResource& old : served_->resources) {
        const std::string gv = kube::ApiVersion(old.resource.group, old.resource.version);
        if (served->failures.count(gv) != 0) served->resources.push_back(old);
      }
    }
    served_ = served;
    kinds_.Set(served);
    monitors_.Sync(*served);
    for (const std::string& uid : graph_.Undecided()) checks_->Add({"", uid});
    return kube::Again(kDiscoverEvery);
  }

  kube::ReconcileResult StartWhenSynced() {
    const bool synced = monitors_.synced();
    if (!synced && context_.executor.clock().Now() < start_by_) return kube::Again(kSyncPoll);
    if (!synced) LOG(kWarn, "controllers", "garbage: not all kinds could be listed; going on");
    checks_->Start();
    orphans_->Start();
    return kube::Finished();
  }

  Context& context_;
  MonotonicTime start_by_;
  OwnerGraph graph_;
  KindMap kinds_;
  std::shared_ptr<const kube::ServedResources> served_;  // of the discovery's one worker
  Monitors monitors_;
  Collector collector_;
  // The last one goes first, and waits for what it has under way: that may add to those before it.
  const std::unique_ptr<kube::Controller> checks_, orphans_, discovery_;
};

}  // namespace

std::unique_ptr<Running> NewGarbageCollector(Context& context) {
  return std::make_unique<GarbageCollector>(context);
}

}  // namespace meltemi::controllers
