#include "orchestrator/apiserver/http/proxied_answer.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

  bool Connect(const net::Address& to, const ProxyAnswer& proxy);
  void Ask(const Request& request, const ProxyAnswer& proxy);
  void Feed();
  void Fail(absl::string_view why);

  LoopContext& context_;
  http::Stream& client_;
  Failed on_failed_;
  ConnectionEvents events_{*this};
  std::string host_;
  std::unique_ptr<Timer> connect_timer_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<http::ConnectionTransport> transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  http::Stream* peer_ = nullptr;  // null once it is over
  bool wants_tunnel_ = false;
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
  host_ = proxy.host;
  wants_tunnel_ = !request.Header("upgrade").empty();
  const absl::StatusOr<net::Address> to = net::Address::Parse(proxy.host);
  if (!to.ok() || !to->is_ip()) {
    return kube::ServiceUnavailable(
        absl::StrCat("error trying to reach service: ", proxy.host, " is no IP address and port"));
  }
  if (!Connect(*to, proxy)) {
    return kube::ServiceUnavailable("error trying to reach service: there is no client for TLS");
  }
  connection_->SetHandler(&events_);
  transport_ =
      std::make_unique<http::ConnectionTransport>(context_.loop, *connection_, [this] { Feed(); });
  http::Http1Limits limits;
  limits.upgrade_any_method = true;
  codec_ = http::NewHttp1ClientCodec(*transport_, events_, limits);
  connect_timer_ = context_.loop.NewTimer([this] { Fail("i/o timeout"); });
  connect_timer_->Arm(context_.shared.options.proxy_connect_timeout);
  Ask(request, proxy);
  return kube::Done{};
}

bool PeerExchange::Connect(const net::Address& to, const ProxyAnswer& proxy) {
  if (proxy.scheme != "https") {
    connection_ = net::NewClientConnection(context_.loop, to, net::Address(), {});
    return true;
  }
  const ServerOptions& options = context_.shared.options;
  if (options.proxy_client == nullptr) return false;
  connection_ = tls::NewClientConnection(context_.loop, to, net::Address(), {},
                                         options.proxy_client, proxy.server_name);
  return true;
}

void PeerExchange::Ask(const Request& request, const ProxyAnswer& proxy) {
  const http::HeaderMapPtr head = http::HeaderMap::New();
  head->set_method(request.method);
  head->set_authority(proxy.host);
  head->set_path(proxy.target);
  for (const auto& [name, value] : request.headers) {
    if (!StaysHere(name)) head->Add(name, value);
  }
  if (wants_tunnel_) head->Add(http::HeaderId::kUpgrade, request.Header("upgrade"));
  if (!request.body.empty()) {
    head->Add(http::HeaderId::kContentLength, absl::StrCat(request.body.size()));
  }
  peer_ = &codec_->NewStream(this);
  peer_->SendHeaders(*head, request.body.empty() && !wants_tunnel_);
  if (request.body.empty()) return;
  Buffer body(request.body);
  peer_->SendData(body, true);
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
  const std::string what = absl::StrCat("dial tcp ", host_, ": ", why);
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
