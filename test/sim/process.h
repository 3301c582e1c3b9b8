// A simulated process: what a program is to the API server and to its own threads. It can die at
// any call and at any moment; what it had under way is never finished.
//
// Threads: one, the simulation's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/apiserver/memory/memory_api.h"

namespace meltemi::sim {

// What all processes share: the machine and its network.
struct Machine {
  explicit Machine(uint64_t seed)
      : executor(seed ^ 0x5eed),
        random(seed),
        api(apiserver::NewMemoryApi(executor.clock(), random)) {}

  kube::ExecutorFake executor;
  FastRandom random;
  std::unique_ptr<apiserver::MemoryApi> api;
};

// The shared executor as one process sees it: nothing of a dead process runs.
class ProcessExecutor final : public kube::Executor {
 public:
  explicit ProcessExecutor(kube::ExecutorFake& machine) : machine_(machine) {}
  const Clock& clock() const override { return machine_.clock(); }
  void Run(Work work) override;
  std::unique_ptr<kube::Delayed> After(Duration delay, Work work) override;
  void Kill() { *alive_ = false; }

 private:
  kube::ExecutorFake& machine_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class Process;

// What runs in a process. Destroyed some time after the process has died, or to end it in order.
class Program {
 public:
  virtual ~Program() = default;
  // Whether it does its work (a replica that waits for its turn does not).
  virtual bool leading() const { return true; }
};
using MakeProgram = std::function<std::unique_ptr<Program>(Process&)>;

// One life of a process: made to run, killed once.
class Process {
 public:
  using FateOf = std::function<apiserver::Fate(Process&, const kube::ApiCall&)>;

  // `fate_of` is asked before each call; it may call Kill. References outlive the process.
  Process(Machine& machine, std::string name, FateOf fate_of);
  // Ends in order when it is still alive.
  ~Process();

  void Start(const MakeProgram& make) { program_ = make(*this); }

  const std::string& name() const { return name_; }
  kube::Executor& executor() { return executor_; }
  Random& random() { return random_; }
  // One per user, made when it is first asked for.
  kube::Client& ClientOf(absl::string_view user);

  // From now on nothing of it runs, is told or written. The caller's frames may be its own.
  void Kill();
  bool alive() const { return alive_; }
  Program* program() const { return program_.get(); }

 private:
  struct Connection {
    std::string user;
    std::unique_ptr<apiserver::MemoryApi::Process> process;
  };

  Machine& machine_;
  const std::string name_;
  const FateOf fate_of_;
  FastRandom random_;
  ProcessExecutor executor_;
  bool alive_ = true;
  std::vector<Connection> connections_;
  std::unique_ptr<Program> program_;  // last: it uses the rest
};

}  // namespace meltemi::sim
