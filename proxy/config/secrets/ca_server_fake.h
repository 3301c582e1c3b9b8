// A certificate authority for tests over TLS and real sockets: it hears every request and answers
// as the test tells it to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/grpc/framing.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "security/v1alpha1/ca.pb.h"

namespace meltemi::proxy {

// Loop-owned.
class FakeCaServer {
 public:
  struct Request {
    std::string csr_pem, authorization, cluster_id, path;
    int64_t validity_s = 0;
  };
  struct Reply {
    std::vector<std::string> chain;
    std::string code = "0", message;  // grpc-status
    std::string raw;                  // instead of a message with `chain`
    bool hang = false;
  };

  // `context`: the server's, with ALPN h2. Port 0: the kernel chooses.
  FakeCaServer(Loop& loop, std::shared_ptr<const tls::Context> context, uint16_t port = 0)
      : context_(std::move(context)) {
    events_.on_new = [this](http::RecordingServerEvents::Exchange& exchange) {
      exchange.receiver.on_data = [this, &exchange] {
        if (exchange.receiver.ended) OnRequest(exchange);
      };
    };
    server_ = std::make_unique<http::TestServer>(
        loop, net::Address::Loopback4(port), http::Protocol::kHttp2, events_, http::Http1Limits(),
        http::Http2Limits(), [this, &loop](int fd, const net::Address& remote) {
          return tls::NewServerConnection(loop, fd, remote, net::ConnectionLimits(), context_);
        });
  }

  uint16_t port() const { return server_->address().port(); }

  std::function<Reply(const Request&)> answer;
  std::vector<Request> requests;

 private:
  void OnRequest(http::RecordingServerEvents::Exchange& exchange) {
    Request request;
    const http::HeaderMap& headers = *exchange.receiver.headers;
    request.path = std::string(headers.path());
    request.authorization = std::string(headers.Get("authorization"));
    request.cluster_id = std::string(headers.Get("clusterid"));
    http::grpc::MessageReader reader(1 << 20);
    Buffer bytes(exchange.receiver.body);
    reader.Append(bytes);
    Buffer message;
    istio::v1::auth::IstioCertificateRequest parsed;
    const auto got = reader.Next(&message);
    if (got.ok() && *got) parsed.ParseFromString(message.ToString());
    request.csr_pem = parsed.csr();
    request.validity_s = parsed.validity_duration();
    requests.push_back(request);
    const Reply reply = answer(request);
    if (!reply.hang) Send(*exchange.stream, reply);
  }

  static void Send(http::Stream& stream, const Reply& reply) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(200);
    headers->Add(http::HeaderId::kContentType, "application/grpc");
    stream.SendHeaders(*headers, false);
    if (reply.code == "0") {
      istio::v1::auth::IstioCertificateResponse response;
      for (const std::string& pem : reply.chain) response.add_cert_chain(pem);
      Buffer bytes;
      http::grpc::AppendMessage(reply.raw.empty() ? response.SerializeAsString() : reply.raw,
                                &bytes);
      stream.SendData(bytes, false);
    }
    http::HeaderMapPtr trailers = http::HeaderMap::New();
    trailers->Add(http::HeaderId::kGrpcStatus, reply.code);
    trailers->Add(http::HeaderId::kGrpcMessage, reply.message);
    stream.SendTrailers(*trailers);
  }

  const std::shared_ptr<const tls::Context> context_;
  http::RecordingServerEvents events_;
  std::unique_ptr<http::TestServer> server_;
};

}  // namespace meltemi::proxy
