// TLS as configured, with the certificates and roots of now.
//
//   TlsConfig --> TlsSockets (main loop: makes them, watches their secrets)
//                    |  shares
//                    v
//   TlsSocket --> TlsMaterial --> the current tls::Context, replaced when a secret changes
//
// A rotation touches no listener, cluster or connection: what is open goes on with the context that
// it began with, what comes gets the new one, and no session of the old one is resumed.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/tls/tls.h"
#include "proxy/transport/tls_config.h"

namespace meltemi::proxy {

class SecretStore;

// What our own certificate says, for logs and headers.
struct OwnNames {
  std::vector<std::string> uri_sans, dns_sans;
  std::string subject;
};

// One moment's: immutable.
struct TlsState {
  std::shared_ptr<const tls::Context> context;
  OwnNames own;
};

// Any thread.
class TlsMaterial {
 public:
  // Null: its secrets are not there yet.
  std::shared_ptr<const TlsState> state() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }
  // How often the state was replaced.
  uint64_t updates() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return updates_;
  }

 private:
  friend class TlsSockets;
  void Replace(std::shared_ptr<const TlsState> state) {
    std::lock_guard<std::mutex> lock(mutex_);
    state_ = std::move(state);
    ++updates_;
  }
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsState> state_ ABSL_GUARDED_BY(mutex_);
  uint64_t updates_ ABSL_GUARDED_BY(mutex_) = 0;
};

// What one connection of a client says instead of the configuration.
struct TlsChoice {
  std::string server_name;        // "": as configured
  std::string exact_name;         // the peer's certificate must be for it; "": as configured
  std::vector<std::string> alpn;  // empty: as configured, then `fallback_alpn`
  std::vector<std::string> fallback_alpn;
};

// Immutable; any thread.
class TlsSocket {
 public:
  TlsSocket(TlsConfig config, std::shared_ptr<const TlsMaterial> material);

  const TlsConfig& config() const { return config_; }
  bool ready() const { return material_->state() != nullptr; }

  // A connection with the names of ours that it shows.
  struct Secured {
    std::unique_ptr<tls::Connection> connection;  // null: the secrets are not there
    std::shared_ptr<const TlsState> state;
  };
  // Takes `socket` only when ready. `end_of_stream`: the client has said all that it will.
  Secured Accept(Loop& loop, std::unique_ptr<net::Connection>& socket,
                 const net::ConnectionLimits& limits, bool end_of_stream) const;
  Secured Connect(Loop& loop, std::unique_ptr<net::Connection>& socket,
                  const net::ConnectionLimits& limits, TlsChoice choice) const;

 private:
  const TlsConfig config_;
  const std::shared_ptr<const TlsMaterial> material_;
  const tls::NameFits names_fit_;
};

// Main loop only. Outlives nothing that it made; made after the store, destroyed before it.
class TlsSockets {
 public:
  explicit TlsSockets(SecretStore& secrets);
  ~TlsSockets();

  // Error: what stands in the configuration itself (certificate, ciphers …) can't be used. What
  // comes by SDS and is no good is logged, and the last good one stays.
  absl::StatusOr<std::shared_ptr<const TlsSocket>> Get(TlsConfig config);
  // Called from the loop when sockets have become ready.
  void OnReady(absl::AnyInvocable<void()> callback) { on_ready_ = std::move(callback); }

  // In use, for tests and statistics.
  size_t materials() const { return entries_.size(); }

 private:
  struct Entry;
  void OnSecret(const std::string& key);
  absl::Status Rebuild(Entry& entry);
  // Forgets what nobody uses any more.
  void Sweep();

  SecretStore& secrets_;
  absl::AnyInvocable<void()> on_ready_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  size_t sweep_at_ = 64;
};

}  // namespace meltemi::proxy
