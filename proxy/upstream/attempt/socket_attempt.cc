#include "proxy/upstream/attempt/socket_attempt.h"

#include <utility>

namespace meltemi::proxy {

SocketAttempt::SocketAttempt(AttemptHome& home, std::shared_ptr<const ClusterConfig> config,
                             TcpAttemptEvents& events)
    : home_(&home), config_(std::move(config)), events_(events) {
  home.AddUser(user_);
}

SocketAttempt::~SocketAttempt() {
  if (to_.connection != nullptr) to_.connection->SetHandler(nullptr);
  Release();
}

void SocketAttempt::Begin(std::shared_ptr<Host> host, const Connector& connector) {
  host_ = std::move(host);
  ClusterStats& stats = home_->stats();
  Loop& loop = home_->loop();
  begun_ = loop.Now();
  counted_ = true;
  home_->breakers().Add(BreakerKind::kConnections, false);
  host_->connections_active.fetch_add(1, std::memory_order_relaxed);
  host_->connections_total.fetch_add(1, std::memory_order_relaxed);
  stats.Inc(ClusterCounter::kCxTotal);
  stats.Add(ClusterGauge::kCxActive, 1);
  net::ConnectionLimits limits;
  limits.read_buffer_bytes_max = config_->buffer_bytes_max;
  limits.write_buffer_bytes_high = config_->buffer_bytes_max;
  to_ = ConnectHost(loop, connector, *config_, host_->config, host_->config.address, limits, {});
  if (to_.not_ready) stats.tls().OnNotReady();
  to_.connection->SetHandler(this);
  connect_timer_ =
      loop.NewTimer([this] { FailConnecting(StreamError::kConnectTimeout, "connect timeout"); });
  connect_timer_->Arm(config_->connect_timeout);
}

void SocketAttempt::BeginFailed(StreamError error, absl::string_view detail) {
  failure_ = error;
  detail_.assign(detail.data(), detail.size());
  home_->loop().AtTurnEnd(&notice_task_);
}

void SocketAttempt::OnConnected() {
  connect_timer_->Disarm();
  tls_info_ = to_.ReadInfo();
  to_.tls = nullptr;
  if (home_ != nullptr) {
    if (tls_info_ != nullptr) home_->stats().tls().OnHandshake(*tls_info_);
    home_->stats().RecordMs(ClusterHistogram::kCxConnectMs, home_->loop().Now() - begun_);
    home_->ReportOutcome(*host_, 200, StreamError::kNone);
  }
  if (config_->keepalive.has_value()) to_.connection->SetKeepalive(*config_->keepalive);
  events_.OnTcpConnected(std::move(to_.connection), *host_);
}

void SocketAttempt::OnClosed(net::CloseCause, absl::string_view detail) {
  if (to_.tls != nullptr && home_ != nullptr) {
    home_->stats().tls().OnFailure(to_.tls->handshake_failure());
  }
  FailConnecting(StreamError::kConnectFailure, detail);
}

void SocketAttempt::FailConnecting(StreamError error, absl::string_view detail) {
  if (to_.connection == nullptr) return;
  connect_timer_->Disarm();
  to_.connection->SetHandler(nullptr);
  to_.tls = nullptr;
  if (home_ != nullptr) {
    home_->stats().Inc(ClusterCounter::kCxConnectFail);
    if (error == StreamError::kConnectTimeout) {
      home_->stats().Inc(ClusterCounter::kCxConnectTimeout);
    }
    host_->connect_failures.fetch_add(1, std::memory_order_relaxed);
    home_->ReportOutcome(*host_, 0, error);
    home_->loop().DeferDelete(std::move(to_.connection));
  }
  failure_ = error;
  detail_.assign(detail.data(), detail.size());
  Release();
  TellFailure();
}

void SocketAttempt::TellFailure() {
  const StreamError error = std::exchange(failure_, StreamError::kNone);
  if (error != StreamError::kNone) events_.OnTcpFailed(error, detail_);
}

void SocketAttempt::Release() {
  AttemptHome* home = std::exchange(home_, nullptr);
  if (home == nullptr) return;
  if (counted_) {
    home->breakers().Remove(BreakerKind::kConnections, false);
    host_->connections_active.fetch_sub(1, std::memory_order_relaxed);
    home->stats().Add(ClusterGauge::kCxActive, -1);
    home->stats().Inc(ClusterCounter::kCxDestroy);
    home->stats().RecordMs(ClusterHistogram::kCxLengthMs, home->loop().Now() - begun_);
  }
  home->RemoveUser(user_);
}

}  // namespace meltemi::proxy
