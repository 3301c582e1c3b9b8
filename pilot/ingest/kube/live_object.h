// What writers of status need to know of the objects in the API server: their newest version, also
// where it is not the one in effect. A seam: the Kubernetes source knows, status/conditions.h asks.
//
// Loop-owned.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "kube/client/resource.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// The newest version of an object of Istio's kinds.
struct LiveObject {
  kube::ApiResource resource;  // how it is served
  std::string uid;
  std::string resource_version;
  int64_t generation = 0;
  std::string status_json;  // of the whole status; empty: none
  // Why this version is not taken, in words; empty: it is valid.
  std::string rejected;
};
using LiveObjectPtr = std::shared_ptr<const LiveObject>;

class LiveObjects {
 public:
  // Objects that are new, have another version, or are gone.
  using OnChange = absl::AnyInvocable<void(const std::vector<ObjectKey>& keys)>;

  virtual ~LiveObjects() = default;
  // Null: there is none.
  virtual LiveObjectPtr Live(const ObjectKey& key) const = 0;
  virtual std::vector<ObjectKey> LiveKeys() const = 0;
  // One listener; called on the loop, after the source's own OnChange. An empty one ends it.
  virtual void SetOnLive(OnChange on_change) = 0;
};

}  // namespace meltemi::pilot
