// The redirect rules of a sidecar, as text for iptables-restore. Pure functions.
//
// The chains are Istio's (ISTIO_INBOUND, ISTIO_IN_REDIRECT, ISTIO_OUTPUT, ISTIO_REDIRECT,
// ISTIO_DROP), so that what people know of them holds:
//
//   from outside      PREROUTING -> ISTIO_INBOUND -> ISTIO_IN_REDIRECT -> inbound port (15006)
//   from the pod      OUTPUT     -> ISTIO_OUTPUT  -> ISTIO_REDIRECT    -> proxy port (15001)
//   from the proxy    (by uid or gid) untouched, except to the pod itself: that is inbound again
//
// Everything of ours lives in our chains; the built-in chains only get one jump each, so removing
// leaves nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// Lists are Istio's: "*" means all, "" none. Ports as "80,8080", ranges as "10.0.0.0/8,fd00::/8".
struct InterceptOptions {
  uint32_t proxy_port = 15001;
  uint32_t inbound_port = 15006;
  std::string proxy_uids = "1337";
  std::string proxy_gids = "1337";
  std::string include_inbound_ports = "*";
  std::string exclude_inbound_ports;  // beside the proxy's own: 15020, 15021, 15090
  std::string include_outbound_ips = "*";
  std::string exclude_outbound_ips;
  std::string include_outbound_ports;  // redirected whatever the address
  std::string exclude_outbound_ports;
  std::string kube_virt_interfaces;  // what comes in there is outbound traffic of a guest
  std::string exclude_interfaces;
  bool drop_invalid = false;
};

enum class IpFamily : uint8_t { kV4, kV6 };

// Error (INVALID_ARGUMENT): the option, the entry and what was expected.
absl::Status CheckInterceptOptions(const InterceptOptions& options);

// A script for iptables-restore --noflush (or ip6tables-restore) that puts the rules in place in
// one transaction per table. `current` is what iptables-save prints now: what an earlier run left
// is replaced. The options must have passed CheckInterceptOptions.
std::string ApplyScript(const InterceptOptions& options, IpFamily family,
                        absl::string_view current);
// The script that takes all of it away; "" when there is nothing to take away.
std::string RemoveScript(absl::string_view current);

}  // namespace meltemi::proxy
