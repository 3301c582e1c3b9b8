#include "orchestrator/controllers/replicaset/kind.h"

#include <utility>

#include "kube/client/typed.h"
#include "kube/core/v1/replication.pb.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ReplicaSet;
using kube::apps::v1::ReplicaSetStatus;
using kube::core::v1::ReplicationController;

// `Set` puts the status into an object of the kind.
template <typename T, typename SetStatus>
kube::Result<std::string> WriteStatusOf(kube::Client& client, const T& object, SetStatus set) {
  T changed = object;
  set(changed);
  kube::Result<T> written = kube::UpdateStatus(client, changed);
  if (!written.ok() && kube::IsConflict(written.status())) {
    kube::Result<T> fresh =
        kube::Get<T>(client, object.metadata().namespace_(), object.metadata().name());
    if (fresh.ok()) {
      if (fresh->metadata().uid() != object.metadata().uid()) return std::string();
      set(*fresh);
      written = kube::UpdateStatus(client, *fresh);
    } else {
      written = std::move(fresh);
    }
  }
  if (written.ok()) return written->metadata().resource_version();
  if (kube::IsNotFound(written.status())) return std::string();
  return written.status();
}

class ReplicaSetKind final : public ReplicaKind {
 public:
  const google::protobuf::Message& prototype() const override {
    return ReplicaSet::default_instance();
  }
  std::string queue_name() const override { return "replicaset"; }
  std::string component() const override { return "replicaset-controller"; }
  ReplicaSetPtr View(const kube::MessagePtr& object) const override {
    return kube::Lister<ReplicaSet>::Cast(object);
  }
  std::function<kube::Result<bool>()> MayAdopt(
      kube::Client& client, const google::protobuf::Message& object) const override {
    return StillThere(client, static_cast<const ReplicaSet&>(object));
  }
  kube::Result<std::string> WriteStatus(kube::Client& client,
                                        const google::protobuf::Message& object,
                                        const ReplicaSetStatus& status) const override {
    return WriteStatusOf(client, static_cast<const ReplicaSet&>(object),
                         [&](ReplicaSet& set) { *set.mutable_status() = status; });
  }
};

template <typename To, typename From>
void CopyCondition(const From& from, To* to) {
  to->set_type(from.type());
  to->set_status(from.status());
  *to->mutable_last_transition_time() = from.last_transition_time();
  to->set_reason(from.reason());
  to->set_message(from.message());
}

template <typename To, typename From>
void CopyStatus(const From& from, To* to) {
  to->Clear();
  to->set_replicas(from.replicas());
  to->set_fully_labeled_replicas(from.fully_labeled_replicas());
  to->set_ready_replicas(from.ready_replicas());
  to->set_available_replicas(from.available_replicas());
  to->set_observed_generation(from.observed_generation());
  for (const auto& condition : from.conditions()) CopyCondition(condition, to->add_conditions());
}

class ReplicationControllerKind final : public ReplicaKind {
 public:
  const google::protobuf::Message& prototype() const override {
    return ReplicationController::default_instance();
  }
  std::string queue_name() const override { return "replicationmanager"; }
  std::string component() const override { return "replication-controller"; }
  ReplicaSetPtr View(const kube::MessagePtr& object) const override {
    const auto& from = static_cast<const ReplicationController&>(*object);
    auto set = std::make_shared<ReplicaSet>();
    *set->mutable_metadata() = from.metadata();
    if (from.spec().has_replicas()) set->mutable_spec()->set_replicas(from.spec().replicas());
    set->mutable_spec()->set_min_ready_seconds(from.spec().min_ready_seconds());
    *set->mutable_spec()->mutable_selector()->mutable_match_labels() = from.spec().selector();
    *set->mutable_spec()->mutable_template_() = from.spec().template_();
    CopyStatus(from.status(), set->mutable_status());
    return set;
  }
  std::function<kube::Result<bool>()> MayAdopt(
      kube::Client& client, const google::protobuf::Message& object) const override {
    return StillThere(client, static_cast<const ReplicationController&>(object));
  }
  kube::Result<std::string> WriteStatus(kube::Client& client,
                                        const google::protobuf::Message& object,
                                        const ReplicaSetStatus& status) const override {
    return WriteStatusOf(client, static_cast<const ReplicationController&>(object),
                         [&](ReplicationController& controller) {
                           CopyStatus(status, controller.mutable_status());
                         });
  }
};

}  // namespace

std::unique_ptr<ReplicaKind> ReplicaSets() { return std::make_unique<ReplicaSetKind>(); }
std::unique_ptr<ReplicaKind> ReplicationControllers() {
  return std::make_unique<ReplicationControllerKind>();
}

}  // namespace meltemi::controllers
