// The subscription side of one ADS stream, incremental or state of the world: what has to be asked
// for, acknowledged and refused, and when to connect again. No sockets, no clock, no protobuf.
//
// Main loop only. The driver (AdsClient) reports what happens and sends what TakeRequests returns:
//
//             OnConnected                      OnResponse
//   [down] ---------------> [asked] ----------------------------> [served] --+ OnResponse,
//     ^    requests for CDS, LDS and every name      ACK or NACK     ^       | SetNames
//     |    that is known, with the last versions                     +-------+
//     +---------------------- OnDisconnected -----------------------------+
//                         after AdsRetry::NextDelay
//
// Sources: Envoy's "xDS REST and gRPC protocol" (ACK, NACK, versions, nonces, resource hints).
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/random/random.h"
#include "proxy/config/xds/resource_type.h"

namespace meltemi::proxy {

// Which of the two protocols a stream speaks.
enum class XdsProtocol : uint8_t { kStateOfTheWorld, kDelta };

// One DiscoveryRequest, or DeltaDiscoveryRequest.
struct AdsRequest {
  std::string type_url;
  std::string version;             // the last one accepted; "" when none
  std::string nonce;               // of the response that this answers; "" on a new stream
  std::vector<std::string> names;  // sorted; empty: all (wildcards), or none any more
  std::string error;               // not empty: a NACK, with this reason
  bool with_node = false;          // the first request of a stream says who we are
  // Incremental alone: `names` are subscribed to, these given up; the first request of a type also
  // says what we have (initial_resource_versions), which the Intake knows.
  std::vector<std::string> unsubscribe;
  bool with_versions = false;
};

// A resource that was refused. `name` may be "" when it could not even be parsed.
struct Rejection {
  std::string name;
  std::string reason;
};

// "2 of 3 resources rejected: cluster a: why; cluster b: why", bounded in length.
std::string RejectionText(ResourceType type, size_t resources,
                          const std::vector<Rejection>& rejections);

struct AdsBackoff {
  Duration first = milliseconds(250);
  Duration max = seconds(15);
};

// How long to wait before the next connection: doubles from `first` to `max` with each failure in a
// row, and lies between half of that and all of it.
class AdsRetry {
 public:
  explicit AdsRetry(const AdsBackoff& backoff = {}) : backoff_(backoff) {}
  Duration NextDelay(Random& random);
  // A response ends the row.
  void Succeeded() { failures_ = 0; }

 private:
  const AdsBackoff backoff_;
  uint32_t failures_ = 0;
};

class AdsState {
 public:
  // Whether clusters (listeners) come over this stream: they do unless switched off before the
  // first connection. Endpoints and routes follow their names.
  void SetEnabled(ResourceType type, bool enabled) { Of(type).enabled = enabled; }
  bool enabled(ResourceType type) const { return Of(type).enabled; }
  // Before the first connection; state of the world if never set.
  void SetProtocol(XdsProtocol protocol) { protocol_ = protocol; }
  XdsProtocol protocol() const { return protocol_; }

  void OnConnected();
  void OnDisconnected();
  bool connected() const { return connected_; }
  // A response was looked at. With no rejections it is acknowledged and `version` becomes the
  // version of its type; otherwise it is refused with all reasons, and the old version stays,
  // although the good resources of the response have been applied.
  void OnResponse(ResourceType type, const std::string& version, const std::string& nonce,
                  size_t resources, const std::vector<Rejection>& rejections);
  // A response of a type that was not asked for on this stream: refused, not subscribed to.
  void OnUnknownType(const std::string& type_url, const std::string& nonce);
  // What to subscribe to from now on (EDS, RDS and SDS). The same names again: no request.
  void SetNames(ResourceType type, std::set<std::string> names);

  // The requests to send, in order; empties the queue. None while not connected.
  std::vector<AdsRequest> TakeRequests();

  // True once something of this type was asked for on this stream.
  bool asked(ResourceType type) const { return connected_ && Of(type).asked; }
  const std::string& version(ResourceType type) const { return Of(type).version; }
  const std::string& last_error(ResourceType type) const { return Of(type).last_error; }
  // True once a response of this type was accepted, in whole or in part, on any stream.
  bool received(ResourceType type) const { return Of(type).received; }

 private:
  struct Subscription {
    std::set<std::string> names;
    std::set<std::string> told;  // of these, what this stream has subscribed to; incremental alone
    std::string version;         // last accepted
    std::string nonce;           // of the last response on this stream
    std::string last_error;      // of the last response; "" when it was accepted
    bool enabled = true;         // wildcards
    bool asked = false;          // on this stream
    bool received = false;
  };
  Subscription& Of(ResourceType type) { return subscriptions_[IndexOf(type)]; }
  const Subscription& Of(ResourceType type) const { return subscriptions_[IndexOf(type)]; }
  void Ask(ResourceType type, std::string error);
  AdsRequest& NewRequest(ResourceType type, std::string error);
  // Subscribes to what is new and gives up what is not wanted any more.
  void AskForDifference(ResourceType type);

  std::array<Subscription, kResourceTypes> subscriptions_;
  std::vector<AdsRequest> requests_;
  XdsProtocol protocol_ = XdsProtocol::kStateOfTheWorld;
  bool connected_ = false;
  bool node_sent_ = false;
};

}  // namespace meltemi::proxy
