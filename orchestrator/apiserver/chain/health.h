// /livez, /readyz and /healthz, as kube-apiserver answers them: "ok", or with ?verbose a line per
// check; /readyz/NAME runs one; ?exclude=NAME leaves one out.
//
// Threads: checks are added before the server starts; then thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

struct HealthCheck {
  std::string name;  // "ping", "etcd", "poststarthook/rbac/bootstrap-roles" …
  std::function<absl::Status()> check;
  bool live = true;  // also asked by /livez; else by /readyz and /healthz alone
};

class Health {
 public:
  void Add(HealthCheck check) { checks_.push_back(std::move(check)); }

  // `path` begins with /livez, /readyz or /healthz. The reasons of failures are logged and not
  // told: callers may be anonymous.
  Reply Answer(const Request& request, absl::string_view path) const;

 private:
  std::vector<HealthCheck> checks_;
};

}  // namespace meltemi::apiserver
