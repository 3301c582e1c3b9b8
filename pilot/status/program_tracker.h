// Counts for each object the proxies that it concerns and those that have acknowledged it: from
// what each class of proxies sees and how far each proxy has come. Nothing is kept per proxy and
// object; objects that everybody has are not looked at again.
//
// Loop-owned. Comes from: push/ (progress), snapshot/ (notes). Goes to: conditions.h, debug pages.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/loop.h"
#include "pilot/ingest/object.h"
#include "pilot/push/push_server.h"
#include "pilot/snapshot/scope.h"
#include "pilot/snapshot/snapshot.h"
#include "pilot/status/programmed.h"

namespace meltemi::pilot {

class ProgramTracker final : public ProgrammedSource {
 public:
  // Proxies acknowledge in bursts: what they say together is one change.
  struct Options {
    Duration gather = milliseconds(10);  // longer, where counting takes its time
  };

  // Becomes the one who listens to the progress of `push`. Both must outlive it.
  ProgramTracker(Loop* loop, PushServer* push, Options options);
  ProgramTracker(Loop* loop, PushServer* push) : ProgramTracker(loop, push, Options()) {}
  ~ProgramTracker() override;

  // The snapshot that `push` has now holds these changes since the last call.
  void OnPublished(const std::vector<ObjectPtr>& updated, const std::vector<ObjectKey>& deleted);

  // --- ProgrammedSource
  std::optional<ProgramState> State(const ObjectKey& key) const override;
  void SetOnChange(OnChange on_change) override { on_change_ = std::move(on_change); }

  // All that are tracked, in the order of keys.
  std::vector<std::pair<ObjectKey, ProgramState>> All() const;
  // Objects that are not yet with everybody.
  size_t pending() const { return pending_.size(); }

 private:
  struct Tracked {
    ObjectPtr object;
    uint64_t since = 0;              // the version of the snapshot that first held it
    std::vector<std::string> hosts;  // full names
    Labels selector;                 // of workloads
    std::vector<std::string> gateways;
    std::optional<ProgramState> told;  // what listeners know
  };
  struct Proxy {
    uint64_t acked_version = 0;
    const ProxyView* view = nullptr;
    std::string rejection;
    uint64_t rejected_version = 0;
  };
  // Proxies of one class.
  struct Group {
    ScopePtr scope;
    std::vector<Proxy> proxies;  // by acked_version
    std::vector<size_t> rejecting;
  };

  void OnProgress();
  void TellSoon();
  void Tell();
  void TakeNotes();
  const std::vector<Group>& Groups() const;
  Tracked NewTracked(const ObjectPtr& object) const;
  bool ConcernsClass(const Tracked& tracked, const Scope& scope) const;
  bool ConcernsProxy(const Tracked& tracked, const Scope& scope, const ProxyNode& node) const;
  bool VirtualServiceConcerns(const Tracked& tracked, const Scope& scope,
                              const ProxyNode& node) const;
  bool RuleConcerns(const Tracked& tracked, const Scope& scope) const;
  void Count(const Tracked& tracked, const Group& group, ProgramState* state) const;
  ProgramState StateOf(const Tracked& tracked) const;

  PushServer* const push_;
  const Options options_;
  const std::unique_ptr<Timer> timer_;
  Duration tell_cost_ = Duration::zero();  // of the last time
  // Mutable: what listeners ask about and is not with everybody, they are told of again.
  mutable std::map<ObjectKey, Tracked> tracked_;
  mutable std::set<ObjectKey> pending_;
  std::map<std::string, RuleNote> notes_;  // by object id
  mutable std::vector<Group> groups_;
  mutable bool groups_current_ = false;
  OnChange on_change_;
};

}  // namespace meltemi::pilot
