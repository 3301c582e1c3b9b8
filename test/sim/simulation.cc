#include "test/sim/simulation.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orchestrator/kubelet/hollow/hollow.h"
#include "test/sim/invariant.h"
#include "test/sim/process.h"
#include "test/sim/programs.h"
#include "test/sim/users.h"

namespace meltemi::sim {
namespace {

using apiserver::Fate;

constexpr int kNodes = 4;
constexpr Duration kDisturbedMin = seconds(40);
constexpr Duration kDisturbedMax = seconds(100);
// Longer than back-offs, tolerations, grace periods and the leases of nodes and leaders together.
constexpr Duration kCalm = seconds(270);
constexpr Duration kQuiet = seconds(60);
// Between a decision of the scheduler and the call that binds.
constexpr Duration kBindingDelay = seconds(15);
constexpr size_t kBindingSteps = 800;
constexpr size_t kQuietWritesMax = 4;
constexpr size_t kStepsMax = 3'000'000;

// A process that is begun again when it has died.
struct Slot {
  std::string name;
  MakeProgram make;
  bool crashes = true;
  std::unique_ptr<Process> process;
  std::unique_ptr<kube::Delayed> restart;
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        machine_(options.seed),
        random_(options.seed * 0x9e3779b97f4a7c15 + 1),
        invariants_(AllInvariants()) {}

  SimulationResult Run();

 private:
  // How the next step is chosen: weights.
  struct Pace {
    double run = 1, deliver = 1, time = 0.02;
    int favour = 0;  // watches: 0 none, 1 the older ones, 2 the newer ones
  };

  // Up to where somebody had seen something, and when.
  struct Seen {
    MonotonicTime at;
    size_t step = 0;
    int64_t revision = 0;
  };

  void Begin();
  void BeginProcess(Slot& slot);
  void RunUntil(MonotonicTime end);
  void Step(MonotonicTime end);
  void Deliver();
  void Bury();
  void Observe();
  void ObserveScheduler();
  void Hash(const apiserver::HistoryEntry& entry);
  Fate FateOf(Process& process, const kube::ApiCall& call);
  void PlanUsers();
  void PlanTrouble();
  void Trouble();
  void Freeze(bool frozen);
  void CheckQuiet();
  void Tell(const std::string& text);
  bool Chance(double of_one) { return random_.Unit() < of_one; }
  Duration Between(Duration low, Duration high) {
    return low + Duration(static_cast<int64_t>(random_.Unit() *
                                               static_cast<double>((high - low).count())));
  }

  const SimulationOptions options_;
  Machine machine_;
  FastRandom random_;
  Truth truth_;
  Circumstances circumstances_;
  Findings findings_;
  std::vector<std::unique_ptr<Invariant>> invariants_;
  size_t seen_ = 0;        // entries of the history
  std::set<size_t> lost_;  // entries whose writers do not know of them
  uint64_t hash_ = 0xcbf29ce484222325;
  size_t steps_ = 0;
  std::deque<Seen> nodes_revisions_;  // of the scheduler
  Pace pace_;
  bool disturbed_ = true;
  std::unique_ptr<Users> users_;
  std::unique_ptr<apiserver::MemoryApi::Process> user_, drainer_;
  std::unique_ptr<kube::Delayed> next_user_, next_trouble_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Slot* scheduler_ = nullptr;
  Slot* hollow_ = nullptr;
};

SimulationResult Simulation::Run() {
  Begin();
  const MonotonicTime calm =
      machine_.executor.clock().Now() + Between(kDisturbedMin, kDisturbedMax);
  RunUntil(calm);
  Tell("--- nothing disturbs any more");
  disturbed_ = false;
  pace_ = {.run = 1, .deliver = 1, .time = 0};
  next_user_.reset();
  next_trouble_.reset();
  Freeze(false);
  users_->Tidy();
  RunUntil(calm + kCalm);
  if (findings_.texts().empty()) {
    for (const auto& invariant : invariants_) invariant->AtEnd(truth_, findings_);
  }
  CheckQuiet();
  for (auto& slot : slots_) slot->process.reset();
  return {.seed = options_.seed,
          .history_hash = hash_,
          .writes = machine_.api->history().size(),
          .steps = steps_,
          .findings = findings_.texts()};
}

void Simulation::Begin() {
  const bool events = random_.Below(6) == 0;
  const auto add = [this](std::string name, MakeProgram make) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->name = std::move(name);
    slots_.back()->make = std::move(make);
    return slots_.back().get();
  };
  hollow_ = add("kubelets", [](Process& process) { return NewHollowProgram(process, kNodes); });
  scheduler_ = add("scheduler", &NewSchedulerProgram);
  add("manager-a", [events](Process& process) { return NewManager(process, events); });
  add("manager-b", [events](Process& process) { return NewManager(process, events); });
  user_ = machine_.api->NewProcess(kUser);
  drainer_ = machine_.api->NewProcess(kDrainer);
  users_ = std::make_unique<Users>(user_->client(), drainer_->client(), random_, AllAbilities(),
                                   [this](const std::string& text) { Tell(text); });
  for (auto& slot : slots_) BeginProcess(*slot);
  users_->CreateMuch();
  PlanUsers();
  PlanTrouble();
}

void Simulation::BeginProcess(Slot& slot) {
  Tell(absl::StrCat(slot.name, " begins"));
  slot.process = std::make_unique<Process>(
      machine_, slot.name,
      [this](Process& process, const kube::ApiCall& call) { return FateOf(process, call); });
  slot.process->Start(slot.make);
}

void Simulation::RunUntil(MonotonicTime end) {
  while (machine_.executor.clock().Now() < end && findings_.texts().empty()) {
    if (++steps_ > kStepsMax) {
      findings_.Add("something goes on and on: there were too many steps");
      return;
    }
    Step(end);
    Bury();
    Observe();
  }
}

void Simulation::Step(MonotonicTime end) {
  const double run = machine_.executor.ready() > 0 ? pace_.run : 0;
  const double deliver = machine_.api->undelivered() > 0 ? pace_.deliver : 0;
  double at = random_.Unit() * (run + deliver + pace_.time);
  if (at < run) {
    machine_.executor.RunOne();
  } else if (at < run + deliver) {
    Deliver();
  } else if (!machine_.executor.AdvanceToNext(end)) {
    const MonotonicTime now = machine_.executor.clock().Now();
    machine_.executor.fake_clock().Advance(end - now);
  }
}

// Between watches in any order; within one in theirs.
void Simulation::Deliver() {
  uint64_t pick = random_.Below(1000);
  if (pace_.favour == 1) pick = random_.Below(3);
  // Counted from the end, whatever their number is.
  if (pace_.favour == 2) pick = UINT64_MAX - random_.Below(3);
  machine_.api->DeliverOne(pick);
}

// Frames of what has died may have been on the stack when it did; not here.
void Simulation::Bury() {
  for (auto& slot : slots_) {
    if (slot->process == nullptr || slot->process->alive()) continue;
    slot->process.reset();
    slot->restart = machine_.executor.After(Between(milliseconds(100), seconds(5)),
                                            [this, one = slot.get()] { BeginProcess(*one); });
  }
}

void Simulation::ObserveScheduler() {
  const MonotonicTime now = machine_.executor.clock().Now();
  if (scheduler_->process != nullptr && scheduler_->process->program() != nullptr) {
    const int64_t revision = NodesRevisionOf(*scheduler_->process->program());
    if (nodes_revisions_.empty() || nodes_revisions_.back().revision != revision) {
      nodes_revisions_.push_back({now, steps_, revision});
    }
  }
  while (!nodes_revisions_.empty() && now - nodes_revisions_.front().at > kBindingDelay &&
         steps_ - nodes_revisions_.front().step > kBindingSteps) {
    circumstances_.scheduler_nodes_revision = nodes_revisions_.front().revision;
    nodes_revisions_.pop_front();
  }
}

void Simulation::Observe() {
  ObserveScheduler();
  circumstances_.now = machine_.executor.clock().Now();
  if (machine_.api->undelivered() == 0) circumstances_.told_revision = machine_.api->revision();
  const std::vector<apiserver::HistoryEntry>& history = machine_.api->history();
  for (; seen_ < history.size(); ++seen_) {
    const apiserver::HistoryEntry entry = history[seen_];
    Hash(entry);
    const Change change = truth_.Apply(entry);
    if (lost_.count(seen_) > 0 && change.after != nullptr) {
      circumstances_.unacknowledged.insert(kube::MetaOf(*change.after).uid());
    }
    if (options_.trace) {
      Tell(absl::StrCat("  r", entry.revision, " ", entry.type, " ", entry.resource, " ", entry.ns,
                        "/", entry.name, " by ", change.by(), " ", entry.json));
    }
    for (const auto& invariant : invariants_) {
      invariant->OnChange(truth_, change, circumstances_, findings_);
    }
  }
}

// FNV-1a.
void Simulation::Hash(const apiserver::HistoryEntry& entry) {
  for (const std::string* text :
       {&entry.type, &entry.resource, &entry.ns, &entry.name, &entry.user, &entry.json}) {
    for (const char c : *text) {
      hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    hash_ = (hash_ ^ 0xff) * 0x100000001b3;
  }
}

Fate Simulation::FateOf(Process& process, const kube::ApiCall& call) {
  if (!disturbed_) return Fate::kPass;
  const double dice = random_.Unit();
  if (dice < 0.002) {
    const Fate fate = Chance(0.5) ? Fate::kLoseCall : Fate::kLoseAnswer;
    Tell(absl::StrCat(process.name(), " dies at ", call.method, " ", call.path,
                      fate == Fate::kLoseCall ? "" : ", which takes place"));
    process.Kill();
    return fate;
  }
  if (dice < 0.015) return Fate::kRefuse;
  if (dice < 0.025) return Fate::kLoseCall;
  if (dice < 0.035) {
    Tell(absl::StrCat(process.name(), " never gets the answer to ", call.method, " ", call.path));
    if (call.method != "GET") lost_.insert(machine_.api->history().size());
    return Fate::kLoseAnswer;
  }
  return Fate::kPass;
}

void Simulation::PlanUsers() {
  next_user_ = machine_.executor.After(Between(milliseconds(50), seconds(3)), [this] {
    users_->ActOnce();
    users_->GoOnDraining();
    PlanUsers();
  });
}

void Simulation::PlanTrouble() {
  next_trouble_ = machine_.executor.After(Between(milliseconds(500), seconds(7)), [this] {
    Trouble();
    PlanTrouble();
  });
}

void Simulation::Trouble() {
  Slot& slot = *slots_[random_.Below(slots_.size())];
  switch (random_.Below(8)) {
    case 0:
      Tell("a watch ends");
      return machine_.api->EndWatch(random_.Below(1000), false);
    case 1:
      Tell("a watch ends, and history is forgotten");
      return machine_.api->EndWatch(random_.Below(1000), true);
    case 2:
      Tell(absl::StrCat(slot.name, " dies"));
      if (slot.process != nullptr) slot.process->Kill();
      return;
    case 3:
      if (slot.process == nullptr || !slot.process->alive()) return;
      Tell(absl::StrCat(slot.name, " is ended in order"));
      slot.process.reset();
      slot.restart = machine_.executor.After(Between(milliseconds(100), seconds(5)),
                                             [this, &slot] { BeginProcess(slot); });
      return;
    case 4:
      return Freeze(Chance(0.6));
    default:
      pace_.run = Chance(0.3) ? 0.2 : 1;
      pace_.deliver = Chance(0.4) ? 0.03 : 1;
      pace_.time = Chance(0.3) ? 0.1 : 0.01;
      pace_.favour = static_cast<int>(random_.Below(3));
  }
}

// One node stops, or all go on.
void Simulation::Freeze(bool frozen) {
  if (hollow_->process == nullptr || !hollow_->process->alive()) return;
  auto* const program = dynamic_cast<HollowProgram*>(hollow_->process->program());
  if (program == nullptr) return;
  const int node = static_cast<int>(random_.Below(kNodes));
  Tell(frozen ? absl::StrCat("node ", node, " freezes") : "all nodes go on");
  for (int i = 0; i < kNodes; ++i) {
    if (!frozen || i == node) program->nodes().SetFrozen(i, frozen);
  }
}

// What renews itself is no work: leases, and what nodes say of themselves.
void Simulation::CheckQuiet() {
  const size_t before = machine_.api->history().size();
  const std::vector<std::string> known = findings_.texts();
  if (!known.empty()) return;
  RunUntil(machine_.executor.clock().Now() + kQuiet);
  std::map<std::string, size_t> writes;
  size_t count = 0;
  for (size_t i = before; i < machine_.api->history().size(); ++i) {
    const apiserver::HistoryEntry& entry = machine_.api->history()[i];
    if (entry.resource == "leases.coordination.k8s.io" || entry.resource == "nodes") continue;
    ++writes[absl::StrCat(entry.resource, " by ", entry.user)];
    ++count;
  }
  if (count <= kQuietWritesMax) return;
  std::string text = "nothing happens, and still there are writes:";
  for (const auto& [what, times] : writes) absl::StrAppend(&text, " ", times, " of ", what);
  findings_.Add(text);
}

void Simulation::Tell(const std::string& text) {
  if (!options_.trace) return;
  const Duration since = machine_.executor.clock().Now().time_since_epoch() - seconds(1000);
  options_.trace(absl::StrFormat("%9.3f %s", static_cast<double>(ToMillis(since)) / 1000, text));
}

}  // namespace

SimulationResult Simulate(const SimulationOptions& options) { return Simulation(options).Run(); }

}  // namespace meltemi::sim
