// The life of a workload's certificate: when to ask the authority for one, what to ask, and whether
// the answer may be used. No sockets, no files, no clock.
//
//             due                Begin                     good answer
//   [waiting] ----> [due] -----------------> [asked] ---------------------> [waiting]
//       ^                                       |                 (until half of its life is over)
//       +---------------------------------------+
//          Failed, or an answer that is refused: again after a growing delay
//
// A certificate stays in use until a better one is there, whatever happens to requests.
//
// Main loop only. Sources: SPIFFE ID and X.509-SVID; Istio's agent (SECRET_TTL,
// SECRET_GRACE_PERIOD_RATIO and its jitter).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/random/random.h"
#include "base/tls/tls.h"

namespace meltemi::tls {
struct CertificateInfo;
}

namespace meltemi::proxy {

// "spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT"
std::string SpiffeId(absl::string_view trust_domain, absl::string_view namespace_,
                     absl::string_view service_account);

struct CaTimes {
  Duration validity = minutes(24 * 60);  // asked for; the authority has the last word
  double grace_ratio = 0.5;              // of the life that is left when the next one is asked for
  double grace_jitter = 0.01;
  Duration retry_first = milliseconds(250), retry_max = seconds(30);
};

class CaState {
 public:
  // `identity`: the SPIFFE ID that the certificate has to be for.
  CaState(std::string identity, const CaTimes& times = {});

  // How long until the next request is due; zero: now. Unset while one is under way. Ask again
  // after a while: the wall clock, which rotation follows, may be set.
  std::optional<Duration> DueIn(MonotonicTime now, WallTime wall_now) const;

  // A new key and the request for its certificate.
  struct Request {
    std::string csr_pem;
    int64_t validity_s = 0;
  };
  absl::StatusOr<Request> Begin();

  // The authority's answer: the leaf, intermediates, and the root last. OK: certificate() and
  // root_pem() are new. Otherwise the answer is refused, and this says why.
  absl::Status Answered(const std::vector<std::string>& chain, MonotonicTime now, WallTime wall_now,
                        Random& random);
  // There was no answer.
  void Failed(MonotonicTime now, Random& random);
  // Something has changed that may help: what failed is due at once.
  void RetryNow();

  // Null before the first answer, also when it has expired since.
  const tls::KeyPair* certificate() const { return certificate_ ? &*certificate_ : nullptr; }
  // The root of the last answer; "" when it had none.
  const std::string& root_pem() const { return root_pem_; }
  bool valid(WallTime wall_now) const { return certificate_.has_value() && wall_now < expires_; }
  WallTime expires() const { return expires_; }
  const std::string& identity() const { return identity_; }
  uint32_t failures() const { return failures_; }

 private:
  struct Parts {
    std::string chain_pem, root_pem;
    WallTime begins{}, expires{};
  };
  absl::StatusOr<Parts> Check(const std::vector<std::string>& chain, WallTime wall_now) const;
  absl::Status CheckLeaf(const tls::CertificateInfo& leaf, WallTime wall_now) const;

  const std::string identity_;
  const CaTimes times_;
  std::string pending_key_pem_;  // of the request under way
  std::optional<tls::KeyPair> certificate_;
  std::string root_pem_;
  WallTime begins_{}, expires_{};          // of certificate_
  WallTime rotate_at_{};                   // likewise
  std::optional<MonotonicTime> retry_at_;  // after a failure
  bool asked_ = false;
  uint32_t failures_ = 0;  // in a row
};

}  // namespace meltemi::proxy
