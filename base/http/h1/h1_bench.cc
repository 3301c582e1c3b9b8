// How long one exchange takes in the codecs alone: parse and write, on both sides of a proxy.

#include <string>

#include "base/http/codec_fake.h"
#include "benchmark/benchmark.h"

namespace meltemi::http {
namespace {

// About 300 bytes, as a browser or a service behind an ingress sends it.
constexpr char kRequest[] =
    "GET /api/v1/products/1234?locale=en HTTP/1.1\r\n"
    "Host: productpage.default.svc.cluster.local:9080\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "X-Request-Id: 6f3c2a0e-9f0e-4c3b-8a54-2f8d6a1c7d11\r\n"
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    "\r\n";
// About 200 bytes.
constexpr char kResponse[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 12\r\n"
    "Date: Sat, 21 Nov 2026 09:00:00 GMT\r\n"
    "Server: istio-envoy\r\n"
    "X-Envoy-Upstream-Service-Time: 1\r\n"
    "\r\n"
    "{\"ok\":true}\n";

class NullTransport final : public CodecTransport {
 public:
  Buffer& output() override { return out; }
  void OutputReady() override {}
  void ReceiveAgain() override {}
  void CloseWrite() override {}
  Buffer out;
};

// Joins a server codec and a client codec as a proxy does, with nothing between them.
class Relay final : public ServerCodecEvents, public ClientCodecEvents {
 public:
  Relay() {
    server = NewHttp1ServerCodec(down, *this, Http1Limits());
    client = NewHttp1ClientCodec(up, *this, Http1Limits());
  }

  struct Request final : StreamReceiver {
    explicit Request(Relay& relay) : relay(relay) {}
    void OnHeaders(HeaderMapPtr headers, bool end) override {
      Stream& stream = relay.client->NewStream(&relay.response);
      stream.SendHeaders(*headers, end);
    }
    void OnData(Buffer&, bool) override {}
    void OnTrailers(HeaderMapPtr) override {}
    void OnReset(ResetCause, absl::string_view) override {}
    void OnWriteBlocked(bool) override {}
    Relay& relay;
  };
  struct Response final : StreamReceiver {
    explicit Response(Relay& relay) : relay(relay) {}
    void OnHeaders(HeaderMapPtr headers, bool end) override {
      relay.stream->SendHeaders(*headers, end);
    }
    void OnData(Buffer& data, bool end) override { relay.stream->SendData(data, end); }
    void OnTrailers(HeaderMapPtr) override {}
    void OnReset(ResetCause, absl::string_view) override {}
    void OnWriteBlocked(bool) override {}
    Relay& relay;
  };

  StreamReceiver* OnNewStream(Stream& s) override {
    stream = &s;
    return &request;
  }
  void OnStreamFinished(Stream&) override {}
  void OnPeerDraining() override {}

  NullTransport down, up;
  std::unique_ptr<ServerCodec> server;
  std::unique_ptr<ClientCodec> client;
  Request request{*this};
  Response response{*this};
  Stream* stream = nullptr;
};

void BM_Http1Exchange(benchmark::State& state) {
  Relay relay;
  Buffer in;
  for (auto _ : state) {
    in.Append({kRequest, sizeof(kRequest) - 1});
    (void)relay.server->Receive(in, false);
    relay.up.out.Clear();
    in.Append({kResponse, sizeof(kResponse) - 1});
    (void)relay.client->Receive(in, false);
    (void)relay.server->Receive(in, false);
    relay.down.out.Clear();
  }
  state.counters["request_bytes"] = sizeof(kRequest) - 1;
  state.counters["response_bytes"] = sizeof(kResponse) - 1;
}
BENCHMARK(BM_Http1Exchange);

void BM_BufferOnly(benchmark::State& state) {
  Buffer in;
  for (auto _ : state) {
    in.Append({kRequest, sizeof(kRequest) - 1});
    in.Clear();
    in.Append({kResponse, sizeof(kResponse) - 1});
    in.Clear();
  }
}
BENCHMARK(BM_BufferOnly);

}  // namespace
}  // namespace meltemi::http
