#include "networking/v1/service_entry.pb.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "pilot/model/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::ServiceEntry;
using networking::WorkloadEntry;

bool UsesDns(const ServiceEntry& spec) {
  return spec.resolution() == ServiceEntry::DNS ||
         spec.resolution() == ServiceEntry::DNS_ROUND_ROBIN;
}

void ValidateHosts(const ServiceEntry& spec, const Path& path, Report* report) {
  if (spec.hosts_size() == 0) report->Error(Path("spec"), "\"hosts\" is required");
  for (int i = 0; i < spec.hosts_size(); ++i) {
    const Path at = path[static_cast<size_t>(i)];
    if (spec.hosts(i) == "*") {
      report->Error(at, "\"*\" would take all hosts: name them");
      continue;
    }
    report->Check(at, WhyNoWildcardHost(spec.hosts(i)));
    if (UsesDns(spec) && spec.endpoints_size() == 0 && !spec.has_workload_selector() &&
        absl::StrContains(spec.hosts(i), '*')) {
      report->Error(at, "DNS cannot resolve a wildcard: name the host, or give endpoints");
    }
  }
}

void ValidateAddresses(const ServiceEntry& spec, const Path& path, Report* report) {
  for (int i = 0; i < spec.addresses_size(); ++i) {
    const Path at = path[static_cast<size_t>(i)];
    report->Check(at, WhyNoSubnet(spec.addresses(i)));
    if (absl::StrContains(spec.addresses(i), '/') && spec.resolution() != ServiceEntry::NONE &&
        spec.resolution() != ServiceEntry::STATIC) {
      report->Error(at, "a subnet is allowed for the resolutions NONE and STATIC only");
    }
  }
}

void ValidatePorts(const ServiceEntry& spec, const Path& path, Report* report) {
  std::set<std::string> names;
  std::set<uint32_t> numbers;
  bool needs_address = false;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const auto& port = spec.ports(i);
    const Path at = path[static_cast<size_t>(i)];
    report->Check(at / "number", WhyNoPort(port.number()));
    report->Check(at / "name", WhyNoPortName(port.name()));
    report->Check(at / "protocol", WhyNoProtocol(port.protocol()));
    if (port.target_port() != 0) report->Check(at / "targetPort", WhyNoPort(port.target_port()));
    if (!numbers.insert(port.number()).second) {
      report->Error(at / "number", absl::StrCat("port ", port.number(), " is there already"));
    }
    if (!names.insert(port.name()).second) {
      report->Error(at / "name",
                    absl::StrCat("the port name \"", port.name(), "\" is there already"));
    }
    const bool named_hosts = IsHttpProtocol(port.protocol()) || IsTlsProtocol(port.protocol());
    needs_address = needs_address || !named_hosts;
    if (!named_hosts && spec.hosts_size() > 1 && spec.resolution() != ServiceEntry::NONE) {
      report->Error(at / "protocol",
                    "several hosts cannot be told apart on a port that is not HTTP or TLS");
    }
  }
  if (needs_address && spec.addresses_size() == 0 &&
      spec.location() == ServiceEntry::MESH_EXTERNAL) {
    report->Warning(
        Path("spec.ports"),
        "without \"addresses\" all traffic to the port of a TCP service counts as its own",
        "IST0134");
  }
}

void ValidateEndpoint(const ServiceEntry& spec, const WorkloadEntry& endpoint, const Path& path,
                      Report* report) {
  absl::string_view address = endpoint.address();
  if (absl::ConsumePrefix(&address, "unix://")) {
    report->Check(path / "address", WhyNoUnixPath(address));
    if (spec.resolution() != ServiceEntry::STATIC) {
      report->Error(path / "address", "a unix socket is allowed for the resolution STATIC only");
    }
    if (endpoint.ports_size() > 0) report->Error(path / "ports", "a unix socket has no ports");
    if (spec.ports_size() != 1) {
      report->Error(path / "address", "a unix socket needs a service with exactly one port");
    }
  } else if (spec.resolution() == ServiceEntry::STATIC) {
    report->Check(path / "address", WhyNoIp(address));
  } else if (!IsIpAddress(address)) {
    report->Check(path / "address", WhyNoFqdn(address));
  }
  const std::map<std::string, uint32_t> ports(endpoint.ports().begin(), endpoint.ports().end());
  for (const auto& [name, number] : ports) {
    bool known = false;
    for (const auto& port : spec.ports()) known = known || port.name() == name;
    if (!known) {
      report->Error((path / "ports").Key(name),
                    absl::StrCat("no port of the service is named \"", name, "\""));
    }
    report->Check((path / "ports").Key(name), WhyNoPort(number));
  }
  ValidateLabels(endpoint.labels(), path / "labels", report);
}

}  // namespace

void ValidateWorkloadEntry(const WorkloadEntry& spec, Report* report) {
  const Path path("spec");
  absl::string_view address = spec.address();
  if (address.empty()) {
    report->Error(path, "\"address\" is required");
  } else if (absl::ConsumePrefix(&address, "unix://")) {
    report->Check(path / "address", WhyNoUnixPath(address));
    if (spec.ports_size() > 0) report->Error(path / "ports", "a unix socket has no ports");
  } else if (!IsIpAddress(address)) {
    report->Check(path / "address", WhyNoFqdn(address));
  }
  const std::map<std::string, uint32_t> ports(spec.ports().begin(), spec.ports().end());
  for (const auto& [name, number] : ports) {
    report->Check((path / "ports").Key(name), WhyNoPortName(name));
    report->Check((path / "ports").Key(name), WhyNoPort(number));
  }
  ValidateLabels(spec.labels(), path / "labels", report);
}

void ValidateServiceEntry(const ServiceEntry& spec, Report* report) {
  const Path path("spec");
  ValidateHosts(spec, path / "hosts", report);
  ValidateAddresses(spec, path / "addresses", report);
  if (spec.ports_size() == 0) report->Error(path, "\"ports\" is required");
  ValidatePorts(spec, path / "ports", report);
  if (spec.has_workload_selector() && spec.endpoints_size() > 0) {
    report->Error(path / "workloadSelector",
                  "only one of workloadSelector and endpoints may be given");
  }
  ValidateLabels(spec.workload_selector().labels(), path / "workloadSelector" / "labels", report);
  if (spec.resolution() == ServiceEntry::NONE && spec.endpoints_size() > 0) {
    report->Error(path / "endpoints", "have no effect with the resolution NONE");
  }
  if (spec.resolution() == ServiceEntry::STATIC && spec.endpoints_size() == 0 &&
      !spec.has_workload_selector()) {
    report->Warning(path / "resolution",
                    "STATIC without endpoints and workloadSelector: no request can be served");
  }
  if (spec.resolution() == ServiceEntry::DYNAMIC_DNS) {
    report->Unsupported(path / "resolution", "DYNAMIC_DNS");
  }
  for (int i = 0; i < spec.endpoints_size(); ++i) {
    ValidateEndpoint(spec, spec.endpoints(i), (path / "endpoints")[static_cast<size_t>(i)], report);
  }
  ValidateExportTo(spec.export_to(), true, path / "exportTo", report);
}

}  // namespace meltemi::pilot
