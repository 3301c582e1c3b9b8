// From a message to its answer: the cluster's names at once, others from upstream when they come.
//
// Loop-owned, but for SetReady, which is thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "orchestrator/dns/forward/forwarder.h"
#include "orchestrator/dns/records/records.h"
#include "orchestrator/dns/wire/message.h"

namespace meltemi::dns {

enum class Transport : uint8_t { kUdp, kTcp };

// Where an answer goes that is not there yet.
using Reply = std::function<void(absl::string_view message)>;

class Answerer final {
 public:
  // All outlive it; `metrics` may be null. `server` and `zone` (the cluster's): as metrics call
  // them.
  Answerer(const Clock& clock, const Records& records, Forwarder& forwarder,
           metrics::Scope* metrics, std::string server, std::string zone);

  // Names of the cluster are known from now on.
  void SetReady() { ready_ = true; }

  // The answer to a message, written into `out`, which has room for kMessageBytesMax over TCP and
  // kUdpBytesMax over UDP. Empty: there is none, or it comes later through `reply`, which is asked
  // for then and called at most once, later.
  absl::string_view Answer(absl::string_view message, Transport transport, char* out,
                           absl::FunctionRef<Reply()> reply);

 private:
  enum Zone : uint8_t { kCluster, kOther };
  struct Asked {
    Query query;
    Transport transport;
    Zone zone = kOther;
    MonotonicTime began;
    size_t bytes_max() const {
      return transport == Transport::kTcp ? kMessageBytesMax : query.udp_bytes_max;
    }
  };

  absl::string_view Refuse(const Asked& asked, uint8_t rcode, char* out);
  absl::string_view AnswerElsewhere(const Asked& asked, char* out,
                                    absl::FunctionRef<Reply()> reply);
  absl::string_view AnswerExternal(const Asked& asked, const Name& external, char* out,
                                   absl::FunctionRef<Reply()> reply);
  // The alias from the cluster, what upstream says of its target behind it.
  absl::string_view WriteExternal(const Asked& asked, const UpstreamAnswer& target, char* out);
  void CountRequest(const Asked& asked);
  absl::string_view Counted(const Asked& asked, absl::string_view answer);

  const Clock& clock_;
  const Records& records_;
  Forwarder& forwarder_;
  metrics::Scope* const metrics_;
  const std::string server_;
  const std::array<std::string, 2> zones_;  // by Zone
  std::atomic<bool> ready_{false};
  Asked asked_;  // kept for its memory
  // By zone, transport and type's text; by zone and code.
  std::map<std::tuple<Zone, Transport, absl::string_view>, metrics::Counter*> requests_;
  std::map<std::pair<Zone, uint8_t>, metrics::Counter*> responses_;
  std::array<metrics::Histogram*, 2> durations_{};
  metrics::Counter* hits_[2] = {};
  metrics::Counter* misses_ = nullptr;
};

}  // namespace meltemi::dns
