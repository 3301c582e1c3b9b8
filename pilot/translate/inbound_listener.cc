#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "pilot/translate/authorization.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/routes.h"
#include "pilot/translate/tls_context.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::FilterChainMatch;
using envoy::config::listener::v3::Listener;

constexpr char kAnyAddress[] = "0.0.0.0";
constexpr char kTls[] = "tls";
constexpr char kRaw[] = "raw_buffer";

// What is sniffed to choose a chain.
enum class Alpn : uint8_t { kAny, kPlainHttp, kMeshHttp, kMeshTcp, kMesh };

// One chain of a port.
struct ChainShape {
  Alpn alpn = Alpn::kAny;
  const char* transport = "";  // empty: not asked
  bool http = false;
  bool terminates_tls = false;
};

constexpr ChainShape kPlainHttp[] = {{Alpn::kAny, kRaw, true, false}};
constexpr ChainShape kPlainTcp[] = {{Alpn::kAny, kRaw, false, false}};
constexpr ChainShape kPlainSniffed[] = {{Alpn::kPlainHttp, kRaw, true, false},
                                        {Alpn::kAny, kRaw, false, false}};
constexpr ChainShape kStrictHttp[] = {{Alpn::kAny, kTls, true, true}};
constexpr ChainShape kStrictTcp[] = {{Alpn::kAny, kTls, false, true}};
constexpr ChainShape kStrictSniffed[] = {{Alpn::kMeshHttp, kTls, true, true},
                                         {Alpn::kAny, kTls, false, true}};
// A client that speaks TLS of its own shows no ALPN of the mesh: its bytes are passed on.
constexpr ChainShape kPermissiveHttp[] = {{Alpn::kMesh, kTls, true, true},
                                          {Alpn::kAny, kRaw, true, false}};
constexpr ChainShape kPermissiveTcp[] = {{Alpn::kMesh, kTls, false, true},
                                         {Alpn::kAny, kTls, false, false},
                                         {Alpn::kAny, kRaw, false, false}};
constexpr ChainShape kPermissiveSniffed[] = {{Alpn::kMeshHttp, kTls, true, true},
                                             {Alpn::kPlainHttp, kRaw, true, false},
                                             {Alpn::kMeshTcp, kTls, false, true},
                                             {Alpn::kAny, kRaw, false, false},
                                             {Alpn::kAny, kTls, false, false}};
// A proxy without an identity asks nothing about TLS.
constexpr ChainShape kBareHttp[] = {{Alpn::kAny, "", true, false}};
constexpr ChainShape kBareTcp[] = {{Alpn::kAny, "", false, false}};
constexpr ChainShape kBareSniffed[] = {{Alpn::kPlainHttp, "", true, false},
                                       {Alpn::kAny, "", false, false}};

absl::Span<const ChainShape> ShapesFor(MtlsMode mode, bool identity, Protocol protocol) {
  const auto pick = [&](absl::Span<const ChainShape> http, absl::Span<const ChainShape> tcp,
                        absl::Span<const ChainShape> sniffed) {
    return IsHttp(protocol) ? http : IsSniffed(protocol) ? sniffed : tcp;
  };
  // Strict without an identity: nobody gets in, rather than everybody.
  if (mode == MtlsMode::kStrict) return pick(kStrictHttp, kStrictTcp, kStrictSniffed);
  if (!identity) return pick(kBareHttp, kBareTcp, kBareSniffed);
  if (mode == MtlsMode::kDisable) return pick(kPlainHttp, kPlainTcp, kPlainSniffed);
  return pick(kPermissiveHttp, kPermissiveTcp, kPermissiveSniffed);
}

void MatchAlpn(Alpn alpn, FilterChainMatch* match) {
  const std::vector<std::string>* list = nullptr;
  switch (alpn) {
    case Alpn::kAny:
      return;
    case Alpn::kPlainHttp:
      return MatchHttp(match);
    case Alpn::kMeshHttp:
      list = &MeshHttpAlpn();
      break;
    case Alpn::kMeshTcp:
      list = &MeshTcpAlpn();
      break;
    case Alpn::kMesh:
      list = &MeshAlpn();
      break;
  }
  for (const std::string& protocol : *list) match->add_application_protocols(protocol);
}

class InboundListenerBuilder {
 public:
  InboundListenerBuilder(const InboundSettings& settings, const AccessLogSettings& log)
      : settings_(settings),
        log_(log),
        authorization_(settings.authorization, settings.mesh->trust_domain) {}

  ResourcePtr Build(const std::vector<InboundPort>& ports) {
    listener_.set_name("virtualInbound");
    SetAddress(kAnyAddress, kInboundPort, &listener_);
    listener_.set_traffic_direction(envoy::config::core::v3::INBOUND);
    AddTrafficLoop();
    AddCatchAll(ports);
    for (const InboundPort& port : ports) AddPort(port);
    AddOriginalDestination(&listener_);
    AddInspectors(*settings_.mesh, &listener_);
    return MakeResource("virtualInbound", listener_);
  }

 private:
  void AddTrafficLoop() {
    FilterChain& chain = *listener_.add_filter_chains();
    chain.set_name("virtualInbound-blackhole");
    chain.mutable_filter_chain_match()->mutable_destination_port()->set_value(kInboundPort);
    AddTcpProxy(kBlackHoleCluster, log_, &chain);
  }

  // What goes to ports that no service declares; those for which a policy has a mode of its own
  // come one by one.
  void AddCatchAll(const std::vector<InboundPort>& ports) {
    std::set<uint32_t> declared;
    for (const InboundPort& port : ports) declared.insert(port.port);
    AddChains(InboundPort{}, /*declared=*/false, settings_.mtls.mode);
    for (const auto& [number, mode] : settings_.mtls.ports) {
      if (declared.contains(number)) continue;
      AddChains(InboundPort{.port = number}, /*declared=*/false, mode);
    }
  }

  void AddPort(const InboundPort& port) {
    AddChains(port, /*declared=*/true, settings_.mtls.ForPort(port.port));
  }

  void AddChains(const InboundPort& port, bool declared, MtlsMode mode) {
    const std::string cluster =
        declared ? InboundClusterName(port.port) : std::string(kInboundPassthroughCluster);
    for (const ChainShape& shape : ShapesFor(mode, settings_.identity, port.protocol)) {
      FilterChain& chain = *listener_.add_filter_chains();
      if (declared) {
        chain.set_name(absl::StrCat(kAnyAddress, "_", port.port));
      } else {
        chain.set_name(shape.http ? "virtualInbound-catchall-http" : "virtualInbound");
      }
      FilterChainMatch match;
      if (port.port != 0) match.mutable_destination_port()->set_value(port.port);
      match.set_transport_protocol(shape.transport);
      MatchAlpn(shape.alpn, &match);
      if (match.ByteSizeLong() > 0) *chain.mutable_filter_chain_match() = std::move(match);
      for (const ServicePtr& service : port.services) {
        AddServiceMetadata(*service, chain.mutable_metadata());
      }
      if (shape.terminates_tls) SetServerTls(shape.http, &chain);
      if (shape.http) {
        FillHttp(port, cluster, &chain);
      } else {
        authorization_.AddTo(&chain);
        AddTcpProxy(cluster, log_, &chain);
      }
    }
  }

  void SetServerTls(bool http, FilterChain* chain) const {
    tls::DownstreamTlsContext context;
    FillMeshServerTls(http, settings_.mesh->trust_domain, &context);
    SetTls(context, chain->mutable_transport_socket());
  }

  void FillHttp(const InboundPort& port, const std::string& cluster, FilterChain* chain) const {
    hcm::HttpConnectionManager manager;
    FillHttpManager(absl::StrCat("inbound_", kAnyAddress, "_", port.port), log_,
                    HttpRole{HttpSide::kInbound, settings_.identity}, &manager);
    authorization_.AddTo(&manager);
    FillInboundRoute(port, cluster, manager.mutable_route_config());
    AddHttpFilter(manager, chain);
  }

  const InboundSettings& settings_;
  const AccessLogSettings& log_;
  const AuthorizationFilters authorization_;
  Listener listener_;
};

}  // namespace

ResourcePtr BuildInboundListener(const std::vector<InboundPort>& ports,
                                 const InboundSettings& settings, const AccessLogSettings& log) {
  return InboundListenerBuilder(settings, log).Build(ports);
}

}  // namespace meltemi::pilot
