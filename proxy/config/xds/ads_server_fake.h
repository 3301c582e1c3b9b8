// A control plane for tests, over the real gRPC framing and real sockets: it hears every request
// and says what the test tells it to say.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/http/codec_fake.h"
#include "base/http/server/test_server.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "proxy/config/xds/resource_type.h"

namespace meltemi::proxy {

// Loop-owned.
class FakeAdsServer {
 public:
  // Port 0: the kernel chooses. A later server can take the port of an earlier one. `wrap`: for
  // TLS.
  explicit FakeAdsServer(Loop& loop, uint16_t port = 0, http::TestServer::Wrap wrap = nullptr)
      : server_(std::make_unique<http::TestServer>(
            loop, net::Address::Loopback4(port), http::Protocol::kHttp2, events_,
            http::Http1Limits(), http::Http2Limits(), std::move(wrap))) {
    events_.on_new = [this](http::RecordingServerEvents::Exchange& exchange) {
      exchange.receiver.on_headers = [this, &exchange] {
        authorizations.emplace_back(exchange.receiver.headers->Get("authorization"));
        http::HeaderMapPtr headers = http::HeaderMap::New();
        headers->set_status(200);
        headers->Add(http::HeaderId::kContentType, "application/grpc");
        exchange.stream->SendHeaders(*headers, false);
        if (!token.empty() && authorizations.back() != "Bearer " + token) EndStream("16");
      };
      exchange.receiver.on_data = [this, &exchange] {
        Buffer bytes(exchange.receiver.body);
        exchange.receiver.body.clear();
        reader_->Append(bytes);
        Buffer message;
        for (auto next = reader_->Next(&message); next.ok() && *next;
             next = reader_->Next(&message)) {
          requests.emplace_back();
          requests.back().ParseFromString(message.ToString());
        }
      };
      reader_.emplace(1 << 20);
      ++streams;
    };
  }

  const net::Address& address() const { return server_->address(); }
  bool has_stream() const {
    return !events_.exchanges.empty() && !events_.exchanges.back()->finished;
  }

  void SendRaw(const std::string& message) {
    Buffer bytes;
    http::grpc::AppendMessage(message, &bytes);
    events_.last().stream->SendData(bytes, false);
  }
  template <typename T>
  void Serve(ResourceType type, const std::string& version, const std::vector<T>& resources) {
    envoy::service::discovery::v3::DiscoveryResponse response;
    response.set_type_url(std::string(TypeUrl(type)));
    response.set_version_info(version);
    response.set_nonce(absl::StrCat("nonce-", ++nonce_));
    for (const T& resource : resources) response.add_resources()->PackFrom(resource);
    SendRaw(response.SerializeAsString());
  }
  // Ends the current stream with a gRPC status.
  void EndStream(const std::string& code) {
    http::HeaderMapPtr trailers = http::HeaderMap::New();
    trailers->Add(http::HeaderId::kGrpcStatus, code);
    events_.last().stream->SendTrailers(*trailers);
  }
  // The first request of `type` that has not been taken yet; unset when there is none.
  std::optional<envoy::service::discovery::v3::DiscoveryRequest> Take(ResourceType type) {
    for (auto it = requests.begin(); it != requests.end(); ++it) {
      if (it->type_url() != TypeUrl(type)) continue;
      auto request = std::move(*it);
      requests.erase(it);
      return request;
    }
    return std::nullopt;
  }

  std::deque<envoy::service::discovery::v3::DiscoveryRequest> requests;
  int streams = 0;
  std::string token;                        // not empty: streams with another one are ended
  std::vector<std::string> authorizations;  // of each stream

 private:
  http::RecordingServerEvents events_;
  std::optional<http::grpc::MessageReader> reader_;
  std::unique_ptr<http::TestServer> server_;
  int nonce_ = 0;
};

}  // namespace meltemi::proxy
