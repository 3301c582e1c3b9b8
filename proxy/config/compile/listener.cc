#include "proxy/config/compile/listener.h"

#include <array>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/type/v3/range.pb.h"
#include "google/protobuf/any.pb.h"
#include "proxy/config/compile/access_log.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/network_filters.h"
#include "proxy/config/compile/rbac.h"
#include "proxy/config/compile/transport_socket.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/listener/chain_match.h"

namespace meltemi::proxy {
namespace {

namespace core_v3 = envoy::config::core::v3;
namespace listener_v3 = envoy::config::listener::v3;

// Of listener filters the types alone matter. Referring to them also links them in, so that a
// bootstrap in JSON may hold them.
using envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
using envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
using envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;

using Ports = std::vector<std::pair<uint16_t, uint16_t>>;

constexpr absl::string_view kHttpManager =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
constexpr absl::string_view kTcpProxy = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
// Istio's own network filters stand before the terminal one. What they do is built in
// (proxy/observe/mesh_stats.h); they are known by the names that Istio gives them.
constexpr std::array<absl::string_view, 3> kBuiltIn = {"istio.metadata_exchange", "istio.stats",
                                                       "envoy.filters.network.metadata_exchange"};

absl::Status Error(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::StatusOr<net::Address> CompileAddress(const core_v3::Address& config,
                                            const std::string& where) {
  RETURN_IF_ERROR(
      CheckSupported(config, where,
                     {"socket_address.protocol", "socket_address.address",
                      "socket_address.port_value", "socket_address.ipv4_compat", "pipe.path"}));
  if (config.has_pipe()) return net::Address::Parse(absl::StrCat("unix:", config.pipe().path()));
  if (!config.has_socket_address()) return Error(where, "no address is set");
  const core_v3::SocketAddress& socket = config.socket_address();
  if (socket.protocol() != core_v3::SocketAddress::TCP) {
    return Error(where, "only TCP listeners are supported");
  }
  if (socket.port_value() > 65535) return Error(where, "the port is above 65535");
  auto address = net::Address::FromIp(socket.address(), static_cast<uint16_t>(socket.port_value()));
  if (!address.ok()) return Error(where, address.status().message());
  return address;
}

// ---- Listener filters ---------------------------------------------------------------------------

// The ports at which a listener filter is off. `all`: everywhere.
absl::Status CompileDisabled(const listener_v3::ListenerFilterChainMatchPredicate& rule,
                             const std::string& where, Ports* ports, bool* all) {
  switch (rule.rule_case()) {
    case listener_v3::ListenerFilterChainMatchPredicate::kAnyMatch:
      *all |= rule.any_match();
      return absl::OkStatus();
    case listener_v3::ListenerFilterChainMatchPredicate::kDestinationPortRange: {
      const auto& range = rule.destination_port_range();
      if (range.start() < 0 || range.end() > 65536 || range.start() >= range.end()) {
        return Error(where, "'destination_port_range' is no range of ports");
      }
      ports->emplace_back(static_cast<uint16_t>(range.start()),
                          static_cast<uint16_t>(std::min(range.end(), 65535)));
      return absl::OkStatus();
    }
    case listener_v3::ListenerFilterChainMatchPredicate::kOrMatch:
      for (const auto& inner : rule.or_match().rules()) {
        RETURN_IF_ERROR(CompileDisabled(inner, where, ports, all));
      }
      return absl::OkStatus();
    default:
      return Error(where,
                   "only 'any_match', 'destination_port_range' and 'or_match' are supported in "
                   "'filter_disabled'");
  }
}

absl::Status CompileListenerFilter(const listener_v3::ListenerFilter& filter,
                                   const std::string& where, ListenerConfig* out) {
  RETURN_IF_ERROR(CheckSupported(filter, where, {"name", "typed_config", "filter_disabled.**"}));
  const std::string type = AnyTypeName(filter.typed_config());
  Ports off;
  bool all_off = false;
  if (filter.has_filter_disabled()) {
    RETURN_IF_ERROR(CompileDisabled(filter.filter_disabled(), where, &off, &all_off));
  }
  if (type == OriginalDst::descriptor()->full_name()) {
    if (filter.has_filter_disabled()) return Error(where, "'filter_disabled' is not supported");
    out->original_dst_filter = true;
  } else if (type == TlsInspector::descriptor()->full_name()) {
    out->tls_inspector = !all_off;
    out->tls_inspector_off = std::move(off);
  } else if (type == HttpInspector::descriptor()->full_name()) {
    out->http_inspector = !all_off;
    out->http_inspector_off = std::move(off);
  } else {
    return Error(where, absl::StrCat("a listener filter of type '", type, "' is not supported"));
  }
  return absl::OkStatus();
}

// ---- Filter chains ------------------------------------------------------------------------------

absl::Status CompileRanges(const google::protobuf::RepeatedPtrField<core_v3::CidrRange>& ranges,
                           const std::string& where, std::vector<net::Cidr>* out) {
  for (const core_v3::CidrRange& range : ranges) {
    auto cidr =
        net::Cidr::Parse(absl::StrCat(range.address_prefix(), "/", range.prefix_len().value()));
    if (!cidr.ok()) return Error(where, cidr.status().message());
    out->push_back(*std::move(cidr));
  }
  return absl::OkStatus();
}

absl::Status CompileMatch(const listener_v3::FilterChainMatch& config, const std::string& where,
                          FilterChainMatch* out) {
  RETURN_IF_ERROR(CheckSupported(
      config, where,
      {"destination_port.value", "prefix_ranges.**", "direct_source_prefix_ranges.**",
       "source_type", "source_prefix_ranges.**", "source_ports", "server_names",
       "transport_protocol", "application_protocols"}));
  if (config.has_destination_port()) {
    if (config.destination_port().value() < 1 || config.destination_port().value() > 65535) {
      return Error(where, "'destination_port' must be from 1 to 65535");
    }
    out->destination_port = static_cast<uint16_t>(config.destination_port().value());
  }
  RETURN_IF_ERROR(CompileRanges(config.prefix_ranges(), where, &out->prefix_ranges));
  RETURN_IF_ERROR(
      CompileRanges(config.direct_source_prefix_ranges(), where, &out->direct_source_ranges));
  RETURN_IF_ERROR(CompileRanges(config.source_prefix_ranges(), where, &out->source_ranges));
  for (uint32_t port : config.source_ports()) {
    out->source_ports.push_back(static_cast<uint16_t>(port));
  }
  for (const std::string& name : config.server_names()) {
    if (absl::StrContains(name, '*') && !absl::StartsWith(name, "*.")) {
      return Error(where, absl::StrCat("server name '", name,
                                       "': a wildcard must be the whole first label"));
    }
    out->server_names.push_back(name);
  }
  out->transport_protocol = config.transport_protocol();
  out->application_protocols.assign(config.application_protocols().begin(),
                                    config.application_protocols().end());
  out->source_local_only =
      config.source_type() == listener_v3::FilterChainMatch::SAME_IP_OR_LOOPBACK;
  out->source_external_only = config.source_type() == listener_v3::FilterChainMatch::EXTERNAL;
  return absl::OkStatus();
}

bool IsBuiltIn(const listener_v3::Filter& filter) {
  for (absl::string_view name : kBuiltIn) {
    if (filter.name() == name) return true;
  }
  return false;
}

absl::Status CompileNetworkFilter(const listener_v3::Filter& filter, const std::string& where,
                                  bool last, bool inbound, const CompileContext& context,
                                  FilterChain* out) {
  if (!last && IsBuiltIn(filter)) return absl::OkStatus();
  RETURN_IF_ERROR(CheckSupported(filter, where, {"name", "typed_config"}));
  const std::string type = AnyTypeName(filter.typed_config());
  if (IsNetworkRbac(type)) {
    const std::string here = absl::StrCat(where, ": filter '", filter.name(), "'");
    ASSIGN_OR_RETURN(auto rbac, CompileNetworkRbac(filter.typed_config(), here));
    out->network_filters.push_back(std::move(rbac));
    return absl::OkStatus();
  }
  if (type != kHttpManager && type != kTcpProxy) {
    return Error(where, absl::StrCat("a network filter of type '", type, "' ('", filter.name(),
                                     "') is not supported"));
  }
  if (!last) return Error(where, absl::StrCat("'", filter.name(), "' must be the last filter"));
  if (type == kHttpManager) {
    ASSIGN_OR_RETURN(out->http, CompileHttpManager(filter.typed_config(), where, inbound, context));
  } else {
    ASSIGN_OR_RETURN(out->tcp, CompileTcpProxy(filter.typed_config(), where, inbound, context));
  }
  return absl::OkStatus();
}

absl::StatusOr<FilterChain> CompileChain(const listener_v3::FilterChain& config,
                                         const std::string& where, bool inbound,
                                         const CompileContext& context) {
  RETURN_IF_ERROR(
      CheckSupported(config, where,
                     {"filter_chain_match", "filters", "metadata.**", "transport_socket",
                      "transport_socket_connect_timeout", "name", "use_proxy_proto.value"}));
  if (config.use_proxy_proto().value()) return Error(where, "'use_proxy_proto' is not supported");
  FilterChain out;
  ASSIGN_OR_RETURN(out.tls, CompileDownstreamSocket(config.transport_socket(),
                                                    absl::StrCat(where, ": transport_socket"),
                                                    context.tls_sockets));
  out.name = config.name();
  RETURN_IF_ERROR(CompileMatch(config.filter_chain_match(),
                               absl::StrCat(where, ": filter_chain_match"), &out.match));
  if (config.has_transport_socket_connect_timeout()) {
    ASSIGN_OR_RETURN(out.transport_connect_timeout,
                     CompileDuration(config.transport_socket_connect_timeout(), where));
  }
  for (int i = 0; i < config.filters_size(); ++i) {
    RETURN_IF_ERROR(CompileNetworkFilter(config.filters(i), where, i + 1 == config.filters_size(),
                                         inbound, context, &out));
  }
  if (out.http == nullptr && out.tcp == nullptr) {
    return Error(where, "an HTTP connection manager or a TCP proxy is wanted as the last filter");
  }
  out.fingerprint = Fingerprint(config);
  return out;
}

// ---- The listener -------------------------------------------------------------------------------

absl::Status CompileChains(const listener_v3::Listener& config, const std::string& where,
                           const CompileContext& context, ListenerConfig* out) {
  for (int i = 0; i < config.filter_chains_size(); ++i) {
    const listener_v3::FilterChain& chain = config.filter_chains(i);
    const std::string here = chain.name().empty()
                                 ? absl::StrCat(where, ": filter chain ", i)
                                 : absl::StrCat(where, ": filter chain '", chain.name(), "'");
    ASSIGN_OR_RETURN(FilterChain compiled, CompileChain(chain, here, out->inbound, context));
    for (const FilterChain& other : out->filter_chains) {
      if (SameMatch(other.match, compiled.match)) {
        return Error(
            here, absl::StrCat("'filter_chain_match' is the same as that of '", other.name, "'"));
      }
    }
    out->filter_chains.push_back(std::move(compiled));
  }
  if (config.has_default_filter_chain()) {
    if (config.default_filter_chain().has_filter_chain_match()) {
      RETURN_IF_ERROR(CheckSupported(config.default_filter_chain().filter_chain_match(),
                                     absl::StrCat(where, ": default_filter_chain"), {}));
    }
    ASSIGN_OR_RETURN(out->default_chain, CompileChain(config.default_filter_chain(),
                                                      absl::StrCat(where, ": default_filter_chain"),
                                                      out->inbound, context));
  }
  if (out->filter_chains.empty() && !out->default_chain.has_value()) {
    return Error(where, "no filter chain is set");
  }
  return absl::OkStatus();
}

absl::Status CompileSniffing(const listener_v3::Listener& config, const std::string& where,
                             ListenerConfig* out) {
  for (int i = 0; i < config.listener_filters_size(); ++i) {
    const std::string here = absl::StrCat(where, ": listener_filters[", i, "]");
    RETURN_IF_ERROR(CompileListenerFilter(config.listener_filters(i), here, out));
  }
  if (config.has_listener_filters_timeout()) {
    ASSIGN_OR_RETURN(out->sniff_timeout,
                     CompileDuration(config.listener_filters_timeout(),
                                     absl::StrCat(where, ": 'listener_filters_timeout'")));
  }
  out->continue_on_sniff_timeout = config.continue_on_listener_filters_timeout();
  return absl::OkStatus();
}

absl::Status CompileSocket(const listener_v3::Listener& config, const std::string& where,
                           ListenerConfig* out) {
  ASSIGN_OR_RETURN(out->address,
                   CompileAddress(config.address(), absl::StrCat(where, ": address")));
  for (int i = 0; i < config.additional_addresses_size(); ++i) {
    const std::string here = absl::StrCat(where, ": additional_addresses[", i, "]");
    RETURN_IF_ERROR(CheckSupported(config.additional_addresses(i), here, {"address"}));
    ASSIGN_OR_RETURN(net::Address address,
                     CompileAddress(config.additional_addresses(i).address(), here));
    out->additional_addresses.push_back(address);
  }
  out->bind_to_port = !(config.has_bind_to_port() && !config.bind_to_port().value()) &&
                      !(config.deprecated_v1().has_bind_to_port() &&
                        !config.deprecated_v1().bind_to_port().value());
  out->use_original_dst = config.use_original_dst().value();
  out->transparent = config.transparent().value();
  out->reuse_port = !config.has_enable_reuse_port() || config.enable_reuse_port().value();
  if (config.has_per_connection_buffer_limit_bytes()) {
    out->buffer_bytes_max = config.per_connection_buffer_limit_bytes().value();
    if (out->buffer_bytes_max == 0) out->buffer_bytes_max = 1024 * 1024;
  }
  if (config.has_tcp_backlog_size()) out->backlog = config.tcp_backlog_size().value();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ListenerConfig>> CompileListener(
    const listener_v3::Listener& config, const CompileContext& context) {
  const std::string where = absl::StrCat("listener '", config.name(), "'");
  if (config.has_api_listener()) {
    return Error(where,
                 "field 'api_listener' is for clients that speak xDS themselves (gRPC); this proxy "
                 "needs a listener with an address and filter chains");
  }
  RETURN_IF_ERROR(CheckSupported(config, where,
                                 {"name",
                                  "address",
                                  "additional_addresses",
                                  "stat_prefix",
                                  "filter_chains",
                                  "use_original_dst.value",
                                  "default_filter_chain",
                                  "per_connection_buffer_limit_bytes.value",
                                  "metadata.**",
                                  "deprecated_v1.bind_to_port.**",
                                  "drain_type",
                                  "listener_filters",
                                  "listener_filters_timeout",
                                  "continue_on_listener_filters_timeout",
                                  "transparent.value",
                                  "traffic_direction",
                                  "connection_balance_config.exact_balance.**",
                                  "reuse_port",
                                  "enable_reuse_port.value",
                                  "access_log",
                                  "tcp_backlog_size.value",
                                  "max_connections_to_accept_per_socket_event.**",
                                  "bind_to_port.value",
                                  "bypass_overload_manager"}));
  auto out = std::make_shared<ListenerConfig>();
  out->name = config.name();
  if (out->name.empty()) return Error(where, "'name' is not set");
  out->inbound = config.traffic_direction() == core_v3::INBOUND;
  RETURN_IF_ERROR(CompileSocket(config, where, out.get()));
  RETURN_IF_ERROR(CompileSniffing(config, where, out.get()));
  RETURN_IF_ERROR(CompileChains(config, where, context, out.get()));
  ASSIGN_OR_RETURN(out->access_logs, CompileAccessLogs(config.access_log(), where, context));
  out->fingerprint = Fingerprint(config);
  return std::shared_ptr<const ListenerConfig>(std::move(out));
}

}  // namespace meltemi::proxy
