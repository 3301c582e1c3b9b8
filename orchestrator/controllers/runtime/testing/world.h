// A world for unit tests of controllers: an API server in memory, one process with informers, an
// executor and a clock that the test moves; and a second client for what users, kubelets and
// schedulers do.
//
//   World world;
//   world.Run(NewReplicaSetController(world.context()));
//   world.Create<ReplicaSet>("{metadata: {name: web}, spec: {replicas: 2, …}}");
//   world.Settle();
//   EXPECT_EQ(world.List<Pod>().size(), 2u);
//   world.RunPods();
//   world.Advance(seconds(10));
//
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "kube/client/typed.h"
#include "kube/events/recorder_fake.h"
#include "kube/executor/executor_fake.h"
#include "kube/informer/informer.h"
#include "orchestrator/apiserver/memory/memory_api.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {

class World {
 public:
  // `executor_seed`: work runs in an order of its own; without, as it was given.
  explicit World(std::optional<uint64_t> executor_seed = std::nullopt);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Context& context() { return *context_; }
  kube::ExecutorFake& executor() { return *executor_; }
  apiserver::MemoryApi& api() { return *api_; }
  // The controllers'; SetFate makes its calls fail.
  apiserver::MemoryApi::Process& process() { return *process_; }
  // Everybody else's.
  kube::Client& user() { return user_process_->client(); }
  kube::Informers& informers() { return *informers_; }
  Random& random() { return random_; }

  // Keeps the controller, begins its informers, waits for them and starts it.
  Running& Run(std::unique_ptr<Running> controller);
  // Destroys the controllers and their process and begins with new ones: `make` is called after.
  void Restart(const std::function<std::unique_ptr<Running>(Context&)>& make);

  // Delivers watches and runs what is ready until there is nothing left of either. What is put off
  // (retries after failures too) waits for Advance.
  void Settle();
  // Settles at every moment at which something is due.
  void Advance(Duration by);
  // What was recorded since the last call: "Normal Killing …".
  std::vector<std::string> Events() { return recorder_.Take(); }
  // How many writes there have been: that nothing spins.
  size_t Writes() const { return api_->history().size(); }

  // `text` is YAML or JSON, checked as strictly as users' `kubectl create --validate=strict`.
  // Without a namespace: "default". Failures fail the test.
  template <typename T>
  T Create(absl::string_view text) {
    T out;
    CreateInto(kube::ResourceOf<T>(), text, &out);
    return out;
  }
  // The refusal of a creation.
  template <typename T>
  kube::Status CreateFails(absl::string_view text) {
    return CreateStatus(kube::ResourceOf<T>(), text);
  }
  template <typename T>
  std::optional<T> Find(absl::string_view name, absl::string_view ns = "default") {
    kube::Result<T> found = kube::Get<T>(user(), ns, name);
    if (!found.ok()) return std::nullopt;
    return *std::move(found);
  }
  template <typename T>
  T Get(absl::string_view name, absl::string_view ns = "default") {
    std::optional<T> found = Find<T>(name, ns);
    EXPECT_TRUE(found.has_value()) << kube::ResourceOf<T>().resource << " " << ns << "/" << name;
    return found.value_or(T());
  }
  // Sorted by name.
  template <typename T>
  std::vector<T> List(absl::string_view ns = "", absl::string_view label_selector = "") {
    kube::Result<std::vector<T>> list = kube::List<T>(
        user(), {.ns = std::string(ns), .label_selector = std::string(label_selector)});
    EXPECT_TRUE(list.ok());
    return list.ok() ? *std::move(list) : std::vector<T>();
  }
  // A merge patch in YAML or JSON: "{spec: {replicas: 3}}".
  template <typename T>
  T Patch(absl::string_view name, absl::string_view text, absl::string_view subresource = "",
          absl::string_view ns = "default") {
    T out;
    PatchInto(kube::ResourceOf<T>(), ns, name, subresource, text, &out);
    return out;
  }
  template <typename T>
  void Delete(absl::string_view name, const kube::DeleteOptions& options = {},
              absl::string_view ns = "default") {
    const kube::Outcome outcome = kube::Delete<T>(user(), ns, name, options);
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.status().message);
  }

  // --- What schedulers and kubelets do, without them.
  // A node that is ready, without taints.
  void AddNode(absl::string_view name, absl::string_view labels_yaml = "{}");
  // Binds pods without a node to `node`, and says of all that are neither finished nor terminating
  // that they run and are ready. Then settles.
  void RunPods(absl::string_view node = "node-1");
  void SetPodReady(absl::string_view name, bool ready, absl::string_view ns = "default");
  // "Succeeded" or "Failed", with the containers terminated (exit code 0 or 1).
  void FinishPod(absl::string_view name, absl::string_view phase, absl::string_view ns = "default");
  // Terminating pods are gone: their kubelets have stopped them. Then settles.
  void ReapPods();

 private:
  void Begin();
  void End();
  void CreateInto(const kube::ApiResource& resource, absl::string_view text,
                  google::protobuf::Message* out);
  kube::Status CreateStatus(const kube::ApiResource& resource, absl::string_view text);
  kube::Result<kube::ApiAnswer> Post(const kube::ApiResource& resource, absl::string_view text);
  void PatchInto(const kube::ApiResource& resource, absl::string_view ns, absl::string_view name,
                 absl::string_view subresource, absl::string_view text,
                 google::protobuf::Message* out);

  std::unique_ptr<kube::ExecutorFake> executor_;
  FastRandom random_{1};
  kube::EventRecorderFake recorder_;
  std::unique_ptr<apiserver::MemoryApi> api_;
  std::unique_ptr<apiserver::MemoryApi::Process> user_process_, process_;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<Context> context_;
  std::vector<std::unique_ptr<Running>> controllers_;
};

}  // namespace meltemi::controllers
