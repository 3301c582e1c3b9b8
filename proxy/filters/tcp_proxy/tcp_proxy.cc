#include "proxy/filters/tcp_proxy/tcp_proxy.h"

#include <utility>

#include "base/log/log.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/route/hash.h"
#include "proxy/stream/reply/reply.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

// How long what was written may take to reach a peer that is otherwise done.
constexpr Duration kFlushTimeout = seconds(5);
// How often the bytes of a long connection reach the statistics.
constexpr Duration kReportInterval = seconds(10);

const std::string& PickCluster(const TcpProxyConfig& config, uint64_t random) {
  uint64_t point = random % config.weight_total;
  for (const TcpProxyConfig::Target& target : config.targets) {
    if (point < target.weight) return target.cluster;
    point -= target.weight;
  }
  return config.targets.back().cluster;
}

}  // namespace

TcpRuntime::TcpRuntime(WorkerContext& worker_context,
                       std::shared_ptr<const TcpProxyConfig> tcp_config)
    : worker(worker_context),
      config(std::move(tcp_config)),
      scope(worker.shard, {}),
      stats(scope, config->stat_prefix) {}

TcpProxy::TcpProxy(ConnectionSet& set, std::shared_ptr<TcpRuntime> runtime,
                   std::unique_ptr<net::Connection> connection, TcpPeer peer,
                   absl::AnyInvocable<void()> on_end)
    : set_(set),
      runtime_(std::move(runtime)),
      on_end_(std::move(on_end)),
      downstream_tls_(std::move(peer.tls)) {
  down_.connection = std::move(connection);
  down_.connection->SetHandler(&down_);
  info_.start = loop().Now();
  info_.start_wall = loop().WallNow();
  info_.downstream_remote = info_.downstream_direct_remote = std::move(peer.direct_remote);
  info_.downstream_local = std::move(peer.local);
  info_.requested_server_name = std::move(peer.server_name);
  info_.connection_id = peer.connection_id;
  info_.downstream_tls = downstream_tls_.get();
  info_.connection_termination_details = std::move(peer.refused);
  refused_ = !info_.connection_termination_details.empty();
  runtime_->stats.downstream_cx_total.Inc();
}

TcpProxy::~TcpProxy() {
  if (ended_) return;
  down_.connection->SetHandler(nullptr);
  if (up_.connection != nullptr) up_.connection->SetHandler(nullptr);
  End();
}

// ---- Connecting ---------------------------------------------------------------------------------

void TcpProxy::Start(bool end_of_stream) {
  down_.ended = end_of_stream;
  if (refused_) {
    state_ = State::kOver;
    down_.connection->Close(milliseconds(100));
    return;
  }
  const TcpProxyConfig& config = *runtime_->config;
  cluster_ = PickCluster(config, runtime_->worker.random.Next());
  if (config.connection_duration_max.has_value()) {
    max_timer_ = loop().NewTimer([this] { OnMaxDuration(); });
    max_timer_->Arm(*config.connection_duration_max);
  }
  Connect();
}

void TcpProxy::Connect() {
  WorkerCluster* cluster = runtime_->worker.clusters.Find(cluster_);
  if (cluster == nullptr) {
    runtime_->stats.downstream_cx_no_route.Inc();
    return Fail(StreamError::kClusterNotFound, "");
  }
  cluster_config_ = cluster->shared_config();
  info_.cluster = cluster_config_.get();
  BalanceContext context;
  context.original_dst = info_.downstream_local;
  context.tried = tried_;
  context.host_selection_tries = tried_.empty() ? 1 : 3;
  if (!runtime_->config->hash.empty()) {
    context.hash = ComputeHash(runtime_->config->hash, nullptr, info_.downstream_remote,
                               info_.downstream_local)
                       .hash;
  }
  ++info_.attempts;
  attempt_ = cluster->StartTcp(context, *this);
}

void TcpProxy::OnTcpFailed(StreamError error, absl::string_view detail) {
  if (state_ != State::kConnecting) return;
  const bool host_failed =
      error == StreamError::kConnectFailure || error == StreamError::kConnectTimeout;
  if (host_failed && info_.attempts < runtime_->config->connect_attempts_max) {
    if (attempt_->host() != nullptr) tried_.push_back(attempt_->host());
    loop().DeferDelete(std::move(attempt_));
    return Connect();
  }
  if (host_failed && runtime_->config->connect_attempts_max > 1) {
    info_.response_flags |= kFlagRetryLimit;
  }
  info_.upstream_host = attempt_ == nullptr ? nullptr : attempt_->host();
  Fail(error, detail);
}

void TcpProxy::Fail(StreamError error, absl::string_view detail) {
  info_.response_flags |= ErrorFlags(error);
  info_.upstream_transport_failure = std::string(detail);
  LOG(kDebug, "tcp", "connection ", info_.connection_id, " to cluster ", cluster_, ": ",
      ResponseFlagsText(info_.response_flags), " ", detail);
  state_ = State::kOver;
  // Nothing was said to the client, so there is nothing to flush; FIN, not RST, as Envoy does.
  down_.connection->Close(milliseconds(100));
}

void TcpProxy::OnTcpConnected(std::unique_ptr<net::Connection> connection, const Host& host) {
  if (state_ != State::kConnecting) return;
  state_ = State::kForwarding;
  up_.connection = std::move(connection);
  up_.connection->SetHandler(&up_);
  info_.upstream_host = &host;
  info_.upstream_local = up_.connection->local_address();
  info_.upstream_tls = attempt_->tls();
  info_.upstream_first_tx = loop().Now();
  opened_ = true;
  runtime_->worker.mesh_stats.OnTcpOpen(info_, runtime_->config->inbound);
  Touch();
  // What the client said meanwhile, its end included.
  Move(down_, down_.connection->input(), down_.ended);
  if (!up_.connection->input().empty()) Move(up_, up_.connection->input(), false);
}

// ---- Forwarding ---------------------------------------------------------------------------------

void TcpProxy::Move(Side& from, Buffer& in, bool end_of_stream) {
  from.ended |= end_of_stream;
  // Until there is an upstream the bytes wait where they are; reading stops at the buffer's limit.
  if (state_ != State::kForwarding) return;
  Side& to = Other(from);
  const size_t count = in.size();
  if (count > 0) {
    Touch();
    if (from.down) {
      info_.bytes_received += count;
      runtime_->stats.downstream_cx_rx_bytes_total.Add(count);
    } else {
      if (info_.upstream_first_rx == MonotonicTime{}) info_.upstream_first_rx = loop().Now();
      info_.bytes_sent += count;
      runtime_->stats.downstream_cx_tx_bytes_total.Add(count);
    }
  }
  if (to.closed) {
    in.Clear();
    return;
  }
  to.connection->output().MoveFrom(in);
  if (count > 0) to.connection->FlushSoon();
  if (end_of_stream) to.connection->CloseWrite();
}

void TcpProxy::OnBlocked(Side& side, bool blocked) {
  if (state_ != State::kForwarding) return;
  if (!side.down) {
    (blocked ? runtime_->stats.downstream_flow_control_paused_reading_total
             : runtime_->stats.downstream_flow_control_resumed_reading_total)
        .Inc();
  }
  Side& feeder = Other(side);
  if (!feeder.closed) feeder.connection->PauseReading(blocked);
}

void TcpProxy::OnSideClosed(Side& side, net::CloseCause cause, absl::string_view detail) {
  side.closed = true;
  Side& other = Other(side);
  const bool broken = cause == net::CloseCause::kRemoteReset;
  if (state_ == State::kConnecting) info_.response_flags |= kFlagDownstreamConnTerm;
  if (state_ == State::kForwarding && broken && !detail.empty() && !side.down) {
    info_.upstream_transport_failure = std::string(detail);
  }
  const bool all_closed = other.connection == nullptr || other.closed;
  if (state_ != State::kForwarding || all_closed) return End();
  if (broken) {
    // The other end learns of it, after what was on its way to it.
    state_ = State::kOver;
    other.connection->Close(kFlushTimeout);
  }
  // Else both directions of this side are over in order, and the other one flushes its last bytes.
}

// ---- Time-outs ----------------------------------------------------------------------------------

void TcpProxy::Touch() {
  if (report_timer_ == nullptr) report_timer_ = loop().NewTimer([this] { ReportBytes(); });
  if (!report_timer_->armed()) report_timer_->Arm(kReportInterval);
  const Duration idle = runtime_->config->idle_timeout;
  if (idle <= Duration(0)) return;
  if (idle_timer_ == nullptr) idle_timer_ = loop().NewTimer([this] { OnIdle(); });
  idle_timer_->Arm(idle);
}

void TcpProxy::OnIdle() {
  runtime_->stats.idle_timeout.Inc();
  info_.connection_termination_details = "idle_timeout";
  info_.response_flags |= kFlagStreamIdleTimeout;
  CloseNow();
}

void TcpProxy::OnMaxDuration() {
  runtime_->stats.max_downstream_connection_duration.Inc();
  info_.connection_termination_details = "max_duration_reached";
  info_.response_flags |= kFlagDurationTimeout;
  CloseNow();
}

void TcpProxy::ReportBytes() {
  if (!opened_) return;
  const uint64_t sent = info_.bytes_sent - reported_sent_;
  const uint64_t received = info_.bytes_received - reported_received_;
  reported_sent_ = info_.bytes_sent;
  reported_received_ = info_.bytes_received;
  if (sent > 0 || received > 0) {
    runtime_->worker.mesh_stats.OnTcpBytes(info_, runtime_->config->inbound, sent, received);
  }
}

// ---- The end ------------------------------------------------------------------------------------

void TcpProxy::CloseNow() {
  if (ended_) return;
  // In order (FIN after what was written) where that needs no waiting.
  for (Side* side : {&down_, &up_}) {
    if (side->connection != nullptr && !side->closed) side->connection->SetHandler(nullptr);
  }
  state_ = State::kOver;
  End();
}

void TcpProxy::End() {
  if (std::exchange(ended_, true)) return;
  state_ = State::kOver;
  for (Timer* timer : {idle_timer_.get(), max_timer_.get(), report_timer_.get()}) {
    if (timer != nullptr) timer->Disarm();
  }
  info_.end = loop().Now();
  if (opened_) {
    ReportBytes();
    runtime_->worker.mesh_stats.OnTcpClose(info_, runtime_->config->inbound);
  }
  for (const auto& log : runtime_->config->access_logs) {
    log->Write(nullptr, nullptr, nullptr, info_);
  }
  if (on_end_) std::exchange(on_end_, nullptr)();
  set_.Remove(*this);
}

}  // namespace meltemi::proxy
