// An HTTPS server for tests, on a loop thread of its own: answers what a function says, after
// however long, or never.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"

namespace meltemi::apiserver {

class HttpsServerFake {
 public:
  struct Answer {
    int code = 200;
    std::string body;
    bool never = false;             // leaves the client waiting
    bool close_connection = false;  // closes instead of answering
  };
  using Handler = std::function<Answer(const std::string& path, const std::string& body)>;

  // A certificate for `names` and 127.0.0.1, by a CA of its own. `handler` runs on the loop thread.
  HttpsServerFake(std::vector<std::string> names, Handler handler)
      : handler_(std::move(handler)), loop_(NewEventLoop(clock_)) {
    tls::CertificateRequest ca_request;
    ca_request.common_name = "ca";
    ca_request.is_ca = true;
    ca_request.not_after_s = int64_t{1} << 32;
    const tls::KeyPair ca = *tls::NewCertificate(ca_request, tls::KeyPair());
    tls::CertificateRequest request;
    request.common_name = "webhook";
    request.dns_names = std::move(names);
    request.ip_addresses = {"127.0.0.1"};
    request.server_auth = true;
    request.not_after_s = int64_t{1} << 32;
    tls::ServerOptions options;
    options.identity = *tls::NewCertificate(request, ca);
    options.alpn = {"http/1.1"};
    context_ = *tls::NewServerContext(options);
    ca_pem_ = ca.certificate_chain_pem;
    listener_ = *net::Listen(*loop_, net::Address::Loopback4(0), net::ListenOptions(),
                             [this](int fd, const net::Address& remote) { Accept(fd, remote); });
    address_ = listener_->address();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~HttpsServerFake() {
    loop_->Post([this] {
      connections_.clear();
      loop_->DeferDelete(std::move(listener_));
      loop_->Exit();
    });
    thread_.join();
    loop_->RunOnce(Duration::zero());
  }

  const net::Address& address() const { return address_; }
  const std::string& ca_pem() const { return ca_pem_; }
  size_t accepted() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return accepted_;
  }

 private:
  class Exchange final : public http::StreamReceiver {
   public:
    Exchange(HttpsServerFake& server, http::Stream& stream) : server_(server), stream_(stream) {}

   private:
    void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
      path_ = std::string(headers->path());
      if (end_stream) Reply();
    }
    void OnData(Buffer& data, bool end_stream) override {
      body_ += data.ToString();
      data.Clear();
      if (end_stream) Reply();
    }
    void OnTrailers(http::HeaderMapPtr) override { Reply(); }
    void OnReset(http::ResetCause, absl::string_view) override {}
    void OnWriteBlocked(bool) override {}

    void Reply() {
      const Answer answer = server_.handler_(path_, body_);
      if (answer.never) return;
      if (answer.close_connection) return stream_.Reset(http::ResetCause::kLocal);
      http::HeaderMapPtr headers = http::HeaderMap::New();
      headers->set_status(answer.code);
      headers->Add("content-type", "application/json");
      stream_.SendHeaders(*headers, false);
      Buffer body(answer.body);
      stream_.SendData(body, true);
    }

    HttpsServerFake& server_;
    http::Stream& stream_;
    std::string path_, body_;
  };

  class Connection final : private net::ConnectionHandler, private http::ServerCodecEvents {
   public:
    Connection(HttpsServerFake& server, std::unique_ptr<net::Connection> connection)
        : server_(server),
          connection_(std::move(connection)),
          transport_(*server.loop_, *connection_,
                     [this] { OnRead(connection_->input(), end_of_input_); }),
          codec_(http::NewHttp1ServerCodec(transport_, *this, http::Http1Limits())) {
      connection_->SetHandler(this);
    }
    ~Connection() override { connection_->SetHandler(nullptr); }

   private:
    void OnRead(Buffer& in, bool end_of_stream) override {
      if (closing_) return;
      end_of_input_ = end_of_stream;
      (void)codec_->Receive(in, end_of_stream);
      if (codec_->finished()) {
        closing_ = true;
        return connection_->Close(seconds(1));
      }
      connection_->PauseReading(!codec_->wants_input());
    }
    void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
    void OnDrained() override { codec_->OnTransportBlocked(false); }
    void OnClosed(net::CloseCause, absl::string_view detail) override {
      codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, detail);
      server_.loop_->Post([this, &server = server_] { server.connections_.erase(this); });
    }
    http::StreamReceiver* OnNewStream(http::Stream& stream) override {
      exchange_ = std::make_unique<Exchange>(server_, stream);
      return exchange_.get();
    }
    void OnStreamFinished(http::Stream&) override {}

    HttpsServerFake& server_;
    std::unique_ptr<net::Connection> connection_;
    http::ConnectionTransport transport_;
    std::unique_ptr<http::ServerCodec> codec_;
    std::unique_ptr<Exchange> exchange_;
    bool end_of_input_ = false, closing_ = false;
  };

  void Accept(int fd, const net::Address& remote) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++accepted_;
    }
    auto connection = std::make_unique<Connection>(
        *this, tls::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits(), context_));
    Connection* const raw = connection.get();
    connections_.emplace(raw, std::move(connection));
  }

  const Handler handler_;
  SystemClock clock_;
  const std::unique_ptr<Loop> loop_;
  std::shared_ptr<const tls::Context> context_;
  std::string ca_pem_;
  net::Address address_;
  std::unique_ptr<net::Listener> listener_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_;  // loop-owned

  mutable std::mutex mutex_;
  size_t accepted_ = 0;  // guarded by mutex_

  std::thread thread_;
};

}  // namespace meltemi::apiserver
