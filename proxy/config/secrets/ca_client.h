// This workload's own certificate and its mesh's roots, from the mesh's certificate authority: what
// Istio's agent does for Envoy. The key never leaves this process.
//
//   CaState says when --> files are read --> name is resolved --> CreateCertificate over TLS
//        ^                                                                    |
//        +---------- answer, refusal or failure --> Secrets ("default", "ROOTCA")
//
// Main loop only. Sources: Istio's IstioCertificateService (security/v1alpha1/ca.proto).
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/grpc/unary_call.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "proxy/config/secrets/ca_state.h"
#include "proxy/config/secrets/credentials.h"
#include "proxy/config/secrets/files.h"

namespace meltemi::proxy {

class Secrets;

struct CaOptions {
  std::string host;  // an address, or a DNS name, which its certificate has to be for
  uint16_t port = 0;
  CredentialFiles files;
  std::string identity;    // SpiffeId()
  std::string cluster_id;  // of the Kubernetes cluster, for the authority
  Duration call_timeout = seconds(10);
  CaTimes times;
};

class CaClient final {
 public:
  // All outlive the client. Claims "default" and "ROOTCA".
  CaClient(Loop& loop, Random& random, net::DnsResolver& dns, FileWatcher& watcher,
           Secrets& secrets, metrics::Scope& scope, const CaOptions& options);
  ~CaClient();

  void Start();
  // Called once, when there is a certificate.
  void OnReady(absl::AnyInvocable<void()> callback) { on_ready_ = std::move(callback); }
  bool ready() const { return state_.certificate() != nullptr; }
  // Why the last request failed; "" when it did not.
  const std::string& last_error() const { return last_error_; }
  const CaState& state() const { return state_; }
  // Brings the gauges up to date.
  void UpdateStats();

 private:
  void OnTimer();
  void Ask();
  void OnResolved(absl::StatusOr<net::DnsAnswer> answer);
  void Call(const net::Address& address);
  void OnAnswer(absl::StatusOr<std::string> answer);
  void Fail(const absl::Status& status);
  void Explain(const absl::Status& status);
  void PublishRoots();
  void OnRootFile();
  void Rearm();

  Loop& loop_;
  Random& random_;
  net::DnsResolver& dns_;
  Secrets& secrets_;
  const CaOptions options_;
  const std::string where_;  // for messages
  metrics::Counter& requests_;
  metrics::Counter& failures_;
  metrics::Gauge& expiry_;
  Credentials credentials_;
  CaState state_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<FileWatch> root_watch_;
  std::unique_ptr<net::DnsQuery> query_;
  std::unique_ptr<http::grpc::UnaryCall> call_;
  http::grpc::BidiOptions call_options_;  // of the request under way
  std::string csr_;
  int64_t validity_s_ = 0;
  size_t address_ = 0;      // the next of a name's addresses, modulo their number
  std::string file_roots_;  // as they were read last
  std::string last_error_;
  absl::AnyInvocable<void()> on_ready_;
};

}  // namespace meltemi::proxy
