#include "proxy/filters/rbac/rbac.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {
namespace {

using metrics::Labels;

constexpr int kForbidden = 403;
constexpr int kPermissionDenied = 7;  // gRPC

// Labels that have a value.
Labels NonEmpty(Labels labels) {
  Labels kept;
  for (auto& label : labels) {
    if (!label.second.empty()) kept.push_back(std::move(label));
  }
  return kept;
}

struct Counters {
  Counters(metrics::Scope& scope, absl::string_view family, const Labels& labels,
           const Labels& shadow_labels)
      : allowed(scope.GetCounter(absl::StrCat(family, "allowed"), labels)),
        denied(scope.GetCounter(absl::StrCat(family, "denied"), labels)),
        shadow_allowed(scope.GetCounter(absl::StrCat(family, "shadow_allowed"), shadow_labels)),
        shadow_denied(scope.GetCounter(absl::StrCat(family, "shadow_denied"), shadow_labels)) {}
  metrics::Counter& allowed;
  metrics::Counter& denied;
  metrics::Counter& shadow_allowed;
  metrics::Counter& shadow_denied;
};

absl::string_view PolicyName(const RbacRules::Decision& decision) {
  return decision.policy == nullptr ? absl::string_view("none") : decision.policy->name;
}

// What both sets of rules say. A default decision allows.
RbacRules::Decision Judge(const RbacConfig& config, const RbacFacts& facts, uint64_t connection_id,
                          Counters& counters) {
  if (config.shadow_rules != nullptr) {
    const RbacRules::Decision shadow = config.shadow_rules->Judge(facts);
    (shadow.allowed ? counters.shadow_allowed : counters.shadow_denied).Inc();
    LOG(kDebug, "rbac", "connection ", connection_id, " from ", facts.direct_remote.ToString(),
        ": shadow ", shadow.allowed ? "allowed" : "denied", ", matched policy ",
        PolicyName(shadow));
  }
  if (config.rules == nullptr) return {};
  const RbacRules::Decision decision = config.rules->Judge(facts);
  (decision.allowed ? counters.allowed : counters.denied).Inc();
  if (!decision.allowed) {
    LOG(kDebug, "rbac", "connection ", connection_id, " from ", facts.direct_remote.ToString(),
        ": denied, matched policy ", PolicyName(decision));
  }
  return decision;
}

// ---- Requests -----------------------------------------------------------------------------------

class HttpRbacFactory final : public FilterFactory {
 public:
  HttpRbacFactory(metrics::Scope& scope, const std::string& name,
                  std::shared_ptr<const RbacConfig> config, const RbacStatPrefixes& prefixes)
      : name_(name),
        config_(std::move(config)),
        counters_(scope, "envoy_http_rbac_", NonEmpty({{"envoy_rbac_http_prefix", prefixes.rules}}),
                  NonEmpty({{"envoy_rbac_http_prefix", prefixes.shadow_rules}})) {}

  absl::string_view name() const override { return name_; }
  bool stateless() const override { return true; }
  std::unique_ptr<Filter> NewFilter(FilterStream&) override { return nullptr; }

  FilterResult Judge(FilterStream& stream, const http::HeaderMap& request) override {
    const RbacConfig* config = ConfigFor(stream);
    if (config == nullptr) return FilterResult::kContinue;
    const StreamInfo& info = stream.info();
    const RbacFacts facts{.request = request,
                          .local = info.downstream_local,
                          .direct_remote = info.downstream_direct_remote,
                          .remote = info.downstream_remote,
                          .server_name = info.requested_server_name,
                          .tls = info.downstream_tls};
    const RbacRules::Decision decision =
        proxy::Judge(*config, facts, info.connection_id, counters_);
    if (decision.allowed) return FilterResult::kContinue;
    LocalReply reply;
    reply.status = kForbidden;
    reply.grpc_status = kPermissionDenied;
    reply.body = "RBAC: access denied";
    reply.details = decision.denied_details();
    stream.Answer(std::move(reply));
    return FilterResult::kAnswered;
  }

 private:
  // Null: off on this route.
  const RbacConfig* ConfigFor(FilterStream& stream) const {
    const FilterOverrides* overrides = stream.overrides();
    if (overrides == nullptr || overrides->rbac.empty()) return config_.get();
    for (const RbacOverride& own : overrides->rbac) {
      if (own.filter == name_) return own.config.get();
    }
    return config_.get();
  }

  const std::string& name_;  // the config's, as the rules
  const std::shared_ptr<const RbacConfig> config_;
  Counters counters_;
};

class HttpRbac final : public FilterConfig {
 public:
  HttpRbac(std::string name, RbacConfig config, RbacStatPrefixes prefixes)
      : name_(std::move(name)),
        config_(std::make_shared<const RbacConfig>(std::move(config))),
        prefixes_(std::move(prefixes)) {}
  std::unique_ptr<FilterFactory> NewFactory(metrics::Scope& scope) const override {
    return std::make_unique<HttpRbacFactory>(scope, name_, config_, prefixes_);
  }

 private:
  const std::string name_;
  const std::shared_ptr<const RbacConfig> config_;
  const RbacStatPrefixes prefixes_;
};

// ---- Connections --------------------------------------------------------------------------------

class NetworkRbacFilter final : public NetworkFilter {
 public:
  NetworkRbacFilter(RbacConfig config, Counters counters)
      : config_(std::move(config)), counters_(counters) {}

  absl::string_view Judge(const ConnectionFacts& connection) override {
    const RbacFacts facts{.request = *no_request_,
                          .local = connection.local,
                          .direct_remote = connection.remote,
                          .remote = connection.remote,
                          .server_name = connection.server_name,
                          .tls = connection.tls};
    const RbacRules::Decision decision = proxy::Judge(config_, facts, connection.id, counters_);
    return decision.allowed ? absl::string_view() : decision.denied_details();
  }

 private:
  const RbacConfig config_;
  const http::HeaderMapPtr no_request_ = http::HeaderMap::New();
  Counters counters_;
};

class NetworkRbac final : public NetworkFilterConfig {
 public:
  NetworkRbac(RbacConfig config, absl::string_view stat_prefix, RbacStatPrefixes prefixes)
      : config_(std::move(config)),
        stat_prefix_(absl::StripSuffix(stat_prefix, ".")),
        prefixes_(std::move(prefixes)) {}

  std::unique_ptr<NetworkFilter> NewFilter(metrics::Scope& scope) const override {
    const bool is_tcp = stat_prefix_ == "tcp";
    Labels labels =
        NonEmpty({{"envoy_rbac_prefix", stat_prefix_}, {"envoy_tcp_prefix", is_tcp ? "rbac" : ""}});
    Labels shadow_labels = labels;
    if (!prefixes_.rules.empty()) labels.emplace_back("envoy_rbac_rules_prefix", prefixes_.rules);
    if (!prefixes_.shadow_rules.empty()) {
      shadow_labels.emplace_back("envoy_rbac_rules_prefix", prefixes_.shadow_rules);
    }
    return std::make_unique<NetworkRbacFilter>(
        config_, Counters(scope, is_tcp ? "envoy_" : "envoy_rbac_", labels, shadow_labels));
  }

 private:
  const RbacConfig config_;
  const std::string stat_prefix_;
  const RbacStatPrefixes prefixes_;
};

}  // namespace

std::shared_ptr<const FilterConfig> NewHttpRbac(std::string name, RbacConfig config,
                                                RbacStatPrefixes prefixes) {
  return std::make_shared<HttpRbac>(std::move(name), std::move(config), std::move(prefixes));
}

std::shared_ptr<const NetworkFilterConfig> NewNetworkRbac(RbacConfig config,
                                                          std::string stat_prefix,
                                                          RbacStatPrefixes prefixes) {
  return std::make_shared<NetworkRbac>(std::move(config), stat_prefix, std::move(prefixes));
}

}  // namespace meltemi::proxy
