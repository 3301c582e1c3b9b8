// Any TLS context is compiled or refused with a message, on both sides.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/log/log.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "proxy/config/compile/transport_socket.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/transport/tls_socket.h"

namespace {

namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;

template <typename Context>
bool Read(const std::string& text, envoy::config::core::v3::TransportSocket* socket) {
  google::protobuf::TextFormat::Parser parser;
  parser.AllowPartialMessage(true);
  parser.SetRecursionLimit(32);
  struct Silent final : google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string&) override {}
  } silent;
  parser.RecordErrorsTo(&silent);
  Context context;
  if (!parser.ParseFromString(text, &context)) return false;
  socket->set_name("envoy.transport_sockets.tls");
  socket->mutable_typed_config()->PackFrom(context);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  // Files of the machine are not for fuzzing.
  if (text.find("filename") != std::string::npos) return 0;
  meltemi::proxy::SecretStoreFake secrets;
  meltemi::proxy::TlsSockets sockets(secrets);
  envoy::config::core::v3::TransportSocket socket;
  if (Read<tls_v3::UpstreamTlsContext>(text, &socket)) {
    const auto compiled = meltemi::proxy::CompileUpstreamSocket(socket, "x", &sockets);
    CHECK(compiled.ok() ? *compiled != nullptr : !compiled.status().message().empty());
  }
  if (Read<tls_v3::DownstreamTlsContext>(text, &socket)) {
    const auto compiled = meltemi::proxy::CompileDownstreamSocket(socket, "x", &sockets);
    CHECK(compiled.ok() ? *compiled != nullptr : !compiled.status().message().empty());
  }
  return 0;
}
