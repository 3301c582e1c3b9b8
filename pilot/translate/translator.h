// What each proxy gets of each snapshot. Proxies of one class (kind, namespace, Sidecar, labels
// that rules ask for, access log) share one translation; what depends on the proxy alone (its own
// ports) is made per proxy. Everything is made when first asked for, and kept while what it was
// made from is the same.
//
// Loop-owned, views included.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/resource_source.h"

namespace meltemi::pilot {

class ScopeClass;
class Translator;

// One proxy's view. Must not outlive its Translator.
class ProxyView final : public ResourceSource {
 public:
  ProxyView(Translator* translator, ProxyNode node);
  ~ProxyView() override;

  // Points the view at a snapshot; cheap, translation happens on demand.
  void Use(const SnapshotPtr& snapshot);

  ResourceSetPtr All(XdsType type) override;
  ResourceSetPtr Shared(XdsType type) override;
  ResourceSetPtr Own(XdsType type) override;
  ResourcePtr Find(XdsType type, absl::string_view name) override;
  ResourceSetPtr Resolve(XdsType type, const NameSetPtr& names) override;
  // Everything that this proxy would get if it asked for all it needs: for config dumps.
  std::vector<ResourcePtr> Everything(XdsType type);

  const ProxyNode& node() const { return node_; }
  // What it shares with others of its class; null before the first snapshot.
  const std::shared_ptr<ScopeClass>& scope_class() const { return class_; }

 private:
  // True if what is the proxy's own, and its class, follow from `next` as from the snapshot in use.
  bool OwnStays(const Snapshot& next) const;
  void BuildOwn();
  void BuildOwnOfGateway();
  ResourceSetPtr Clusters();
  ResourceSetPtr Listeners();

  Translator* const translator_;
  const ProxyNode node_;
  SnapshotPtr snapshot_;
  std::shared_ptr<ScopeClass> class_;
  // What the proxy's own part is made of, and the sets that hold both parts; kept from snapshot to
  // snapshot while what they were made from is the same.
  std::vector<InboundPort> ports_;
  InboundSettings inbound_;
  std::vector<ResourcePtr> own_clusters_;
  std::vector<ResourcePtr> own_listeners_;
  ResourceSetPtr own_cluster_set_, own_listener_set_;  // null: to be made anew
  bool own_current_ = false;
  std::shared_ptr<const std::vector<ResourcePtr>> shared_clusters_;
  ResourceSetPtr clusters_;
  std::shared_ptr<const std::vector<ResourcePtr>> shared_listeners_;
  ResourceSetPtr listeners_;
};

class Translator {
 public:
  Translator();
  ~Translator();

  std::unique_ptr<ProxyView> NewView(ProxyNode node);
  // Number of classes in use, for debugging.
  size_t classes() const { return classes_.size(); }

 private:
  friend class ProxyView;
  std::shared_ptr<ScopeClass> ClassFor(const ProxyNode& node, const SnapshotPtr& snapshot);
  void DropUnused();

  absl::flat_hash_map<std::string, std::shared_ptr<ScopeClass>> classes_;
  uint64_t dropped_at_version_ = 0;
};

}  // namespace meltemi::pilot
