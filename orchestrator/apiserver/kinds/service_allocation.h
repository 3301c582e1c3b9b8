// Cluster addresses and node ports of services: given out when a service is written, free again
// when it is gone.
//
// What is taken is read off the services themselves, as the watch cache shows them. What has been
// given to a write under way is reserved until the service shows it, or until the write must have
// failed. So there is nothing to repair after a crash, and nothing leaks. Two API servers on one
// store don't know of each other's reservations: what they may have given twice is found and told
// (Troubles).
//
// Threads: thread-safe. Source: pkg/registry/core/service/{storage,ipallocator,portallocator} of
// Kubernetes 1.32, for IPv4 alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "base/random/random.h"
#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/admission/admission.h"

namespace meltemi::apiserver {

class WatchCache;

struct ServiceRanges {
  std::string cluster_ip_cidr = "10.96.0.0/12";
  int node_port_first = 30000, node_port_last = 32767;
};

class ServiceAllocation final : public AdmissionPlugin {
 public:
  // Error: InvalidArgument, what is wrong with the ranges. `clock` outlives the plugin.
  static absl::StatusOr<std::unique_ptr<ServiceAllocation>> Create(const ServiceRanges& ranges,
                                                                   const Clock& clock,
                                                                   std::unique_ptr<Random> random);
  // Learns of services from `cache`, which this object outlives.
  void Follow(WatchCache& cache);

  absl::string_view name() const override { return "ServiceAllocation"; }
  // Creates and updates of services: fills in clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy,
  // nodePort and healthCheckNodePort where they are wanted. Comes before the strategy's validation:
  // what is malformed is left to that. Error: Invalid, in Kubernetes' words.
  kube::Outcome Mutate(AdmissionRequest& request) override;

  // What Follow calls: the service is as it is now; or gone.
  void OnService(const json::Value& service);
  void OnServiceGone(const kube::NamespacedName& service);

  // The first address of the range: that of the service "kubernetes".
  std::string FirstIp() const;

  // What is wrong with what services hold: an address or port that several have (told of all but
  // the first by name), or that is not within the range (any more). Kubernetes' reasons and words.
  struct Trouble {
    kube::NamespacedName service;
    bool of_port = false;
    std::string reason, message;
  };
  std::vector<Trouble> Troubles();

 private:
  struct Held {
    std::set<uint32_t> ips;
    std::set<int64_t> ports;
  };
  struct Reservation {
    Held held;
    MonotonicTime expires;
  };
  // One request's work: errors, and what it has taken.
  struct Attempt;

  ServiceAllocation(const ServiceRanges& ranges, uint32_t ip_base, uint32_t ip_count,
                    const Clock& clock, std::unique_ptr<Random> random);

  // Waits until the services that are there at the start are known: else what one of them has might
  // be given to another.
  kube::Outcome WaitForServices();
  // With mutex_ held.
  void ForgetLocked(const kube::NamespacedName& service);
  bool IpTakenLocked(uint32_t ip, const Attempt& attempt) const;
  bool PortTakenLocked(int64_t port, const Attempt& attempt) const;
  std::optional<uint32_t> FreeIpLocked(const Attempt& attempt);
  std::optional<int64_t> FreePortLocked(const Attempt& attempt);
  void FillFamiliesLocked(Attempt& attempt);
  void FillIpLocked(Attempt& attempt);
  void FillPortsLocked(Attempt& attempt);
  void TakePortLocked(int64_t port, const kube::FieldPath& path, Attempt& attempt);

  const ServiceRanges ranges_;
  const uint32_t ip_base_, ip_count_;  // the network's own address is not among those given out
  const Clock& clock_;
  WatchCache* cache_ = nullptr;  // set by Follow
  std::atomic<bool> services_known_{true};

  std::mutex mutex_;
  // Guarded by mutex_.
  std::unique_ptr<Random> random_;
  std::map<kube::NamespacedName, Held> services_;
  // More than one owner is a trouble.
  std::map<uint32_t, std::set<kube::NamespacedName>> ip_owners_;
  std::map<int64_t, std::set<kube::NamespacedName>> port_owners_;
  std::map<kube::NamespacedName, Reservation> reservations_;
  uint64_t nameless_count_ = 0;
};

}  // namespace meltemi::apiserver
