// The rules of Kubernetes for the kinds that the mesh reads, in Kubernetes' words where they are
// its own.
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "pilot/ingest/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using kube::core::v1::ServicePort;
using kube::core::v1::ServiceSpec;

bool IsTransport(absl::string_view word) {
  return word.empty() || word == "TCP" || word == "UDP" || word == "SCTP";
}

void ValidateTransport(absl::string_view word, const Path& path, Report* report) {
  if (!IsTransport(word)) {
    report->Error(path, absl::StrCat("\"", word, "\": expected TCP, UDP or SCTP"));
  }
}

void ValidateTargetPort(const kube::intstr::IntOrString& target, const Path& path, Report* report) {
  if (target.type() == 0) {
    report->Check(path, WhyNoPort(target.int_val()));
    return;
  }
  const std::string& name = target.str_val();
  bool has_letter = false;
  bool valid = !name.empty() && name.size() <= 15 && name.front() != '-' && name.back() != '-';
  for (const char c : name) {
    const unsigned char u = static_cast<unsigned char>(c);
    has_letter = has_letter || absl::ascii_islower(u);
    valid = valid && (absl::ascii_islower(u) || absl::ascii_isdigit(u) || c == '-');
  }
  if (!valid || !has_letter) {
    report->Error(path, absl::StrCat("\"", name,
                                     "\" is no name of a container's port: at most 15 "
                                     "lower-case letters, digits and \"-\", with a letter"));
  }
}

void ValidateServicePorts(const ServiceSpec& spec, const Path& path, Report* report) {
  std::set<std::string> names;
  std::set<std::string> taken;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const ServicePort& port = spec.ports(i);
    const Path at = path[static_cast<size_t>(i)];
    if (port.port() == 0) {
      report->Error(at / "port", "Required value");
    } else {
      report->Check(at / "port", WhyNoPort(port.port()));
    }
    ValidateTransport(port.protocol(), at / "protocol", report);
    if (port.has_target_port()) ValidateTargetPort(port.target_port(), at / "targetPort", report);
    if (port.name().empty()) {
      if (spec.ports_size() > 1) report->Error(at / "name", "Required value");
    } else {
      report->Check(at / "name", WhyNoDnsLabel(port.name()));
      if (!names.insert(port.name()).second) {
        report->Error(at / "name", absl::StrCat("Duplicate value: \"", port.name(), "\""));
      }
    }
    const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
    if (port.port() != 0 && !taken.insert(absl::StrCat(port.port(), "/", protocol)).second) {
      report->Error(at / "port", absl::StrCat("Duplicate value: ", port.port(), "/", protocol));
    }
  }
}

template <typename Addresses>
void ValidateEndpointAddresses(const Addresses& addresses, const Path& path, Report* report) {
  for (int i = 0; i < addresses.size(); ++i) {
    report->Check(path[static_cast<size_t>(i)] / "ip", WhyNoIp(addresses[i].ip()));
  }
}

}  // namespace

void ValidateService(const kube::core::v1::Service& service, Report* report) {
  const ServiceSpec& spec = service.spec();
  const Path path("spec");
  static const std::set<std::string> kTypes = {"", "ClusterIP", "NodePort", "LoadBalancer",
                                               "ExternalName"};
  if (kTypes.count(spec.type()) == 0) {
    report->Error(path / "type", absl::StrCat("\"", spec.type(),
                                              "\": expected ClusterIP, NodePort, "
                                              "LoadBalancer or ExternalName"));
  }
  const bool headless = spec.cluster_ip() == "None";
  const bool external = spec.type() == "ExternalName";
  if (spec.ports_size() == 0 && !headless && !external) {
    report->Error(path / "ports", "Required value");
  }
  ValidateServicePorts(spec, path / "ports", report);
  if (!spec.cluster_ip().empty() && !headless) {
    report->Check(path / "clusterIP", WhyNoIp(spec.cluster_ip()));
  }
  if (external) report->Check(path / "externalName", WhyNoFqdn(spec.external_name()));
  ValidateLabels(spec.selector(), path / "selector", report);
}

void ValidateEndpoints(const kube::core::v1::Endpoints& endpoints, Report* report) {
  for (int i = 0; i < endpoints.subsets_size(); ++i) {
    const auto& subset = endpoints.subsets(i);
    const Path path = Path("subsets")[static_cast<size_t>(i)];
    ValidateEndpointAddresses(subset.addresses(), path / "addresses", report);
    ValidateEndpointAddresses(subset.not_ready_addresses(), path / "notReadyAddresses", report);
    for (int j = 0; j < subset.ports_size(); ++j) {
      const Path at = (path / "ports")[static_cast<size_t>(j)];
      report->Check(at / "port", WhyNoPort(subset.ports(j).port()));
      ValidateTransport(subset.ports(j).protocol(), at / "protocol", report);
    }
  }
}

void ValidateEndpointSlice(const kube::discovery::v1::EndpointSlice& slice, Report* report) {
  const Path path("");
  const std::string& type = slice.address_type();
  if (type != "IPv4" && type != "IPv6" && type != "FQDN") {
    report->Error(path / "addressType", "expected IPv4, IPv6 or FQDN");
  }
  for (int i = 0; i < slice.endpoints_size(); ++i) {
    const Path at = (path / "endpoints")[static_cast<size_t>(i)] / "addresses";
    if (slice.endpoints(i).addresses_size() == 0) report->Error(at, "Required value");
    for (int j = 0; j < slice.endpoints(i).addresses_size(); ++j) {
      const std::string& address = slice.endpoints(i).addresses(j);
      report->Check(at[static_cast<size_t>(j)],
                    type == "FQDN" ? WhyNoFqdn(address) : WhyNoIp(address));
    }
  }
  for (int i = 0; i < slice.ports_size(); ++i) {
    const Path at = (path / "ports")[static_cast<size_t>(i)];
    if (slice.ports(i).has_port()) report->Check(at / "port", WhyNoPort(slice.ports(i).port()));
    ValidateTransport(slice.ports(i).protocol(), at / "protocol", report);
  }
}

}  // namespace meltemi::pilot
