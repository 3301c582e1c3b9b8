// The two kinds that the engine serves, both shown as ReplicaSets.
//
// Threads: stateless but for what they are made with; calls with a client block.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kube/apps/v1/apps.pb.h"
#include "kube/client/client.h"
#include "kube/informer/informer.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

using ReplicaSetPtr = std::shared_ptr<const kube::apps::v1::ReplicaSet>;

class ReplicaKind {
 public:
  virtual ~ReplicaKind() = default;

  virtual const google::protobuf::Message& prototype() const = 0;
  // "replicaset": of the queue; "replicaset-controller": the source of events.
  virtual std::string queue_name() const = 0;
  virtual std::string component() const = 0;

  // `object` is one of the kind.
  virtual ReplicaSetPtr View(const kube::MessagePtr& object) const = 0;
  // owners.h's StillThere for it.
  virtual std::function<kube::Result<bool>()> MayAdopt(
      kube::Client& client, const google::protobuf::Message& object) const = 0;
  // Writes the status with the object's resourceVersion; when somebody was faster, once more on
  // what is there by then. Its resourceVersion afterwards; empty when it is gone.
  virtual kube::Result<std::string> WriteStatus(
      kube::Client& client, const google::protobuf::Message& object,
      const kube::apps::v1::ReplicaSetStatus& status) const = 0;
};

std::unique_ptr<ReplicaKind> ReplicaSets();
std::unique_ptr<ReplicaKind> ReplicationControllers();

}  // namespace meltemi::controllers
