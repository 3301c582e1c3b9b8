// The compiled route table: immutable, made for matching, free of protobuf.
// Semantics: Envoy's route matching (envoy.config.route.v3.VirtualHost.domains, RouteMatch).
//
// Built by proxy/config/compile on the main thread; read by all workers without locks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/random/random.h"
#include "proxy/route/header_ops.h"
#include "proxy/route/matchers.h"
#include "proxy/route/policies.h"

namespace meltemi::proxy {

struct StreamInfo;

// Where a share of a route's requests goes.
struct WeightedCluster {
  std::string cluster;         // name; or
  std::string cluster_header;  // lower-case name of the request header that names it
  uint32_t weight = 1;         // of Route::weight_total
  HeaderOps request_ops, response_ops;
  std::string host_rewrite;  // "" = none
  FilterOverrides filters;
};

struct RedirectAction {
  std::string scheme, host, path, prefix_rewrite;  // "" = leave
  std::optional<RegexRewrite> regex_rewrite;
  uint32_t port = 0;  // 0 = leave
  bool https = false;
  bool strip_query = false;
  int status = 301;
};

struct DirectResponseAction {
  int status = 200;
  std::string body;
};

struct MirrorPolicy {
  std::string cluster;
  std::string cluster_header;
  Fraction fraction;          // of requests
  bool append_shadow = true;  // authority gets "-shadow"
};

struct Route {
  enum class Action : uint8_t { kForward, kRedirect, kDirectResponse, kNonForwarding };

  std::string name;
  RouteMatch match;
  Action action = Action::kForward;
  RedirectAction redirect;
  DirectResponseAction direct;

  // --- kForward
  std::vector<WeightedCluster> clusters;  // at least one
  uint32_t weight_total = 0;
  Rewrite rewrite;  // path and authority
  Timeouts timeouts;
  std::shared_ptr<const RetryPolicy> retry;  // null: no retries
  std::vector<HashPolicy> hash;
  std::vector<MirrorPolicy> mirrors;
  // Lower-case words such as "websocket", "connect": allowed or refused here whatever the
  // connection manager says of them.
  std::vector<std::string> upgrades, upgrades_refused;
  bool high_priority = false;
  int cluster_not_found_status = 503;
  uint32_t retry_shadow_buffer_bytes = 0;  // 0: the listener's limit

  // --- any action; own, then virtual host's, then table's, as Envoy applies them
  std::vector<const HeaderOps*> request_ops, response_ops;  // in the order of application
  HeaderOps own_request_ops, own_response_ops;
  const CorsPolicy* cors = nullptr;  // effective one (route, else virtual host)
  std::shared_ptr<const CorsPolicy> own_cors;
  FilterOverrides filters;  // effective overrides (route over virtual host over table)
  std::string decorator_operation;
  // The name of the virtual host, for observers; set by BuildIndex.
  absl::string_view virtual_host;

  // Whether `word` (lower case) may be upgraded to; `listener_words` are the connection manager's.
  bool AllowsUpgrade(absl::string_view word, const std::vector<std::string>& listener_words) const;
  // Chooses by weight; `random` is a uniform 64-bit value.
  const WeightedCluster& PickCluster(uint64_t random) const;
};

class RouteIndex;  // proxy/route/route_index.h

struct VirtualHost {
  VirtualHost();
  ~VirtualHost();

  std::string name;
  std::vector<std::unique_ptr<Route>> routes;
  std::unique_ptr<const RouteIndex> index;  // BuildIndex makes it when there are many routes
  HeaderOps request_ops, response_ops;
  std::shared_ptr<const CorsPolicy> cors;
  std::shared_ptr<const RetryPolicy> retry;
  FilterOverrides filters;
  // A request that did not come over TLS is redirected to https.
  bool require_tls_all = false;
  bool include_attempt_count_request = false, include_attempt_count_response = false;
};

// What a match may look at beside the headers.
struct MatchContext {
  uint64_t random = 0;  // for runtime fractions; stable for one stream
  bool downstream_tls = false;
  uint16_t local_port = 0;
  bool ignore_port_in_host = false;
};

class RouteTable {
 public:
  RouteTable();

  // A uniform entry point for the compiler (proxy/config/compile/route) to fill.
  std::string name;
  std::vector<std::unique_ptr<VirtualHost>> virtual_hosts;
  HeaderOps request_ops, response_ops;
  bool ignore_port_in_host = false;
  FilterOverrides filters;
  uint32_t direct_response_body_bytes_max = 4096;

  // Must be called once after filling (tables never move afterwards): builds the domain index.
  // `domains[i]` belongs to virtual_hosts[i]. Error: a domain twice, or more than one "*".
  absl::Status BuildIndex(const std::vector<std::vector<std::string>>& domains);

  // The virtual host for an authority: exact, then longest suffix wildcard, then longest prefix
  // wildcard, then "*"; case-insensitive; nullptr when none.
  const VirtualHost* FindVirtualHost(absl::string_view authority) const;
  // The first route of the virtual host that matches; nullptr when none. Sets *virtual_host (null
  // when no domain matched). A virtual host that requires TLS gives a redirect to https without it.
  const Route* Match(const http::HeaderMap& request, const MatchContext& context,
                     const VirtualHost** virtual_host) const;

 private:
  using Domains = absl::flat_hash_map<std::string, const VirtualHost*>;
  // Wildcards by length of the fixed part, longest first.
  using Wildcards = std::vector<std::pair<size_t, Domains>>;

  absl::Status AddDomain(absl::string_view domain, const VirtualHost* host);
  const VirtualHost* FindLowerCase(absl::string_view host) const;

  Domains exact_;
  Wildcards suffixes_, prefixes_;
  const VirtualHost* any_ = nullptr;
  Route tls_redirect_;
};

}  // namespace meltemi::proxy
