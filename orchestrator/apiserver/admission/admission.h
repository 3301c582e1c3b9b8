// Admission: plugins that may change an object, then plugins that may refuse it.
//
// Threads: thread-safe; plugins may block (webhooks), bounded by the request's deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/json/value.h"
#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

enum class Operation : uint8_t { kCreate, kUpdate, kDelete, kConnect };
absl::string_view OperationName(Operation operation);  // "CREATE" …

struct AdmissionRequest {
  const Resource* resource = nullptr;
  std::string subresource, ns, name;
  Operation operation = Operation::kCreate;
  UserInfo user;
  bool dry_run = false;
  json::Value options;  // CreateOptions, UpdateOptions, DeleteOptions as objects
  MonotonicTime deadline;

  // kCreate and kUpdate: mutating plugins change it. kDelete: null. kConnect: the options.
  json::Value object;
  json::Value old_object;  // kUpdate and kDelete

  std::vector<std::string> warnings;  // collected for the answer
};

class AdmissionPlugin {
 public:
  virtual ~AdmissionPlugin() = default;
  virtual absl::string_view name() const = 0;
  virtual kube::Outcome Mutate(AdmissionRequest& request) { return kube::Done{}; }
  virtual kube::Outcome Validate(AdmissionRequest& request) { return kube::Done{}; }
};

// All plugins in Kubernetes' order. Validate comes after the strategy's own validation.
class Admission {
 public:
  virtual ~Admission() = default;
  virtual kube::Outcome Mutate(AdmissionRequest& request) = 0;
  virtual kube::Outcome Validate(AdmissionRequest& request) = 0;
};

}  // namespace meltemi::apiserver
