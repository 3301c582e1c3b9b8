// One way of asking a host whether it is well.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"
#include "proxy/upstream/pool/connector.h"

namespace meltemi::proxy {

enum class ProbeResult : uint8_t {
  kSuccess,
  kFailure,         // the host answered, and not what was expected
  kNetworkFailure,  // no connection, no answer in time, connection lost
};

// Main loop. Asks once for each Start; keeps its connection in between when the check says so.
class Probe : public Deferrable {
 public:
  using Callback = absl::AnyInvocable<void(ProbeResult)>;
  // `on_done` (given at the making) is called once for each Start, from the loop. Not while one is
  // under way.
  virtual void Start() = 0;
  // Gives up what is under way: no call follows.
  virtual void Cancel() = 0;
};

struct ProbeTarget {
  Loop& loop;
  const Connector& connector;
  net::Address address;
  std::string authority;  // of HTTP checks without a host of their own
  std::shared_ptr<const ClusterConfig> cluster;
  std::shared_ptr<const Host> host;

  std::unique_ptr<net::Connection> Connect(std::optional<http::Protocol> protocol) const;
};

// `check` must outlive the probe.
std::unique_ptr<Probe> NewTcpProbe(const ProbeTarget& target, const HealthCheck& check,
                                   Probe::Callback on_done);
std::unique_ptr<Probe> NewHttpProbe(const ProbeTarget& target, const HealthCheck& check,
                                    Probe::Callback on_done);

}  // namespace meltemi::proxy
