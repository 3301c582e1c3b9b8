#include "test/perf/mtls/secret_server.h"

#include <sys/stat.h>

#include <ctime>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/grpc/framing.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/tls/certificate.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::bench {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using Exchange = http::RecordingServerEvents::Exchange;

constexpr size_t kMessageBytesMax = 1 << 20;

std::map<std::string, Secret> SecretsOf(const Identity& identity) {
  std::map<std::string, Secret> secrets;
  Secret& own = secrets["default"];
  own.set_name("default");
  auto& pair = *own.mutable_tls_certificate();
  pair.mutable_certificate_chain()->set_inline_bytes(identity.workload.certificate_chain_pem);
  pair.mutable_private_key()->set_inline_bytes(identity.workload.private_key_pem);
  Secret& roots = secrets["ROOTCA"];
  roots.set_name("ROOTCA");
  roots.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(identity.roots_pem);
  return secrets;
}

// Each name that is asked for is answered once; what follows are acknowledgements.
void Answer(const std::map<std::string, Secret>& secrets, const DiscoveryRequest& request,
            http::Stream& stream) {
  if (!request.response_nonce().empty()) return;
  DiscoveryResponse response;
  response.set_version_info("1");
  response.set_nonce("1");
  response.set_type_url(request.type_url());
  for (const std::string& name : request.resource_names()) {
    const auto found = secrets.find(name);
    if (found != secrets.end()) response.add_resources()->PackFrom(found->second);
  }
  Buffer bytes;
  http::grpc::AppendMessage(response.SerializeAsString(), &bytes);
  stream.SendData(bytes, false);
}

void Begin(const std::map<std::string, Secret>& secrets, Exchange& exchange) {
  const auto reader = std::make_shared<http::grpc::MessageReader>(kMessageBytesMax);
  exchange.receiver.on_headers = [&exchange] {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(200);
    headers->Add(http::HeaderId::kContentType, "application/grpc");
    exchange.stream->SendHeaders(*headers, false);
  };
  exchange.receiver.on_data = [&secrets, &exchange, reader] {
    Buffer bytes(exchange.receiver.body);
    exchange.receiver.body.clear();
    reader->Append(bytes);
    Buffer message;
    for (auto next = reader->Next(&message); next.ok() && *next; next = reader->Next(&message)) {
      DiscoveryRequest request;
      if (request.ParseFromString(message.ToString())) Answer(secrets, request, *exchange.stream);
    }
  };
}

}  // namespace

Identity NewIdentity(const std::string& spiffe) {
  const int64_t now_s = std::time(nullptr), day_s = 86'400;
  const tls::KeyPair root = *tls::NewCertificate({.common_name = "root",
                                                  .is_ca = true,
                                                  .not_before_s = now_s - 60,
                                                  .not_after_s = now_s + day_s},
                                                 {});
  const tls::KeyPair workload = *tls::NewCertificate({.uris = {spiffe},
                                                      .server_auth = true,
                                                      .client_auth = true,
                                                      .not_before_s = now_s - 60,
                                                      .not_after_s = now_s + day_s},
                                                     root);
  return {workload, root.certificate_chain_pem};
}

SecretServer::SecretServer(const std::string& path, const Identity& identity) {
  std::promise<void> listening;
  thread_ = std::thread([this, &listening, path, identity] {
    const std::unique_ptr<Loop> loop = NewEventLoop(clock_);
    const std::map<std::string, Secret> secrets = SecretsOf(identity);
    http::RecordingServerEvents events;
    events.on_new = [&secrets](Exchange& exchange) { Begin(secrets, exchange); };
    {
      http::TestServer server(*loop, *net::Address::Parse("unix:" + path), http::Protocol::kHttp2,
                              events);
      chmod(path.c_str(), 0777);
      loop_ = loop.get();
      listening.set_value();
      loop->Run();
    }
    loop->RunOnce(Duration::zero());  // what was deferred
  });
  listening.get_future().wait();
}

SecretServer::~SecretServer() {
  loop_->Exit();
  thread_.join();
}

}  // namespace meltemi::bench
