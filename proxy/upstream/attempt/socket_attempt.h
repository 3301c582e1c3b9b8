// One TCP try at one host.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "proxy/transport/host_transport.h"
#include "proxy/upstream/attempt/attempt_context.h"
#include "proxy/upstream/pool/connector.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Loop-owned. Connects, hands the connection over, and then stands for its place under the breaker.
class SocketAttempt final : public TcpAttempt, public net::ConnectionHandler {
 public:
  SocketAttempt(AttemptHome& home, std::shared_ptr<const ClusterConfig> config,
                TcpAttemptEvents& events);
  ~SocketAttempt() override;

  // Exactly one of the two, once.
  void Begin(std::shared_ptr<Host> host, const Connector& connector);
  void BeginFailed(StreamError error, absl::string_view detail);

  const Host* host() const override { return host_.get(); }
  std::shared_ptr<const TlsInfo> tls() const override { return tls_info_; }

  // net::ConnectionHandler, while connecting
  void OnConnected() override;
  void OnRead(Buffer&, bool) override {}
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

 private:
  class NoticeTask final : public TurnEndTask {
   public:
    explicit NoticeTask(SocketAttempt& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.TellFailure(); }

   private:
    SocketAttempt& owner_;
  };
  class User final : public ClusterUser {
   public:
    explicit User(SocketAttempt& owner) : owner_(owner) {}
    void OnClusterGone() override { owner_.home_ = nullptr; }

   private:
    SocketAttempt& owner_;
  };

  void FailConnecting(StreamError error, absl::string_view detail);
  void TellFailure();
  void Release();

  AttemptHome* home_;  // null once released
  const std::shared_ptr<const ClusterConfig> config_;
  TcpAttemptEvents& events_;
  std::shared_ptr<Host> host_;
  HostConnection to_;  // while connecting
  std::shared_ptr<const TlsInfo> tls_info_;
  std::unique_ptr<Timer> connect_timer_;
  User user_{*this};
  NoticeTask notice_task_{*this};
  MonotonicTime begun_{};
  bool counted_ = false;
  StreamError failure_ = StreamError::kNone;
  std::string detail_;
};

}  // namespace meltemi::proxy
