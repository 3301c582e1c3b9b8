#include "proxy/config/bootstrap/bootstrap.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/protojson/decode.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "proxy/config/bootstrap/control_plane_tls.h"
#include "proxy/config/bootstrap/user_agent.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace bootstrap_v3 = envoy::config::bootstrap::v3;
namespace core_v3 = envoy::config::core::v3;
namespace cluster_v3 = envoy::config::cluster::v3;

constexpr size_t kFileBytesMax = 64 * 1024 * 1024;

// Accepted and used, or checked below. Listeners and clusters are checked when they are compiled.
constexpr absl::string_view kSupported[] = {
    "node.**",
    "admin.address.socket_address.protocol",
    "admin.address.socket_address.address",
    "admin.address.socket_address.port_value",
    "admin.address.pipe.path",
    "static_resources.listeners",
    "static_resources.clusters",
    "static_resources.secrets",
    "dynamic_resources.lds_config.ads",
    "dynamic_resources.lds_config.initial_fetch_timeout.**",
    "dynamic_resources.lds_config.resource_api_version",
    "dynamic_resources.cds_config.ads",
    "dynamic_resources.cds_config.initial_fetch_timeout.**",
    "dynamic_resources.cds_config.resource_api_version",
    "dynamic_resources.ads_config.api_type",
    "dynamic_resources.ads_config.transport_api_version",
    "dynamic_resources.ads_config.set_node_on_first_message_only",
    "dynamic_resources.ads_config.grpc_services.envoy_grpc.cluster_name",
    "dynamic_resources.ads_config.grpc_services.envoy_grpc.authority",
    "dynamic_resources.ads_config.grpc_services.google_grpc.target_uri",
    "dynamic_resources.ads_config.grpc_services.google_grpc.stat_prefix",
    "dynamic_resources.ads_config.grpc_services.initial_metadata.**",
    "layered_runtime.layers.name",
    "layered_runtime.layers.static_layer.**",
    "layered_runtime.layers.admin_layer",
    // --- without meaning here: README.md, and a note in the log
    "admin.access_log_path",
    "admin.access_log.**",
    "admin.profile_path",
    "admin.ignore_global_conn_limit",
    "stats_flush_interval.**",
    "stats_flush_on_admin",
    "deferred_stat_options.**",
    "stats_server_version_override.**",
    "enable_dispatcher_stats",
    "watchdog",
    "watchdogs",
};

constexpr absl::string_view kWithoutMeaning[] = {"stats_flush_interval",
                                                 "stats_flush_on_admin",
                                                 "deferred_stat_options",
                                                 "stats_server_version_override",
                                                 "enable_dispatcher_stats",
                                                 "watchdog",
                                                 "watchdogs"};

// Runtime keys that steer Envoy's own code, not the traffic.
bool IsHarmlessRuntimeKey(absl::string_view key) {
  return absl::StartsWith(key, "envoy.reloadable_features") ||
         absl::StartsWith(key, "envoy.restart_features") ||
         absl::StartsWith(key, "re2.max_program_size") ||
         key == "overload.global_downstream_max_connections" || key == "envoy";
}

absl::Status Invalid(absl::string_view source, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": ", message));
}

absl::Status CheckRuntime(const bootstrap_v3::Bootstrap& proto, absl::string_view source,
                          std::vector<std::string>* notes) {
  for (const auto& layer : proto.layered_runtime().layers()) {
    for (const auto& [key, value] : layer.static_layer().fields()) {
      if (!IsHarmlessRuntimeKey(key)) {
        return Invalid(source, absl::StrCat("layered_runtime: key '", key, "' is not supported"));
      }
      notes->push_back(absl::StrCat("runtime key '", key, "' has no effect here"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadAdmin(const bootstrap_v3::Bootstrap& proto, absl::string_view source,
                       Bootstrap* out) {
  if (!proto.admin().has_address()) return absl::OkStatus();
  const core_v3::Address& address = proto.admin().address();
  absl::StatusOr<net::Address> parsed;
  if (address.has_pipe()) {
    parsed = net::Address::Parse(absl::StrCat("unix:", address.pipe().path()));
  } else if (address.socket_address().protocol() != core_v3::SocketAddress::TCP) {
    return Invalid(source, "admin.address: only TCP is supported");
  } else {
    const uint32_t port = address.socket_address().port_value();
    if (port > 65535) {
      return Invalid(source, absl::StrCat("admin.address: ", port, " is no port"));
    }
    parsed = net::Address::FromIp(address.socket_address().address(), static_cast<uint16_t>(port));
  }
  if (!parsed.ok()) {
    return Invalid(source, absl::StrCat("admin.address: ", parsed.status().message()));
  }
  out->admin_address = *parsed;
  return absl::OkStatus();
}

absl::Status AddEndpoint(const core_v3::Address& address, absl::string_view where,
                         AdsTarget* target) {
  if (address.has_pipe()) {
    target->endpoints.push_back({absl::StrCat("unix:", address.pipe().path()), 0});
    return absl::OkStatus();
  }
  const core_v3::SocketAddress& socket = address.socket_address();
  if (socket.address().empty() || socket.port_value() == 0 || socket.port_value() > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": an endpoint of the control plane needs an address and a port"));
  }
  target->endpoints.push_back({socket.address(), static_cast<uint16_t>(socket.port_value())});
  return absl::OkStatus();
}

absl::Status ReadAdsCluster(const bootstrap_v3::Bootstrap& proto, const std::string& name,
                            AdsTarget* target) {
  const auto& clusters = proto.static_resources().clusters();
  auto cluster = std::find_if(clusters.begin(), clusters.end(),
                              [&](const cluster_v3::Cluster& c) { return c.name() == name; });
  const std::string where = absl::StrCat("static_resources.clusters '", name, "'");
  if (cluster == clusters.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("dynamic_resources.ads_config names cluster '", name,
                     "', which is not among static_resources.clusters"));
  }
  if (cluster->has_transport_socket()) {
    absl::Status status =
        ReadControlPlaneTls(cluster->transport_socket(), where, &target->credentials);
    if (!status.ok()) return status;
  }
  for (const auto& locality : cluster->load_assignment().endpoints()) {
    for (const auto& endpoint : locality.lb_endpoints()) {
      absl::Status status = AddEndpoint(endpoint.endpoint().address(), where, target);
      if (!status.ok()) return status;
    }
  }
  if (target->endpoints.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": the control plane's cluster needs load_assignment.endpoints of its own"));
  }
  if (cluster->has_connect_timeout()) {
    target->connect_timeout = seconds(cluster->connect_timeout().seconds()) +
                              Duration(cluster->connect_timeout().nanos());
  }
  if (target->authority.empty()) target->authority = name;
  return absl::OkStatus();
}

absl::Status ReadGoogleGrpc(const std::string& uri, AdsTarget* target) {
  absl::string_view text = uri;
  for (absl::string_view prefix : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (absl::ConsumePrefix(&text, prefix)) break;
  }
  if (absl::StartsWith(text, "unix:")) {
    target->endpoints.push_back({std::string(text), 0});
    target->authority = "localhost";
    return absl::OkStatus();
  }
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", uri, "' is not host:port"));
  }
  absl::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  target->endpoints.push_back({std::string(host), static_cast<uint16_t>(port)});
  target->authority = std::string(text);
  return absl::OkStatus();
}

absl::Status ReadAds(const bootstrap_v3::Bootstrap& proto, Bootstrap* out) {
  const core_v3::ApiConfigSource& config = proto.dynamic_resources().ads_config();
  if (config.api_type() != core_v3::ApiConfigSource::GRPC &&
      config.api_type() != core_v3::ApiConfigSource::DELTA_GRPC) {
    return absl::InvalidArgumentError(
        "dynamic_resources.ads_config.api_type must be GRPC or DELTA_GRPC");
  }
  if (config.transport_api_version() == core_v3::V2) {
    return absl::InvalidArgumentError(
        "dynamic_resources.ads_config.transport_api_version: V2 is not supported; use V3");
  }
  if (config.grpc_services_size() != 1) {
    return absl::InvalidArgumentError(
        "dynamic_resources.ads_config.grpc_services needs exactly one entry");
  }
  const core_v3::GrpcService& service = config.grpc_services(0);
  AdsTarget target;
  target.delta = config.api_type() == core_v3::ApiConfigSource::DELTA_GRPC;
  absl::Status status;
  if (service.has_envoy_grpc()) {
    target.authority = service.envoy_grpc().authority();
    status = ReadAdsCluster(proto, service.envoy_grpc().cluster_name(), &target);
  } else if (service.has_google_grpc()) {
    status = ReadGoogleGrpc(service.google_grpc().target_uri(), &target);
    if (!status.ok()) {
      status = absl::InvalidArgumentError(
          absl::StrCat("dynamic_resources.ads_config: google_grpc.target_uri: ", status.message()));
    }
  } else {
    status = absl::InvalidArgumentError(
        "dynamic_resources.ads_config.grpc_services[0] needs envoy_grpc or google_grpc");
  }
  if (!status.ok()) return status;
  for (const auto& header : service.initial_metadata()) {
    target.initial_metadata.emplace_back(header.key(), header.value());
  }
  out->ads = std::move(target);
  return absl::OkStatus();
}

absl::Status ReadDynamic(const bootstrap_v3::Bootstrap& proto, absl::string_view source,
                         Bootstrap* out) {
  const auto& dynamic = proto.dynamic_resources();
  if (dynamic.has_ads_config()) {
    if (absl::Status status = ReadAds(proto, out); !status.ok()) {
      return Invalid(source, status.message());
    }
  }
  out->clusters_over_ads = dynamic.has_cds_config();
  out->listeners_over_ads = dynamic.has_lds_config();
  Duration timeout{0};
  bool has_timeout = false;
  for (const auto* config : {dynamic.has_cds_config() ? &dynamic.cds_config() : nullptr,
                             dynamic.has_lds_config() ? &dynamic.lds_config() : nullptr}) {
    if (config == nullptr) continue;
    if (!config->has_ads() || !dynamic.has_ads_config()) {
      return Invalid(source,
                     "dynamic_resources: cds_config and lds_config must be \"ads: {}\", with "
                     "ads_config beside them");
    }
    if (!config->has_initial_fetch_timeout()) continue;
    has_timeout = true;
    timeout = std::max(timeout, Duration(seconds(config->initial_fetch_timeout().seconds())) +
                                    Duration(config->initial_fetch_timeout().nanos()));
  }
  if (has_timeout) out->initial_fetch_timeout = timeout;
  return absl::OkStatus();
}

void NoteFieldsWithoutMeaning(const bootstrap_v3::Bootstrap& proto,
                              std::vector<std::string>* notes) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  proto.GetReflection()->ListFields(proto, &fields);
  for (const auto* field : fields) {
    for (absl::string_view name : kWithoutMeaning) {
      if (field->name() == std::string(name)) {
        notes->push_back(absl::StrCat("bootstrap field '", name, "' has no effect here"));
      }
    }
  }
}

}  // namespace

Bootstrap::Bootstrap() : proto(std::make_unique<bootstrap_v3::Bootstrap>()) {}
Bootstrap::Bootstrap(Bootstrap&&) noexcept = default;
Bootstrap& Bootstrap::operator=(Bootstrap&&) noexcept = default;
Bootstrap::~Bootstrap() = default;

const core_v3::Node& Bootstrap::node() const { return proto->node(); }

std::string AdsTarget::Endpoint::ToString() const {
  if (port == 0) return host;
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<Bootstrap> BootstrapOf(const bootstrap_v3::Bootstrap& proto,
                                      absl::string_view source, std::vector<std::string>* notes) {
  std::vector<std::string> unread;
  if (notes == nullptr) notes = &unread;
  Bootstrap out;
  *out.proto = proto;
  absl::Status status = CheckSupported(proto, source, absl::MakeConstSpan(kSupported));
  if (!status.ok()) return status;
  status = CheckRuntime(proto, source, notes);
  if (!status.ok()) return status;
  status = ReadAdmin(proto, source, &out);
  if (!status.ok()) return status;
  status = ReadDynamic(proto, source, &out);
  if (!status.ok()) return status;
  if (out.ads && proto.node().id().empty()) {
    return Invalid(source, "node.id is needed when configuration comes from a control plane");
  }
  NoteFieldsWithoutMeaning(proto, notes);
  SetUserAgent(out.proto->mutable_node());
  return out;
}

absl::StatusOr<Bootstrap> ParseBootstrap(absl::string_view text, absl::string_view source,
                                         std::vector<std::string>* notes) {
  bootstrap_v3::Bootstrap proto;
  absl::Status status = protojson::DecodeText(text, source, &proto);
  if (!status.ok()) return status;
  return BootstrapOf(proto, source, notes);
}

absl::StatusOr<Bootstrap> LoadBootstrap(const std::string& path, std::vector<std::string>* notes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": the bootstrap can't be read"));
  std::ostringstream text;
  text << file.rdbuf();
  if (text.str().size() > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": larger than 64 MiB"));
  }
  return ParseBootstrap(text.str(), path, notes);
}

}  // namespace meltemi::proxy
