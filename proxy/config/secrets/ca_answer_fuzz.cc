// Any bytes as the authority's answer: refused or taken, never a crash, and never a certificate
// that is for another key.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock/clock_fake.h"
#include "base/log/log.h"
#include "base/random/random.h"
#include "base/tls/signing_request.h"
#include "proxy/config/secrets/ca_state.h"
#include "security/v1alpha1/ca.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi;
  static FakeClock& clock = *new FakeClock();
  static FastRandom& random = *new FastRandom(1);
  proxy::CaState state("spiffe://cluster.local/ns/shop/sa/web");
  const auto request = state.Begin();
  if (!request.ok()) return 0;
  // As it comes from the wire, or the texts themselves.
  istio::v1::auth::IstioCertificateResponse response;
  std::vector<std::string> chain;
  if (response.ParseFromArray(data, static_cast<int>(size))) {
    chain.assign(response.cert_chain().begin(), response.cert_chain().end());
  } else {
    chain.emplace_back(reinterpret_cast<const char*>(data), size);
  }
  const absl::Status status = state.Answered(chain, clock.Now(), clock.WallNow(), random);
  CHECK(status.ok() == (state.certificate() != nullptr));
  if (status.ok()) {
    CHECK(tls::IsCertificateOf(state.certificate()->certificate_chain_pem,
                               state.certificate()->private_key_pem));
  }
  return 0;
}
