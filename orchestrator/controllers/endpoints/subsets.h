// The subsets of an Endpoints object: pods at ports, packed so that addresses with the same ports
// stand together. Pure functions.
//
// Threads: functions without state. Source: the rules of Kubernetes' pkg/controller/endpoint and
// pkg/api/v1/endpoints (repacking).
#pragma once

#include <string>
#include <vector>

#include "kube/core/v1/service.pb.h"
#include "orchestrator/controllers/endpoints/backends.h"

namespace meltemi::controllers {

constexpr int kAddressesMax = 1000;

using Subsets = google::protobuf::RepeatedPtrField<kube::core::v1::EndpointSubset>;

// In canonical order: the same pods give the same subsets.
Subsets SubsetsOf(const kube::core::v1::Service& service, const std::vector<PodPtr>& pods);

// The same endpoints in canonical order, whoever wrote them. What is ready and unready at one port
// is unready.
Subsets Repack(const Subsets& subsets);

// Cuts down to `kAddressesMax` addresses, those that are ready first, each subset by its share.
// True: some were left out.
bool Truncate(Subsets* subsets);

bool SameSubsets(const Subsets& a, const Subsets& b);

}  // namespace meltemi::controllers
