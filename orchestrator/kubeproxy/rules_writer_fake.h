// A writer that keeps what it is told, and can be made to fail.
//
// Threads: one.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/kubeproxy/rules_writer.h"

namespace meltemi::kubeproxy {

// What the test looks at: outlives the writer.
struct WrittenRules {
  std::map<kube::NamespacedName, ServiceRulesPtr> services;
  RulesOptions options;
  int replaced = 0, applied = 0;
  size_t changes = 0;  // of all Applies
  // Set by the test.
  int failures = 0;      // of the next calls
  bool removed = false;  // by somebody else
};

class RulesWriterFake final : public RulesWriter {
 public:
  explicit RulesWriterFake(WrittenRules& written) : written_(written) {}

  absl::Status Replace(const RulesOptions& options,
                       const std::vector<ServiceRulesPtr>& services) override {
    if (Fails()) return absl::InternalError("the kernel says no");
    written_.replaced++;
    written_.options = options;
    written_.services.clear();
    written_.removed = false;
    for (const ServiceRulesPtr& service : services) written_.services[service->key] = service;
    return absl::OkStatus();
  }
  absl::Status Apply(const std::vector<ServiceChange>& changes) override {
    if (Fails()) return absl::InternalError("the kernel says no");
    written_.applied++;
    written_.changes += changes.size();
    for (const ServiceChange& change : changes) {
      if (change.after != nullptr) {
        written_.services[change.after->key] = change.after;
      } else {
        written_.services.erase(change.before->key);
      }
    }
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Intact() override { return !written_.removed; }

 private:
  bool Fails() { return written_.failures > 0 && written_.failures-- > 0; }

  WrittenRules& written_;
};

}  // namespace meltemi::kubeproxy
