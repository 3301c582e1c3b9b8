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
      credentials_(target.credentials),
      client_(client),
      retry_(backoff),
      timer_(loop.NewTimer([this] { Connect(); })) {}

AdsTransport::~AdsTransport() = default;

void AdsTransport::Start() { Connect(); }

void AdsTransport::Connect() {
  const AdsTarget::Endpoint& endpoint = target_.endpoints[endpoint_++ % target_.endpoints.size()];
  host_ = endpoint.host;
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
  options.path =
      client_.state().protocol() == XdsProtocol::kDelta ? kDeltaMethod : kStateOfTheWorldMethod;
  options.authority = target_.authority;
  options.metadata = target_.initial_metadata;
  options.connect_timeout = target_.connect_timeout;
  absl::Status status = credentials_.AddTo(host_, &options);
  if (!status.ok()) return Retry(status.message());
  stream_ = http::grpc::OpenBidiStream(loop_, address, options, *this);
}

void AdsTransport::Send(std::string request) {
  if (stream_ != nullptr) stream_->Send(request);
}

void AdsTransport::OnConnected() {
  LOG(kDebug, "xds", "connected to ", where_);
  client_.OnConnected();
}

void AdsTransport::OnMessage(absl::string_view message) {
  retry_.Succeeded();
  if (!std::exchange(answered_, true)) {
    LOG(kInfo, "xds", "connected to the control plane at ", where_);
    said_.clear();
  }
  if (absl::Status status = client_.OnMessage(message); !status.ok()) Retry(status.message());
}

void AdsTransport::OnEnded(absl::Status status) {
  if (status.ok()) return Retry("the control plane ended the stream");
  if (status.code() != absl::StatusCode::kUnauthenticated) return Retry(status.message());
  Retry(absl::StrCat("the token in ", target_.credentials.token_file,
                     " was refused: ", status.message()));
}

void AdsTransport::Retry(absl::string_view why) {
  std::string reason(why);
  client_.OnDisconnected(reason);
  stream_.reset();
  Explain(std::move(reason));
  timer_->Arm(retry_.NextDelay(random_));
}

// Each reason is worth one line, however often it comes.
void AdsTransport::Explain(std::string why) {
  if (std::exchange(answered_, false)) {
    LOG(kWarn, "xds", "the stream to the control plane ended: ", why,
        "; the configuration stays as it is");
  } else if (why != said_) {
    LOG(kWarn, "xds", "no stream to the control plane at ", where_, ": ", why, "; trying again");
    said_ = std::move(why);
  } else {
    LOG(kDebug, "xds", "still no stream to the control plane at ", where_, ": ", why);
  }
}

}  // namespace meltemi::proxy
