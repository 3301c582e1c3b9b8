#include "orchestrator/app/scheduler_main.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/flags/flags.h"
#include "orchestrator/component/files.h"
#include "orchestrator/component/run.h"
#include "orchestrator/scheduler/config.h"
#include "orchestrator/scheduler/scheduler.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator scheduler [OPTIONS]\n\n"
    "Gives every pod without a node the best one.";

class SchedulerWork final : public Work {
 public:
  explicit SchedulerWork(std::unique_ptr<scheduler::Scheduler> scheduler)
      : scheduler_(std::move(scheduler)) {}
  void Start() override { scheduler_->Start(); }

 private:
  const std::unique_ptr<scheduler::Scheduler> scheduler_;
};

// `file` empty: the defaults.
absl::StatusOr<scheduler::SchedulerOptions> OptionsOf(const std::string& file) {
  if (file.empty()) return scheduler::SchedulerOptions();
  const absl::StatusOr<std::string> text = ReadWholeFile(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<scheduler::SchedulerOptions> options = scheduler::ParseConfig(*text);
  if (options.ok()) return options;
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", options.status().message()));
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "meltemi-orchestrator scheduler: %s\n",
               std::string(status.message()).c_str());
  return 2;
}

}  // namespace

int SchedulerMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  ComponentOptions component;
  component.kubeconfig = "/var/lib/meltemi/scheduler.kubeconfig";
  component.secure_port = 10259;
  component.lease_name = "kube-scheduler";
  Flags flags(kUsage);
  AddComponentFlags(&component, /*with_election=*/true, flags);
  std::string config;
  flags.Text("config", {}, &config, "FILE", "a KubeSchedulerConfiguration: profiles, weights");
  absl::Status status = flags.Parse(args);
  if (status.ok()) status = CheckComponentOptions(component);
  if (!status.ok()) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat(status.message(), "; see meltemi-orchestrator scheduler --help")));
  }
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<scheduler::SchedulerOptions> options = OptionsOf(config);
  if (!options.ok()) return Fail(options.status());
  ComponentSpec spec{.name = "scheduler", .options = component, .threads_max = 64};
  spec.make_work = [&options](Parts& parts) -> absl::StatusOr<std::unique_ptr<Work>> {
    absl::StatusOr<std::unique_ptr<scheduler::Scheduler>> scheduler = scheduler::NewScheduler(
        *options, parts.client, parts.informers, parts.executor,
        parts.RecorderOf("default-scheduler"), parts.random, &parts.metrics);
    if (!scheduler.ok()) return scheduler.status();
    return std::make_unique<SchedulerWork>(*std::move(scheduler));
  };
  return RunComponent(spec, argv);
}

}  // namespace meltemi::orchestrator
