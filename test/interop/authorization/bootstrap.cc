#include "test/interop/authorization/bootstrap.h"

#include <google/protobuf/any.pb.h>

#include "absl/strings/str_cat.h"
#include "api/envoy/all_types.h"
#include "base/protojson/encode.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/translate/authorization.h"
#include "pilot/validate/validate.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::authorization {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::accesslog::v3::AccessLog;
using envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;
using pilot::AuthorizationFilters;

constexpr char kCluster[] = "plain";

// Matched by Exchange::Details in authorization_test.cc.
constexpr char kHttpLog[] =
    "H %REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n";
constexpr char kTcpLog[] =
    "T %DOWNSTREAM_LOCAL_PORT%-%DOWNSTREAM_REMOTE_PORT% %RESPONSE_FLAGS% "
    "%CONNECTION_TERMINATION_DETAILS%\n";

template <typename Target>
void SetAddress(int port, Target* target) {
  auto& address = *target->mutable_address()->mutable_socket_address();
  address.set_address("127.0.0.1");
  address.set_port_value(static_cast<uint32_t>(port));
}

void FillLog(const std::string& path, const char* format, AccessLog* log) {
  envoy::extensions::access_loggers::file::v3::FileAccessLog file;
  file.set_path(path);
  file.mutable_log_format()->mutable_text_format_source()->set_inline_string(format);
  log->set_name("envoy.access_loggers.file");
  log->mutable_typed_config()->PackFrom(file);
}

class Builder {
 public:
  Builder(const BootstrapOptions& options, std::string* wrong) : options_(options), wrong_(*wrong) {
    SetAddress(options.admin_port, bootstrap_.mutable_admin());
    auto& cluster = *bootstrap_.mutable_static_resources()->add_clusters();
    cluster.set_name(kCluster);
    cluster.set_type(envoy::config::cluster::v3::Cluster::STATIC);
    cluster.mutable_load_assignment()->set_cluster_name(kCluster);
    auto& endpoint = *cluster.mutable_load_assignment()->add_endpoints()->add_lb_endpoints();
    SetAddress(options.plain_port, endpoint.mutable_endpoint());
    AddHttp("plain", options.plain_port, AuthorizationFilters({}, ""));
  }

  void Add(int index, const Workload& workload) {
    const AuthorizationFilters filters(Decode(workload.policies), "cluster.local");
    AddHttp(absl::StrCat("http", index), workload.ports.http, filters);
    Listener& secure = AddHttp(absl::StrCat("tls", index), workload.ports.tls, filters);
    AddTls(&secure);
    AddTcp(absl::StrCat("tcp", index), workload.ports.tcp, filters);
  }

  std::string Json() const { return protojson::ToJson(bootstrap_, {.proto_names = true}); }

 private:
  std::vector<pilot::AuthorizationPolicyPtr> Decode(const std::string& text) {
    const pilot::Manifests manifests = pilot::DecodeManifests(text, "policies.yaml");
    for (const pilot::Diagnostic& found : manifests.diagnostics) Complain(found, text);
    std::vector<pilot::AuthorizationPolicyPtr> out;
    for (const pilot::ObjectPtr& object : manifests.objects) {
      for (const pilot::Diagnostic& found : pilot::Validate(*object)) {
        if (found.severity == pilot::Severity::kError) Complain(found, text);
      }
      out.push_back(pilot::DecodeAuthorizationPolicy(
          object->meta, object->Spec<pilot::security::AuthorizationPolicy>()));
    }
    return out;
  }

  void Complain(const pilot::Diagnostic& found, const std::string& text) {
    absl::StrAppend(&wrong_, found.ToString(), " in\n", text, "\n");
  }

  Listener& AddListener(const std::string& name, int port) {
    Listener& listener = *bootstrap_.mutable_static_resources()->add_listeners();
    listener.set_name(name);
    SetAddress(port, &listener);
    listener.add_filter_chains();
    return listener;
  }

  Listener& AddHttp(const std::string& name, int port, const AuthorizationFilters& filters) {
    hcm::HttpConnectionManager manager;
    manager.set_stat_prefix(name);
    manager.mutable_normalize_path()->set_value(true);
    manager.mutable_delayed_close_timeout();  // none: clients read to the end of the connection
    auto& host = *manager.mutable_route_config()->add_virtual_hosts();
    host.set_name("all");
    host.add_domains("*");
    auto& route = *host.add_routes();
    route.mutable_match()->set_prefix("/");
    route.mutable_direct_response()->set_status(200);
    route.mutable_direct_response()->mutable_body()->set_inline_string("passed");
    auto& router = *manager.add_http_filters();
    router.set_name("envoy.filters.http.router");
    router.mutable_typed_config()->PackFrom(envoy::extensions::filters::http::router::v3::Router());
    filters.AddTo(&manager);
    FillLog(options_.log_path, kHttpLog, manager.add_access_log());
    Listener& listener = AddListener(name, port);
    auto& filter = *listener.mutable_filter_chains(0)->add_filters();
    filter.set_name("envoy.filters.network.http_connection_manager");
    filter.mutable_typed_config()->PackFrom(manager);
    return listener;
  }

  void AddTls(Listener* listener) const {
    tls_v3::DownstreamTlsContext context;
    auto& common = *context.mutable_common_tls_context();
    auto& own = *common.add_tls_certificates();
    own.mutable_certificate_chain()->set_inline_string(options_.server.certificate_chain_pem);
    own.mutable_private_key()->set_inline_string(options_.server.private_key_pem);
    common.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(
        options_.roots_pem);
    auto& socket = *listener->mutable_filter_chains(0)->mutable_transport_socket();
    socket.set_name("envoy.transport_sockets.tls");
    socket.mutable_typed_config()->PackFrom(context);
    auto& inspector = *listener->add_listener_filters();
    inspector.set_name("envoy.filters.listener.tls_inspector");
    inspector.mutable_typed_config()->PackFrom(
        envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector());
  }

  void AddTcp(const std::string& name, int port, const AuthorizationFilters& filters) {
    envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
    proxy.set_stat_prefix(name);
    proxy.set_cluster(kCluster);
    FillLog(options_.log_path, kTcpLog, proxy.add_access_log());
    FilterChain& chain = *AddListener(name, port).mutable_filter_chains(0);
    filters.AddTo(&chain);
    auto& filter = *chain.add_filters();
    filter.set_name("envoy.filters.network.tcp_proxy");
    filter.mutable_typed_config()->PackFrom(proxy);
  }

  const BootstrapOptions& options_;
  std::string& wrong_;
  Bootstrap bootstrap_;
};

}  // namespace

std::string MakeBootstrap(const BootstrapOptions& options, std::string* wrong) {
  api::LinkAllTypes();
  Builder builder(options, wrong);
  for (size_t i = 0; i < options.workloads.size(); ++i) {
    builder.Add(static_cast<int>(i), options.workloads[i]);
  }
  return builder.Json();
}

}  // namespace meltemi::authorization
