// The group "discovery.k8s.io".
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kEndpointsMax = 1000;
constexpr size_t kAddressesMax = 100;
constexpr size_t kPortsMax = 20'000;
constexpr size_t kZoneHintsMax = 8;
constexpr size_t kTopologyLabelsMax = 16;

void ValidateDomainName(absl::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) {
    errors.push_back(kube::Required(path));
    return;
  }
  absl::ConsumeSuffix(&name, ".");
  const Complaints complaints = CheckDns1123Subdomain(name);
  const std::vector<absl::string_view> labels = absl::StrSplit(name, '.');
  if (!complaints.empty()) {
    errors.push_back(kube::InvalidField(path, name, absl::StrJoin(complaints, ",")));
  } else if (labels.size() < 2) {
    errors.push_back(kube::InvalidField(
        path, name, "should be a domain with at least two segments separated by dots"));
  } else {
    for (const absl::string_view label : labels) {
      const Complaints of_label = CheckDns1123Label(label);
      if (of_label.empty()) continue;
      errors.push_back(kube::InvalidField(path, label, absl::StrJoin(of_label, ",")));
      return;
    }
  }
}

void ValidateAddress(absl::string_view type, absl::string_view address, const FieldPath& path,
                     FieldErrors& errors) {
  if (type == "FQDN") return ValidateDomainName(address, path, errors);
  if (type != "IPv4" && type != "IPv6") return;
  if (type == "IPv4" ? !IsIpv4(address) : !IsIpv6(address)) {
    errors.push_back(
        kube::InvalidField(path, address, absl::StrCat("must be a valid ", type, " address")));
  }
  ValidateNonSpecialIp(address, path, errors);
}

void ValidateHints(const json::Value& hints, const FieldPath& path, FieldErrors& errors) {
  const FieldPath zones_path = path.Child("forZones");
  const auto& zones = Items(hints, "forZones");
  if (zones.size() > kZoneHintsMax) {
    errors.push_back(kube::TooMany(zones_path, zones.size(), kZoneHintsMax));
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < zones.size(); ++i) {
    const FieldPath name_path = zones_path.Index(i).Child("name");
    const absl::string_view name = Text(zones[i], "name");
    if (!names.emplace(name).second) {
      errors.push_back(kube::DuplicateField(name_path, Get(zones[i], "name")));
    }
    AddInvalid(name_path, name, CheckLabelValue(name), errors);
  }
}

void ValidateEndpoint(absl::string_view type, const json::Value& endpoint, const FieldPath& path,
                      FieldErrors& errors) {
  const FieldPath addresses_path = path.Child("addresses");
  const auto& addresses = Items(endpoint, "addresses");
  if (addresses.empty()) {
    errors.push_back(kube::Required(addresses_path, "must contain at least 1 address"));
  } else if (addresses.size() > kAddressesMax) {
    errors.push_back(kube::TooMany(addresses_path, addresses.size(), kAddressesMax));
  }
  for (size_t i = 0; i < addresses.size(); ++i) {
    ValidateAddress(type, addresses[i].text(), addresses_path.Index(i), errors);
  }
  if (Has(endpoint, "nodeName")) {
    const absl::string_view node = Text(endpoint, "nodeName");
    AddInvalid(path.Child("nodeName"), node, NameIsDnsSubdomain(node, false), errors);
  }
  const FieldPath topology_path = path.Child("deprecatedTopology");
  const auto& topology = Members(endpoint, "deprecatedTopology");
  if (topology.size() > kTopologyLabelsMax) {
    errors.push_back(kube::TooMany(topology_path, topology.size(), kTopologyLabelsMax));
  }
  ValidateLabels(endpoint.Find("deprecatedTopology"), topology_path, errors);
  if (Has(endpoint, "hostname")) {
    const absl::string_view host = Text(endpoint, "hostname");
    AddInvalid(path.Child("hostname"), host, CheckDns1123Label(host), errors);
  }
  if (Has(endpoint, "hints")) ValidateHints(Get(endpoint, "hints"), path.Child("hints"), errors);
}

void ValidatePorts(const std::vector<json::Value>& ports, FieldErrors& errors) {
  const FieldPath path("ports");
  if (ports.size() > kPortsMax) {
    errors.push_back(kube::TooMany(path, ports.size(), kPortsMax));
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    const absl::string_view name = Text(ports[i], "name");
    const FieldPath name_path = path.Index(i).Child("name");
    if (!name.empty()) AddInvalid(name_path, name, CheckDns1123Label(name), errors);
    if (!names.emplace(name).second) {
      errors.push_back(kube::DuplicateField(name_path, TextCell(name)));
    }
    ValidateOneOf(ports[i], "protocol", path.Index(i), {"SCTP", "TCP", "UDP"}, true, errors);
    if (Has(ports[i], "appProtocol")) {
      const absl::string_view protocol = Text(ports[i], "appProtocol");
      AddInvalid(path.Index(i).Child("appProtocol"), protocol, CheckQualifiedName(protocol),
                 errors);
    }
  }
}

class EndpointSliceStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    std::vector<json::Value>* ports = MutableItems(object, "ports");
    if (ports == nullptr) return;
    for (json::Value& port : *ports) {
      SetDefault(port, "name", "");
      SetDefault(port, "protocol", "TCP");
    }
  }
  // deprecatedTopology belongs to v1beta1: it is kept only where nothing else changes.
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    DropTopology(object);
  }
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (!SameMember(old_object, object, "endpoints")) DropTopology(object);
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool SpecChanged(const json::Value& old_object, const json::Value& object) const override {
    return Strategy::SpecChanged(old_object, object) ||
           !SameMember(Get(old_object, "metadata"), Get(object, "metadata"), "labels");
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateOneOf(object, "addressType", FieldPath(), {"FQDN", "IPv4", "IPv6"}, true, errors);
    const auto& endpoints = Items(object, "endpoints");
    const FieldPath path("endpoints");
    if (endpoints.size() > kEndpointsMax) {
      errors.push_back(kube::TooMany(path, endpoints.size(), kEndpointsMax));
    } else {
      for (size_t i = 0; i < endpoints.size(); ++i) {
        ValidateEndpoint(Text(object, "addressType"), endpoints[i], path.Index(i), errors);
      }
    }
    ValidatePorts(Items(object, "ports"), errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors = Validate(resource, object);
    ValidateImmutable(Get(old_object, "addressType"), Get(object, "addressType"),
                      FieldPath("addressType"), errors);
    return errors;
  }
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override {
    if (Text(object, "addressType") != "FQDN") return {};
    return {"spec.addressType: FQDN endpoints are deprecated"};
  }

 private:
  static void DropTopology(json::Value& object) {
    std::vector<json::Value>* endpoints = MutableItems(object, "endpoints");
    if (endpoints == nullptr) return;
    for (json::Value& endpoint : *endpoints) endpoint.Remove("deprecatedTopology");
  }
};

constexpr size_t kShown = 3;

std::string ListText(const std::vector<std::string>& shown, size_t count) {
  const std::string text = absl::StrJoin(shown, ",");
  if (count > kShown) return absl::StrCat(text, " + ", count - kShown, " more...");
  return text.empty() ? "<unset>" : text;
}

std::vector<json::Value> SliceRow(const json::Value& slice, int64_t now_s) {
  std::vector<std::string> ports, addresses;
  const auto& all_ports = Items(slice, "ports");
  for (const json::Value& port : all_ports) {
    if (ports.size() == kShown) break;
    const char* key = Has(port, "port") ? "port" : "name";
    ports.push_back(Has(port, key) ? Get(port, key).text() : "*");
  }
  size_t count = 0;
  for (const json::Value& endpoint : Items(slice, "endpoints")) {
    for (const json::Value& address : Items(endpoint, "addresses")) {
      if (addresses.size() < kShown) addresses.push_back(address.text());
      ++count;
    }
  }
  return {NameCell(slice), TextCell(Text(slice, "addressType")),
          TextCell(ListText(ports, all_ports.size())), TextCell(ListText(addresses, count)),
          AgeCell(slice, now_s)};
}

}  // namespace

void AddDiscovery(KindTable& table) {
  table.Add("discovery.k8s.io", "endpointslices", std::make_unique<EndpointSliceStrategy>(),
            MakeColumns({NameColumn(), TextColumn("AddressType", "What its addresses are."),
                         TextColumn("Ports", "The ports of its endpoints."),
                         TextColumn("Endpoints", "The addresses of its endpoints."), AgeColumn()},
                        SliceRow));
}

}  // namespace meltemi::apiserver
