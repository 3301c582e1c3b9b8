// The two HTTP/2 codecs: what differs between the sides, on top of a Connection.

#include "base/http/codec.h"
#include "base/http/h2/connection.h"

namespace meltemi::http {
namespace h2 {
namespace {

class ServerConnection final : public ServerCodec, private ConnectionEvents {
 public:
  ServerConnection(CodecTransport& transport, ServerCodecEvents& events, const Http2Limits& limits)
      : events_(events), connection_(Connection::Side::kServer, transport, *this, limits) {}

  absl::Status Receive(Buffer& in, bool end_of_input) override {
    return connection_.Receive(in, end_of_input);
  }
  bool wants_input() const override { return !connection_.finished(); }
  void OnTransportBlocked(bool blocked) override { connection_.OnTransportBlocked(blocked); }
  void StartDrain() override { connection_.SubmitShutdownNotice(); }
  void FinishDrain() override { connection_.SubmitGoaway(); }
  void OnConnectionClosed(ResetCause cause, absl::string_view detail) override {
    connection_.OnConnectionClosed(cause, detail);
  }
  bool finished() const override { return connection_.finished(); }
  size_t open_streams() const override { return connection_.open_streams(); }
  Protocol protocol() const override { return Protocol::kHttp2; }
  const CodecCounters& counters() const override { return connection_.counters(); }

 private:
  StreamReceiver* OnNewStream(Stream& stream) override { return events_.OnNewStream(stream); }
  void OnStreamFinished(Stream& stream) override { events_.OnStreamFinished(stream); }
  void OnGoaway() override {}
  void OnRemoteSettings() override {}
  void OnPong() override {}

  ServerCodecEvents& events_;
  Connection connection_;
};

class ClientConnection final : public ClientCodec, private ConnectionEvents {
 public:
  ClientConnection(CodecTransport& transport, ClientCodecEvents& events, const Http2Limits& limits)
      : events_(events), connection_(Connection::Side::kClient, transport, *this, limits) {}

  absl::Status Receive(Buffer& in, bool end_of_input) override {
    return connection_.Receive(in, end_of_input);
  }
  bool wants_input() const override { return !connection_.finished(); }
  void OnTransportBlocked(bool blocked) override { connection_.OnTransportBlocked(blocked); }
  void OnConnectionClosed(ResetCause cause, absl::string_view detail) override {
    connection_.OnConnectionClosed(cause, detail);
  }
  size_t capacity() const override { return connection_.Capacity(); }
  Stream& NewStream(StreamReceiver* receiver) override {
    return connection_.NewClientStream(receiver);
  }
  bool SendPing() override {
    connection_.SubmitPing();
    return true;
  }
  bool finished() const override { return connection_.finished(); }
  size_t open_streams() const override { return connection_.open_streams(); }
  Protocol protocol() const override { return Protocol::kHttp2; }
  const CodecCounters& counters() const override { return connection_.counters(); }

 private:
  StreamReceiver* OnNewStream(Stream&) override { return nullptr; }
  void OnStreamFinished(Stream& stream) override { events_.OnStreamFinished(stream); }
  void OnGoaway() override { events_.OnPeerDraining(); }
  void OnRemoteSettings() override { events_.OnCapacityChanged(); }
  void OnPong() override { events_.OnPong(); }

  ClientCodecEvents& events_;
  Connection connection_;
};

}  // namespace
}  // namespace h2

std::unique_ptr<ServerCodec> NewHttp2ServerCodec(CodecTransport& transport,
                                                 ServerCodecEvents& events,
                                                 const Http2Limits& limits) {
  return std::make_unique<h2::ServerConnection>(transport, events, limits);
}

std::unique_ptr<ClientCodec> NewHttp2ClientCodec(CodecTransport& transport,
                                                 ClientCodecEvents& events,
                                                 const Http2Limits& limits) {
  return std::make_unique<h2::ClientConnection>(transport, events, limits);
}

}  // namespace meltemi::http
