#include "test/sim/programs.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/core/v1/node.pb.h"
#include "kube/events/recorder.h"
#include "kube/leader/leader.h"
#include "orchestrator/kubelet/hollow/hollow.h"
#include "orchestrator/scheduler/scheduler.h"

namespace meltemi::sim {
namespace {

// For when events are of no interest.
class NoEvents final : public kube::EventRecorder {
 public:
  void RecordFor(const kube::core::v1::ObjectReference&, absl::string_view, absl::string_view,
                 absl::string_view) override {}
};

class Manager final : public Program {
 public:
  Manager(Process& process, bool record_events)
      : process_(process), record_events_(record_events), client_(process.ClientOf(kName)) {
    election_ = kube::StartLeaderElection(
        client_, process.executor(),
        {.lease = "kube-controller-manager", .identity = process.name()}, [this] { Lead(); },
        [this] { process_.Kill(); });
  }
  ~Manager() override {
    if (informers_ != nullptr) informers_->Stop();
    while (!controllers_.empty()) controllers_.pop_back();
  }
  bool leading() const override { return informers_ != nullptr; }

 private:
  static constexpr char kName[] = "system:kube-controller-manager";
  struct Controlled {
    std::unique_ptr<controllers::Context> context;
    std::unique_ptr<controllers::Running> running;
  };

  void Lead() {
    informers_ = kube::NewInformers(client_, process_.executor());
    for (const ControllerEntry& entry : Controllers()) {
      const std::string user = absl::StrCat("system:serviceaccount:kube-system:", entry.account);
      Controlled one;
      one.context.reset(new controllers::Context{
          .client = process_.ClientOf(user),
          .informers = *informers_,
          .executor = process_.executor(),
          .recorder = [this](absl::string_view component) -> kube::EventRecorder& {
            return RecorderOf(component);
          },
          .random = process_.random()});
      one.running = entry.make(*one.context);
      controllers_.push_back(std::move(one));
    }
    informers_->Start([this] {
      for (Controlled& one : controllers_) one.running->Start();
    });
  }

  kube::EventRecorder& RecorderOf(absl::string_view component) {
    if (!record_events_) return no_events_;
    recorders_.push_back(kube::NewEventRecorder(client_, process_.executor(),
                                                {.component = std::string(component)}));
    return *recorders_.back();
  }

  Process& process_;
  const bool record_events_;
  kube::Client& client_;
  NoEvents no_events_;
  std::vector<std::unique_ptr<kube::EventRecorder>> recorders_;
  std::unique_ptr<kube::Informers> informers_;
  std::vector<Controlled> controllers_;
  std::unique_ptr<kube::LeaderElection> election_;  // last: no callback comes while the rest goes
};

class SchedulerProgram final : public Program {
 public:
  explicit SchedulerProgram(Process& process)
      : informers_(kube::NewInformers(process.ClientOf(kName), process.executor())),
        nodes_(&informers_->Of<kube::core::v1::Node>()) {
    absl::StatusOr<std::unique_ptr<scheduler::Scheduler>> made =
        scheduler::NewScheduler({}, process.ClientOf(kName), *informers_, process.executor(),
                                no_events_, process.random(), nullptr);
    CHECK(made.ok());
    scheduler_ = *std::move(made);
    informers_->Start([this] { scheduler_->Start(); });
  }
  ~SchedulerProgram() override {
    informers_->Stop();
    scheduler_.reset();
  }
  int64_t nodes_revision() const { return nodes_->revision(); }

 private:
  static constexpr char kName[] = "system:kube-scheduler";

  NoEvents no_events_;
  std::unique_ptr<kube::Informers> informers_;
  const kube::Informer* nodes_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
};

class Hollow final : public HollowProgram {
 public:
  Hollow(Process& process, int nodes)
      : nodes_(kubelet::StartHollowNodes(
            {.nodes = nodes, .cpu = "16", .memory = "64Gi", .lease_renew_interval = seconds(15)},
            process.ClientOf("system:nodes"), process.executor(), process.random(), nullptr)) {}
  kubelet::HollowNodes& nodes() override { return *nodes_; }

 private:
  const std::unique_ptr<kubelet::HollowNodes> nodes_;
};

}  // namespace

std::unique_ptr<Program> NewManager(Process& process, bool record_events) {
  return std::make_unique<Manager>(process, record_events);
}

std::unique_ptr<Program> NewSchedulerProgram(Process& process) {
  return std::make_unique<SchedulerProgram>(process);
}

std::unique_ptr<Program> NewHollowProgram(Process& process, int nodes) {
  return std::make_unique<Hollow>(process, nodes);
}

int64_t NodesRevisionOf(const Program& scheduler) {
  return static_cast<const SchedulerProgram&>(scheduler).nodes_revision();
}

}  // namespace meltemi::sim
