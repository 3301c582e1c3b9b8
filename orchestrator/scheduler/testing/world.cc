#include "orchestrator/scheduler/testing/world.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/node.pb.h"
#include "kube/scheduling/v1/scheduling.pb.h"

namespace meltemi::scheduler {

class SchedulerWorld::Runner final : public controllers::Running {
 public:
  explicit Runner(std::unique_ptr<Scheduler> scheduler) : scheduler_(std::move(scheduler)) {}
  void Start() override { scheduler_->Start(); }
  const Scheduler& scheduler() const { return *scheduler_; }

 private:
  const std::unique_ptr<Scheduler> scheduler_;
};

SchedulerWorld::SchedulerWorld(SchedulerOptions options, std::optional<uint64_t> executor_seed)
    : options_(std::move(options)), world_(executor_seed) {}

size_t SchedulerWorld::pending() const { return scheduler_->pending(); }

void SchedulerWorld::Run() {
  controllers::Context& context = world_.context();
  absl::StatusOr<std::unique_ptr<Scheduler>> scheduler =
      NewScheduler(options_, context.client, context.informers, context.executor,
                   context.recorder("default-scheduler"), context.random, &metrics_);
  ASSERT_TRUE(scheduler.ok()) << scheduler.status().message();
  scheduler_ = scheduler->get();
  world_.Run(std::make_unique<Runner>(*std::move(scheduler)));
}

void SchedulerWorld::Restart() {
  world_.Restart([this](controllers::Context& context) {
    absl::StatusOr<std::unique_ptr<Scheduler>> scheduler =
        NewScheduler(options_, context.client, context.informers, context.executor,
                     context.recorder("default-scheduler"), context.random, &metrics_);
    scheduler_ = scheduler->get();
    return std::make_unique<Runner>(*std::move(scheduler));
  });
}

void SchedulerWorld::Node(const std::string& name, const std::string& allocatable,
                          const std::string& labels, const std::string& spec) {
  const std::string amounts = absl::StrCat(
      "{", allocatable.empty() ? "cpu: '4', memory: 8Gi, pods: '110'" : allocatable, "}");
  world_.Create<kube::core::v1::Node>(
      absl::StrCat("{apiVersion: v1, kind: Node, metadata: {name: ", name,
                   ", labels: {kubernetes.io/hostname: ", name, labels.empty() ? "" : ", ", labels,
                   "}}, status: {capacity: ", amounts, ", allocatable: ", amounts, "}}"));
  // New nodes are tainted as not ready, which somebody else takes away.
  const bool has_taints = absl::StrContains(spec, "taints");
  world_.Patch<kube::core::v1::Node>(
      name, absl::StrCat("{spec: {", has_taints ? "" : "taints: null, ", spec, "}}"));
}

void SchedulerWorld::Pod(const std::string& name, const std::string& requests,
                         const std::string& spec, const std::string& labels, int host_port) {
  const std::string ports = host_port == 0 ? ""
                                           : absl::StrCat(", ports: [{containerPort: ", host_port,
                                                          ", hostPort: ", host_port, "}]");
  world_.Create<kube::core::v1::Pod>(absl::StrCat(
      "{apiVersion: v1, kind: Pod, metadata: {name: ", name, ", labels: {", labels,
      "}}, spec: {terminationGracePeriodSeconds: 0, ", spec, spec.empty() ? "" : ", ",
      "containers: [{name: c, image: app", ports, ", resources: {requests: {", requests, "}}}]}}"));
}

void SchedulerWorld::PriorityClass(const std::string& name, int value, bool never_preempts) {
  world_.Create<kube::scheduling::v1::PriorityClass>(absl::StrCat(
      "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: ", name,
      "}, value: ", value, never_preempts ? ", preemptionPolicy: Never" : "", "}"));
}

std::string SchedulerWorld::Where() {
  std::string out;
  for (const kube::core::v1::Pod& pod : world_.List<kube::core::v1::Pod>()) {
    absl::StrAppend(&out, out.empty() ? "" : " ", pod.metadata().name(), "=",
                    pod.spec().node_name());
  }
  return out;
}

std::string SchedulerWorld::Condition(const std::string& pod) {
  const kube::core::v1::Pod found = Get(pod);
  for (const kube::core::v1::PodCondition& condition : found.status().conditions()) {
    if (condition.type() != "PodScheduled") continue;
    return condition.status() == "True"
               ? "True"
               : absl::StrCat(condition.reason(), ": ", condition.message());
  }
  return "";
}

}  // namespace meltemi::scheduler
