// One client's ADS stream, state of the world, without IO: requests and snapshots go in, responses
// come out. What both protocols share is in session_core.h. Loop-owned.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock/clock.h"
#include "pilot/push/session_core.h"

namespace envoy::service::discovery::v3 {
class DiscoveryRequest;
}

namespace meltemi::pilot {

class Session {
 public:
  using Options = SessionOptions;
  using Event = SessionEvent;

  // `source` is the client's view of the current snapshot; it and `work` (null: the session's own)
  // must outlive the session.
  Session(ResourceSource* source, Options options, SharedWork* work = nullptr);
  ~Session();

  Event OnRequest(const envoy::service::discovery::v3::DiscoveryRequest& request);
  // The source now shows another snapshot.
  void OnSnapshot(uint64_t version) { core_.OnSnapshot(version); }
  // The next response to write, if one is due. Call again after each write, request and snapshot,
  // and at WakeAt().
  std::optional<Response> Next(MonotonicTime now) { return core_.Next(now); }
  // When to call Next though nothing happens; none if nothing waits for time.
  std::optional<MonotonicTime> WakeAt(MonotonicTime now) const { return core_.WakeAt(now); }
  TypeStatus Status(XdsType type) const { return core_.Status(type); }
  // True when everything that was asked for is sent and settled.
  bool Settled() { return core_.Settled(); }
  SessionCore& core() { return core_; }

 private:
  void TakeNames(const envoy::service::discovery::v3::DiscoveryRequest& request, XdsType type);

  const std::unique_ptr<SharedWork> own_work_;
  SessionCore core_;
};

}  // namespace meltemi::pilot
