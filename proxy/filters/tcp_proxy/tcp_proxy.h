// A TCP connection from downstream, forwarded byte for byte to a host of a cluster.
//
//   kConnecting --------> kForwarding --------> kOver
//        |  ^ |  the host answered     either side is gone, time-outs
//        |  +-+ another host              ^
//        +--------------------------------+  no host, refused, client gone
//
// Each direction ends for itself (half-close). A side that can't take more stops the reading of the
// other: never more than the two connections' buffers are held.
//
// Loop-owned, by a ConnectionSet.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/connection.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/connection/worker_context.h"
#include "proxy/listener/listener_config.h"
#include "proxy/observe/http_stats.h"
#include "proxy/observe/stream_info.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// A TCP proxy on one worker: made when its first connection comes, held by its connections.
struct TcpRuntime {
  TcpRuntime(WorkerContext& worker, std::shared_ptr<const TcpProxyConfig> config);

  WorkerContext& worker;
  const std::shared_ptr<const TcpProxyConfig> config;
  metrics::Scope scope;
  TcpStats stats;
};

// Who is at the near end.
struct TcpPeer {
  net::Address direct_remote;
  net::Address local;       // the original destination when redirected
  std::string server_name;  // SNI
  uint64_t connection_id = 0;
  std::shared_ptr<const TlsInfo> tls;  // null: plaintext
  // Why a network filter refused the connection: then it is closed and logged, and no more.
  std::string refused;
};

class TcpProxy final : public DownstreamConnection, private TcpAttemptEvents {
 public:
  TcpProxy(ConnectionSet& set, std::shared_ptr<TcpRuntime> runtime,
           std::unique_ptr<net::Connection> connection, TcpPeer peer,
           absl::AnyInvocable<void()> on_end);
  ~TcpProxy() override;

  void Start(bool end_of_stream) override;
  // TCP has no word for "please leave": the owner closes what is left when the drain time is over.
  void Drain() override {}
  void CloseNow() override;

 private:
  enum class State : uint8_t { kConnecting, kForwarding, kOver };

  // One of the two connections.
  struct Side final : public net::ConnectionHandler {
    Side(TcpProxy& owner, bool down) : owner(owner), down(down) {}
    void OnRead(Buffer& in, bool end_of_stream) override { owner.Move(*this, in, end_of_stream); }
    void OnWriteBlocked(bool blocked) override { owner.OnBlocked(*this, blocked); }
    void OnClosed(net::CloseCause cause, absl::string_view detail) override {
      owner.OnSideClosed(*this, cause, detail);
    }
    TcpProxy& owner;
    const bool down;
    std::unique_ptr<net::Connection> connection;
    bool ended = false;   // its sending direction is over
    bool closed = false;  // OnClosed came
  };

  // --- TcpAttemptEvents
  void OnTcpConnected(std::unique_ptr<net::Connection> connection, const Host& host) override;
  void OnTcpFailed(StreamError error, absl::string_view detail) override;

  void Connect();
  void Fail(StreamError error, absl::string_view detail);
  void Move(Side& from, Buffer& in, bool end_of_stream);
  void OnBlocked(Side& side, bool blocked);
  void OnSideClosed(Side& side, net::CloseCause cause, absl::string_view detail);
  Side& Other(Side& side) { return side.down ? up_ : down_; }
  void Touch();
  void OnIdle();
  void OnMaxDuration();
  void ReportBytes();
  // Logs, counts, and asks to be deleted.
  void End();

  Loop& loop() { return runtime_->worker.loop; }

  ConnectionSet& set_;
  const std::shared_ptr<TcpRuntime> runtime_;
  absl::AnyInvocable<void()> on_end_;
  State state_ = State::kConnecting;
  bool ended_ = false;
  bool opened_ = false;  // MeshStats knows of it
  Side down_{*this, true};
  Side up_{*this, false};
  std::string cluster_;
  std::shared_ptr<const ClusterConfig> cluster_config_;
  std::unique_ptr<TcpAttempt> attempt_;
  std::vector<const Host*> tried_;
  bool refused_ = false;  // by a network filter
  const std::shared_ptr<const TlsInfo> downstream_tls_;
  StreamInfo info_;
  uint64_t reported_received_ = 0, reported_sent_ = 0;
  std::unique_ptr<Timer> idle_timer_, max_timer_, report_timer_;
};

}  // namespace meltemi::proxy
