#include "orchestrator/apiserver/http/proxied_answer.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/http/connection_transport.h"
#include "base/http/syntax.h"
#include "base/net/connection.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kFlushTimeout = seconds(5);

// What the client said to us alone: who it is, and how its own connection is framed.
bool StaysHere(absl::string_view name) {
  return http::IsHopByHop(name) || name == "host" || name == "authorization" ||
         name == "content-length" || name == "expect" || name == "te" ||
         absl::StartsWith(name, "impersonate-");
}

// As the request receiver of the peer's answer; the client's events have "Client" in their names.
class PeerExchange final : public ProxiedAnswer, private http::StreamReceiver {
 public:
  PeerExchange(LoopContext& context, http::Stream& client, Failed on_failed)
      : context_(context), client_(client), on_failed_(std::move(on_failed)) {}
  ~PeerExchange() override;

  kube::Outcome Start(const Request& request, const ProxyAnswer& proxy) override;
  void OnClientData(Buffer& data, bool end_stream) override;
  void OnClientBlocked(bool blocked) override;

 private:
  // The codec's and the socket's events.
  struct ConnectionEvents final : http::ClientCodecEvents, net::ConnectionHandler {
    explicit ConnectionEvents(PeerExchange& owner) : owner(owner) {}
    void OnStreamFinished(http::Stream&) override { owner.peer_ = nullptr; }
    void OnPeerDraining() override {}
    void OnConnected() override { owner.connect_timer_->Disarm(); }
    void OnRead(Buffer&, bool end_of_stream) override {
      owner.end_of_input_ |= end_of_stream;
      owner.Feed();
    }
    void OnWriteBlocked(bool blocked) override { owner.codec_->OnTransportBlocked(blocked); }
    void OnDrained() override { owner.codec_->OnTransportBlocked(false); }
    void OnClosed(net::CloseCause cause, absl::string_view detail) override {
      owner.closed_ = true;
      const bool connecting =
          cause == net::CloseCause::kConnectFailed && !absl::StartsWith(detail, "TLS handshake");
      owner.codec_->OnConnectionClosed(
          http::ResetCause::kConnectionLost,
          connecting ? absl::StrCat("connect: ", absl::AsciiStrToLower(detail))
                     : std::string(detail));
    }
    PeerExchange& owner;
  };

  // --- http::StreamReceiver: the peer's answer
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override { client_.SendData(data, end_stream); }
  void OnTrailers(http::HeaderMapPtr) override {
    Buffer nothing;
    client_.SendData(nothing, true);
  }
  void OnReset(http::ResetCause cause, absl::string_view detail) override;
  void OnWriteBlocked(bool blocked) override { client_.PauseReading(blocked); }

  void Prepare(const Request& request);
  kube::Outcome LookUp();
  void Ask(const net::Address& to);
  void Feed();
  void Fail(absl::string_view why);

  LoopContext& context_;
  http::Stream& client_;
  Failed on_failed_;
  ConnectionEvents events_{*this};
  ProxyAnswer proxy_;
  http::HeaderMapPtr head_;  // until it is sent
  Buffer body_;              // likewise
  std::unique_ptr<net::DnsQuery> query_;
  std::unique_ptr<Timer> connect_timer_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<http::ConnectionTransport> transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  http::Stream* peer_ = nullptr;  // null once it is over
  bool wants_tunnel_ = false;
  bool client_blocked_ = false;
  bool head_sent_ = false;
  bool failed_ = false;
  bool end_of_input_ = false;
  bool closing_ = false;
  bool closed_ = false;
};

PeerExchange::~PeerExchange() {
  if (connection_ == nullptr) return;
  connection_->SetHandler(nullptr);
  codec_.reset();
  transport_.reset();
  if (!closed_) connection_->Abort();
  context_.loop.DeferDelete(std::move(connection_));
}

// ---- Asking -------------------------------------------------------------------------------------

kube::Outcome PeerExchange::Start(const Request& request, const ProxyAnswer& proxy) {
  proxy_ = proxy;
  wants_tunnel_ = !request.Header("upgrade").empty();
  if (proxy.scheme == "https" && context_.shared.options.proxy_client == nullptr) {
    return kube::ServiceUnavailable("error trying to reach service: there is no client for TLS");
  }
  Prepare(request);
  connect_timer_ = context_.loop.NewTimer([this] { Fail("i/o timeout"); });
  connect_timer_->Arm(context_.shared.options.proxy_connect_timeout);
  const absl::StatusOr<net::Address> to = net::Address::Parse(proxy.host);
  if (!to.ok()) return LookUp();
  Ask(*to);
  return kube::Done{};
}

// The host is a name.
kube::Outcome PeerExchange::LookUp() {
  const size_t colon = proxy_.host.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(proxy_.host.substr(colon + 1), &port) ||
      port > 65535) {
    return kube::ServiceUnavailable(
        absl::StrCat("error trying to reach service: ", proxy_.host, " has no port"));
  }
  if (context_.dns == nullptr) {
    auto dns = net::NewDnsResolver(context_.loop, {});
    if (!dns.ok()) return kube::ServiceUnavailable(dns.status().message());
    context_.dns = *std::move(dns);
  }
  query_ = context_.dns->Resolve(proxy_.host.substr(0, colon), net::DnsFamily::kV4Preferred,
                                 [this, port](absl::StatusOr<net::DnsAnswer> answer) {
                                   if (failed_) return;
                                   if (!answer.ok() || answer->addresses.empty())
                                     return Fail("no such host");
                                   net::Address to = answer->addresses[0];
                                   to.set_port(static_cast<uint16_t>(port));
                                   Ask(to);
                                 });
  return kube::Done{};
}

void PeerExchange::Ask(const net::Address& to) {
  const ServerOptions& options = context_.shared.options;
  if (proxy_.scheme == "https") {
    connection_ = tls::NewClientConnection(context_.loop, to, net::Address(), {},
                                           options.proxy_client, proxy_.server_name);
  } else {
    connection_ = net::NewClientConnection(context_.loop, to, net::Address(), {});
  }
  connection_->SetHandler(&events_);
  transport_ =
      std::make_unique<http::ConnectionTransport>(context_.loop, *connection_, [this] { Feed(); });
  http::Http1Limits limits;
  limits.upgrade_any_method = true;
  codec_ = http::NewHttp1ClientCodec(*transport_, events_, limits);
  peer_ = &codec_->NewStream(this);
  if (client_blocked_) peer_->PauseReading(true);
  peer_->SendHeaders(*std::exchange(head_, nullptr), body_.empty() && !wants_tunnel_);
  if (!body_.empty()) peer_->SendData(body_, true);
}

// What will be sent to the peer: the request is gone by the time that there is a connection.
void PeerExchange::Prepare(const Request& request) {
  head_ = http::HeaderMap::New();
  head_->set_method(request.method);
  head_->set_authority(proxy_.host);
  head_->set_path(proxy_.target);
  for (const auto& [name, value] : request.headers) {
    if (!StaysHere(name)) head_->Add(name, value);
  }
  if (wants_tunnel_) head_->Add(http::HeaderId::kUpgrade, request.Header("upgrade"));
  if (request.body.empty()) return;
  head_->Add(http::HeaderId::kContentLength, absl::StrCat(request.body.size()));
  body_.Append(request.body);
}

// ---- Passing on ---------------------------------------------------------------------------------

void PeerExchange::Feed() {
  if (closed_ || closing_) return;
  (void)codec_->Receive(connection_->input(), end_of_input_);
  if (codec_->finished() || peer_ == nullptr) {
    closing_ = true;
    return connection_->Close(kFlushTimeout);
  }
  connection_->PauseReading(!codec_->wants_input());
}

void PeerExchange::OnHeaders(http::HeaderMapPtr headers, bool end_stream) {
  if (failed_) return;
  head_sent_ = true;
  client_.SendHeaders(*headers, end_stream);
}

void PeerExchange::OnClientData(Buffer& data, bool end_stream) {
  // What a client sends after a refused upgrade is nothing.
  if (peer_ == nullptr) return data.Clear();
  peer_->SendData(data, end_stream);
}

void PeerExchange::OnClientBlocked(bool blocked) {
  client_blocked_ = blocked;
  if (peer_ != nullptr) peer_->PauseReading(blocked);
}

// ---- The end ------------------------------------------------------------------------------------

void PeerExchange::OnReset(http::ResetCause, absl::string_view detail) {
  peer_ = nullptr;
  if (head_sent_) return client_.Reset(http::ResetCause::kConnectionLost);
  Fail(detail.empty() ? "EOF" : detail);
}

void PeerExchange::Fail(absl::string_view why) {
  if (failed_ || head_sent_) return;
  failed_ = true;
  connect_timer_->Disarm();
  const std::string what = absl::StrCat("dial tcp ", proxy_.host, ": ", why);
  // kube-apiserver has no reason for an exec that can't be reached, and one for everything else.
  kube::Status status;
  if (wants_tunnel_) {
    status.code = 500;
    status.message = absl::StrCat("error dialing backend: ", what);
  } else {
    status = kube::ServiceUnavailable(absl::StrCat("error trying to reach service: ", what));
  }
  on_failed_(status);
}

}  // namespace

std::unique_ptr<ProxiedAnswer> NewProxiedAnswer(LoopContext& context, http::Stream& client,
                                                ProxiedAnswer::Failed on_failed) {
  return std::make_unique<PeerExchange>(context, client, std::move(on_failed));
}

}  // namespace meltemi::apiserver
