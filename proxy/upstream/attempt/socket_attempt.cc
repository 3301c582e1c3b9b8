#include "proxy/upstream/attempt/socket_attempt.h"

#include <utility>

namespace meltemi::proxy {

SocketAttempt::SocketAttempt(AttemptHome& home, std::shared_ptr<const ClusterConfig> config,
                             TcpAttemptEvents& events)
    : home_(&home), config_(std::move(config)), events_(events) {
  home.AddUser(user_);
}

SocketAttempt::~SocketAttempt() {
  if (connection_ != nullptr) connection_->SetHandler(nullptr);
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
  const net::Address& to = host_->config.address;
  // A source of the other family can't be meant for this host.
  const bool bind = config_->bind_source.set() && config_->bind_source.family() == to.family();
  connection_ = connector.Connect(loop, to, bind ? config_->bind_source : net::Address(), limits);
  connection_->SetHandler(this);
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
  if (home_ != nullptr) {
    home_->stats().RecordMs(ClusterHistogram::kCxConnectMs, home_->loop().Now() - begun_);
    home_->ReportOutcome(*host_, 200, StreamError::kNone);
  }
  if (config_->keepalive.has_value()) connection_->SetKeepalive(*config_->keepalive);
  events_.OnTcpConnected(std::move(connection_), *host_);
}

void SocketAttempt::OnClosed(net::CloseCause, absl::string_view detail) {
  FailConnecting(StreamError::kConnectFailure, detail);
}

void SocketAttempt::FailConnecting(StreamError error, absl::string_view detail) {
  if (connection_ == nullptr) return;
  connect_timer_->Disarm();
  connection_->SetHandler(nullptr);
  if (home_ != nullptr) {
    home_->stats().Inc(ClusterCounter::kCxConnectFail);
    if (error == StreamError::kConnectTimeout) {
      home_->stats().Inc(ClusterCounter::kCxConnectTimeout);
    }
    host_->connect_failures.fetch_add(1, std::memory_order_relaxed);
    home_->ReportOutcome(*host_, 0, error);
    home_->loop().DeferDelete(std::move(connection_));
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
