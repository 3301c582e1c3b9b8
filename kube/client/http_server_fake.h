// An HTTP/2 server for tests, with TLS or without, on a loop thread of its own: answers what a
// function says, at once, never, or bit by bit.
//
// Threads: its methods may be called from any thread; the handler runs on the loop's.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"

namespace meltemi::kube {

class HttpServerFake {
 public:
  struct Request {
    std::string method, target, body;
    std::map<std::string, std::string> fields;
    bool has_certificate = false;
  };
  struct Answer {
    int code = 200;
    std::string body;
    bool never = false;       // leaves the client waiting
    bool stays_open = false;  // more follows: Send
    bool refused = false;     // REFUSED_STREAM
    std::string retry_after;
  };
  using Handler = std::function<Answer(const Request&)>;

  HttpServerFake(bool tls, Handler handler, uint32_t streams_max = 1000)
      : handler_(std::move(handler)), streams_max_(streams_max), loop_(NewEventLoop(clock_)) {
    if (tls) MakeCertificates();
    listener_ = *net::Listen(*loop_, net::Address::Loopback4(0), net::ListenOptions(),
                             [this](int fd, const net::Address& remote) { Accept(fd, remote); });
    url_ = absl::StrCat(tls ? "https" : "http", "://", listener_->address().ToString());
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~HttpServerFake() {
    loop_->Post([this] {
      connections_.clear();
      loop_->DeferDelete(std::move(listener_));
      loop_->Exit();
    });
    thread_.join();
    loop_->RunOnce(Duration::zero());
  }

  const std::string& url() const { return url_; }
  const std::string& ca_pem() const { return ca_.certificate_chain_pem; }
  const tls::KeyPair& client_identity() const { return client_; }

  // To all streams that stay open; `end`: they end with it.
  void Send(const std::string& bytes, bool end = false) {
    loop_->Post([this, bytes, end] {
      for (auto& [raw, connection] : connections_) connection->Send(bytes, end);
    });
  }
  void CloseConnections() {
    loop_->Post([this] {
      for (auto& [raw, connection] : connections_) connection->Close();
    });
  }
  // Stops reading: nothing is answered any more, no PING either.
  void GoSilent() {
    loop_->Post([this] {
      for (auto& [raw, connection] : connections_) connection->GoSilent();
    });
  }

  size_t accepted() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return accepted_;
  }
  size_t ended_by_client() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return ended_by_client_;
  }
  // Until so many requests have come, or streams were ended by the client.
  bool WaitForRequests(size_t count) { return WaitFor(&requests_, count); }
  bool WaitForEnded(size_t count) { return WaitFor(&ended_by_client_, count); }

 private:
  class Exchange final : public http::StreamReceiver {
   public:
    Exchange(HttpServerFake& server, http::Stream& stream, bool has_certificate)
        : server_(server), stream_(&stream) {
      request_.has_certificate = has_certificate;
    }
    void Send(const std::string& bytes, bool end) {
      if (stream_ == nullptr || !open_) return;
      Buffer data(bytes);
      stream_->SendData(data, end);
      if (end) stream_ = nullptr;
    }

   private:
    void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
      request_.method = std::string(headers->method());
      request_.target = std::string(headers->path());
      for (const auto& entry : headers->entries()) {
        request_.fields[std::string(entry.name)] = std::string(entry.value);
      }
      if (end_stream) Reply();
    }
    void OnData(Buffer& data, bool end_stream) override {
      request_.body += data.ToString();
      data.Clear();
      if (end_stream) Reply();
    }
    void OnTrailers(http::HeaderMapPtr) override { Reply(); }
    void OnReset(http::ResetCause, absl::string_view) override {
      stream_ = nullptr;
      server_.Count(&server_.ended_by_client_);
    }
    void OnWriteBlocked(bool) override {}

    void Reply() {
      const Answer answer = server_.handler_(request_);
      server_.Count(&server_.requests_);
      if (answer.never) return;
      if (answer.refused) {
        return std::exchange(stream_, nullptr)->Reset(http::ResetCause::kRemoteRefused);
      }
      http::HeaderMapPtr headers = http::HeaderMap::New();
      headers->set_status(answer.code);
      headers->Add("content-type", "application/json");
      if (!answer.retry_after.empty()) headers->Add("retry-after", answer.retry_after);
      stream_->SendHeaders(*headers, false);
      Buffer body(answer.body);
      stream_->SendData(body, !answer.stays_open);
      open_ = answer.stays_open;
      if (!open_) stream_ = nullptr;
    }

    HttpServerFake& server_;
    http::Stream* stream_;
    Request request_;
    bool open_ = false;
  };

  class Connection final : private net::ConnectionHandler, private http::ServerCodecEvents {
   public:
    Connection(HttpServerFake& server, std::unique_ptr<net::Connection> connection,
               tls::Connection* tls)
        : server_(server),
          connection_(std::move(connection)),
          tls_(tls),
          transport_(*server.loop_, *connection_,
                     [this] { OnRead(connection_->input(), end_of_input_); }),
          codec_(http::NewHttp2ServerCodec(transport_, *this, Limits(server))) {
      connection_->SetHandler(this);
    }
    ~Connection() override { connection_->SetHandler(nullptr); }

    void Send(const std::string& bytes, bool end) {
      for (auto& [stream, exchange] : exchanges_) exchange->Send(bytes, end);
    }
    void Close() {
      closing_ = true;
      connection_->Close(seconds(1));
    }
    void GoSilent() { connection_->PauseReading(true); }

   private:
    static http::Http2Limits Limits(const HttpServerFake& server) {
      http::Http2Limits out;
      out.concurrent_streams_max = server.streams_max_;
      return out;
    }
    void OnRead(Buffer& in, bool end_of_stream) override {
      if (closing_) return;
      end_of_input_ = end_of_stream;
      (void)codec_->Receive(in, end_of_stream);
      if (codec_->finished()) Close();
    }
    void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
    void OnDrained() override { codec_->OnTransportBlocked(false); }
    void OnClosed(net::CloseCause, absl::string_view detail) override {
      codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, detail);
      server_.loop_->Post([this, &server = server_] { server.connections_.erase(this); });
    }
    http::StreamReceiver* OnNewStream(http::Stream& stream) override {
      const bool has_certificate = tls_ != nullptr && !tls_->session().peer_chain_der.empty();
      auto& exchange = exchanges_[&stream];
      exchange = std::make_unique<Exchange>(server_, stream, has_certificate);
      return exchange.get();
    }
    void OnStreamFinished(http::Stream& stream) override { exchanges_.erase(&stream); }

    HttpServerFake& server_;
    std::unique_ptr<net::Connection> connection_;
    tls::Connection* const tls_;  // within connection_; null: plain
    http::ConnectionTransport transport_;
    std::unique_ptr<http::ServerCodec> codec_;
    std::map<http::Stream*, std::unique_ptr<Exchange>> exchanges_;
    bool end_of_input_ = false, closing_ = false;
  };

  void MakeCertificates() {
    tls::CertificateRequest request;
    request.common_name = "ca";
    request.is_ca = true;
    request.not_after_s = int64_t{1} << 32;
    ca_ = *tls::NewCertificate(request, tls::KeyPair());
    request.is_ca = false;
    request.common_name = "server";
    request.ip_addresses = {"127.0.0.1"};
    request.server_auth = true;
    tls::ServerOptions options;
    options.identity = *tls::NewCertificate(request, ca_);
    request.common_name = "client";
    request.ip_addresses.clear();
    request.server_auth = false;
    client_ = *tls::NewCertificate(request, ca_);
    options.alpn = {"h2"};
    options.peer = tls::PeerCertificate::kOptional;
    options.client_ca_pem = ca_.certificate_chain_pem;
    context_ = *tls::NewServerContext(options);
  }

  void Accept(int fd, const net::Address& remote) {
    Count(&accepted_);
    std::unique_ptr<net::Connection> accepted;
    tls::Connection* tls = nullptr;
    if (context_ == nullptr) {
      accepted = net::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits());
    } else {
      auto secure = tls::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits(), context_);
      tls = secure.get();
      accepted = std::move(secure);
    }
    auto connection = std::make_unique<Connection>(*this, std::move(accepted), tls);
    Connection* const raw = connection.get();
    connections_.emplace(raw, std::move(connection));
  }

  void Count(size_t* counter) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++*counter;
    changed_.notify_all();
  }
  bool WaitFor(const size_t* counter, size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return *counter >= count; });
  }

  const Handler handler_;
  const uint32_t streams_max_;
  SystemClock clock_;
  const std::unique_ptr<Loop> loop_;
  tls::KeyPair ca_, client_;
  std::shared_ptr<const tls::Context> context_;
  std::string url_;
  std::unique_ptr<net::Listener> listener_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;  // loop-owned

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  size_t accepted_ = 0, requests_ = 0, ended_by_client_ = 0;

  std::thread thread_;
};

}  // namespace meltemi::kube
