#include "proxy/config/xds/ads_transport.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "proxy/config/xds/xds_client.h"

namespace meltemi::proxy {
namespace {

constexpr char kStateOfTheWorldMethod[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
constexpr char kDeltaMethod[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

}  // namespace

AdsTransport::AdsTransport(Loop& loop, Random& random, net::DnsResolver& dns,
                           const AdsTarget& target, XdsClient& client, const AdsBackoff& backoff)
    : loop_(loop),
      random_(random),
      dns_(dns),
      target_(target),
      client_(client),
      retry_(backoff),
      timer_(loop.NewTimer([this] { Connect(); })) {}

AdsTransport::~AdsTransport() = default;

void AdsTransport::Start() { Connect(); }

void AdsTransport::Connect() {
  const AdsTarget::Endpoint& endpoint = target_.endpoints[endpoint_++ % target_.endpoints.size()];
  where_ = endpoint.ToString();
  absl::StatusOr<net::Address> address = absl::StartsWith(endpoint.host, "unix:")
                                             ? net::Address::Parse(endpoint.host)
                                             : net::Address::FromIp(endpoint.host, endpoint.port);
  if (address.ok()) return ConnectTo(*address);
  query_ = dns_.Resolve(endpoint.host, net::DnsFamily::kAuto,
                        [this, port = endpoint.port](absl::StatusOr<net::DnsAnswer> answer) {
                          if (answer.ok()) {
                            for (net::Address& found : answer->addresses) found.set_port(port);
                          }
                          OnResolved(std::move(answer));
                        });
}

void AdsTransport::OnResolved(absl::StatusOr<net::DnsAnswer> answer) {
  if (!answer.ok()) return Retry(answer.status().message());
  if (answer->addresses.empty()) return Retry("the name has no address");
  const net::Address address = answer->addresses[address_++ % answer->addresses.size()];
  absl::StrAppend(&where_, " (", address.ToString(), ")");
  ConnectTo(address);
}

void AdsTransport::ConnectTo(const net::Address& address) {
  http::grpc::BidiOptions options;
  options.path = client_.state().protocol() == XdsProtocol::kDelta ? kDeltaMethod
                                                                   : kStateOfTheWorldMethod;
  options.authority = target_.authority;
  options.metadata = target_.initial_metadata;
  options.connect_timeout = target_.connect_timeout;
  stream_ = http::grpc::OpenBidiStream(loop_, address, options, *this);
}

void AdsTransport::Send(std::string request) {
  if (stream_ != nullptr) stream_->Send(request);
}

void AdsTransport::OnConnected() {
  LOG(kInfo, "xds", "connected to the control plane at ", where_);
  client_.OnConnected();
}

void AdsTransport::OnMessage(absl::string_view message) {
  retry_.Succeeded();
  if (absl::Status status = client_.OnMessage(message); !status.ok()) Retry(status.message());
}

void AdsTransport::OnEnded(absl::Status status) {
  Retry(status.ok() ? "the control plane ended the stream" : status.message());
}

void AdsTransport::Retry(absl::string_view why) {
  const bool was_up = client_.state().connected();
  const std::string reason(why);
  client_.OnDisconnected(reason);
  stream_.reset();
  const Duration delay = retry_.NextDelay(random_);
  if (!was_up) {
    LOG(kWarn, "xds", "no stream to the control plane at ", where_, ": ", reason,
        "; trying again in ", ToMillis(delay), " ms");
  }
  timer_->Arm(delay);
}

}  // namespace meltemi::proxy
