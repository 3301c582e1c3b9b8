#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;

constexpr char kAnyAddress[] = "0.0.0.0";

class InboundListenerBuilder {
 public:
  InboundListenerBuilder(const MeshSettings& mesh, const AccessLogSettings& log)
      : mesh_(mesh), log_(log) {}

  ResourcePtr Build(const std::vector<InboundPort>& ports) {
    listener_.set_name("virtualInbound");
    SetAddress(kAnyAddress, kInboundPort, &listener_);
    listener_.set_traffic_direction(envoy::config::core::v3::INBOUND);
    AddTrafficLoop();
    std::set<uint32_t> declared;
    for (const InboundPort& port : ports) {
      if (!IsSniffed(port.protocol)) declared.insert(port.port);
      AddPort(port);
    }
    AddCatchAll();
    AddOriginalDestination(&listener_);
    AddHttpInspector(mesh_, declared, &listener_);
    return MakeResource("virtualInbound", listener_);
  }

 private:
  void AddTrafficLoop() {
    FilterChain& chain = *listener_.add_filter_chains();
    chain.set_name("virtualInbound-blackhole");
    chain.mutable_filter_chain_match()->mutable_destination_port()->set_value(kInboundPort);
    AddTcpProxy(kBlackHoleCluster, log_, &chain);
  }

  void AddPort(const InboundPort& port) {
    const std::string cluster = InboundClusterName(port.port);
    if (!IsTcp(port.protocol)) {
      FilterChain& chain = NewChain(absl::StrCat(kAnyAddress, "_", port.port), port);
      if (IsSniffed(port.protocol)) MatchHttp(chain.mutable_filter_chain_match());
      FillHttp(port, cluster, &chain);
    }
    if (!IsHttp(port.protocol)) {
      AddTcpProxy(
          cluster, log_,
          &NewChain(absl::StrCat(kAnyAddress, "_", port.port, IsTcp(port.protocol) ? "" : "-tcp"),
                    port));
    }
  }

  // What goes to a port that no service declares.
  void AddCatchAll() {
    FilterChain& http = *listener_.add_filter_chains();
    http.set_name("virtualInbound-catchall-http");
    MatchHttp(http.mutable_filter_chain_match());
    FillHttp(InboundPort{}, std::string(kInboundPassthroughCluster), &http);
    FilterChain& tcp = *listener_.add_filter_chains();
    tcp.set_name("virtualInbound");
    AddTcpProxy(kInboundPassthroughCluster, log_, &tcp);
  }

  FilterChain& NewChain(const std::string& name, const InboundPort& port) {
    FilterChain& chain = *listener_.add_filter_chains();
    chain.set_name(name);
    chain.mutable_filter_chain_match()->mutable_destination_port()->set_value(port.port);
    for (const ServicePtr& service : port.services) {
      AddServiceMetadata(*service, chain.mutable_metadata());
    }
    return chain;
  }

  void FillHttp(const InboundPort& port, const std::string& cluster, FilterChain* chain) const {
    hcm::HttpConnectionManager manager;
    FillHttpManager(absl::StrCat("inbound_", kAnyAddress, "_", port.port), log_, false, &manager);
    FillInboundRoute(port, cluster, manager.mutable_route_config());
    AddHttpFilter(manager, chain);
  }

  const MeshSettings& mesh_;
  const AccessLogSettings& log_;
  Listener listener_;
};

}  // namespace

ResourcePtr BuildInboundListener(const std::vector<InboundPort>& ports, const MeshSettings& mesh,
                                 const AccessLogSettings& log) {
  return InboundListenerBuilder(mesh, log).Build(ports);
}

}  // namespace meltemi::pilot
