// A client for tests and benchmarks: one TLS connection, HTTP/1.1 or HTTP/2, any number of streams.
//
// Owns its loop or shares one with others; everything happens on one thread, within the loop's
// turns (Until).
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/tls/tls.h"

namespace meltemi::apiserver {

class TestClient final : private net::ConnectionHandler, private http::ClientCodecEvents {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  // What one request brought.
  struct Call final : http::StreamReceiver {
    http::Stream* stream = nullptr;
    int status = 0;
    http::HeaderMapPtr head;
    std::string body;
    size_t body_bytes = 0;
    bool keep_body = true;
    bool ended = false;
    bool informed = false;   // 1xx
    bool forgotten = false;  // by the codec: the stream is no more
    std::optional<http::ResetCause> reset;

    void OnInformational(http::HeaderMapPtr) override { informed = true; }
    void OnHeaders(http::HeaderMapPtr headers, bool end) override {
      status = headers->status();
      head = std::move(headers);
      ended = end;
    }
    void OnData(Buffer& data, bool end) override {
      body_bytes += data.size();
      if (keep_body) body += data.ToString();
      data.Clear();
      ended = end;
    }
    void OnTrailers(http::HeaderMapPtr) override { ended = true; }
    void OnReset(http::ResetCause cause, absl::string_view) override { reset = cause; }
    void OnWriteBlocked(bool) override {}
    bool over() const { return ended || reset.has_value(); }
    absl::string_view Field(absl::string_view name) const {
      return head == nullptr ? absl::string_view() : head->Get(name);
    }
  };

  TestClient(const Clock& clock, const net::Address& to, bool http2,
             std::shared_ptr<const tls::Context> context)
      : TestClient(clock, NewEventLoop(clock), nullptr, to, http2, std::move(context)) {}
  // `loop` outlives the client.
  TestClient(const Clock& clock, Loop& loop, const net::Address& to, bool http2,
             std::shared_ptr<const tls::Context> context)
      : TestClient(clock, nullptr, &loop, to, http2, std::move(context)) {}
  ~TestClient() override {
    connection_->SetHandler(nullptr);
    if (!closed) codec_->OnConnectionClosed(http::ResetCause::kLocal, "");
  }

  // `ends`: nothing follows but what the server says.
  // The call belongs to this client.
  Call* Start(absl::string_view method, absl::string_view path, const Fields& fields = {},
              absl::string_view body = "", bool ends = true) {
    calls_.push_back(std::make_unique<Call>());
    Call* const call = calls_.back().get();
    call->stream = &codec_->NewStream(call);
    http::HeaderMapPtr head = http::HeaderMap::New();
    head->set_method(method);
    head->set_scheme("https");
    head->set_authority("server.test");
    head->set_path(path);
    for (const auto& [name, value] : fields) head->Add(name, value);
    call->stream->SendHeaders(*head, body.empty() && ends);
    if (!body.empty()) {
      Buffer data(body);
      call->stream->SendData(data, ends);
    }
    return call;
  }
  Call* Do(absl::string_view method, absl::string_view path, const Fields& fields = {},
           absl::string_view body = "") {
    Call* const call = Start(method, path, fields, body);
    Until([&] { return call->over(); });
    return call;
  }

  // Frees the calls that have ended.
  void ForgetEnded() {
    calls_.erase(std::remove_if(calls_.begin(), calls_.end(),
                                [](const auto& call) { return call->over() && call->forgotten; }),
                 calls_.end());
  }

  bool Until(const std::function<bool()>& condition) {
    const MonotonicTime end = clock_.Now() + seconds(10);
    while (!condition()) {
      if (clock_.Now() > end) return false;
      loop_->RunOnce(milliseconds(5));
    }
    return true;
  }
  Loop& loop() { return *loop_; }
  tls::Connection& connection() { return *connection_; }
  http::ClientCodec& codec() { return *codec_; }
  void Abort() {
    closed = true;
    connection_->Abort();
    codec_->OnConnectionClosed(http::ResetCause::kLocal, "");
  }

  bool closed = false;
  bool draining = false;
  bool connected = false;

 private:
  TestClient(const Clock& clock, std::unique_ptr<Loop> own, Loop* shared, const net::Address& to,
             bool http2, std::shared_ptr<const tls::Context> context)
      : clock_(clock), own_loop_(std::move(own)), loop_(own_loop_ ? own_loop_.get() : shared) {
    connection_ = tls::NewClientConnection(*loop_, to, net::Address(), {}, std::move(context));
    connection_->SetHandler(this);
    transport_ =
        std::make_unique<http::ConnectionTransport>(*loop_, *connection_, [this] { Feed(); });
    http::Http1Limits limits;
    limits.upgrade_any_method = true;
    codec_ = http2 ? http::NewHttp2ClientCodec(*transport_, *this, http::Http2Limits())
                   : http::NewHttp1ClientCodec(*transport_, *this, limits);
  }

  void OnConnected() override {
    connected = true;
    Feed();
  }
  void OnRead(Buffer&, bool end) override {
    end_of_input_ |= end;
    Feed();
  }
  void Feed() {
    if (closed) return;
    (void)codec_->Receive(connection_->input(), end_of_input_);
    if (codec_->finished() || (end_of_input_ && codec_->open_streams() == 0)) {
      return connection_->Close(seconds(1));
    }
    connection_->PauseReading(!codec_->wants_input());
  }
  void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
  void OnDrained() override { codec_->OnTransportBlocked(false); }
  void OnClosed(net::CloseCause, absl::string_view) override {
    closed = true;
    codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, "");
  }
  void OnStreamFinished(http::Stream& stream) override {
    for (const auto& call : calls_) call->forgotten |= call->stream == &stream;
  }
  void OnPeerDraining() override { draining = true; }

  const Clock& clock_;
  const std::unique_ptr<Loop> own_loop_;
  Loop* const loop_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::unique_ptr<tls::Connection> connection_;
  std::unique_ptr<http::ConnectionTransport> transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  bool end_of_input_ = false;
};

}  // namespace meltemi::apiserver
