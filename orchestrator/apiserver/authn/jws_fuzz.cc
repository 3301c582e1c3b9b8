// No text that is sent as a bearer token does harm, and none that this key has not signed gets in.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/clock/clock_fake.h"
#include "base/tls/certificate.h"
#include "orchestrator/apiserver/authn/chain.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"

namespace {

using meltemi::apiserver::Authenticator;
using meltemi::apiserver::AuthenticatorOptions;

struct World {
  World() {
    AuthenticatorOptions options;
    options.issuers = {"https://kubernetes.default.svc.cluster.local"};
    options.keys = *meltemi::apiserver::NewSigningKeys(
        *meltemi::tls::NewPrivateKeyPem(meltemi::tls::KeyKind::kEcdsaP256));
    chain = *meltemi::apiserver::NewTokenAuthenticatorChain(options, clock, cache);
  }
  meltemi::FakeClock clock;
  meltemi::apiserver::ObjectCacheFake cache;
  std::unique_ptr<Authenticator> chain;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* const world = new World;
  meltemi::apiserver::Credentials credentials;
  credentials.bearer_token.assign(reinterpret_cast<const char*>(data), size);
  const auto result = world->chain->Authenticate(credentials);
  if (result.ok() && result->has_value()) abort();
  (void)meltemi::apiserver::BearerToken(credentials.bearer_token);
  (void)meltemi::apiserver::NewTokenFileAuthenticator(credentials.bearer_token, "file");
  return 0;
}
