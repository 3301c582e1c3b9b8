#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb.h"
#include "envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb.h"
#include "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb.h"
#include "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb.h"
#include "proxy/config/compile/cluster_parts.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace lb = envoy::extensions::load_balancing_policies;
using envoy::config::cluster::v3::Cluster;
using envoy::config::cluster::v3::LoadBalancingPolicy;

constexpr uint64_t kRingSizeMax = 8 * 1024 * 1024;
constexpr uint64_t kMaglevTableMax = 5000011;
constexpr int kPolicyDepthMax = 4;

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

bool IsPrime(uint64_t n) {
  if (n < 2) return false;
  for (uint64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

// Ring and Maglev sizes, from either form of their configuration.
template <typename Message>
absl::Status ReadRing(const Message& ring, absl::string_view where, ClusterConfig& config) {
  config.balance = Balance::kRingHash;
  if (ring.has_minimum_ring_size()) config.ring_size_min = ring.minimum_ring_size().value();
  if (ring.has_maximum_ring_size()) config.ring_size_max = ring.maximum_ring_size().value();
  if (ring.hash_function() == Message::MURMUR_HASH_2) {
    return Invalid(where, "hash_function MURMUR_HASH_2 is not supported");
  }
  if (config.ring_size_max > kRingSizeMax || config.ring_size_min > config.ring_size_max) {
    return Invalid(where, absl::StrCat("ring sizes must be at most ", kRingSizeMax,
                                       ", the minimum not above the maximum"));
  }
  return absl::OkStatus();
}

template <typename Message>
absl::Status ReadMaglev(const Message& maglev, absl::string_view where, ClusterConfig& config) {
  config.balance = Balance::kMaglev;
  if (maglev.has_table_size()) config.maglev_table_size = maglev.table_size().value();
  if (!IsPrime(config.maglev_table_size) || config.maglev_table_size > kMaglevTableMax) {
    return Invalid(where, absl::StrCat("table_size must be a prime of at most ", kMaglevTableMax));
  }
  return absl::OkStatus();
}

template <typename Message>
absl::Status ReadLeastRequest(const Message& message, absl::string_view where,
                              ClusterConfig& config) {
  config.balance = Balance::kLeastRequest;
  if (message.has_choice_count()) config.least_request_choices = message.choice_count().value();
  if (config.least_request_choices < 2) return Invalid(where, "choice_count must be at least 2");
  if (message.has_active_request_bias() && message.active_request_bias().default_value() != 1) {
    return Invalid(where, "active_request_bias other than 1 is not supported");
  }
  return absl::OkStatus();
}

// Localities: weighted ones are; zone awareness has no effect without a local cluster, which the
// proxy has not.
template <typename Message>
void ReadLocality(const Message& locality, ClusterConfig& config) {
  config.locality_weighted = locality.has_locality_weighted_lb_config();
  config.fail_traffic_on_panic = locality.zone_aware_lb_config().fail_traffic_on_panic();
}

absl::Status CompileCommon(const Cluster::CommonLbConfig& common, absl::string_view where,
                           ClusterConfig& config) {
  // update_merge_window only delays; override_host_status only matters to stateful sessions.
  RETURN_IF_ERROR(CheckSupported(
      common, absl::StrCat(where, ": common_lb_config"),
      {"healthy_panic_threshold.value", "zone_aware_lb_config.**", "locality_weighted_lb_config.**",
       "update_merge_window.**", "ignore_new_hosts_until_first_hc",
       "consistent_hashing_lb_config.use_hostname_for_hashing", "override_host_status.**"}));
  if (common.has_healthy_panic_threshold()) {
    config.panic_threshold_percent = common.healthy_panic_threshold().value();
    if (!(config.panic_threshold_percent >= 0 && config.panic_threshold_percent <= 100)) {
      return Invalid(where, "common_lb_config.healthy_panic_threshold must be within 0 and 100");
    }
  }
  ReadLocality(common, config);
  config.ignore_new_hosts_until_first_health_check = common.ignore_new_hosts_until_first_hc();
  config.hash_by_hostname = common.consistent_hashing_lb_config().use_hostname_for_hashing();
  return absl::OkStatus();
}

absl::Status CompileLbPolicy(const Cluster& cluster, absl::string_view where,
                             ClusterConfig& config) {
  switch (cluster.lb_policy()) {
    case Cluster::ROUND_ROBIN:
      config.balance = Balance::kRoundRobin;
      return CheckSupported(cluster.round_robin_lb_config(),
                            absl::StrCat(where, ": round_robin_lb_config"), {});
    case Cluster::LEAST_REQUEST: {
      const std::string part = absl::StrCat(where, ": least_request_lb_config");
      RETURN_IF_ERROR(CheckSupported(cluster.least_request_lb_config(), part,
                                     {"choice_count", "active_request_bias.**"}));
      return ReadLeastRequest(cluster.least_request_lb_config(), part, config);
    }
    case Cluster::RANDOM:
      config.balance = Balance::kRandom;
      return absl::OkStatus();
    case Cluster::RING_HASH: {
      const std::string part = absl::StrCat(where, ": ring_hash_lb_config");
      RETURN_IF_ERROR(CheckSupported(cluster.ring_hash_lb_config(), part,
                                     {"minimum_ring_size", "hash_function", "maximum_ring_size"}));
      return ReadRing(cluster.ring_hash_lb_config(), part, config);
    }
    case Cluster::MAGLEV: {
      const std::string part = absl::StrCat(where, ": maglev_lb_config");
      RETURN_IF_ERROR(CheckSupported(cluster.maglev_lb_config(), part, {"table_size"}));
      return ReadMaglev(cluster.maglev_lb_config(), part, config);
    }
    case Cluster::CLUSTER_PROVIDED:
      config.balance = Balance::kClusterProvided;
      return absl::OkStatus();
    default:
      return Invalid(where, "lb_policy is not supported");
  }
}

absl::Status CompileOriginalDst(const Cluster& cluster, absl::string_view where,
                                ClusterConfig& config) {
  if ((config.discovery == Discovery::kOriginalDst) !=
      (config.balance == Balance::kClusterProvided)) {
    return Invalid(where,
                   "lb_policy CLUSTER_PROVIDED goes with type ORIGINAL_DST, and only with it");
  }
  if (!cluster.has_original_dst_lb_config()) return absl::OkStatus();
  const auto& original = cluster.original_dst_lb_config();
  RETURN_IF_ERROR(
      CheckSupported(original, absl::StrCat(where, ": original_dst_lb_config"),
                     {"use_http_header", "http_header_name", "upstream_port_override.**"}));
  config.original_dst_use_header = original.use_http_header();
  config.original_dst_header = original.http_header_name().empty()
                                   ? "x-envoy-original-dst-host"
                                   : absl::AsciiStrToLower(original.http_header_name());
  if (original.has_upstream_port_override()) {
    if (original.upstream_port_override().value() > 65535) {
      return Invalid(where, "original_dst_lb_config.upstream_port_override is no port");
    }
    config.original_dst_port_override =
        static_cast<uint16_t>(original.upstream_port_override().value());
  }
  return absl::OkStatus();
}

absl::Status CompilePolicy(const LoadBalancingPolicy& policy, absl::string_view where, int depth,
                           ClusterConfig& config);

template <typename Message>
absl::Status Unpack(const google::protobuf::Any& any, absl::string_view where,
                    std::initializer_list<absl::string_view> supported, Message& message) {
  RETURN_IF_ERROR(UnpackAny(any, where, &message));
  return CheckSupported(message, where, supported);
}

// Sets *known to false, and nothing else, for a policy that we don't have.
absl::Status CompileTyped(const google::protobuf::Any& any, absl::string_view where, int depth,
                          ClusterConfig& config, bool* known) {
  *known = true;
  const std::string type = AnyTypeName(any);
  if (type == lb::round_robin::v3::RoundRobin::descriptor()->full_name()) {
    lb::round_robin::v3::RoundRobin message;
    RETURN_IF_ERROR(Unpack(any, where, {"locality_lb_config.**"}, message));
    config.balance = Balance::kRoundRobin;
    if (message.has_locality_lb_config()) ReadLocality(message.locality_lb_config(), config);
    return absl::OkStatus();
  }
  if (type == lb::least_request::v3::LeastRequest::descriptor()->full_name()) {
    lb::least_request::v3::LeastRequest message;
    RETURN_IF_ERROR(Unpack(
        any, where, {"choice_count", "active_request_bias.**", "locality_lb_config.**"}, message));
    if (message.has_locality_lb_config()) ReadLocality(message.locality_lb_config(), config);
    return ReadLeastRequest(message, where, config);
  }
  if (type == lb::random::v3::Random::descriptor()->full_name()) {
    lb::random::v3::Random message;
    RETURN_IF_ERROR(Unpack(any, where, {"locality_lb_config.**"}, message));
    config.balance = Balance::kRandom;
    if (message.has_locality_lb_config()) ReadLocality(message.locality_lb_config(), config);
    return absl::OkStatus();
  }
  if (type == lb::ring_hash::v3::RingHash::descriptor()->full_name()) {
    lb::ring_hash::v3::RingHash message;
    RETURN_IF_ERROR(Unpack(
        any, where,
        {"hash_function", "minimum_ring_size", "maximum_ring_size", "use_hostname_for_hashing",
         "consistent_hashing_lb_config.use_hostname_for_hashing", "locality_weighted_lb_config.**"},
        message));
    config.hash_by_hostname = message.use_hostname_for_hashing() ||
                              message.consistent_hashing_lb_config().use_hostname_for_hashing();
    config.locality_weighted = message.has_locality_weighted_lb_config();
    return ReadRing(message, where, config);
  }
  if (type == lb::maglev::v3::Maglev::descriptor()->full_name()) {
    lb::maglev::v3::Maglev message;
    RETURN_IF_ERROR(Unpack(any, where,
                           {"table_size", "consistent_hashing_lb_config.use_hostname_for_hashing",
                            "locality_weighted_lb_config.**"},
                           message));
    config.hash_by_hostname = message.consistent_hashing_lb_config().use_hostname_for_hashing();
    config.locality_weighted = message.has_locality_weighted_lb_config();
    return ReadMaglev(message, where, config);
  }
  if (type == lb::wrr_locality::v3::WrrLocality::descriptor()->full_name()) {
    lb::wrr_locality::v3::WrrLocality message;
    RETURN_IF_ERROR(Unpack(any, where, {"endpoint_picking_policy"}, message));
    RETURN_IF_ERROR(CompilePolicy(message.endpoint_picking_policy(), where, depth + 1, config));
    config.locality_weighted = true;
    return absl::OkStatus();
  }
  *known = false;
  return absl::OkStatus();
}

// The first one that we have, as the protocol wants it.
absl::Status CompilePolicy(const LoadBalancingPolicy& policy, absl::string_view where, int depth,
                           ClusterConfig& config) {
  std::string names;
  for (const auto& one : policy.policies()) {
    if (depth > kPolicyDepthMax) break;
    const auto& typed = one.typed_extension_config();
    bool known;
    RETURN_IF_ERROR(CompileTyped(
        typed.typed_config(), absl::StrCat(where, ": load_balancing_policy '", typed.name(), "'"),
        depth, config, &known));
    if (known) return absl::OkStatus();
    absl::StrAppend(&names, names.empty() ? "" : ", ", AnyTypeName(typed.typed_config()));
  }
  return Invalid(where, absl::StrCat("load_balancing_policy: none of [", names, "] is supported"));
}

}  // namespace

absl::Status CompileBalancing(const Cluster& cluster, absl::string_view where,
                              ClusterConfig& config) {
  RETURN_IF_ERROR(CompileCommon(cluster.common_lb_config(), where, config));
  if (cluster.has_load_balancing_policy()) {
    RETURN_IF_ERROR(CompilePolicy(cluster.load_balancing_policy(), where, 0, config));
  } else {
    RETURN_IF_ERROR(CompileLbPolicy(cluster, where, config));
  }
  return CompileOriginalDst(cluster, where, config);
}

}  // namespace meltemi::proxy
