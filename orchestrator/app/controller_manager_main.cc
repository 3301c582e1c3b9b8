#include "orchestrator/app/controller_manager_main.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "base/log/log.h"
#include "kube/client/token_client.h"
#include "orchestrator/app/controller_manager_options.h"
#include "orchestrator/app/controller_table.h"
#include "orchestrator/component/files.h"
#include "orchestrator/component/run.h"

namespace meltemi::orchestrator {
namespace {

// One controller with what it is given.
struct Controlled {
  std::unique_ptr<kube::TokenSource> tokens;
  std::unique_ptr<kube::Client> client;  // null: the component's own
  std::unique_ptr<controllers::Context> context;
  std::unique_ptr<controllers::Running> running;
};

class ControllerWork final : public Work {
 public:
  absl::Status Make(Parts& parts, const ControllerManagerOptions& options,
                    const std::vector<const ControllerEntry*>& entries,
                    const std::string& root_ca) {
    for (const ControllerEntry* entry : entries) {
      Controlled controlled;
      if (options.service_account_credentials) {
        controlled.tokens =
            kube::NewServiceAccountTokens(parts.client, parts.clock, "kube-system", entry->account);
        controlled.client = kube::NewTokenClient(parts.client, *controlled.tokens);
      }
      controlled.context.reset(new controllers::Context{
          .client = controlled.client == nullptr ? parts.client : *controlled.client,
          .informers = parts.informers,
          .executor = parts.executor,
          .recorder = [&parts](absl::string_view component) -> kube::EventRecorder& {
            return parts.RecorderOf(component);
          },
          .random = parts.random,
          .metrics = &parts.metrics});
      absl::StatusOr<std::unique_ptr<controllers::Running>> made =
          entry->make(*controlled.context, options, root_ca);
      if (!made.ok()) return made.status();
      if (*made == nullptr) continue;
      controlled.running = *std::move(made);
      controllers_.push_back(std::move(controlled));
    }
    return absl::OkStatus();
  }
  ~ControllerWork() override {
    // Those made later may use what earlier ones have asked of the informers.
    while (!controllers_.empty()) controllers_.pop_back();
  }

  void Start() override {
    for (Controlled& controlled : controllers_) controlled.running->Start();
  }

 private:
  std::vector<Controlled> controllers_;
};

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "meltemi-orchestrator controller-manager: %s\n",
               std::string(status.message()).c_str());
  return code;
}

}  // namespace

int ControllerManagerMain(const std::vector<std::string>& args,
                          const std::vector<std::string>& argv) {
  std::string print;
  const absl::StatusOr<ControllerManagerOptions> options =
      ParseControllerManagerOptions(args, &print);
  if (!options.ok()) return Fail(options.status(), 2);
  if (!print.empty()) {
    std::fputs(print.c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<std::vector<const ControllerEntry*>> entries =
      ChosenControllers(options->controllers);
  if (!entries.ok()) return Fail(entries.status(), 2);
  std::string root_ca;
  if (!options->root_ca_file.empty()) {
    absl::StatusOr<std::string> text = ReadWholeFile(options->root_ca_file);
    if (!text.ok()) return Fail(text.status(), 1);
    root_ca = *std::move(text);
  }
  ComponentSpec spec{
      .name = "controller-manager", .options = options->component, .threads_max = 64};
  spec.make_work = [&](Parts& parts) -> absl::StatusOr<std::unique_ptr<Work>> {
    auto work = std::make_unique<ControllerWork>();
    const absl::Status status =
        work->Make(parts, *options, *entries, root_ca.empty() ? parts.access.ca_pem : root_ca);
    if (!status.ok()) return status;
    return work;
  };
  return RunComponent(spec, argv);
}

}  // namespace meltemi::orchestrator
