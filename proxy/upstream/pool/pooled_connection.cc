#include "proxy/upstream/pool/pooled_connection.h"

#include <string>
#include <utility>

#include "base/log/log.h"
#include "proxy/upstream/pool/pool.h"

namespace meltemi::proxy {
namespace {

// Where nothing is configured. HTTP/1: shorter than the keep-alive of common application servers,
// so that a request rarely meets a connection that its server is just closing. HTTP/2 servers say
// goodbye with GOAWAY and need no such haste.
constexpr Duration kIdleTimeoutHttp1 = seconds(4);
constexpr Duration kIdleTimeoutHttp2 = minutes(60);

}  // namespace

PooledConnection::PooledConnection(Pool& pool, bool high_priority)
    : pool_(pool), high_priority_(high_priority), begun_(pool.context_.loop.Now()) {
  PoolContext& context = pool.context_;
  const ClusterConfig& config = *pool.config_;
  net::ConnectionLimits limits;
  limits.read_buffer_bytes_max = config.buffer_bytes_max;
  limits.write_buffer_bytes_high = config.buffer_bytes_max;
  TransportNeeds needs;
  if (config.transport != nullptr) {
    if (config.transport->auto_sni) needs.server_name = pool.kind_.name;
    if (config.transport->auto_san_validation) needs.exact_name = pool.kind_.name;
  }
  needs.alpn = pool.kind_.alpn.get();
  needs.protocol = pool.kind_.protocol;
  needs.by_alpn = pool.kind_.by_alpn;
  const EndpointConfig& endpoint = pool.host_->config;
  host_ = ConnectHost(context.loop, context.connector, config, endpoint, endpoint.address, limits,
                      needs);
  host_.connection->SetHandler(this);
  timer_ = context.loop.NewTimer([this] { OnTimer(); });
  timer_->Arm(config.connect_timeout);
  context.breakers->Add(BreakerKind::kConnections, high_priority);
  pool.host_->connections_active.fetch_add(1, std::memory_order_relaxed);
  pool.host_->connections_total.fetch_add(1, std::memory_order_relaxed);
  context.stats.Inc(ClusterCounter::kCxTotal);
  if (!pool.kind_.by_alpn) CountProtocol();
  if (host_.not_ready) context.stats.tls().OnNotReady();
  context.stats.Add(ClusterGauge::kCxActive, 1);
}

PooledConnection::~PooledConnection() {
  if (state_ == State::kClosed) return;
  // The worker goes down with its connections.
  CountClosed(/*remote=*/false);
  host_.connection->SetHandler(nullptr);
  state_ = State::kClosed;
  if (codec_ != nullptr) {
    codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, "the worker ends");
  }
}

void PooledConnection::CountProtocol() {
  const bool http2 = pool_.protocol_ == http::Protocol::kHttp2;
  pool_.context_.stats.Inc(http2 ? ClusterCounter::kCxHttp2Total : ClusterCounter::kCxHttp1Total);
}

void PooledConnection::OnSecured() {
  if (host_.tls != nullptr) {
    tls_info_ = host_.ReadInfo();
    pool_.context_.stats.tls().OnHandshake(*tls_info_);
  }
  if (!pool_.kind_.by_alpn) return;
  const bool http2 = tls_info_ != nullptr && tls_info_->alpn == "h2";
  pool_.protocol_ = http2 ? http::Protocol::kHttp2 : http::Protocol::kHttp11;
  CountProtocol();
}

http::Protocol PooledConnection::protocol() const { return codec_->protocol(); }

bool PooledConnection::HasRoom() const {
  if (state_ != State::kOpen || peer_draining_ || codec_->capacity() == 0) return false;
  const uint32_t requests_max = pool_.config_->requests_per_connection_max;
  return requests_max == 0 || streams_started_ < requests_max;
}

http::Stream& PooledConnection::NewStream(http::StreamReceiver* receiver, bool tunnel) {
  timer_->Disarm();
  ++streams_started_;
  http::Stream& stream = codec_->NewStream(receiver);
  const uint32_t requests_max = pool_.config_->requests_per_connection_max;
  if (requests_max != 0 && streams_started_ == requests_max) {
    pool_.context_.stats.Inc(ClusterCounter::kCxMaxRequests);
    state_ = State::kRetiring;
  } else if (tunnel && protocol() != http::Protocol::kHttp2) {
    state_ = State::kRetiring;
  }
  return stream;
}

void PooledConnection::Retire() {
  if (state_ != State::kOpen) return;
  state_ = State::kRetiring;
  pool_.OnNoRoom(*this);
  SettleSoon();
}

void PooledConnection::SettleSoon() {
  if (state_ != State::kClosed) pool_.context_.loop.AtTurnEnd(&settle_task_);
}

void PooledConnection::OnConnected() {
  if (state_ != State::kConnecting) return;
  PoolContext& context = pool_.context_;
  const ClusterConfig& config = *pool_.config_;
  state_ = pool_.draining_ && pool_.queue_head_ == nullptr ? State::kRetiring : State::kOpen;
  --pool_.connecting_;
  context.stats.RecordMs(ClusterHistogram::kCxConnectMs, context.loop.Now() - begun_);
  if (config.keepalive.has_value()) host_.connection->SetKeepalive(*config.keepalive);
  OnSecured();
  codec_ = pool_.protocol_ == http::Protocol::kHttp2
               ? http::NewHttp2ClientCodec(wire_, wire_, config.http2)
               : http::NewHttp1ClientCodec(wire_, wire_, config.http1);
  if (config.connection_duration_max.has_value()) {
    duration_timer_ = context.loop.NewTimer([this] { OnDurationReached(); });
    duration_timer_->Arm(*config.connection_duration_max);
  }
  timer_->Disarm();
  if (config.http2_ping_interval > Duration(0) && protocol() == http::Protocol::kHttp2) {
    ping_timer_ = context.loop.NewTimer([this] { OnPingTimer(); });
    ping_timer_->Arm(config.http2_ping_interval);
  }
  Settle();
}

void PooledConnection::OnPingTimer() {
  if (state_ == State::kClosed) return;
  if (pong_due_) {
    Finish(http::ResetCause::kConnectionLost, "no answer to a ping", /*remote=*/false);
    return;
  }
  pong_due_ = codec_->SendPing();
  ping_timer_->Arm(pong_due_ ? pool_.config_->http2_ping_timeout
                             : pool_.config_->http2_ping_interval);
}

void PooledConnection::Wire::OnPong() {
  owner_.pong_due_ = false;
  if (owner_.ping_timer_ != nullptr) {
    owner_.ping_timer_->Arm(owner_.pool_.config_->http2_ping_interval);
  }
}

void PooledConnection::OnRead(Buffer& in, bool end_of_stream) {
  if (codec_ == nullptr) return;
  end_of_input_ = end_of_stream;
  Receive();
}

void PooledConnection::Receive() {
  receive_again_ = false;
  receiving_ = true;
  const absl::Status status = codec_->Receive(host_.connection->input(), end_of_input_);
  receiving_ = false;
  if (state_ == State::kClosed) return;
  if (!status.ok()) {
    pool_.context_.stats.Inc(ClusterCounter::kCxProtocolError);
    const std::string detail(status.message());
    Finish(http::ResetCause::kProtocolError, detail, /*remote=*/false);
    return;
  }
  host_.connection->PauseReading(!codec_->wants_input());
  Settle();
}

void PooledConnection::RunAtTurnEnd() {
  if (state_ == State::kClosed || codec_ == nullptr) return;
  if (receive_again_) {
    Receive();
  } else {
    Settle();
  }
}

void PooledConnection::Settle() {
  if (state_ == State::kClosed) return;
  const bool idle = codec_->open_streams() == 0;
  if (codec_->finished() || (idle && (end_of_input_ || peer_draining_)) ||
      (idle && state_ == State::kRetiring)) {
    Finish(http::ResetCause::kConnectionLost, "", /*remote=*/end_of_input_ || peer_draining_);
    return;
  }
  if (HasRoom()) {
    const Duration idle_timeout = pool_.config_->idle_timeout.value_or(
        protocol() == http::Protocol::kHttp2 ? kIdleTimeoutHttp2 : kIdleTimeoutHttp1);
    if (idle && idle_timeout != kNoIdleTimeout) timer_->Arm(idle_timeout);
    pool_.OnRoom(*this);
  } else {
    pool_.OnNoRoom(*this);
  }
}

void PooledConnection::OnTimer() {
  if (state_ == State::kConnecting) {
    timer_->Disarm();
    state_ = State::kClosed;
    CountClosed(/*remote=*/false);
    host_.connection->SetHandler(nullptr);
    host_.connection->Abort();
    pool_.OnConnectFailed(*this, StreamError::kConnectTimeout, "connect timeout");
    pool_.OnGone(*this);
    return;
  }
  if (state_ == State::kClosed || codec_->open_streams() > 0) return;
  pool_.context_.stats.Inc(ClusterCounter::kCxIdleTimeout);
  Finish(http::ResetCause::kLocal, "idle timeout", /*remote=*/false);
}

void PooledConnection::OnDurationReached() {
  pool_.context_.stats.Inc(ClusterCounter::kCxMaxDurationReached);
  Retire();
}

void PooledConnection::OnWriteBlocked(bool blocked) {
  if (codec_ != nullptr) codec_->OnTransportBlocked(blocked);
}

void PooledConnection::OnClosed(net::CloseCause cause, absl::string_view detail) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kConnecting) {
    state_ = State::kClosed;
    CountClosed(/*remote=*/true);
    host_.connection->SetHandler(nullptr);
    if (host_.tls != nullptr) pool_.context_.stats.tls().OnFailure(host_.tls->handshake_failure());
    pool_.OnConnectFailed(*this, StreamError::kConnectFailure, detail);
    pool_.OnGone(*this);
    return;
  }
  const std::string copy(detail);
  Finish(http::ResetCause::kConnectionLost, copy, cause != net::CloseCause::kLocalClosed);
}

void PooledConnection::Finish(http::ResetCause cause, absl::string_view detail, bool remote) {
  const bool active = codec_->open_streams() > 0;
  state_ = State::kClosed;
  pool_.OnNoRoom(*this);
  CountClosed(remote);
  if (active) {
    ClusterStats& stats = pool_.context_.stats;
    stats.Inc(ClusterCounter::kCxDestroyWithActiveRq);
    stats.Inc(remote ? ClusterCounter::kCxDestroyRemoteWithActiveRq
                     : ClusterCounter::kCxDestroyLocalWithActiveRq);
  }
  timer_->Disarm();
  host_.connection->SetHandler(nullptr);
  // The connection is deleted, and so closed, at the end of this turn: after the turn's output.
  if (!host_.connection->output().empty()) host_.connection->FlushSoon();
  codec_->OnConnectionClosed(cause, detail);
  pool_.OnGone(*this);
}

void PooledConnection::CountBytes() {
  const uint64_t read = host_.connection->bytes_read(), written = host_.connection->bytes_written();
  pool_.context_.stats.Add(ClusterCounter::kCxRxBytes, read - bytes_read_counted_);
  pool_.context_.stats.Add(ClusterCounter::kCxTxBytes, written - bytes_written_counted_);
  bytes_read_counted_ = read;
  bytes_written_counted_ = written;
}

void PooledConnection::CountClosed(bool remote) {
  CountBytes();
  PoolContext& context = pool_.context_;
  context.breakers->Remove(BreakerKind::kConnections, high_priority_);
  pool_.host_->connections_active.fetch_sub(1, std::memory_order_relaxed);
  context.stats.Add(ClusterGauge::kCxActive, -1);
  context.stats.Inc(ClusterCounter::kCxDestroy);
  context.stats.Inc(remote ? ClusterCounter::kCxDestroyRemote : ClusterCounter::kCxDestroyLocal);
  context.stats.RecordMs(ClusterHistogram::kCxLengthMs, context.loop.Now() - begun_);
}

Buffer& PooledConnection::Wire::output() { return owner_.host_.connection->output(); }
void PooledConnection::Wire::OutputReady() { owner_.host_.connection->FlushSoon(); }
void PooledConnection::Wire::CloseWrite() { owner_.host_.connection->CloseWrite(); }

void PooledConnection::Wire::ReceiveAgain() {
  owner_.receive_again_ = true;
  owner_.SettleSoon();
}

void PooledConnection::Wire::OnStreamFinished(http::Stream&) {
  owner_.CountBytes();
  // Within Receive the connection is settled when that returns.
  if (!owner_.receiving_) owner_.SettleSoon();
}

void PooledConnection::Wire::OnPeerDraining() {
  if (owner_.peer_draining_) return;
  owner_.peer_draining_ = true;
  owner_.pool_.context_.stats.Inc(ClusterCounter::kCxCloseNotify);
  owner_.SettleSoon();
}

void PooledConnection::Wire::OnCapacityChanged() { owner_.SettleSoon(); }

}  // namespace meltemi::proxy
