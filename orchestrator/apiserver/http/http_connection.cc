#include "orchestrator/apiserver/http/http_connection.h"

#include <utility>
#include <vector>

#include "base/log/log.h"
#include "base/tls/certificate.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kFlushTimeout = seconds(5);
// Between the notice that HTTP/2 connections are about to end and their last word.
constexpr Duration kGoawayDelay = milliseconds(500);
// Bytes that the codec can't use yet may pile up to this before reading stops. Reading on is how a
// client that goes away while it waits is noticed.
constexpr size_t kUnusedInputMax = 16 * 1024;
// Peers that vanish without a word: watches would wait for ever.
constexpr net::TcpKeepalive kKeepalive = {.probes = 4, .idle_seconds = 30, .interval_seconds = 15};

// HTTP/1 bounds what it sends by these, all streams of HTTP/2 together too.
constexpr net::ConnectionLimits kLimits = {.read_buffer_bytes_max = 256 * 1024,
                                           .write_buffer_bytes_high = 256 * 1024};

std::optional<ClientCertificate> CertificateOf(const tls::SessionInfo& session) {
  if (session.peer_chain_der.empty()) return std::nullopt;
  absl::StatusOr<tls::CertificateInfo> info = tls::ReadCertificateDer(session.peer_chain_der[0]);
  if (!info.ok()) return std::nullopt;
  return ClientCertificate{.common_name = std::move(info->common_name),
                           .organizations = std::move(info->organizations),
                           .sha256_hex = std::move(info->sha256_hex)};
}

}  // namespace

// ---- The set ------------------------------------------------------------------------------------

ConnectionSet::~ConnectionSet() { CloseNow(); }

void ConnectionSet::Accept(int fd, const net::Address& remote) {
  auto connection = std::make_unique<HttpConnection>(*this, context_, fd, remote);
  HttpConnection* const raw = connection.get();
  connections_.emplace(raw, std::move(connection));
}

void ConnectionSet::Remove(HttpConnection& connection) {
  const auto at = connections_.find(&connection);
  if (at == connections_.end()) return;
  context_.loop.DeferDelete(std::move(at->second));
  connections_.erase(at);
}

void ConnectionSet::Drain() {
  std::vector<HttpConnection*> all;
  for (const auto& [raw, owned] : connections_) all.push_back(raw);
  for (HttpConnection* connection : all) connection->Drain();
}

void ConnectionSet::CloseNow() {
  std::vector<HttpConnection*> all;
  for (const auto& [raw, owned] : connections_) all.push_back(raw);
  for (HttpConnection* connection : all) connection->CloseNow();
}

// ---- One connection -----------------------------------------------------------------------------

HttpConnection::HttpConnection(ConnectionSet& set, LoopContext& context, int fd,
                               const net::Address& remote)
    : set_(set),
      context_(context),
      connection_(tls::NewServerConnection(context.loop, fd, remote, kLimits, context.shared.tls)),
      transport_(context.loop, *connection_, [this] { Feed(); }),
      timer_(context.loop.NewTimer([this] { OnTimer(); })) {
  context_.connections.fetch_add(1, std::memory_order_relaxed);
  context_.shared.connections.fetch_add(1, std::memory_order_relaxed);
  connection_->SetHandler(this);
  connection_->SetKeepalive(kKeepalive);
  Wait(Waiting::kHandshake);
}

HttpConnection::~HttpConnection() {
  connection_->SetHandler(nullptr);
  context_.connections.fetch_sub(1, std::memory_order_relaxed);
  if (context_.shared.connections.fetch_sub(1) > 1) return;
  const std::lock_guard<std::mutex> lock(context_.shared.mutex);
  context_.shared.no_connections.notify_all();
}

void HttpConnection::OnConnected() {
  state_ = State::kOpen;
  const tls::SessionInfo& session = connection_->session();
  peer_ = std::make_shared<PeerInfo>();
  peer_->remote_address = connection_->remote_address().ToString();
  peer_->certificate = CertificateOf(session);
  if (session.alpn == "h2") {
    http::Http2Limits limits;
    limits.concurrent_streams_max = context_.shared.options.streams_per_connection_max;
    codec_ = http::NewHttp2ServerCodec(transport_, *this, limits);
  } else {
    http::Http1Limits limits;
    limits.upgrade_any_method = true;
    codec_ = http::NewHttp1ServerCodec(transport_, *this, limits);
  }
  LookAtTimeouts();
  if (context_.draining) Drain();
}

void HttpConnection::OnRead(Buffer&, bool end_of_stream) {
  end_of_input_ |= end_of_stream;
  Feed();
}

void HttpConnection::Feed() {
  if (state_ != State::kOpen) return;
  const absl::Status status = codec_->Receive(connection_->input(), end_of_input_);
  if (state_ != State::kOpen) return;
  if (!status.ok()) {
    LOG(kDebug, "http", "connection from ", peer_->remote_address, ": ", status.message());
    return Close();
  }
  if (codec_->finished() || (exchanges_.empty() && end_of_input_)) return Close();
  const bool stuck = !codec_->wants_input() && connection_->input().size() >= kUnusedInputMax;
  connection_->PauseReading(stuck);
  LookAtTimeouts();
}

void HttpConnection::OnWriteBlocked(bool blocked) {
  if (state_ == State::kOpen) codec_->OnTransportBlocked(blocked);
}

// ---- Exchanges ----------------------------------------------------------------------------------

http::StreamReceiver* HttpConnection::OnNewStream(http::Stream& stream) {
  had_request_ = true;
  auto exchange = std::make_unique<Exchange>(context_, peer_, stream);
  Exchange* const raw = exchange.get();
  exchanges_[&stream] = std::move(exchange);
  return raw;
}

void HttpConnection::OnStreamFinished(http::Stream& stream) { exchanges_.erase(&stream); }

// ---- Time-outs and the end ----------------------------------------------------------------------

// What this connection has to do next, and by when.
void HttpConnection::LookAtTimeouts() {
  if (state_ != State::kOpen || waiting_ == Waiting::kDrain) return;
  if (!exchanges_.empty()) return Wait(Waiting::kNothing);
  // HTTP/2 takes its input apart at once; then nothing shows that a request has begun.
  const bool begun = !had_request_ || !connection_->input().empty();
  Wait(begun ? Waiting::kHeaders : Waiting::kIdle);
}

void HttpConnection::Wait(Waiting waiting) {
  if (waiting == waiting_) return;
  waiting_ = waiting;
  const ServerOptions& options = context_.shared.options;
  switch (waiting) {
    case Waiting::kHandshake:
      return timer_->Arm(options.handshake_timeout);
    case Waiting::kHeaders:
      return timer_->Arm(options.headers_timeout);
    case Waiting::kIdle:
      return timer_->Arm(options.idle_timeout);
    case Waiting::kDrain:
      return timer_->Arm(kGoawayDelay);
    case Waiting::kNothing:
      return timer_->Disarm();
  }
}

void HttpConnection::OnTimer() {
  switch (waiting_) {
    case Waiting::kIdle:
    case Waiting::kHeaders:
      if (codec_->protocol() == http::Protocol::kHttp2) {
        codec_->StartDrain();
        codec_->FinishDrain();
        Feed();
      } else if (waiting_ == Waiting::kHeaders && !connection_->input().empty()) {
        connection_->output().Append(
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      }
      return Close();
    case Waiting::kDrain:
      waiting_ = Waiting::kNothing;
      codec_->FinishDrain();
      return Feed();
    case Waiting::kHandshake:
    case Waiting::kNothing:
      return Close();
  }
}

void HttpConnection::Drain() {
  if (draining_ || state_ == State::kClosing || state_ == State::kGone) return;
  if (state_ == State::kHandshaking) return Close();
  draining_ = true;
  codec_->StartDrain();
  std::vector<Exchange*> all;
  for (const auto& [stream, exchange] : exchanges_) all.push_back(exchange.get());
  for (Exchange* exchange : all) exchange->Drain();
  Wait(Waiting::kDrain);
  transport_.ReceiveAgain();
}

void HttpConnection::Close() {
  if (state_ == State::kClosing || state_ == State::kGone) return;
  const bool was_open = state_ == State::kOpen;
  state_ = State::kClosing;
  Wait(Waiting::kNothing);
  if (was_open) codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, "closed");
  exchanges_.clear();
  connection_->Close(kFlushTimeout);
}

void HttpConnection::CloseNow() {
  if (state_ == State::kGone) return;
  if (state_ == State::kOpen) {
    state_ = State::kGone;
    codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, "the server stops");
  }
  state_ = State::kGone;
  exchanges_.clear();
  timer_->Disarm();
  connection_->SetHandler(nullptr);
  connection_->Abort();
  set_.Remove(*this);
}

void HttpConnection::OnClosed(net::CloseCause, absl::string_view detail) {
  if (state_ == State::kHandshaking) {
    LOG(kDebug, "http", "connection from ", connection_->remote_address().ToString(), ": ", detail);
  }
  const bool was_open = state_ == State::kOpen;
  state_ = State::kGone;
  timer_->Disarm();
  if (was_open) codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, detail);
  exchanges_.clear();
  set_.Remove(*this);
}

}  // namespace meltemi::apiserver
