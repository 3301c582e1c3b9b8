#include "test/scenarios/machine_world.h"

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::scenarios {
namespace {

using machine::Eventually;
using machine::Pod;
using std::chrono::seconds;

class PodLoad final : public World::Load {
 public:
  explicit PodLoad(machine::Load load) : load_(std::move(load)) {}
  machine::LoadResult Stop() override { return load_.Stop(); }

 private:
  machine::Load load_;
};

class MachineWorld final : public World {
 public:
  explicit MachineWorld(std::unique_ptr<machine::Mesh> mesh) : mesh_(std::move(mesh)) {}

  absl::Status AddWorkloads(machine::PodSpec::Sidecar sidecar) {
    mesh_->AddService("flaskapp", "10.96.0.10", "http", 80, 80);
    mesh_->AddService("httpbin", "10.96.0.11", "http", 8000, 80);
    mesh_->AddService("sleep", "10.96.0.12", "ssh", 80, 80);
    const std::vector<std::tuple<std::string, std::string, std::vector<std::string>>> pods = {
        {"flaskapp", "v1", {mesh_->programs().flaskapp, "80"}},
        {"flaskapp", "v2", {mesh_->programs().flaskapp, "80"}},
        {"httpbin",
         "v1",
         {"gunicorn", "--bind", "0.0.0.0:80", "--worker-class", "gthread", "--threads", "8",
          "--access-logfile", "-", "httpbin:app"}},
        // Questions are asked from here: its application does nothing.
        {"sleep", "", {"sleep", "infinity"}}};
    for (const auto& [app, version, command] : pods) {
      machine::PodSpec spec{.name = app == "flaskapp" ? absl::StrCat(app, "-", version) : app,
                            .labels = {{"app", app}},
                            .sidecar = sidecar};
      if (!version.empty()) spec.labels["version"] = version;
      absl::StatusOr<Pod*> pod = mesh_->AddPod(spec);
      if (!pod.ok()) return pod.status();
      pods_[spec.name] = *pod;
      const auto started = (*pod)->Start("app", command, {absl::StrCat("version=", version)});
      if (!started.ok()) return started.status();
    }
    for (const auto& [name, pod] : pods_) {
      if (name != "sleep" && !Eventually([p = pod] { return p->Listening(80); }, seconds(60))) {
        return absl::UnavailableError(
            absl::StrCat(name, " does not listen on port 80: ", pod->Log("app")));
      }
    }
    return mesh_->Settle();
  }

  machine::Finished Exec(std::vector<std::string> argv, std::chrono::seconds timeout) override {
    return Sleep().Exec(std::move(argv), timeout);
  }
  std::unique_ptr<Load> StartLoad(const std::string& url, int connections) override {
    return std::make_unique<PodLoad>(machine::Load::Start(Sleep(), url, connections));
  }
  std::string AppLog(const std::string& workload) override {
    return pods_.at(workload)->Log("app");
  }

  std::string Apply(const std::string& name, const std::string& yaml) override {
    mesh_->Apply(name, yaml);
    return std::string(mesh_->Settle().message());
  }
  std::string Delete(const std::string& name) override {
    mesh_->Delete(name);
    return std::string(mesh_->Settle().message());
  }

  int64_t Stat(const std::string& part) override { return mesh_->Stat(Sleep(), part); }
  std::string AccessLog() override { return mesh_->AccessLog(Sleep()); }

 private:
  Pod& Sleep() { return *pods_.at("sleep"); }

  const std::unique_ptr<machine::Mesh> mesh_;
  std::map<std::string, Pod*> pods_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<World>> StartMachineWorld(
    const machine::Programs& programs, const std::string& folder, machine::PodSpec::Sidecar sidecar,
    std::function<void(const std::string&)> say) {
  say("starting the control plane");
  auto mesh = machine::Mesh::Start(programs, folder);
  if (!mesh.ok()) return mesh.status();
  auto world = std::make_unique<MachineWorld>(std::move(*mesh));
  say("starting the pods flaskapp-v1, flaskapp-v2, httpbin and sleep with their sidecars");
  if (absl::Status status = world->AddWorkloads(sidecar); !status.ok()) return status;
  return world;
}

}  // namespace meltemi::scenarios
