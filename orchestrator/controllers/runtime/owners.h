// Who owns what: owner references, and how a controller adopts and releases objects by its
// selector.
//
// Threads: functions without state; those with a client block.
// Source: pkg/controller/controller_ref_manager.go's rules.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/client/client.h"
#include "kube/client/resource.h"
#include "kube/client/typed.h"
#include "kube/informer/informer.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

// The owner reference that has controller: true; null when there is none.
const kube::meta::v1::OwnerReference* ControllerOf(const google::protobuf::Message& object);
// controller: true, blockOwnerDeletion: true.
kube::meta::v1::OwnerReference ControllerReference(const google::protobuf::Message& owner);
bool IsControlledBy(const google::protobuf::Message& object,
                    const google::protobuf::Message& owner);

// The index of informers by the uid of the controlling owner; add it with AddIndex(kByController,
// …).
inline constexpr char kByController[] = "controller";
std::vector<std::string> ByController(const google::protobuf::Message& object);
// Objects without a controller by namespace: who looks for orphans to adopt.
inline constexpr char kOrphans[] = "orphans";
std::vector<std::string> OrphansByNamespace(const google::protobuf::Message& object);

// Null matches nothing, an empty one everything. One that is not valid matches nothing.
kube::LabelSelector SelectorOf(const kube::meta::v1::LabelSelector* selector);
// The labels alone: of ReplicationControllers and Services. Empty matches everything.
kube::LabelSelector SelectorOf(const google::protobuf::Map<std::string, std::string>& labels);
bool Matches(const kube::LabelSelector& selector, const google::protobuf::Message& object);

// For ClaimOptions::may_adopt.
template <typename T>
std::function<kube::Result<bool>()> StillThere(kube::Client& client, const T& owner) {
  return [&client, &owner]() -> kube::Result<bool> {
    const kube::Result<T> fresh =
        kube::Get<T>(client, owner.metadata().namespace_(), owner.metadata().name());
    if (!fresh.ok()) {
      if (kube::IsNotFound(fresh.status())) return false;
      return fresh.status();
    }
    return fresh->metadata().uid() == owner.metadata().uid() &&
           !fresh->metadata().has_deletion_timestamp();
  };
}

struct ClaimOptions {
  kube::Client& client;
  // The owner, its selector and its kind.
  const google::protobuf::Message& owner;
  const kube::LabelSelector& selector;
  // More that an object must fulfil to be adopted; empty: nothing.
  std::function<bool(const google::protobuf::Message&)> filter;
  // Reads the owner anew from the API server before the first adoption: gives false when it is
  // being deleted or is another one by now (other uid).
  std::function<kube::Result<bool>()> may_adopt;
};

// Of the objects that the owner controls and the orphans that match: keeps those that match,
// releases (removes the owner reference of) those that do not any more, adopts orphans. The result:
// the objects that belong to the owner now, as they were before. An owner that is being deleted
// only keeps. After an error the others are still worked on.
kube::Result<std::vector<kube::MessagePtr>> Claim(const ClaimOptions& options,
                                                  const std::vector<kube::MessagePtr>& controlled,
                                                  const std::vector<kube::MessagePtr>& orphans);

}  // namespace meltemi::controllers
