// Keeps the records as the API server's Services, EndpointSlices and Namespaces are.
//
// Threads: made before the informers start and destroyed after they have stopped; its handlers run
// on the informers' threads.
#pragma once

#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "kube/informer/informer.h"
#include "orchestrator/dns/records/records.h"

namespace meltemi::dns {

class ClusterSource {
 public:
  // Both outlive it.
  ClusterSource(kube::Informers& informers, Records& records);
  ClusterSource(const ClusterSource&) = delete;
  ClusterSource& operator=(const ClusterSource&) = delete;

 private:
  void Refresh(absl::string_view ns, absl::string_view name);

  kube::Informer& services_;
  kube::Informer& slices_;
  kube::Informer& namespaces_;
  Records& records_;
  // Handlers of different kinds meet: what is read is what is set, one after the other.
  std::mutex mutex_;
};

}  // namespace meltemi::dns
