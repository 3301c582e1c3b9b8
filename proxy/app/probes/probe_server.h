// The port on which the kubelet asks (15020, Istio's agent's), plaintext and never redirected:
//
//   GET /app-health/CONTAINER/livez …     the application's own check, made from within the pod
//   GET /healthz/ready                    200 when the proxy is ready for traffic
//   GET /stats/prometheus
//   POST /drain, /quitquitquit            from within the pod alone
//
// Loop-owned (main loop).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/http/server/web_server.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "proxy/app/probes/app_probe.h"
#include "proxy/app/probes/prober.h"

namespace meltemi::proxy {

struct ProbeServerOptions {
  net::Address address;
  std::string pod_ip;  // "": loopback
  AppProbes probes;
  size_t probes_running_max = 100;  // more get 503
  // What the server asks of the proxy.
  std::function<bool()> ready;
  std::function<std::string()> stats;
  std::function<void()> drain, quit;
};

class ProbeServer {
 public:
  // Error: the address and the cause.
  static absl::StatusOr<std::unique_ptr<ProbeServer>> Listen(Loop& loop,
                                                             ProbeServerOptions options);
  ~ProbeServer();

  const net::Address& address() const { return server_->address(); }

 private:
  ProbeServer(Loop& loop, ProbeServerOptions options, ProbeTarget target);
  void Handle(http::WebRequest request, http::WebReply reply);
  void Check(const AppProbe& probe, const http::WebRequest& request, http::WebReply reply);

  Loop& loop_;
  const ProbeServerOptions options_;
  const ProbeTarget target_;
  std::unique_ptr<http::WebServer> server_;
  std::map<uint64_t, std::unique_ptr<ProbeCall>> running_;
  uint64_t next_id_ = 0;
};

}  // namespace meltemi::proxy
