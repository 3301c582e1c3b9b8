// The admin interface: Envoy's paths, answered from what the server knows. Pure request ->
// response; the HTTP around it is base/http/server.
//
// Main loop only. What changes something needs POST, as in Envoy.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/net/address.h"

namespace meltemi::metrics {
class Registry;
}

namespace meltemi::proxy {

class ClusterDirectory;
class ConfigStore;
class Intake;
class Secrets;
class XdsClient;
struct Bootstrap;
struct Options;

enum class ServerState : uint8_t { kLive, kDraining, kPreInitializing, kInitializing };
absl::string_view ServerStateName(ServerState state);  // "LIVE" …

struct AdminRequest {
  std::string method, path;                  // path without the query
  std::map<std::string, std::string> query;  // decoded
  std::string body;
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=UTF-8";
  std::string body;
};

// "/stats?filter=x&usedonly" -> path and query. The body is left empty.
AdminRequest ParseAdminTarget(absl::string_view method, absl::string_view target);

// What the pages show that is not in another object already, and what POSTs do.
class AdminActions {
 public:
  virtual ~AdminActions() = default;
  virtual ServerState state() const = 0;
  // The first configuration is on all workers, and the health check was not failed by hand.
  virtual bool ready() const = 0;
  virtual Duration uptime() const = 0;
  virtual uint32_t workers() const = 0;
  // By listener; unset addresses are not bound.
  virtual const std::map<std::string, net::Address>& bound_listeners() const = 0;
  virtual void FailHealthcheck(bool fail) = 0;
  virtual void DrainListeners() = 0;
  virtual void Quit() = 0;
  // Brings the gauges up to date (uptime, memory …).
  virtual void UpdateServerStats() = 0;
};

class Admin {
 public:
  struct Sources {
    const Options& options;
    const Bootstrap& bootstrap;
    const Intake& intake;
    const ConfigStore& store;
    const XdsClient& xds;
    const Secrets& secrets;
    const Clock& clock;
    const ClusterDirectory& clusters;
    const metrics::Registry& registry;
    AdminActions& actions;
    WallTime started;
  };
  explicit Admin(const Sources& sources);

  // All paths with what they are for.
  struct PathHelp {
    absl::string_view path, help;
    bool post;
  };
  std::vector<PathHelp> paths() const;

  // Everything, for the admin port.
  AdminResponse Handle(const AdminRequest& request);
  // What may be seen from outside: /healthz/ready (status port), /stats/prometheus (stats port).
  AdminResponse HandleStatus(const AdminRequest& request);
  AdminResponse HandleStats(const AdminRequest& request);

 private:
  using Handler = AdminResponse (Admin::*)(const AdminRequest&);
  struct Page {
    Handler handler;
    bool post;
    absl::string_view help;
  };
  AdminResponse Certs(const AdminRequest& request);
  AdminResponse Clusters(const AdminRequest& request);
  AdminResponse ConfigDump(const AdminRequest& request);
  AdminResponse DrainListeners(const AdminRequest& request);
  AdminResponse HealthcheckFail(const AdminRequest& request);
  AdminResponse HealthcheckOk(const AdminRequest& request);
  AdminResponse Help(const AdminRequest& request);
  AdminResponse Listeners(const AdminRequest& request);
  AdminResponse Logging(const AdminRequest& request);
  AdminResponse Memory(const AdminRequest& request);
  AdminResponse Quit(const AdminRequest& request);
  AdminResponse Ready(const AdminRequest& request);
  AdminResponse ServerInfo(const AdminRequest& request);
  AdminResponse Stats(const AdminRequest& request);
  AdminResponse StatsPrometheus(const AdminRequest& request);

  const Sources sources_;
  const std::map<absl::string_view, Page> pages_;
};

}  // namespace meltemi::proxy
