// The HTTPS pages of a component: /healthz, /livez and /readyz for everybody; /metrics, /version,
// /debug/… for those whom the API server lets.
//
// Threads: pages are added before the server starts; then thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/metrics/metrics.h"
#include "orchestrator/apiserver/chain/health.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/component/access.h"

namespace meltemi::orchestrator {

class Pages final : public apiserver::Handler {
 public:
  // Both outlive it.
  Pages(DelegatedAccess& access, metrics::Registry& metrics) : access_(access), metrics_(metrics) {}

  void AddCheck(apiserver::HealthCheck check) { health_.Add(std::move(check)); }
  // A text for GETs of "/debug/NAME".
  void AddDebug(const std::string& name, std::function<std::string()> text) {
    debug_["/debug/" + name] = std::move(text);
  }

  apiserver::Reply Handle(apiserver::Request& request) override;

 private:
  apiserver::Reply Allowed(const apiserver::Request& request) const;

  DelegatedAccess& access_;
  metrics::Registry& metrics_;
  apiserver::Health health_;
  std::map<std::string, std::function<std::string()>> debug_;
};

}  // namespace meltemi::orchestrator
