// Decides about one object at a time, by what the API server says now: the graph only tells where
// to look. Deletes what has lost all its owners, takes away references to owners that are gone,
// lets owners go whose dependents are gone, and sets dependents free.
//
// Threads: thread-safe; it blocks. Source: the rules of Kubernetes' garbage collector.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/garbage/graph.h"
#include "orchestrator/controllers/garbage/kind_map.h"

namespace meltemi::controllers {

class Collector final {
 public:
  // All of it outlives the collector.
  struct Deps {
    kube::Client& client;
    OwnerGraph& graph;
    const KindMap& kinds;
    // Puts what follows from a change of the graph into the queues.
    std::function<void(const GraphWork&)> apply;
    std::function<void(const std::string& uid)> check;
    // Resources of which the graph may not know all objects that were there at this revision.
    std::function<std::vector<kube::ApiResource>(int64_t revision)> behind;
  };
  explicit Collector(Deps deps) : deps_(std::move(deps)) {}

  // Whether the object has to go, or virtual ones exist.
  kube::ReconcileResult Check(const std::string& uid);
  // The object is deleted with the finalizer `orphan`: its dependents stay.
  kube::ReconcileResult Orphan(const std::string& uid);

 private:
  enum class OwnerState : uint8_t { kSolid, kAbsent, kWaitsForDependents, kUndecided, kImpossible };
  struct Owners {
    bool solid = false, waits = false, undecided = false, impossible = false;
    std::vector<std::string> to_drop;  // uids of those that are absent or wait
  };

  kube::ReconcileResult Look(const NodeView& node);
  kube::ReconcileResult Decide(const NodeView& node, const kube::ApiResource& resource,
                               const kube::meta::v1::ObjectMeta& latest);
  kube::ReconcileResult LetGo(const NodeView& node, const kube::ApiResource& resource);
  kube::Result<Owners> Classify(const Identity& dependent,
                                const kube::meta::v1::ObjectMeta& latest);
  kube::Result<OwnerState> StateOf(const kube::meta::v1::OwnerReference& owner,
                                   const Identity& dependent);
  kube::ReconcileResult PutOff(const std::string& uid);
  void ApplyAbsent(const Identity& identity) { deps_.apply(deps_.graph.Absent(identity)); }

  kube::Outcome Delete(const Identity& identity, const kube::ApiResource& resource,
                       const kube::meta::v1::ObjectMeta& latest, absl::string_view propagation);
  kube::Outcome RemoveFinalizer(const Identity& identity, const kube::ApiResource& resource,
                                absl::string_view finalizer);
  kube::Outcome DropOwners(const Identity& identity, const std::vector<std::string>& owner_uids);
  kube::Outcome Unblock(const Identity& identity, const kube::ApiResource& resource,
                        const kube::meta::v1::ObjectMeta& latest);
  kube::Outcome FreeUnseenDependents(const Identity& owner, bool cluster_scoped, int64_t revision);

  const Deps deps_;
};

}  // namespace meltemi::controllers
