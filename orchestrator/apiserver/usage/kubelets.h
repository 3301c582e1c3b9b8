// Asks kubelets for their statistics, when somebody wants to know; an answer serves everybody for a
// while.
//
// Threads: thread-safe; Ask blocks.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/https_client/https_client.h"
#include "orchestrator/apiserver/usage/summary.h"

namespace meltemi::apiserver {

struct KubeletAddress {
  std::string node;  // its name
  std::string host;  // "10.0.0.5"
  uint16_t port = 10250;
};

struct KubeletsOptions {
  Duration fresh_for = seconds(10);
  Duration timeout = seconds(5);  // of one kubelet
  size_t calls_max = 64;          // at the same time, of one Ask
  size_t nodes_max = 20'000;      // answers that are kept
};

class Kubelets {
 public:
  // Both outlive it. The client shows the API server's certificate for kubelets.
  Kubelets(HttpsClient& client, const Clock& clock, const KubeletsOptions& options = {})
      : client_(client), clock_(clock), options_(options) {}

  // By the nodes' names; those that did not answer are missing (and logged).
  std::map<std::string, std::shared_ptr<const NodeUsage>> Ask(
      const std::vector<KubeletAddress>& kubelets);

 private:
  struct Entry {
    std::shared_ptr<const NodeUsage> usage;  // null: it did not answer
    MonotonicTime until;
    bool asking = false;
  };

  // Those that this call has to ask: nobody else does at the moment, and what is known is too old.
  std::vector<KubeletAddress> Claim(const std::vector<KubeletAddress>& kubelets);
  void AskAll(const std::vector<KubeletAddress>& kubelets);
  void Keep(const KubeletAddress& kubelet, const absl::StatusOr<HttpsResponse>& answer);
  void MakeRoom();

  HttpsClient& client_;
  const Clock& clock_;
  const KubeletsOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> entries_;  // guarded by mutex_; by node
};

}  // namespace meltemi::apiserver
