// An API server in memory and pilot's Kubernetes source on it, in one thread under a simulated
// clock.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "base/loop/loop_fake.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/apiserver/memory/memory_api.h"
#include "pilot/ingest/kube/kube_source.h"

namespace meltemi::pilot {

class KubeMesh {
 public:
  KubeMesh();

  // Creates every document, or replaces what is there. A refusal fails the test; `Refusal` gives
  // its text instead ("" when it is taken).
  void Apply(absl::string_view yaml);
  std::string Refusal(const json::Value& document);
  void InstallDefinitions();
  void Delete(absl::string_view path);
  // Null value: there is none.
  json::Value Get(absl::string_view path);

  // Pilot's source; what it tells is in `told`, object by object.
  void Start();
  void Wait(Duration by);
  std::vector<std::string> Told() { return std::exchange(told_, {}); }
  // All that is wrong or noteworthy, a line each.
  std::string Problems() const;
  // The object in effect; null: there is none.
  ObjectPtr InEffect(Kind kind, absl::string_view ns, absl::string_view name) const;

  Loop& loop() { return loop_; }
  kube::ExecutorFake& executor() { return executor_; }
  kube::Client& client() { return process_->client(); }
  apiserver::MemoryApi& api() { return *api_; }
  KubeSource& source() { return *source_; }
  apiserver::MemoryApi::Process& process() { return *process_; }
  // Pilot's process is started anew, with a source that knows nothing.
  void Restart();

 private:
  kube::ExecutorFake executor_;
  FakeLoop loop_;
  FastRandom random_;
  std::unique_ptr<apiserver::MemoryApi> api_;
  std::unique_ptr<apiserver::MemoryApi::Process> user_, process_;
  std::vector<std::string> told_;
  std::unique_ptr<KubeSource> source_;
};

}  // namespace meltemi::pilot
