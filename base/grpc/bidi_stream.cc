#include "base/grpc/bidi_stream.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/grpc/status.h"
#include "base/http/client/client_connection.h"
#include "base/tls/tls.h"

namespace meltemi::http::grpc {
namespace {

// Configuration comes in large messages: windows that a round trip does not fill.
constexpr uint32_t kStreamWindowBytes = 4 * 1024 * 1024;
constexpr uint32_t kConnectionWindowBytes = 8 * 1024 * 1024;

http::Http2Limits Limits() {
  http::Http2Limits limits;
  limits.stream_window_bytes = kStreamWindowBytes;
  limits.connection_window_bytes = kConnectionWindowBytes;
  return limits;
}

std::unique_ptr<net::Connection> NewConnection(Loop& loop, const net::Address& to,
                                               const BidiOptions& options) {
  if (options.tls == nullptr) {
    return net::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits());
  }
  return tls::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits(), options.tls,
                                  options.server_name);
}

// Connecting -> connected -> ended. Outlives its handle until the end of the turn, so that
// callbacks may drop the handle.
class Call final : public Deferrable,
                   private http::StreamReceiver,
                   private http::ClientConnectionEvents {
 public:
  Call(Loop& loop, const net::Address& to, const BidiOptions& options, BidiEvents& events)
      : loop_(loop),
        to_(to.ToString()),
        options_(options),
        events_(&events),
        reader_(options.message_bytes_max),
        timer_(loop.NewTimer([this] { OnTimer(); })) {
    http::ClientConnectionEvents& connection_events = *this;
    connection_ = std::make_unique<http::ClientConnection>(
        loop, NewConnection(loop, to, options), http::Protocol::kHttp2, connection_events,
        http::Http1Limits(), Limits());
    stream_ = &connection_->NewStream(this);
    timer_->Arm(options_.connect_timeout);
    SendHeaders();
  }

  void Send(absl::string_view message) {
    if (stream_ == nullptr || sending_ended_) return;
    Buffer bytes;
    AppendMessage(message, &bytes);
    stream_->SendData(bytes, false);
  }
  void EndSending() {
    if (stream_ == nullptr || sending_ended_) return;
    sending_ended_ = true;
    Buffer nothing;
    stream_->SendData(nothing, true);
  }
  size_t unsent_bytes() const { return stream_ == nullptr ? 0 : stream_->unsent_bytes(); }
  net::Address local_address() const {
    return connected_ && connection_ != nullptr ? connection_->connection().local_address()
                                                : net::Address();
  }

  // No callback follows any more.
  void Cancel() {
    events_ = nullptr;
    Release();
  }

 private:
  void SendHeaders() {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method("POST");
    headers->set_scheme(options_.tls == nullptr ? "http" : "https");
    headers->set_authority(options_.authority.empty() ? to_ : options_.authority);
    headers->set_path(options_.path);
    headers->Add(http::HeaderId::kContentType, "application/grpc");
    headers->Add(http::HeaderId::kTe, "trailers");
    headers->Add(http::HeaderId::kUserAgent, options_.user_agent);
    for (const auto& [name, value] : options_.metadata) headers->Add(name, value);
    stream_->SendHeaders(*headers, false);
  }

  // --- http::ClientConnectionEvents
  void OnConnected() override {
    connected_ = true;
    timer_->Disarm();
    if (options_.keepalive_interval > Duration::zero()) timer_->Arm(options_.keepalive_interval);
    if (events_ != nullptr) events_->OnConnected();
  }
  void OnPong() override {
    ping_sent_ = false;
    timer_->Arm(options_.keepalive_interval);
  }
  void OnDisconnected(absl::string_view detail) override {
    End(absl::UnavailableError(absl::StrCat(to_, ": ", detail)));
  }

  // The one timer: first for connecting, then for keep-alive.
  void OnTimer() {
    if (!connected_) {
      return End(absl::UnavailableError(
          absl::StrCat(to_, ": not connected within ", ToMillis(options_.connect_timeout), " ms")));
    }
    if (ping_sent_) {
      return End(absl::UnavailableError(absl::StrCat(to_, ": no answer to a PING within ",
                                                     ToMillis(options_.keepalive_timeout), " ms")));
    }
    ping_sent_ = connection_->codec().SendPing();
    timer_->Arm(options_.keepalive_timeout);
  }

  // --- http::StreamReceiver
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
    const std::optional<absl::Status> status = StatusFromTrailers(*headers);
    if (end_stream) {
      return End(status.value_or(absl::Status(CodeFromHttpStatus(headers->status()),
                                              absl::StrCat(to_, ": HTTP ", headers->status()))));
    }
    if (headers->status() != 200) {
      return End(absl::Status(CodeFromHttpStatus(headers->status()),
                              absl::StrCat(to_, ": HTTP ", headers->status())));
    }
    if (!IsGrpcContentType(headers->Get(http::HeaderId::kContentType))) {
      return End(
          absl::UnknownError(absl::StrCat(to_, ": the answer is not gRPC but \"",
                                          headers->Get(http::HeaderId::kContentType), "\"")));
    }
  }

  void OnData(Buffer& data, bool end_stream) override {
    reader_.Append(data);
    Buffer message;
    while (events_ != nullptr) {
      const absl::StatusOr<bool> got = reader_.Next(&message);
      if (!got.ok()) return End(got.status());
      if (!*got) break;
      events_->OnMessage(message.Linearize(message.size()));
    }
    if (end_stream) End(absl::InternalError("the stream ended without a grpc-status"));
  }

  void OnTrailers(http::HeaderMapPtr trailers) override {
    absl::Status status = StatusFromTrailers(*trailers).value_or(
        absl::InternalError("the stream ended without a grpc-status"));
    if (status.ok() && !reader_.at_boundary()) {
      status = absl::InternalError("the stream ended within a message");
    }
    End(std::move(status));
  }

  void OnReset(http::ResetCause cause, absl::string_view detail) override {
    stream_ = nullptr;
    const absl::string_view why = detail.empty() ? http::ResetCauseName(cause) : detail;
    End(absl::UnavailableError(absl::StrCat(to_, ": ", why)));
  }
  void OnWriteBlocked(bool) override {}

  void End(absl::Status status) {
    BidiEvents* const events = std::exchange(events_, nullptr);
    Release();
    if (events != nullptr) events->OnEnded(std::move(status));
  }

  void Release() {
    stream_ = nullptr;
    timer_->Disarm();
    if (connection_ == nullptr) return;
    connection_->Abandon();
    loop_.DeferDelete(std::move(connection_));
  }

  Loop& loop_;
  const std::string to_;
  const BidiOptions options_;
  BidiEvents* events_;
  MessageReader reader_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<http::ClientConnection> connection_;
  http::Stream* stream_ = nullptr;
  bool connected_ = false;
  bool ping_sent_ = false;
  bool sending_ended_ = false;
};

class Handle final : public BidiStream {
 public:
  Handle(Loop& loop, std::unique_ptr<Call> call) : loop_(loop), call_(std::move(call)) {}
  ~Handle() override {
    call_->Cancel();
    loop_.DeferDelete(std::move(call_));
  }
  void Send(absl::string_view message) override { call_->Send(message); }
  void EndSending() override { call_->EndSending(); }
  size_t unsent_bytes() const override { return call_->unsent_bytes(); }
  net::Address local_address() const override { return call_->local_address(); }

 private:
  Loop& loop_;
  std::unique_ptr<Call> call_;
};

}  // namespace

std::unique_ptr<BidiStream> OpenBidiStream(Loop& loop, const net::Address& to,
                                           const BidiOptions& options, BidiEvents& events) {
  return std::make_unique<Handle>(loop, std::make_unique<Call>(loop, to, options, events));
}

}  // namespace meltemi::http::grpc
