// Shows the graph all objects of all kinds: typed informers where other controllers have them
// anyway, informers of the metadata alone for all other kinds, custom ones too, as they come and
// go.
//
// Threads: thread-safe; made and destroyed on one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/client/resource.h"
#include "kube/discovery/discovery.h"
#include "kube/informer/informer.h"
#include "kube/names/names.h"
#include "orchestrator/controllers/garbage/graph.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {

class Monitors final {
 public:
  // `apply` is called with what follows from each change; `on_kinds` when custom kinds may have
  // come or gone. All of it outlives the monitors.
  Monitors(Context& context, OwnerGraph& graph, std::function<void(const GraphWork&)> apply,
           std::function<void()> on_kinds);
  ~Monitors();
  // No custom informer calls afterwards, or is begun. (Those of the context are its owner's
  // matter.)
  void Stop();

  // Begins to watch what is new, and gives up what is not served any more. Groups that could not be
  // asked about stay as they are.
  void Sync(const kube::ServedResources& served);
  // All kinds have been listed.
  bool synced() const;
  // The resources of which not everything up to the revision has been seen.
  std::vector<kube::ApiResource> Behind(int64_t revision) const;

 private:
  struct Custom {
    kube::ApiResource resource;
    std::unique_ptr<kube::Informers> informers;
    kube::Informer* informer = nullptr;
  };
  using Key = std::pair<kube::GroupResource, std::string>;  // with the version

  void WatchTyped(kube::Informer& informer);
  std::shared_ptr<Custom> Begin(const kube::ApiResource& resource);
  // Out of custom_: those that are not wanted any more.
  std::vector<std::shared_ptr<Custom>> TakeUnserved(
      const kube::ServedResources& served, const std::map<Key, const kube::ApiResource*>& wanted);
  bool Wanted(const kube::ServedResource& served) const;
  void OnChange(const KindName& kind, const kube::Change& change);

  Context& context_;
  OwnerGraph& graph_;
  const std::function<void(const GraphWork&)> apply_;
  const std::function<void()> on_kinds_;
  std::map<kube::GroupResource, kube::Informer*> typed_;  // constant after construction

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<Key, std::shared_ptr<Custom>> custom_;
  bool stopped_ = false;
};

}  // namespace meltemi::controllers
