// One client's ADS stream, incremental, without IO: requests say what is subscribed to and given
// up, responses carry what is new and name what is gone. What both protocols share is in
// session_core.h. Loop-owned.
//
// Sources: Envoy's "xDS REST and gRPC protocol", "Incremental xDS"; discovery.proto.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock/clock.h"
#include "pilot/push/session_core.h"

namespace envoy::service::discovery::v3 {
class DeltaDiscoveryRequest;
}

namespace meltemi::pilot {

class DeltaSession {
 public:
  // As Session's.
  DeltaSession(ResourceSource* source, SessionOptions options, SharedWork* work = nullptr);
  ~DeltaSession();

  // A first request of a type without names, or one for "*", asks for all there are (clusters,
  // listeners). Versions that the client brings along (initial_resource_versions) are not sent
  // again. A request without a nonce subscribes and answers nothing.
  SessionEvent OnRequest(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request);
  // As Session's.
  void OnSnapshot(uint64_t version) { core_.OnSnapshot(version); }
  std::optional<Response> Next(MonotonicTime now) { return core_.Next(now); }
  std::optional<MonotonicTime> WakeAt(MonotonicTime now) const { return core_.WakeAt(now); }
  TypeStatus Status(XdsType type) const { return core_.Status(type); }
  bool Settled() { return core_.Settled(); }
  SessionCore& core() { return core_; }

 private:
  void Begin(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request, XdsType type);
  SessionEvent TakeNames(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request,
                         XdsType type);

  const std::unique_ptr<SharedWork> own_work_;
  SessionCore core_;
};

}  // namespace meltemi::pilot
