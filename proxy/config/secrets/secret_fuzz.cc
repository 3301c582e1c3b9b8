// Any bytes as a secret of the xDS stream: an error or a secret that can be used, never a crash.
#include <cstddef>
#include <cstdint>

#include "base/clock/clock_fake.h"
#include "base/log/log.h"
#include "base/loop/loop_fake.h"
#include "base/tls/tls.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "proxy/config/secrets/secret_loader.h"
#include "proxy/config/secrets/secrets.h"

namespace {

void WithoutFile(envoy::config::core::v3::DataSource* source) {
  if (source->has_filename()) source->clear_filename();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi;
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  if (!secret.ParseFromArray(data, static_cast<int>(size))) return 0;
  // No files of the machine that fuzzes.
  if (secret.has_tls_certificate()) {
    WithoutFile(secret.mutable_tls_certificate()->mutable_certificate_chain());
    WithoutFile(secret.mutable_tls_certificate()->mutable_private_key());
  }
  if (secret.has_validation_context()) {
    WithoutFile(secret.mutable_validation_context()->mutable_trusted_ca());
  }
  FakeClock clock;
  FakeLoop loop(clock);
  proxy::FileWatcher watcher(loop);
  proxy::Secrets secrets(clock);
  proxy::SecretLoader loader(watcher, secrets);
  const absl::Status status = loader.Set(secret, "v1");
  if (status.ok()) {
    CHECK(secrets.Certificate(secret.name()) != nullptr || secrets.Roots(secret.name()) != nullptr);
  }
  return 0;
}
