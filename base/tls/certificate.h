// Keys and X.509 certificates: made, signed, read.
//
// Threads: functions without state. Two builds, as tls.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tls/tls.h"

namespace meltemi::tls {

enum class KeyKind : uint8_t { kEcdsaP256, kRsa2048 };

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names, ip_addresses, uris;
  bool is_ca = false;
  bool server_auth = false, client_auth = false;
  int64_t not_before_s = 0, not_after_s = 0;  // Unix time
};

absl::StatusOr<std::string> NewPrivateKeyPem(KeyKind kind);
// A new key and a certificate for it, signed by `issuer`, or by itself where that is empty.
absl::StatusOr<KeyPair> NewCertificate(const CertificateRequest& request, const KeyPair& issuer,
                                       KeyKind kind = KeyKind::kEcdsaP256);

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, uris;
  int64_t not_before_s = 0, not_after_s = 0;
  bool is_ca = false;
  std::string sha256_hex;
  std::string subject, issuer;  // RFC 2253
  std::string serial_hex;       // lower case
};
absl::StatusOr<CertificateInfo> ReadCertificatePem(absl::string_view pem);
absl::StatusOr<CertificateInfo> ReadCertificateDer(absl::string_view der);

// The public half of a key, as JSON web keys show it.
struct PublicKey {
  KeyKind kind = KeyKind::kEcdsaP256;
  std::string der;                // SubjectPublicKeyInfo
  std::string modulus, exponent;  // RSA, big-endian without leading zeros
  std::string x, y;               // P-256, 32 bytes each
};
// Of a public key, a private key or a certificate. Error: no PEM, or another kind of key.
absl::StatusOr<PublicKey> ReadPublicKeyPem(absl::string_view pem);

// For tokens (JWS): RS256 for RSA keys, ES256 (r and s concatenated) for P-256.
absl::StatusOr<std::string> Sign(absl::string_view private_key_pem, absl::string_view data);
// `key_pem`: a public key, a private key or a certificate.
bool Verify(absl::string_view key_pem, absl::string_view data, absl::string_view signature);
std::string Sha256(absl::string_view data);

}  // namespace meltemi::tls
