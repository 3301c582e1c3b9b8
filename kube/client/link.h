// Connections to one API server, for exchanges of one sort (calls or watches; with or without the
// client's certificate): the first with room for one more stream takes the next exchange, and a new
// one is made when there is none.
//
// Loop-owned.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/http/client/client_connection.h"
#include "base/loop/loop.h"
#include "base/net/dns.h"
#include "base/tls/tls.h"
#include "kube/client/exchange.h"

namespace meltemi::kube {

// "https://host:6443/prefix".
struct Endpoint {
  bool tls = true;
  std::string host;
  uint16_t port = 443;
  std::string authority;  // "host:6443"
  std::string prefix;     // "/prefix", or empty

  const char* scheme() const { return tls ? "https" : "http"; }
  // Error: what is wrong with the URL.
  static absl::StatusOr<Endpoint> Parse(absl::string_view url);
};

struct LinkOptions {
  Endpoint endpoint;
  std::shared_ptr<const tls::Context> tls;  // null: plain
  Duration connect_timeout = seconds(10);
  Duration ping_interval = seconds(15);
};

class Link;

class LinkPool {
 public:
  // `dns` may be null: then hosts are addresses.
  LinkPool(Loop& loop, net::DnsResolver* dns, const LinkOptions& options);
  // With the loop at rest, or after Stop.
  ~LinkPool();

  void Start(std::unique_ptr<Exchange> exchange);
  // All exchanges end as failures; later ones too.
  void Stop();

  Loop& loop() { return loop_; }
  net::DnsResolver* dns() { return dns_; }
  const LinkOptions& options() const { return options_; }
  // Of links: it is done for.
  void Remove(Link* link);

 private:
  Loop& loop_;
  net::DnsResolver* const dns_;
  const LinkOptions options_;
  std::vector<std::unique_ptr<Link>> links_;
  bool stopped_ = false;
};

}  // namespace meltemi::kube
