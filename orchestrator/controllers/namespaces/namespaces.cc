#include "orchestrator/controllers/namespaces/namespaces.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/namespaces/content.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Namespace;
using kube::core::v1::Pod;

constexpr char kFinalizer[] = "kubernetes";
// For so long API servers may not have seen yet that the namespace is being deleted, and let in new
// objects: only a pass that begins later counts as the last.
constexpr Duration kSettle = seconds(2);
// What goes makes it look again, but not each time.
constexpr Duration kPodsGone = seconds(1);
constexpr Duration kChanged = seconds(5);
constexpr int kConflictsMax = 5;

bool IsTerminating(const kube::MessagePtr& ns) {
  return ns != nullptr && kube::MetaOf(*ns).has_deletion_timestamp();
}

class Namespaces final : public Running {
 public:
  explicit Namespaces(Context& context)
      : client_(context.client),
        clock_(context.executor.clock()),
        namespaces_(context.informers.ListerOf<Namespace>()),
        queue_(kube::NewController(
            {.name = "namespace", .workers = 10, .backoff_max = seconds(60)}, context.executor,
            context.metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })) {
    context.informers.Of<Namespace>().AddHandler([this](const kube::Change& change) {
      if (change.after == nullptr || !IsTerminating(change.after)) return;
      const kube::NamespacedName key = kube::NameOf(*change.after);
      // Later changes are mostly our own: what we tell of how it goes.
      queue_->AddAfter(key, IsTerminating(change.before) ? kChanged : Duration::zero());
    });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) {
      if (change.type != kube::Change::Type::kDeleted) return;
      const std::string ns = kube::NameOf(*change.before).ns;
      if (IsTerminating(namespaces_.Get("", ns))) queue_->AddAfter({"", ns}, kPodsGone);
    });
  }
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& name) {
    kube::Result<Namespace> current = kube::Get<Namespace>(client_, "", name);
    if (current.ok() && current->metadata().has_deletion_timestamp() &&
        current->status().phase() != "Terminating") {
      current = kube::Modify<Namespace>(
          client_, "", name,
          [uid = current->metadata().uid()](Namespace& ns) {
            if (ns.metadata().uid() != uid) return false;
            ns.mutable_status()->set_phase("Terminating");
            return true;
          },
          true);
    }
    if (!current.ok()) {
      if (!kube::IsNotFound(current.status())) return current.status();
      Forget(name);
      return kube::Finished();
    }
    if (!current->metadata().has_deletion_timestamp() || current->spec().finalizers_size() == 0) {
      Forget(name);
      return kube::Finished();
    }
    return Empty(*current);
  }

  kube::ReconcileResult Empty(const Namespace& ns) {
    const std::string& name = ns.metadata().name();
    const Duration terminating_for = TerminatingFor(ns);
    const ContentReport report = DeleteContent(client_, name, terminating_for);
    Tell(ns, report);
    if (report.failed()) {
      kube::Status failure;
      failure.message =
          report.failures.empty() ? report.discovery_failure : report.failures.front();
      return failure;
    }
    if (report.estimate_s > 0) return kube::Again(seconds(report.estimate_s / 2 + 1));
    if (terminating_for < kSettle) return kube::Again(kSettle - terminating_for);
    return Finalize(name, ns.metadata().uid());
  }

  // By the clock of the API server or by our own, whichever says more: they may differ.
  Duration TerminatingFor(const Namespace& ns) {
    const MonotonicTime now = clock_.Now();
    const Duration by_wall = clock_.WallNow() - ToWall(ns.metadata().deletion_timestamp());
    const std::lock_guard<std::mutex> lock(mutex_);
    Seen& seen = seen_[ns.metadata().name()];
    if (seen.uid != ns.metadata().uid()) seen = {ns.metadata().uid(), now};
    return std::max(by_wall, now - seen.since);
  }

  void Forget(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    seen_.erase(name);
  }

  // That it can't be written changes nothing in what is to be done.
  void Tell(const Namespace& before, const ContentReport& report) {
    Namespace ns = before;
    if (!UpdateConditions(report, FromWall(clock_.WallNow()), *ns.mutable_status())) return;
    const kube::Result<Namespace> written = kube::UpdateStatus(client_, ns);
    if (written.ok() || kube::IsNotFound(written.status())) return;
    LOG(kWarn, "controllers", "namespace ", ns.metadata().name(),
        ": the conditions could not be written: ", written.status().message);
  }

  kube::ReconcileResult Finalize(const std::string& name, const std::string& uid) {
    for (int attempt = 1;; ++attempt) {
      kube::Result<Namespace> ns = kube::Get<Namespace>(client_, "", name);
      if (ns.ok() && ns->metadata().uid() != uid) return kube::Finished();
      kube::Outcome done = kube::Done{};
      if (ns.ok()) {
        auto& finalizers = *ns->mutable_spec()->mutable_finalizers();
        finalizers.erase(std::remove(finalizers.begin(), finalizers.end(), kFinalizer),
                         finalizers.end());
        done = kube::internal::UpdateInto(client_, kube::ResourceOf<Namespace>(), "finalize", *ns,
                                          nullptr);
      } else {
        done = ns.status();
      }
      if (done.ok() || kube::IsNotFound(done.status())) {
        Forget(name);
        return kube::Finished();
      }
      if (!kube::IsConflict(done.status()) || attempt == kConflictsMax) return done.status();
    }
  }

  struct Seen {
    std::string uid;
    MonotonicTime since;
  };

  kube::Client& client_;
  const Clock& clock_;
  const kube::Lister<Namespace> namespaces_;

  std::mutex mutex_;
  std::map<std::string, Seen> seen_;  // guarded by mutex_; terminating ones

  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

std::unique_ptr<Running> NewNamespaceController(Context& context) {
  return std::make_unique<Namespaces>(context);
}

}  // namespace meltemi::controllers
