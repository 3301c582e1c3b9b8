// The mesh's certificate authority: signs the keys of workloads for who they have proved to be.
//
// Threads: immutable; any thread. Clock and randomness come from outside or from the TLS library.
// Source: SPIFFE X.509-SVID; Istio's citadel for lifetimes.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/tls/tls.h"

namespace meltemi::pilot {

struct Caller;

// What an authority signs with.
struct AuthorityKeys {
  tls::KeyPair signer;    // the certificate (first) and what leads from it to the root, without it
  std::string roots_pem;  // what everybody in the mesh trusts
};

struct AuthorityOptions {
  Duration lifetime =
      std::chrono::hours(24);  // of a workload's certificate unless it asks for less
  Duration lifetime_max = std::chrono::hours(24 * 90);
  // A certificate is valid from so long before now: clocks differ.
  Duration clock_skew = minutes(2);
};

class Authority {
 public:
  // Error: what is wrong with the keys (not an authority, another key, expired, unreadable).
  static absl::StatusOr<std::shared_ptr<const Authority>> New(AuthorityKeys keys,
                                                              const AuthorityOptions& options,
                                                              WallTime now);

  // The chain for a request's key: leaf, intermediates, root; one PEM each. `lifetime` zero: the
  // default; never longer than the authority's own certificate lives.
  // Errors: INVALID_ARGUMENT (the request), PERMISSION_DENIED (it asks for somebody else's name).
  absl::StatusOr<std::vector<std::string>> Sign(absl::string_view request_pem, const Caller& caller,
                                                Duration lifetime, WallTime now) const;
  // A server certificate with a key of its own, for pilot itself.
  absl::StatusOr<tls::KeyPair> ServingIdentity(const std::vector<std::string>& dns_names,
                                               const std::vector<std::string>& ip_addresses,
                                               WallTime now) const;

  const std::string& roots_pem() const { return keys_.roots_pem; }
  int64_t not_after_s() const { return not_after_s_; }

 private:
  Authority(AuthorityKeys keys, const AuthorityOptions& options, int64_t not_after_s)
      : keys_(std::move(keys)), options_(options), not_after_s_(not_after_s) {}

  const AuthorityKeys keys_;
  const AuthorityOptions options_;
  const int64_t not_after_s_;  // Unix time: of the signing certificate
};

// A new self-signed root for a mesh, valid for ten years.
absl::StatusOr<AuthorityKeys> NewSelfSignedKeys(absl::string_view trust_domain, WallTime now);

}  // namespace meltemi::pilot
