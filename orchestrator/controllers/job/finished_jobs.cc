#include <algorithm>
#include <memory>
#include <optional>

#include "kube/batch/v1/batch.pb.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/job/facts.h"
#include "orchestrator/controllers/job/job.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

namespace batch = kube::batch::v1;

// When the Job may be deleted; nothing: never, or not yet known.
std::optional<WallTime> ExpiryOf(const batch::Job& job) {
  if (!job.spec().has_ttl_seconds_after_finished() || job.metadata().has_deletion_timestamp()) {
    return std::nullopt;
  }
  for (const char* type : {"Complete", "Failed"}) {
    const batch::JobCondition* end = jobs::FindTrue(job.status(), type);
    if (end != nullptr && end->has_last_transition_time()) {
      return ToWall(end->last_transition_time()) + seconds(job.spec().ttl_seconds_after_finished());
    }
  }
  return std::nullopt;
}

class FinishedJobsController final : public Running {
 public:
  explicit FinishedJobsController(Context& context)
      : context_(context), jobs_(context.informers.ListerOf<batch::Job>()) {
    kube::ControllerOptions options;
    options.name = "ttl_jobs_to_delete";
    queue_ = kube::NewController(options, context.executor, context.metrics,
                                 [this](const auto& key) { return Reconcile(key); });
    context.informers.Of<batch::Job>().AddHandler([this](const kube::Change& change) {
      if (change.after == nullptr) return;
      const auto job = kube::Lister<batch::Job>::Cast(change.after);
      if (ExpiryOf(*job).has_value()) queue_->Add(kube::NameOf(*job));
    });
  }
  void Start() override { queue_->Start(); }

 private:
  // How long until then; zero: now.
  std::optional<Duration> Left(const batch::Job& job) const {
    const std::optional<WallTime> expiry = ExpiryOf(job);
    if (!expiry.has_value()) return std::nullopt;
    return std::max(Duration::zero(), Duration(*expiry - context_.WallNow()));
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key) {
    const auto cached = jobs_.Get(key);
    const std::optional<Duration> left = cached == nullptr ? std::nullopt : Left(*cached);
    if (!left.has_value()) return kube::Finished();
    if (*left > Duration::zero()) return kube::Again(*left);
    // Its ttl may have been changed, or it may be another one by now.
    const kube::Result<batch::Job> job = kube::Get<batch::Job>(context_.client, key.ns, key.name);
    if (!job.ok()) {
      if (kube::IsNotFound(job.status())) return kube::Finished();
      return job.status();
    }
    const std::optional<Duration> really = Left(*job);
    if (!really.has_value()) return kube::Finished();
    if (*really > Duration::zero()) return kube::Again(*really);
    kube::DeleteOptions options;
    options.uid = job->metadata().uid();
    options.resource_version = job->metadata().resource_version();
    options.propagation = "Foreground";
    const kube::Outcome deleted =
        kube::Delete<batch::Job>(context_.client, key.ns, key.name, options);
    if (!deleted.ok() && !kube::IsNotFound(deleted.status())) return deleted.status();
    return kube::Finished();
  }

  Context& context_;
  const kube::Lister<batch::Job> jobs_;
  std::unique_ptr<kube::Controller> queue_;
};

}  // namespace

std::unique_ptr<Running> NewFinishedJobsController(Context& context) {
  return std::make_unique<FinishedJobsController>(context);
}

}  // namespace meltemi::controllers
