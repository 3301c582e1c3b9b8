#include "pilot/snapshot/builder.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pilot/snapshot/acceptance.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

SnapshotBuilder::SnapshotBuilder(MeshSettings mesh)
    : mesh_(std::make_shared<const MeshSettings>(std::move(mesh))),
      acceptance_(mesh_->root_namespace) {}

SnapshotPtr SnapshotBuilder::Build(const ObjectSet& objects) {
  const bool first = last_ == nullptr;
  const bool services_same = !first && objects.services == last_objects_.services;
  const bool workloads_same = !first && objects.workloads == last_objects_.workloads;
  const bool lists_same = !first && objects.endpoint_lists == last_objects_.endpoint_lists;
  const bool rules_same =
      services_same && objects.virtual_services == last_objects_.virtual_services &&
      objects.destination_rules == last_objects_.destination_rules &&
      objects.gateways == last_objects_.gateways && objects.sidecars == last_objects_.sidecars;
  const bool peers_same =
      !first && objects.peer_authentications == last_objects_.peer_authentications;
  const bool authorization_same =
      !first && objects.authorization_policies == last_objects_.authorization_policies;
  const bool credentials_same = !first && objects.credentials == last_objects_.credentials;
  const bool config_same = rules_same && peers_same && authorization_same && credentials_same;
  if (config_same && workloads_same && lists_same) return last_;

  auto next = std::make_shared<Snapshot>();
  next->version = first ? 1 : last_->version + 1;
  next->config_version = first ? 1 : last_->config_version + (config_same ? 0 : 1);
  next->mesh = mesh_;
  next->services =
      services_same ? last_->services : std::make_shared<const ServiceTable>(objects.services);
  if (rules_same) {
    next->rules = last_->rules;
    next->notes = last_->notes;
  } else {
    RuleAcceptance::Result accepted = acceptance_.Apply(objects, *next->services);
    next->rules = std::make_shared<const RuleTable>(std::move(accepted.virtual_services),
                                                    std::move(accepted.destination_rules),
                                                    objects.gateways, objects.sidecars);
    next->notes = std::move(accepted.notes);
  }
  next->workloads = workloads_same
                        ? last_->workloads
                        : std::make_shared<const WorkloadIndex>(
                              objects.workloads, first ? nullptr : last_->workloads.get());
  if (services_same && workloads_same && lists_same) {
    next->endpoints = last_->endpoints;
  } else {
    next->endpoints = std::make_shared<const EndpointTable>(
        objects, *next->services, next->workloads, first ? nullptr : last_->endpoints.get());
    if (!first && next->endpoints->SameAs(*last_->endpoints)) next->endpoints = last_->endpoints;
  }
  next->peer_authentications =
      peers_same ? last_->peer_authentications
                 : std::make_shared<const PeerAuthenticationTable>(objects.peer_authentications);
  next->authorization =
      authorization_same
          ? last_->authorization
          : std::make_shared<const AuthorizationTable>(objects.authorization_policies);
  next->credentials = credentials_same
                          ? last_->credentials
                          : std::make_shared<const CredentialTable>(objects.credentials);
  last_objects_ = objects;
  last_ = std::move(next);
  return last_;
}

}  // namespace meltemi::pilot
