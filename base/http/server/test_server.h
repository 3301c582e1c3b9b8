// A listening server of nothing but codecs, for tests and conformance runs: every stream of every
// connection goes to one ServerCodecEvents.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/net/listener.h"

namespace meltemi::http {

// Loop-owned.
class TestServer {
 public:
  // Makes a connection of an accepted socket: for TLS.
  using Wrap = std::function<std::unique_ptr<net::Connection>(int fd, const net::Address& remote)>;

  // `events` outlives the server.
  TestServer(Loop& loop, const net::Address& address, Protocol protocol, ServerCodecEvents& events,
             const Http1Limits& h1 = {}, const Http2Limits& h2 = {}, Wrap wrap = nullptr)
      : loop_(loop), protocol_(protocol), events_(events), h1_(h1), h2_(h2), wrap_(wrap) {
    auto listener =
        net::Listen(loop, address, net::ListenOptions(),
                    [this](int fd, const net::Address& remote) { OnAccept(fd, remote); });
    if (listener.ok()) listener_ = *std::move(listener);
    status_ = listener.status();
  }
  ~TestServer() {
    if (listener_ != nullptr) loop_.DeferDelete(std::move(listener_));
    while (!connections_.empty()) connections_.begin()->first->Forget();
  }

  const absl::Status& status() const { return status_; }
  const net::Address& address() const { return listener_->address(); }
  size_t open_connections() const { return connections_.size(); }

 private:
  class Connection final : public Deferrable, private net::ConnectionHandler {
   public:
    Connection(TestServer& server, std::unique_ptr<net::Connection> connection)
        : server_(server),
          connection_(std::move(connection)),
          transport_(server.loop_, *connection_,
                     [this] { OnRead(connection_->input(), end_of_input_); }) {
      connection_->SetHandler(this);
      codec_ = server.protocol_ == Protocol::kHttp2
                   ? NewHttp2ServerCodec(transport_, server.events_, server.h2_)
                   : NewHttp1ServerCodec(transport_, server.events_, server.h1_);
    }

    void Forget() {
      gone_ = true;
      connection_->SetHandler(nullptr);
      auto at = server_.connections_.find(this);
      server_.loop_.DeferDelete(std::move(at->second));
      server_.connections_.erase(at);
    }

   private:
    void OnRead(Buffer& in, bool end_of_stream) override {
      if (gone_ || closing_) return;
      end_of_input_ = end_of_stream;
      (void)codec_->Receive(in, end_of_stream);
      if (codec_->finished()) {
        closing_ = true;
        return connection_->Close(seconds(5));
      }
      connection_->PauseReading(!codec_->wants_input());
    }
    void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
    void OnDrained() override { codec_->OnTransportBlocked(false); }
    void OnClosed(net::CloseCause, absl::string_view detail) override {
      codec_->OnConnectionClosed(ResetCause::kConnectionLost, detail);
      Forget();
    }

    TestServer& server_;
    std::unique_ptr<net::Connection> connection_;
    ConnectionTransport transport_;
    std::unique_ptr<ServerCodec> codec_;
    bool end_of_input_ = false;
    bool closing_ = false;
    bool gone_ = false;
  };

  void OnAccept(int fd, const net::Address& remote) {
    auto connection = std::make_unique<Connection>(
        *this, wrap_ ? wrap_(fd, remote)
                     : net::NewServerConnection(loop_, fd, remote, net::ConnectionLimits()));
    Connection* const raw = connection.get();
    connections_[raw] = std::move(connection);
  }

  Loop& loop_;
  const Protocol protocol_;
  ServerCodecEvents& events_;
  const Http1Limits h1_;
  const Http2Limits h2_;
  const Wrap wrap_;
  absl::Status status_;
  std::unique_ptr<net::Listener> listener_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;
};

}  // namespace meltemi::http
