// The seams of the codecs for tests: a transport in memory, receivers that record, and a link that
// carries bytes between a client codec and a server codec in fragments of any size.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/http/codec.h"

namespace meltemi::http {

class FakeTransport final : public CodecTransport {
 public:
  Buffer& output() override { return output_; }
  void OutputReady() override { ready = true; }
  void ReceiveAgain() override { again = true; }
  void CloseWrite() override { write_closed = true; }
  std::string TakeOutput() {
    std::string bytes = output_.ToString();
    output_.Clear();
    return bytes;
  }

  bool ready = false;
  bool again = false;
  bool write_closed = false;

 private:
  Buffer output_;
};

// Keeps what it hears. The hooks run after the recording.
class RecordingReceiver final : public StreamReceiver {
 public:
  void OnInformational(HeaderMapPtr h) override { informational.push_back(std::move(h)); }
  void OnHeaders(HeaderMapPtr h, bool end_stream) override {
    headers = std::move(h);
    ended = end_stream;
    if (on_headers) on_headers();
  }
  void OnData(Buffer& data, bool end_stream) override {
    body += data.ToString();
    ++data_calls;
    ended = end_stream;
    if (on_data) on_data();
  }
  void OnTrailers(HeaderMapPtr t) override {
    trailers = std::move(t);
    ended = true;
    if (on_data) on_data();
  }
  void OnReset(ResetCause cause, absl::string_view detail) override {
    reset = cause;
    reset_detail = std::string(detail);
  }
  void OnWriteBlocked(bool b) override {
    blocked = b;
    ++blocked_calls;
  }

  std::vector<HeaderMapPtr> informational;
  HeaderMapPtr headers;
  HeaderMapPtr trailers;
  std::string body;
  bool ended = false;
  bool blocked = false;
  int data_calls = 0;
  int blocked_calls = 0;
  std::optional<ResetCause> reset;
  std::string reset_detail;
  std::function<void()> on_headers;
  std::function<void()> on_data;
};

// A server's exchanges in the order of their beginning.
class RecordingServerEvents final : public ServerCodecEvents {
 public:
  struct Exchange {
    Stream* stream = nullptr;
    RecordingReceiver receiver;
    bool finished = false;
  };
  StreamReceiver* OnNewStream(Stream& stream) override {
    exchanges.push_back(std::make_unique<Exchange>());
    Exchange* const exchange = exchanges.back().get();
    exchange->stream = &stream;
    if (on_new) on_new(*exchange);
    return &exchange->receiver;
  }
  void OnStreamFinished(Stream& stream) override {
    for (auto& exchange : exchanges) {
      if (exchange->stream == &stream && !exchange->finished) {
        exchange->finished = true;
        return;
      }
    }
    ++unknown_finished;
  }
  Exchange& last() { return *exchanges.back(); }

  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::function<void(Exchange&)> on_new;
  int unknown_finished = 0;
};

class RecordingClientEvents final : public ClientCodecEvents {
 public:
  void OnStreamFinished(Stream&) override { ++finished; }
  void OnPeerDraining() override { draining = true; }
  void OnCapacityChanged() override { ++capacity_changes; }
  void OnPong() override { ++pongs; }
  int finished = 0;
  int capacity_changes = 0;
  int pongs = 0;
  bool draining = false;
};

// A client codec and a server codec with their transports joined.
class CodecLink {
 public:
  explicit CodecLink(Protocol protocol, size_t fragment_bytes = SIZE_MAX,
                     const Http1Limits& h1 = {}, const Http2Limits& h2 = {})
      : fragment_bytes_(fragment_bytes) {
    if (protocol == Protocol::kHttp2) {
      server = NewHttp2ServerCodec(server_transport, server_events, h2);
      client = NewHttp2ClientCodec(client_transport, client_events, h2);
    } else {
      server = NewHttp1ServerCodec(server_transport, server_events, h1);
      client = NewHttp1ClientCodec(client_transport, client_events, h1);
    }
  }

  // Carries bytes both ways until both sides are quiet. False: that never happened.
  bool Run() {
    for (int turn = 0; turn < 10 * 1000 * 1000; ++turn) {
      const bool up = Carry(client_transport, client->finished(), server_in, server_transport,
                            *server, &server_status, &server_told_end_);
      const bool down = Carry(server_transport, server->finished(), client_in, client_transport,
                              *client, &client_status, &client_told_end_);
      if (!up && !down) return true;
      if (client_transport.output().empty()) client->OnTransportBlocked(false);
      if (server_transport.output().empty()) server->OnTransportBlocked(false);
    }
    return false;
  }

  FakeTransport client_transport, server_transport;
  RecordingServerEvents server_events;
  RecordingClientEvents client_events;
  std::unique_ptr<ServerCodec> server;
  std::unique_ptr<ClientCodec> client;
  Buffer server_in, client_in;
  absl::Status server_status, client_status;

 private:
  // True when anything happened. A side that is finished closes once its output is gone.
  template <typename Codec>
  bool Carry(FakeTransport& from, bool from_finished, Buffer& in, FakeTransport& own, Codec& codec,
             absl::Status* status, bool* told_end) {
    const bool moved = !from.output().empty();
    // Copied byte for byte, so that blocks never happen to be contiguous by luck.
    if (moved) {
      const size_t count = std::min(fragment_bytes_, from.output().size());
      std::string bytes(count, 0);
      from.output().CopyOut(0, count, bytes.data());
      from.output().Drain(count);
      in.Append(bytes);
    }
    const bool end = (from.write_closed || from_finished) && from.output().empty();
    if (!moved && !own.again && (!end || *told_end)) return false;
    own.again = false;
    *told_end = end;
    if (!codec.finished()) {
      const absl::Status result = codec.Receive(in, end);
      if (!result.ok()) *status = result;
    }
    return true;
  }

  size_t fragment_bytes_;
  bool server_told_end_ = false;
  bool client_told_end_ = false;
};

}  // namespace meltemi::http
