// Keeps one gRPC stream to the control plane: finds an address, connects, carries messages, and
// tries again after a growing delay whenever the stream ends.
//
//   [waiting] --timer--> [resolving] --address--> [connecting] --up--> [streaming]
//       ^                     |                        |                   |
//       +------- failed ------+------------------------+------ ended ------+
//
// Main loop only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/grpc/bidi_stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "proxy/config/bootstrap/bootstrap.h"
#include "proxy/config/secrets/credentials.h"
#include "proxy/config/xds/ads_state.h"

namespace meltemi::proxy {

class XdsClient;

class AdsTransport final : private http::grpc::BidiEvents {
 public:
  // All outlive the transport.
  AdsTransport(Loop& loop, Random& random, net::DnsResolver& dns, const AdsTarget& target,
               XdsClient& client, const AdsBackoff& backoff = {});
  ~AdsTransport() override;

  void Start();
  // Between the client's OnConnected and OnDisconnected.
  void Send(std::string request);

 private:
  void Connect();
  void OnResolved(absl::StatusOr<net::DnsAnswer> answer);
  void ConnectTo(const net::Address& address);
  void Explain(std::string why);
  void Retry(absl::string_view why);

  // --- http::grpc::BidiEvents
  void OnConnected() override;
  void OnMessage(absl::string_view message) override;
  void OnEnded(absl::Status status) override;

  Loop& loop_;
  Random& random_;
  net::DnsResolver& dns_;
  const AdsTarget target_;
  Credentials credentials_;
  XdsClient& client_;
  AdsRetry retry_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<net::DnsQuery> query_;
  std::unique_ptr<http::grpc::BidiStream> stream_;
  size_t endpoint_ = 0;    // the next to try, modulo their number
  size_t address_ = 0;     // the next of a name's addresses, likewise
  std::string host_;       // of that endpoint
  std::string where_;      // for messages
  std::string said_;       // the last reason in the log; "" after a stream that answered
  bool answered_ = false;  // the stream that is open has sent something
};

}  // namespace meltemi::proxy
