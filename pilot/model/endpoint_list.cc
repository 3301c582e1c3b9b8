#include "pilot/model/endpoint_list.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::pilot {
namespace {

std::string LabelKey(const std::string& key, const std::string& value) {
  return absl::StrCat(key, "=", value);
}

Endpoint OnWorkload(const Workload& workload, uint32_t target, uint32_t service_port) {
  return Endpoint{.address = workload.address,
                  .port = target,
                  .service_port = service_port,
                  .weight = workload.weight,
                  .healthy = workload.ready,
                  .labels = workload.meta.labels,
                  .ns = workload.meta.ns,
                  .workload = workload.workload_name,
                  .service_account = workload.service_account,
                  .takes_mtls = workload.takes_mtls};
}

void AppendSelected(const Service& service, bool with_pods,
                    const std::vector<WorkloadPtr>& selected, std::vector<Endpoint>* out) {
  for (const WorkloadPtr& workload : selected) {
    if (workload->meta.kind == "Pod" && (!with_pods || !workload->ready)) continue;
    for (const ServicePort& port : service.ports) {
      const uint32_t target = TargetOnWorkload(port, *workload);
      if (target != 0) out->push_back(OnWorkload(*workload, target, port.number));
    }
  }
}

void AppendListed(const Service& service, const EndpointList& list, const WorkloadIndex& workloads,
                  bool* elsewhere, std::vector<Endpoint>* out) {
  for (const EndpointList::Group& group : list.groups) {
    for (const EndpointList::Port& listed : group.ports) {
      // Lists name the service's port; a service with one port may leave the name out.
      const auto port =
          std::find_if(service.ports.begin(), service.ports.end(),
                       [&](const ServicePort& candidate) { return candidate.name == listed.name; });
      if (port == service.ports.end()) continue;
      for (const EndpointList::Address& address : group.addresses) {
        if (!address.ready) continue;
        WorkloadPtr workload = workloads.FindByAddressIn(service.meta.ns, address.ip);
        if (workload == nullptr) {
          workload = workloads.FindByAddress(address.ip);
          if (elsewhere != nullptr) *elsewhere = true;
        }
        Endpoint endpoint = workload ? OnWorkload(*workload, listed.number, port->number)
                                     : Endpoint{.address = address.ip,
                                                .port = listed.number,
                                                .service_port = port->number,
                                                .ns = service.meta.ns};
        endpoint.healthy = true;
        out->push_back(std::move(endpoint));
      }
    }
  }
}

}  // namespace

uint32_t TargetOnWorkload(const ServicePort& port, const Workload& workload) {
  const auto find = [&](const std::string& name) -> uint32_t {
    const auto it = workload.ports.find(name);
    return it == workload.ports.end() ? 0 : it->second;
  };
  if (workload.meta.kind == "WorkloadEntry") {
    // Istio: the entry's port named like the service's port goes first.
    if (const uint32_t number = find(port.name); number != 0) return number;
  }
  if (!port.target_name.empty()) return find(port.target_name);
  return port.target_number != 0 ? port.target_number : port.number;
}

WorkloadIndex::WorkloadIndex(const std::vector<WorkloadPtr>& workloads,
                             const WorkloadIndex* previous) {
  absl::flat_hash_map<std::string, std::vector<WorkloadPtr>> by_namespace;
  by_address_.reserve(workloads.size());
  for (const WorkloadPtr& workload : workloads) {
    by_address_.emplace(workload->address, workload);
    by_namespace[workload->meta.ns].push_back(workload);
  }
  for (auto& [ns, all] : by_namespace) {
    if (previous != nullptr) {
      const auto before = previous->namespaces_.find(ns);
      if (before != previous->namespaces_.end() && before->second->all == all) {
        namespaces_.emplace(ns, before->second);
        continue;
      }
    }
    auto index = std::make_shared<OfNamespace>();
    index->all = std::move(all);
    for (const WorkloadPtr& workload : index->all) {
      index->by_address.emplace(workload->address, workload);
      for (const auto& [key, value] : workload->meta.labels) {
        index->by_label[LabelKey(key, value)].push_back(workload);
      }
    }
    namespaces_.emplace(ns, std::move(index));
  }
}

const WorkloadIndex::OfNamespace* WorkloadIndex::Find(const std::string& ns) const {
  const auto it = namespaces_.find(ns);
  return it == namespaces_.end() ? nullptr : it->second.get();
}

bool WorkloadIndex::SameIn(const std::string& ns, const WorkloadIndex& other) const {
  return Find(ns) == other.Find(ns);
}

std::vector<WorkloadPtr> WorkloadIndex::Select(const std::string& ns,
                                               const Labels& selector) const {
  const OfNamespace* const index = Find(ns);
  if (index == nullptr) return {};
  // The rarest label's workloads are the candidates.
  const std::vector<WorkloadPtr>* candidates = nullptr;
  for (const auto& [key, value] : selector) {
    const auto it = index->by_label.find(LabelKey(key, value));
    if (it == index->by_label.end()) return {};
    if (candidates == nullptr || it->second.size() < candidates->size()) candidates = &it->second;
  }
  std::vector<WorkloadPtr> result;
  if (candidates == nullptr) return result;
  for (const WorkloadPtr& workload : *candidates) {
    if (LabelsMatch(selector, workload->meta.labels)) result.push_back(workload);
  }
  return result;
}

WorkloadPtr WorkloadIndex::FindByAddress(const std::string& address) const {
  const auto it = by_address_.find(address);
  return it == by_address_.end() ? nullptr : it->second;
}

WorkloadPtr WorkloadIndex::FindByAddressIn(const std::string& ns,
                                           const std::string& address) const {
  const OfNamespace* const index = Find(ns);
  if (index == nullptr) return nullptr;
  const auto it = index->by_address.find(address);
  return it == index->by_address.end() ? nullptr : it->second;
}

std::vector<std::string> AccountsOf(const std::vector<Endpoint>& endpoints) {
  std::set<std::string> accounts;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.service_account.empty()) continue;
    accounts.insert(absl::StrCat(endpoint.ns, "/", endpoint.service_account));
  }
  return {accounts.begin(), accounts.end()};
}

ServiceEndpointsPtr JoinEndpoints(const Service& service, const std::vector<EndpointListPtr>& lists,
                                  const std::vector<WorkloadPtr>& selected,
                                  const WorkloadIndex& workloads, bool* elsewhere) {
  auto result = std::make_shared<ServiceEndpoints>();
  result->host = service.host;
  result->endpoints = service.declared;
  const bool has_slices = std::any_of(lists.begin(), lists.end(),
                                      [](const EndpointListPtr& list) { return list->is_slice; });
  for (const EndpointListPtr& list : lists) {
    if (list->is_slice != has_slices) continue;
    AppendListed(service, *list, workloads, elsewhere, &result->endpoints);
  }
  AppendSelected(service, /*with_pods=*/lists.empty(), selected, &result->endpoints);
  const auto key = [](const Endpoint& e) { return std::tie(e.service_port, e.address, e.port); };
  std::vector<Endpoint>& all = result->endpoints;
  std::stable_sort(all.begin(), all.end(),
                   [&](const Endpoint& a, const Endpoint& b) { return key(a) < key(b); });
  all.erase(std::unique(all.begin(), all.end(),
                        [&](const Endpoint& a, const Endpoint& b) { return key(a) == key(b); }),
            all.end());
  result->accounts = AccountsOf(all);
  return result;
}

}  // namespace meltemi::pilot
