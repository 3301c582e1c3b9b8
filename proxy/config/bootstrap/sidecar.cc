#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/net/interfaces.h"
#include "base/protojson/decode.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "google/protobuf/struct.pb.h"
#include "proxy/config/bootstrap/bootstrap.h"
#include "proxy/config/bootstrap/labels_file.h"
#include "proxy/config/bootstrap/user_agent.h"
#include "proxy/observe/mesh_stats.h"

namespace meltemi::proxy {
namespace {

namespace bootstrap_v3 = envoy::config::bootstrap::v3;
namespace core_v3 = envoy::config::core::v3;
using google::protobuf::Struct;

constexpr char kAdsCluster[] = "xds-grpc";

void SetText(Struct* metadata, const std::string& key, const std::string& value) {
  if (!value.empty()) (*metadata->mutable_fields())[key].set_string_value(value);
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

absl::StatusOr<std::map<std::string, std::string>> ParsePairs(
    absl::string_view option, const std::vector<std::string>& texts) {
  std::map<std::string, std::string> pairs;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", option, ": '", text, "' is not key=value"));
    }
    pairs[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return pairs;
}

absl::Status AddMetadata(const std::vector<std::string>& texts, Struct* metadata) {
  absl::StatusOr<std::map<std::string, std::string>> pairs = ParsePairs("metadata", texts);
  if (!pairs.ok()) return pairs.status();
  for (const auto& [key, text] : *pairs) {
    google::protobuf::Value& value = (*metadata->mutable_fields())[key];
    const bool json = absl::StartsWith(text, "{");
    if (!json) {
      value.set_string_value(text);
      continue;
    }
    absl::Status status =
        protojson::DecodeText(text, "--metadata " + key, value.mutable_struct_value());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// "" when there is none.
std::string Text(const Struct& metadata, const std::string& key) {
  auto it = metadata.fields().find(key);
  return it == metadata.fields().end() ? "" : it->second.string_value();
}

const Struct& Sub(const Struct& metadata, const std::string& key) {
  auto it = metadata.fields().find(key);
  return it == metadata.fields().end() ? Struct::default_instance() : it->second.struct_value();
}

struct Resolved {
  std::string ip, workload, workload_name;
  std::map<std::string, std::string> labels;
};

absl::StatusOr<Resolved> Resolve(const SidecarOptions& options) {
  Resolved r;
  r.ip = options.ip.empty() ? net::FirstGlobalIp() : options.ip;
  if (r.ip.empty()) {
    return absl::InvalidArgumentError("this machine has no address besides loopback: give --ip");
  }
  if (absl::StatusOr<net::Address> ip = net::Address::FromIp(r.ip, 0); !ip.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--ip: ", ip.status().message()));
  }
  r.workload = options.workload.empty() ? HostName() : options.workload;
  r.workload_name = options.workload_name.empty() ? r.workload : options.workload_name;
  if (r.workload.empty()) return absl::InvalidArgumentError("--workload is needed");
  absl::StatusOr<std::map<std::string, std::string>> labels = ParsePairs("labels", options.labels);
  if (!labels.ok()) return labels.status();
  r.labels = *std::move(labels);
  if (!options.labels_file.empty()) {
    absl::StatusOr<std::map<std::string, std::string>> more = ReadLabelsFile(options.labels_file);
    if (!more.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--labels-file: ", more.status().message()));
    }
    r.labels.insert(more->begin(), more->end());
  }
  if (options.node_type != "sidecar" && options.node_type != "router") {
    return absl::InvalidArgumentError(
        absl::StrCat("--node-type: '", options.node_type, "' is neither sidecar nor router"));
  }
  return r;
}

absl::Status FillNode(const SidecarOptions& options, const Resolved& r, core_v3::Node* node) {
  const std::string& ns = options.namespace_;
  node->set_id(!options.node_id.empty()
                   ? options.node_id
                   : absl::StrCat(options.node_type, "~", r.ip, "~", r.workload, ".", ns, "~", ns,
                                  ".svc.", options.domain));
  auto app = r.labels.find("app");
  node->set_cluster(
      !options.service_cluster.empty()
          ? options.service_cluster
          : absl::StrCat(app != r.labels.end() ? app->second : r.workload_name, ".", ns));
  Struct* metadata = node->mutable_metadata();
  SetText(metadata, "NAME", r.workload);
  SetText(metadata, "NAMESPACE", ns);
  SetText(metadata, "INSTANCE_IPS", r.ip);
  SetText(metadata, "WORKLOAD_NAME", r.workload_name);
  SetText(metadata, "SERVICE_ACCOUNT", options.service_account);
  SetText(metadata, "CLUSTER_ID", options.cluster_id);
  SetText(metadata, "MESH_ID", options.mesh_id);
  SetText(metadata, "INTERCEPTION_MODE", "REDIRECT");
  Struct* labels = (*metadata->mutable_fields())["LABELS"].mutable_struct_value();
  for (const auto& [key, value] : r.labels) SetText(labels, key, value);
  SetUserAgent(node);
  return AddMetadata(options.metadata, metadata);
}

absl::StatusOr<AdsTarget::Endpoint> ParseEndpoint(absl::string_view option,
                                                  absl::string_view text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  absl::string_view host = text.substr(0, std::min(colon, text.size()));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (colon == absl::string_view::npos || host.empty() ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", option, ": '", text, "' is not host:port"));
  }
  return AdsTarget::Endpoint{std::string(host), static_cast<uint16_t>(port)};
}

// TLS to the control plane, and the certificate of our own that comes with it.
absl::Status FillCredentials(const SidecarOptions& options, Bootstrap* out) {
  if (options.root_cert.empty()) {
    if (!options.token_file.empty()) {
      return absl::InvalidArgumentError(
          "--token-file needs --root-cert: a token is sent over TLS alone");
    }
    if (!options.ca_address.empty() && options.ca_address != "off") {
      return absl::InvalidArgumentError(
          "--ca-address needs --root-cert: an authority is asked over TLS alone");
    }
    return absl::OkStatus();
  }
  CredentialFiles credentials;
  credentials.tls = true;
  credentials.root_file = options.root_cert;
  credentials.token_file = options.token_file;
  out->ads->credentials = credentials;
  const bool wanted =
      options.ca_address.empty() ? !options.token_file.empty() : options.ca_address != "off";
  if (!wanted) return absl::OkStatus();
  absl::StatusOr<AdsTarget::Endpoint> endpoint =
      options.ca_address.empty() ? ParseEndpoint("xds-address", options.xds_address)
                                 : ParseEndpoint("ca-address", options.ca_address);
  if (!endpoint.ok()) return endpoint.status();
  const std::string& account = options.service_account;
  out->ca = CaTarget{
      .endpoint = *std::move(endpoint),
      .credentials = std::move(credentials),
      .identity = absl::StrCat("spiffe://", options.trust_domain, "/ns/", options.namespace_,
                               "/sa/", account.empty() ? "default" : account),
      .cluster_id = options.cluster_id,
      .validity = options.secret_ttl};
  return absl::OkStatus();
}

void FillDynamic(const SidecarOptions& options, bootstrap_v3::Bootstrap* proto) {
  auto* dynamic = proto->mutable_dynamic_resources();
  for (core_v3::ConfigSource* config :
       {dynamic->mutable_cds_config(), dynamic->mutable_lds_config()}) {
    config->mutable_ads();
    config->set_resource_api_version(core_v3::V3);
    const auto ns = options.initial_fetch_timeout.count();
    config->mutable_initial_fetch_timeout()->set_seconds(ns / 1'000'000'000);
    config->mutable_initial_fetch_timeout()->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
  }
  core_v3::ApiConfigSource* ads = dynamic->mutable_ads_config();
  ads->set_api_type(options.delta_xds ? core_v3::ApiConfigSource::DELTA_GRPC
                                      : core_v3::ApiConfigSource::GRPC);
  ads->set_transport_api_version(core_v3::V3);
  ads->set_set_node_on_first_message_only(true);
  ads->add_grpc_services()->mutable_google_grpc()->set_target_uri(options.xds_address);
  ads->mutable_grpc_services(0)->mutable_google_grpc()->set_stat_prefix(kAdsCluster);
}

}  // namespace

void SetUserAgent(core_v3::Node* node) {
  node->set_user_agent_name(std::string(kUserAgent));
  auto* build = node->mutable_user_agent_build_version();
  const std::vector<std::string> parts = absl::StrSplit(kVersion, '.');
  uint32_t number[3] = {0, 0, 0};
  for (size_t i = 0; i < parts.size() && i < 3; ++i) (void)absl::SimpleAtoi(parts[i], &number[i]);
  build->mutable_version()->set_major_number(number[0]);
  build->mutable_version()->set_minor_number(number[1]);
  build->mutable_version()->set_patch(number[2]);
}

absl::StatusOr<Bootstrap> SidecarBootstrap(const SidecarOptions& options) {
  if (options.xds_address.empty()) {
    return absl::InvalidArgumentError("--xds-address is needed: host:port of the control plane");
  }
  absl::StatusOr<Resolved> resolved = Resolve(options);
  if (!resolved.ok()) return resolved.status();
  bootstrap_v3::Bootstrap proto;
  absl::Status status = FillNode(options, *resolved, proto.mutable_node());
  if (!status.ok()) return status;
  FillDynamic(options, &proto);
  auto* admin = proto.mutable_admin()->mutable_address()->mutable_socket_address();
  admin->set_address("127.0.0.1");
  admin->set_port_value(options.admin_port);
  absl::StatusOr<Bootstrap> bootstrap = BootstrapOf(proto, "options");
  if (!bootstrap.ok()) return bootstrap;
  status = FillCredentials(options, &*bootstrap);
  if (!status.ok()) return status;
  return bootstrap;
}

std::shared_ptr<const Workload> WorkloadOf(const core_v3::Node& node) {
  const Struct& metadata = node.metadata();
  const Struct& labels = Sub(metadata, "LABELS");
  auto workload = std::make_shared<Workload>();
  workload->node_id = node.id();
  workload->name = Text(metadata, "WORKLOAD_NAME");
  workload->namespace_ = Text(metadata, "NAMESPACE");
  // sidecar~IP~NAME.NAMESPACE~DOMAIN says it too.
  const std::vector<std::string> parts = absl::StrSplit(node.id(), '~');
  if (parts.size() == 4) {
    const std::pair<std::string, std::string> pod =
        absl::StrSplit(parts[2], absl::MaxSplits('.', 1));
    if (workload->name.empty()) workload->name = pod.first;
    if (workload->namespace_.empty()) workload->namespace_ = pod.second;
  }
  workload->app = Text(labels, "app");
  if (workload->app.empty()) workload->app = Text(labels, "app.kubernetes.io/name");
  workload->version = Text(labels, "version");
  if (workload->version.empty()) workload->version = Text(labels, "app.kubernetes.io/version");
  workload->canonical_service = Text(labels, "service.istio.io/canonical-name");
  if (workload->canonical_service.empty()) {
    workload->canonical_service = workload->app.empty() ? workload->name : workload->app;
  }
  workload->canonical_revision = Text(labels, "service.istio.io/canonical-revision");
  if (workload->canonical_revision.empty()) {
    workload->canonical_revision = workload->version.empty() ? "latest" : workload->version;
  }
  workload->cluster = Text(metadata, "CLUSTER_ID");
  return workload;
}

}  // namespace meltemi::proxy
