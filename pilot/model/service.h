// Services, their endpoints, and the workloads behind them: what a mesh consists of, with every
// name resolved. Immutable after construction; shared between snapshots.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pilot/model/meta.h"
#include "pilot/model/names.h"
#include "pilot/model/protocol.h"

namespace meltemi::pilot {

// On whatever has a proxy with an identity: "istio".
inline constexpr char kTlsModeLabel[] = "security.istio.io/tlsMode";

struct ServicePort {
  uint32_t number = 0;
  std::string name;
  Protocol protocol = Protocol::kSniffed;
  uint32_t target_number = 0;  // 0: same as `number`, or named
  std::string target_name;

  bool operator==(const ServicePort&) const = default;
};

// Who finds the endpoints of a service.
enum class Resolution : uint8_t {
  kEndpoints,      // pilot knows them (EDS)
  kPassthrough,    // the caller already did: the original destination is used (headless, NONE)
  kDns,            // the proxy asks DNS and uses every address
  kDnsRoundRobin,  // the proxy asks DNS and uses the first address of each connection
};

struct Endpoint {
  std::string address;  // IP, or a DNS name where the service resolves by DNS
  uint32_t port = 0;
  uint32_t service_port = 0;
  uint32_t weight = 0;  // 0: not given
  bool healthy = true;
  Labels labels;
  std::string ns;
  std::string workload;
  std::string service_account;
  bool takes_mtls = false;  // a proxy with an identity of the mesh stands before it

  bool operator==(const Endpoint&) const = default;
};

struct Service {
  ObjectMeta meta;                     // of the object that declares it (Service, ServiceEntry)
  std::string host;                    // full name; may be a wildcard for a ServiceEntry
  std::vector<std::string> addresses;  // virtual IPs; empty where it has none
  std::vector<ServicePort> ports;
  Resolution resolution = Resolution::kEndpoints;
  bool external = false;  // outside the mesh (ServiceEntry MESH_EXTERNAL, ExternalName)
  bool headless = false;
  Labels selector;  // empty: no workload is selected
  ExportTo export_to;
  std::vector<Endpoint> declared;              // written in the object itself (ServiceEntry)
  std::vector<std::string> subject_alt_names;  // likewise: who its certificates may name

  const ServicePort* FindPort(uint32_t number) const {
    for (const ServicePort& port : ports) {
      if (port.number == number) return &port;
    }
    return nullptr;
  }
};
using ServicePtr = std::shared_ptr<const Service>;

// All endpoints of one host, sorted by (service_port, address, port).
struct ServiceEndpoints {
  std::string host;
  std::vector<Endpoint> endpoints;
  // Whose certificates clients may meet: "NS/ACCOUNT", sorted, unique. Those of the last endpoints
  // while there are none, so that a service that is scaled to nothing and back keeps its clusters.
  std::vector<std::string> accounts;
};
using ServiceEndpointsPtr = std::shared_ptr<const ServiceEndpoints>;

// Something with an address that runs code: a Pod or a WorkloadEntry.
struct Workload {
  ObjectMeta meta;
  std::string address;
  std::string workload_name;  // of the controller above it where one can be told, else its own
  std::string service_account;
  std::map<std::string, uint32_t> ports;  // named ports
  uint32_t weight = 0;
  bool ready = true;
  bool takes_mtls = false;
};
using WorkloadPtr = std::shared_ptr<const Workload>;

}  // namespace meltemi::pilot
