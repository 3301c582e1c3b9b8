#include "test/sim/process.h"

#include <utility>

namespace meltemi::sim {

void ProcessExecutor::Run(Work work) {
  machine_.Run([alive = alive_, work = std::move(work)] {
    if (*alive) work();
  });
}

std::unique_ptr<kube::Delayed> ProcessExecutor::After(Duration delay, Work work) {
  return machine_.After(delay, [alive = alive_, work = std::move(work)] {
    if (*alive) work();
  });
}

Process::Process(Machine& machine, std::string name, FateOf fate_of)
    : machine_(machine),
      name_(std::move(name)),
      fate_of_(std::move(fate_of)),
      random_(machine.random.Next()),
      executor_(machine.executor) {}

Process::~Process() {
  program_.reset();
  Kill();
}

kube::Client& Process::ClientOf(absl::string_view user) {
  for (Connection& connection : connections_) {
    if (connection.user == user) return connection.process->client();
  }
  Connection connection{std::string(user), machine_.api->NewProcess(user)};
  connection.process->SetFate([this](const kube::ApiCall& call) { return fate_of_(*this, call); });
  if (!alive_) connection.process->Disconnect();
  connections_.push_back(std::move(connection));
  return connections_.back().process->client();
}

void Process::Kill() {
  if (!std::exchange(alive_, false)) return;
  executor_.Kill();
  for (Connection& connection : connections_) connection.process->Disconnect();
}

}  // namespace meltemi::sim
