// One webhook of a configuration, compiled; and the index of all of them, which follows the watch
// cache.
//
// Threads: a Hook is immutable; the index is thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json/value.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct HookRule {
  std::vector<std::string> operations, groups, versions, resources;
  std::string scope;  // "*" "Cluster" "Namespaced"
};

struct Hook {
  std::string id;  // of the hook within all configurations of its kind
  std::string name;
  std::vector<HookRule> rules;
  kube::LabelSelector namespace_selector, object_selector;
  std::string selector_error;  // what is wrong with one of them
  bool equivalent = true;      // matchPolicy
  bool ignores_failure = false;
  bool reinvoked_if_needed = false;
  bool dry_run_safe = false;
  int64_t timeout_seconds = 10;
  std::vector<std::string> review_versions;
  // clientConfig: `url`, or the service.
  std::string url, service_ns, service_name, service_path, ca_pem;
  uint16_t service_port = 443;
};
using HookPtr = std::shared_ptr<const Hook>;
using HookList = std::vector<HookPtr>;

// The hooks of one webhook configuration, in its order.
HookList HooksOf(const json::Value& configuration);

class HookIndex {
 public:
  // `resource`: "mutatingwebhookconfigurations" or "validatingwebhookconfigurations".
  HookIndex(WatchCache& cache, const std::string& resource);
  // By the names of the configurations.
  std::shared_ptr<const HookList> current() const;

 private:
  // Shared with the cache's observer.
  struct State {
    std::mutex mutex;
    // Guarded by mutex.
    std::map<std::string, HookList> by_configuration;
    std::shared_ptr<const HookList> all = std::make_shared<const HookList>();
  };
  static void OnEvent(State& state, const CacheEvent& event);

  const std::shared_ptr<State> state_;
};

}  // namespace meltemi::apiserver
