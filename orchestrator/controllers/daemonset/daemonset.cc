#include "orchestrator/controllers/daemonset/daemonset.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/daemonset/failure_backoff.h"
#include "orchestrator/controllers/daemonset/plan.h"
#include "orchestrator/controllers/history/history.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/doubt.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::controllers {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;
using daemonsets::NodeRule;
using daemonsets::Removal;
using google::protobuf::util::MessageDifferencer;
using SetPtr = std::shared_ptr<const apps::DaemonSet>;

// Pods made, and pods deleted, in one go; the rest follows when these have been seen.
constexpr size_t kBurst = 250;

// Selects pods of all kinds: refused by today's API servers.
bool SelectsAll(const apps::DaemonSet& set) {
  return set.spec().has_selector() && set.spec().selector().match_labels().empty() &&
         set.spec().selector().match_expressions().empty();
}

class DaemonSetController final : public Running {
 public:
  explicit DaemonSetController(Context& context);
  void Start() override { queue_->Start(); }

 private:
  void OnSet(const kube::Change& change);
  void OnPod(const kube::Change& change);
  void OnNode(const kube::Change& change);
  void AddOwnerOf(const kube::MessagePtr& object);

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult Sync(const apps::DaemonSet& set, const kube::LabelSelector& selector,
                             const std::vector<PodPtr>& pods);
  kube::Result<std::vector<PodPtr>> ClaimPods(const apps::DaemonSet& set,
                                              const kube::LabelSelector& selector);
  daemonsets::Plan PlanFor(const daemonsets::View& view);
  kube::Outcome Do(const daemonsets::View& view, const daemonsets::Plan& plan);
  // False: no more are to be tried.
  kube::Result<bool> Create(const daemonsets::View& view, const std::string& node);
  kube::Outcome Remove(const apps::DaemonSet& set, const Removal& removal);
  kube::Outcome WriteStatus(const daemonsets::View& view, int collision_count);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<apps::DaemonSet> sets_;
  const kube::Lister<core::Pod> pods_;
  const kube::Lister<core::Node> nodes_;
  Expectations pod_writes_;
  daemonsets::FailureBackoff backoff_;
  RevisionHistory history_;
  // Last: destroyed first, while all else is there.
  std::unique_ptr<kube::Controller> queue_;
};

DaemonSetController::DaemonSetController(Context& context)
    : context_(context),
      recorder_(context.recorder("daemonset-controller")),
      sets_(context.informers.ListerOf<apps::DaemonSet>()),
      pods_(context.informers.ListerOf<core::Pod>()),
      nodes_(context.informers.ListerOf<core::Node>()),
      pod_writes_(context.executor.clock()),
      history_(context.client, context.informers.Of<apps::ControllerRevision>(),
               context.executor.clock()) {
  kube::ControllerOptions options;
  options.name = "daemonset";
  options.workers = 2;
  queue_ = kube::NewController(options, context.executor, context.metrics,
                               [this](const auto& key) { return Reconcile(key); });
  kube::Informer& pods = context.informers.Of<core::Pod>();
  pods.AddIndex(kByController, ByController);
  pods.AddIndex(kOrphans, OrphansByNamespace);
  pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
  context.informers.Of<core::Node>().AddHandler(
      [this](const kube::Change& change) { OnNode(change); });
  context.informers.Of<apps::DaemonSet>().AddHandler(
      [this](const kube::Change& change) { OnSet(change); });
  context.informers.Of<apps::ControllerRevision>().AddHandler([this](const kube::Change& change) {
    AddOwnerOf(change.after != nullptr ? change.after : change.before);
  });
}

void DaemonSetController::OnSet(const kube::Change& change) {
  queue_->Add(kube::NameOf(change.after != nullptr ? *change.after : *change.before));
}

void DaemonSetController::AddOwnerOf(const kube::MessagePtr& object) {
  if (object == nullptr) return;
  const kube::meta::v1::OwnerReference* owner = ControllerOf(*object);
  if (owner == nullptr || owner->kind() != "DaemonSet") return;
  queue_->Add({kube::NameOf(*object).ns, owner->name()});
}

void DaemonSetController::OnPod(const kube::Change& change) {
  AddOwnerOf(change.before);
  AddOwnerOf(change.after);
  if (change.after == nullptr || ControllerOf(*change.after) != nullptr) return;
  for (const SetPtr& set : sets_.List(kube::NameOf(*change.after).ns)) {
    if (Matches(SelectorOf(&set->spec().selector()), *change.after)) {
      queue_->Add(kube::NameOf(*set));
    }
  }
}

void DaemonSetController::OnNode(const kube::Change& change) {
  const auto before = kube::Lister<core::Node>::Cast(change.before);
  const auto after = kube::Lister<core::Node>::Cast(change.after);
  if (after == nullptr) backoff_.DropNode(before->metadata().name());
  const auto same = [](const core::Node& a, const core::Node& b) {
    return scheduler::SortedLabels(a.metadata().labels()) ==
               scheduler::SortedLabels(b.metadata().labels()) &&
           std::equal(a.spec().taints().begin(), a.spec().taints().end(), b.spec().taints().begin(),
                      b.spec().taints().end(), [](const auto& x, const auto& y) {
                        return MessageDifferencer::Equals(x, y);
                      });
  };
  if (before != nullptr && after != nullptr && same(*before, *after)) return;
  for (const SetPtr& set : sets_.List()) {
    const NodeRule rule(set->spec().template_());
    const NodeRule::Answer was = before == nullptr ? NodeRule::Answer() : rule.Ask(*before);
    const NodeRule::Answer is = after == nullptr ? NodeRule::Answer() : rule.Ask(*after);
    if (!(was == is)) queue_->Add(kube::NameOf(*set));
  }
}

kube::ReconcileResult DaemonSetController::Reconcile(const kube::NamespacedName& key) {
  const SetPtr set = sets_.Get(key);
  if (set == nullptr) {
    pod_writes_.Drop(key);
    history_.Drop(key);
    backoff_.Drop(key);
    return kube::Finished();
  }
  if (SelectsAll(*set)) {
    recorder_.Record(*set, kube::kWarning, "SelectingAll",
                     "This daemon set is selecting all pods. A non-empty selector is required.");
    return kube::Finished();
  }
  // Its pods and revisions are the garbage collector's now.
  if (set->metadata().has_deletion_timestamp()) return kube::Finished();
  const kube::LabelSelector selector = SelectorOf(&set->spec().selector());
  const kube::Outcome settled =
      SettleDoubt(context_.client, pod_writes_, key, *set, selector,
                  pods_.informer().IndexedMessages(kByController, set->metadata().uid()));
  if (!settled.ok()) return settled.status();
  if (!pod_writes_.Met(key, pods_.informer()) || !history_.Ready(key)) return Expectations::Wait();
  const kube::Result<std::vector<PodPtr>> pods = ClaimPods(*set, selector);
  if (!pods.ok()) return pods.status();
  return Sync(*set, selector, *pods);
}

kube::Result<std::vector<PodPtr>> DaemonSetController::ClaimPods(
    const apps::DaemonSet& set, const kube::LabelSelector& selector) {
  const kube::Result<std::vector<kube::MessagePtr>> claimed =
      Claim({context_.client, set, selector, {}, StillThere(context_.client, set)},
            pods_.informer().IndexedMessages(kByController, set.metadata().uid()),
            pods_.informer().IndexedMessages(kOrphans, set.metadata().namespace_()));
  if (!claimed.ok()) return claimed.status();
  std::vector<PodPtr> pods;
  for (const kube::MessagePtr& pod : *claimed) {
    pods.push_back(kube::Lister<core::Pod>::Cast(pod));
  }
  return pods;
}

kube::ReconcileResult DaemonSetController::Sync(const apps::DaemonSet& set,
                                                const kube::LabelSelector& selector,
                                                const std::vector<PodPtr>& pods) {
  const RevisionOwner owner{set,
                            set.spec().template_(),
                            selector,
                            StillThere(context_.client, set),
                            BeCurrent(context_.client, set),
                            daemonsets::kHashLabel};
  kube::Result<std::vector<RevisionPtr>> revisions = history_.List(owner);
  if (!revisions.ok()) return revisions.status();
  int collision_count = set.status().collision_count();
  const kube::Result<RevisionPtr> current = history_.Current(owner, *revisions, collision_count);
  if (!current.ok()) return current.status();
  const auto hash_of = [](const google::protobuf::Message& object) {
    const auto& labels = kube::MetaOf(object).labels();
    const auto label = labels.find(daemonsets::kHashLabel);
    return label == labels.end() ? "" : label->second;
  };
  const daemonsets::View view(set, nodes_.List(), pods, hash_of(**current), context_.WallNow());
  const daemonsets::Plan plan = PlanFor(view);
  const kube::Outcome done = Do(view, plan);
  const kube::Outcome written = WriteStatus(view, collision_count);
  if (!done.ok()) return done.status();
  if (!written.ok()) return written.status();

  std::set<std::string> hashes, live = {(*current)->metadata().name()};
  for (const PodPtr& pod : pods) hashes.insert(hash_of(*pod));
  for (const RevisionPtr& revision : *revisions) {
    if (hashes.count(hash_of(*revision)) > 0) live.insert(revision->metadata().name());
  }
  const kube::Outcome trimmed =
      history_.Trim(owner, *revisions, live, set.spec().revision_history_limit());
  if (!trimmed.ok()) return trimmed.status();
  std::optional<Duration> wait = plan.wait;
  if (view.next_available.has_value()) {
    wait = std::min(*view.next_available, wait.value_or(*view.next_available));
  }
  return kube::Requeue{wait};
}

daemonsets::Plan DaemonSetController::PlanFor(const daemonsets::View& view) {
  const kube::NamespacedName key = kube::NameOf(view.set);
  const MonotonicTime now = context_.executor.clock().Now();
  daemonsets::Plan plan = daemonsets::Manage(view, [&](const std::string& node) {
    return backoff_.Remaining(key, view.set.metadata().generation(), node, now);
  });
  if (!plan.empty()) return plan;
  daemonsets::Plan roll = daemonsets::Roll(view);
  roll.wait = plan.wait;
  return roll;
}

kube::Outcome DaemonSetController::Do(const daemonsets::View& view, const daemonsets::Plan& plan) {
  std::optional<kube::Status> failure;
  for (size_t i = 0; i < plan.create.size() && i < kBurst; ++i) {
    const kube::Result<bool> created = Create(view, plan.create[i]);
    if (!created.ok()) failure = created.status();
    // What one pod has met would meet the others too.
    if (!created.ok() || !*created) break;
  }
  if (!plan.remove.empty()) {
    kube::Outcome current = BeCurrent(context_.client, view.set)();
    if (!current.ok()) return current;
  }
  for (size_t i = 0; i < plan.remove.size() && i < kBurst; ++i) {
    const kube::Outcome removed = Remove(view.set, plan.remove[i]);
    if (!removed.ok()) failure = removed.status();
  }
  if (failure.has_value()) return *std::move(failure);
  return kube::Done{};
}

kube::Result<bool> DaemonSetController::Create(const daemonsets::View& view,
                                               const std::string& node) {
  const kube::NamespacedName key = kube::NameOf(view.set);
  const kube::Result<core::Pod> created = CreatePod(
      context_.client, recorder_, daemonsets::NewPod(view.set, view.hash, node), view.set);
  if (created.ok()) {
    pod_writes_.ExpectRevision(key, created->metadata().resource_version());
    return true;
  }
  if (kube::IsNamespaceTerminating(created.status())) return false;
  if (IsInDoubt(created.status())) pod_writes_.Doubt(key);
  return created.status();
}

kube::Outcome DaemonSetController::Remove(const apps::DaemonSet& set, const Removal& removal) {
  const kube::NamespacedName key = kube::NameOf(set);
  const std::string name =
      absl::StrCat(removal.pod->metadata().namespace_(), "/", removal.pod->metadata().name());
  if (removal.why == Removal::Why::kFailed) {
    backoff_.Failed(key, set.metadata().generation(), removal.node,
                    context_.executor.clock().Now());
    recorder_.Record(set, kube::kWarning, "FailedDaemonPod",
                     absl::StrCat("Found failed daemon pod ", name, " on node ", removal.node,
                                  ", will try to kill it"));
  } else if (removal.why == Removal::Why::kSucceeded) {
    recorder_.Record(set, kube::kNormal, "SucceededDaemonPod",
                     absl::StrCat("Found succeeded daemon pod ", name, " on node ", removal.node,
                                  ", will try to delete it"));
  }
  pod_writes_.ExpectGone(key, *removal.pod);
  kube::Outcome deleted = DeletePod(context_.client, recorder_, *removal.pod, set);
  if (deleted.ok()) return deleted;
  pod_writes_.Forget(key, *removal.pod);
  if (IsInDoubt(deleted.status())) pod_writes_.Doubt(key);
  return deleted;
}

kube::Outcome DaemonSetController::WriteStatus(const daemonsets::View& view, int collision_count) {
  apps::DaemonSet set = view.set;
  *set.mutable_status() = daemonsets::StatusOf(view);
  if (collision_count > 0) set.mutable_status()->set_collision_count(collision_count);
  if (MessageDifferencer::Equals(set.status(), view.set.status())) return kube::Done{};
  const kube::Result<apps::DaemonSet> written = kube::UpdateStatus(context_.client, set);
  if (!written.ok()) return written.status();
  return kube::Done{};
}

}  // namespace

std::unique_ptr<Running> NewDaemonSetController(Context& context) {
  return std::make_unique<DaemonSetController>(context);
}

}  // namespace meltemi::controllers
