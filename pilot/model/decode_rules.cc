#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/model/decode.h"
#include "pilot/model/names.h"

namespace meltemi::pilot {
namespace {

// Resolves the hosts inside a VirtualService and notes every destination.
class DestinationResolver {
 public:
  DestinationResolver(absl::string_view ns, absl::string_view domain) : ns_(ns), domain_(domain) {}

  void Resolve(networking::Destination* destination) {
    destination->set_host(ResolveHost(destination->host(), ns_, domain_));
    found_.push_back(
        DestinationRef{destination->host(), destination->subset(), destination->port().number()});
  }

  std::vector<DestinationRef> TakeSorted() {
    const auto key = [](const DestinationRef& d) { return std::tie(d.host, d.subset, d.port); };
    std::sort(found_.begin(), found_.end(),
              [&](const auto& a, const auto& b) { return key(a) < key(b); });
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  const absl::string_view ns_;
  const absl::string_view domain_;
  std::vector<DestinationRef> found_;
};

std::string ResolveGateway(const std::string& name, const std::string& ns) {
  if (name == "mesh" || name.find('/') != std::string::npos) return name;
  return absl::StrCat(ns, "/", name);
}

void ResolveHttpRoute(networking::HTTPRoute* route, const std::string& ns,
                      DestinationResolver* resolver) {
  for (auto& target : *route->mutable_route()) resolver->Resolve(target.mutable_destination());
  if (route->has_mirror()) resolver->Resolve(route->mutable_mirror());
  for (auto& mirror : *route->mutable_mirrors()) resolver->Resolve(mirror.mutable_destination());
  for (auto& match : *route->mutable_match()) {
    for (auto& gateway : *match.mutable_gateways()) gateway = ResolveGateway(gateway, ns);
  }
}

template <typename L4Route>
void ResolveL4Route(L4Route* route, const std::string& ns, DestinationResolver* resolver) {
  for (auto& target : *route->mutable_route()) resolver->Resolve(target.mutable_destination());
  for (auto& match : *route->mutable_match()) {
    for (auto& gateway : *match.mutable_gateways()) gateway = ResolveGateway(gateway, ns);
  }
}

}  // namespace

bool DestinationRule::HasSubset(absl::string_view name) const {
  for (const auto& subset : spec->subsets()) {
    if (subset.name() == name) return true;
  }
  return false;
}

VirtualServicePtr DecodeVirtualService(const ObjectMeta& meta,
                                       const networking::VirtualService& spec,
                                       absl::string_view domain) {
  auto resolved = std::make_shared<networking::VirtualService>(spec);
  DestinationResolver resolver(meta.ns, domain);
  for (auto& route : *resolved->mutable_http()) ResolveHttpRoute(&route, meta.ns, &resolver);
  for (auto& route : *resolved->mutable_tcp()) ResolveL4Route(&route, meta.ns, &resolver);
  for (auto& route : *resolved->mutable_tls()) ResolveL4Route(&route, meta.ns, &resolver);

  auto result = std::make_shared<VirtualService>();
  result->meta = meta;
  for (const std::string& host : spec.hosts()) {
    result->hosts.push_back(ResolveHost(host, meta.ns, domain));
  }
  for (const std::string& gateway : spec.gateways()) {
    result->gateways.push_back(ResolveGateway(gateway, meta.ns));
  }
  if (result->gateways.empty()) result->gateways.push_back("mesh");
  result->export_to = ExportTo::Parse({spec.export_to().begin(), spec.export_to().end()}, meta.ns);
  result->destinations = resolver.TakeSorted();
  result->spec = std::move(resolved);
  return result;
}

DestinationRulePtr DecodeDestinationRule(const ObjectMeta& meta,
                                         const networking::DestinationRule& spec,
                                         absl::string_view domain) {
  auto result = std::make_shared<DestinationRule>();
  result->meta = meta;
  result->host = ResolveHost(spec.host(), meta.ns, domain);
  result->export_to = ExportTo::Parse({spec.export_to().begin(), spec.export_to().end()}, meta.ns);
  result->workload_selector.insert(spec.workload_selector().match_labels().begin(),
                                   spec.workload_selector().match_labels().end());
  result->spec = std::make_shared<networking::DestinationRule>(spec);
  return result;
}

GatewayPtr DecodeGateway(const ObjectMeta& meta, const networking::Gateway& spec) {
  auto result = std::make_shared<Gateway>();
  result->meta = meta;
  result->selector.insert(spec.selector().begin(), spec.selector().end());
  result->spec = std::make_shared<networking::Gateway>(spec);
  return result;
}

SidecarPtr DecodeSidecar(const ObjectMeta& meta, const networking::Sidecar& spec) {
  auto result = std::make_shared<Sidecar>();
  result->meta = meta;
  result->selector.insert(spec.workload_selector().labels().begin(),
                          spec.workload_selector().labels().end());
  result->spec = std::make_shared<networking::Sidecar>(spec);
  return result;
}

}  // namespace meltemi::pilot
