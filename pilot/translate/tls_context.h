// TLS of both sides of proxies as Envoy's contexts: the mesh's own mutual TLS, gateways' servers,
// what DestinationRules ask for. Secrets are named, not carried: "default" and "ROOTCA" come from
// the certificate authority (by way of Istio's cluster "sds-grpc", where Envoy is the proxy),
// "kubernetes://NAME" over ADS. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace envoy::config::core::v3 {
class TransportSocket;
}
namespace envoy::extensions::transport_sockets::tls::v3 {
class DownstreamTlsContext;
class UpstreamTlsContext;
}  // namespace envoy::extensions::transport_sockets::tls::v3
namespace google::protobuf {
class Message;
}
namespace istio::networking::v1alpha3 {
class ClientTLSSettings;
class ServerTLSSettings;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

// What sidecars offer in TLS of the mesh: over HTTP, over other bytes, and both.
const std::vector<std::string>& MeshHttpAlpn();
const std::vector<std::string>& MeshTcpAlpn();
const std::vector<std::string>& MeshAlpn();

// The server of a workload: its own certificate, and clients must show one of the mesh.
void FillMeshServerTls(bool http, absl::string_view trust_domain,
                       envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext* out);
// The client of such a server. `names`: whose certificate it may meet; empty: anybody's of the
// mesh.
void FillMeshClientTls(const std::vector<std::string>& names, absl::string_view sni, bool http2,
                       envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext* out);

// A gateway's server, of a mode that terminates TLS. `http`: not for opaque bytes.
void FillGatewayServerTls(const networking::ServerTLSSettings& tls, bool http,
                          envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext* out);

// Modes SIMPLE and MUTUAL. `names`: those of the settings, else of the service.
void FillClientTls(const networking::ClientTLSSettings& tls, const std::vector<std::string>& names,
                   bool http2,
                   envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext* out);

// The SDS name of a `credentialName`.
std::string CredentialResourceName(absl::string_view credential);

void SetTls(const google::protobuf::Message& context,
            envoy::config::core::v3::TransportSocket* out);
void SetPlaintext(envoy::config::core::v3::TransportSocket* out);

// "spiffe://TRUST_DOMAIN/ns/NS/sa/ACCOUNT" of each "NS/ACCOUNT".
std::vector<std::string> SpiffeNames(const std::vector<std::string>& accounts,
                                     absl::string_view trust_domain);
// "outbound_.PORT_.SUBSET_.HOST"
std::string MeshServerName(uint32_t port, absl::string_view subset, absl::string_view host);

}  // namespace meltemi::pilot
