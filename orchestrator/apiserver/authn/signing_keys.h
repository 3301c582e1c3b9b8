// The keys of service account tokens: one that signs, any number that are accepted; and JWS, the
// form that signed claims have.
//
// Threads: immutable. Source: RFC 7515 (JWS), RFC 7517 (JWK).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::apiserver {

// A JWS in compact form, taken apart; nothing is verified yet.
struct CompactJws {
  std::string algorithm, key_id;  // of the header
  json::Value payload;            // an object
  std::string signed_part;        // "HEADER.PAYLOAD" as sent
  std::string signature;
};
// Error: what is wrong with it. At most 64 KiB.
absl::StatusOr<CompactJws> ParseCompactJws(absl::string_view token);

class SigningKeys {
 public:
  virtual ~SigningKeys() = default;
  // "HEADER.PAYLOAD.SIGNATURE" by the signing key.
  virtual absl::StatusOr<std::string> Sign(absl::string_view payload_json) const = 0;
  // By the key of that id, or by any when the token names none; the algorithm has to be the key's.
  virtual absl::Status Verify(const CompactJws& jws) const = 0;
  // {"keys":[…]} with the public halves.
  virtual std::string KeySetJson() const = 0;
  // "RS256", "ES256": sorted.
  virtual std::vector<std::string> Algorithms() const = 0;
};

// PEM, private keys; `more_pems` also public keys or certificates: verified, never signed with.
absl::StatusOr<std::shared_ptr<const SigningKeys>> NewSigningKeys(
    absl::string_view signing_key_pem, const std::vector<std::string>& more_pems = {});

}  // namespace meltemi::apiserver
