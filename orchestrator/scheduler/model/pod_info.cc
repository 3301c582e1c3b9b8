#include "orchestrator/scheduler/model/pod_info.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {
namespace {

using Amounts =
    google::protobuf::Map<std::string, meltemi::kube::quantity::Quantity>;  // by resource
namespace core = kube::core::v1;

// What a container that asks for nothing is taken to ask for, where nodes are scored.
constexpr int64_t kDefaultMilliCpu = 100;
constexpr int64_t kDefaultMemoryBytes = 200 * 1024 * 1024;

// A sum with and without these defaults.
struct Request {
  Resources plain;
  int64_t nonzero_milli_cpu = 0;
  int64_t nonzero_memory_bytes = 0;

  void Add(const Request& other) {
    plain.Add(other.plain);
    nonzero_milli_cpu += other.nonzero_milli_cpu;
    nonzero_memory_bytes += other.nonzero_memory_bytes;
  }
  void Max(const Request& other) {
    plain.Max(other.plain);
    nonzero_milli_cpu = std::max(nonzero_milli_cpu, other.nonzero_milli_cpu);
    nonzero_memory_bytes = std::max(nonzero_memory_bytes, other.nonzero_memory_bytes);
  }
};

Request RequestOf(const Amounts& amounts, bool with_defaults) {
  Request request;
  request.plain = ResourcesOf(amounts);
  request.nonzero_milli_cpu = request.plain.milli_cpu;
  request.nonzero_memory_bytes = request.plain.memory_bytes;
  if (with_defaults && !amounts.contains("cpu")) request.nonzero_milli_cpu = kDefaultMilliCpu;
  if (with_defaults && !amounts.contains("memory")) {
    request.nonzero_memory_bytes = kDefaultMemoryBytes;
  }
  return request;
}

// Containers run together; init containers before them, one after the other, each beside the
// sidecars that were started before it.
Request RequestOf(const core::PodSpec& spec) {
  Request total, sidecars, init_peak;
  for (const core::Container& container : spec.containers()) {
    total.Add(RequestOf(container.resources().requests(), true));
  }
  for (const core::Container& container : spec.init_containers()) {
    Request own = RequestOf(container.resources().requests(), true);
    if (container.restart_policy() == "Always") {
      total.Add(own);
      sidecars.Add(own);
      init_peak.Max(sidecars);
    } else {
      own.Add(sidecars);
      init_peak.Max(own);
    }
  }
  total.Max(init_peak);
  total.Add(RequestOf(spec.overhead(), false));
  return total;
}

// Adds what matchLabelKeys and mismatchLabelKeys ask for. A missing selector matches nothing, keys
// or not.
kube::LabelSelector SelectorOfTerm(const core::PodAffinityTerm& term, const core::Pod& pod) {
  if (!term.has_label_selector()) return kube::LabelSelector::Nothing();
  if (term.match_label_keys().empty() && term.mismatch_label_keys().empty()) {
    return SelectorOf(term.label_selector());
  }
  kube::meta::v1::LabelSelector selector = term.label_selector();
  const auto add = [&](const auto& keys, const char* op) {
    for (const std::string& key : keys) {
      const auto label = pod.metadata().labels().find(key);
      if (label == pod.metadata().labels().end()) continue;
      kube::meta::v1::LabelSelectorRequirement& added = *selector.add_match_expressions();
      added.set_key(key);
      added.set_operator_(op);
      added.add_values(label->second);
    }
  };
  add(term.match_label_keys(), "In");
  add(term.mismatch_label_keys(), "NotIn");
  return SelectorOf(selector);
}

AffinityTerm TermOf(const core::PodAffinityTerm& term, const core::Pod& pod, int32_t weight) {
  AffinityTerm out;
  out.namespaces.assign(term.namespaces().begin(), term.namespaces().end());
  if (out.namespaces.empty() && !term.has_namespace_selector()) {
    out.namespaces.push_back(pod.metadata().namespace_());
  }
  std::sort(out.namespaces.begin(), out.namespaces.end());
  if (term.has_namespace_selector()) {
    out.has_namespace_selector = true;
    out.namespace_selector = SelectorOf(term.namespace_selector());
  }
  out.selector = SelectorOfTerm(term, pod);
  out.topology_key = term.topology_key();
  out.weight = weight;
  return out;
}

template <typename Affinity>
void ReadTerms(const Affinity& affinity, const core::Pod& pod, std::vector<AffinityTerm>* required,
               std::vector<AffinityTerm>* preferred) {
  for (const auto& term : affinity.required_during_scheduling_ignored_during_execution()) {
    required->push_back(TermOf(term, pod, 0));
  }
  for (const auto& term : affinity.preferred_during_scheduling_ignored_during_execution()) {
    preferred->push_back(TermOf(term.pod_affinity_term(), pod, term.weight()));
  }
}

std::vector<HostPort> HostPortsOf(const core::PodSpec& spec) {
  std::vector<HostPort> ports;
  for (const core::Container& container : spec.containers()) {
    for (const core::ContainerPort& port : container.ports()) {
      if (port.host_port() <= 0) continue;
      ports.push_back({port.host_ip().empty() ? "0.0.0.0" : port.host_ip(),
                       port.protocol().empty() ? "TCP" : port.protocol(), port.host_port()});
    }
  }
  return ports;
}

std::vector<PodClaim> ClaimsOf(const core::Pod& pod) {
  std::vector<PodClaim> claims;
  for (const core::Volume& volume : pod.spec().volumes()) {
    const core::VolumeSource& source = volume.volume_source();
    if (source.has_persistent_volume_claim()) {
      claims.push_back({source.persistent_volume_claim().claim_name(), false});
    } else if (source.has_ephemeral()) {
      claims.push_back({absl::StrCat(pod.metadata().name(), "-", volume.name()), true});
    }
  }
  return claims;
}

}  // namespace

Resources ResourcesOf(const Amounts& amounts) {
  Resources out;
  for (const auto& [name, amount] : amounts) {
    const std::optional<kube::Quantity> quantity = kube::Quantity::Parse(amount.string());
    if (!quantity.has_value()) continue;  // the API server refuses it
    if (name == "cpu") {
      out.milli_cpu = quantity->MilliValue();
    } else if (name == "memory") {
      out.memory_bytes = quantity->Value();
    } else if (name == "ephemeral-storage") {
      out.ephemeral_bytes = quantity->Value();
    } else if (name == "pods") {
      out.pods = quantity->Value();
    } else if (absl::StrContains(name, "/") || absl::StartsWith(name, "hugepages-") ||
               absl::StartsWith(name, "attachable-volumes-")) {
      out.SetExtended(ResourceNumber(name), quantity->Value());
    }
  }
  return out;
}

bool AffinityTerm::Matches(const core::Pod& other, const kube::StringPairs& other_labels,
                           const kube::StringPairs& namespace_labels) const {
  const bool listed =
      std::binary_search(namespaces.begin(), namespaces.end(), other.metadata().namespace_());
  if (!listed && !(has_namespace_selector && namespace_selector.Matches(namespace_labels))) {
    return false;
  }
  return selector.Matches(other_labels);
}

PodInfoPtr MakePodInfo(PodPtr pod, PodPtr kept) {
  auto info = std::make_shared<PodInfo>();
  const core::PodSpec& spec = pod->spec();
  info->key = {pod->metadata().namespace_(), pod->metadata().name()};
  info->uid = pod->metadata().uid();
  info->labels = SortedLabels(pod->metadata().labels());
  info->priority = spec.priority();
  Request request = RequestOf(spec);
  info->request = std::move(request.plain);
  info->nonzero_milli_cpu = request.nonzero_milli_cpu;
  info->nonzero_memory_bytes = request.nonzero_memory_bytes;
  info->host_ports = HostPortsOf(spec);
  info->claims = ClaimsOf(*pod);
  if (spec.has_affinity()) {
    ReadTerms(spec.affinity().pod_affinity(), *pod, &info->required_affinity,
              &info->preferred_affinity);
    ReadTerms(spec.affinity().pod_anti_affinity(), *pod, &info->required_anti_affinity,
              &info->preferred_anti_affinity);
  }
  info->pod = kept != nullptr ? std::move(kept) : std::move(pod);
  return info;
}

}  // namespace meltemi::scheduler
