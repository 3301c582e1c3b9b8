// A peer's certificate is a peer's own words: reading it must not end us, and what is read must be
// what it says.
#include <cstddef>
#include <cstdint>

#include "base/log/log.h"
#include "base/tls/certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto der = meltemi::tls::ReadCertificateDer(bytes);
  if (der.ok()) {
    CHECK(der->sha256_hex.size() == 64);
    // Reading twice gives the same.
    const auto again = meltemi::tls::ReadCertificateDer(bytes);
    CHECK(again.ok() && again->subject == der->subject && again->uris == der->uris);
  }
  (void)meltemi::tls::ReadCertificatePem(bytes);
  return 0;
}
