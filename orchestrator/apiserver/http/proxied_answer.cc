#include "orchestrator/apiserver/http/proxied_answer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/http/connection_transport.h"
#include "base/http/syntax.h"
#include "base/net/connection.h"
#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kFlushTimeout = seconds(5);
constexpr size_t kErrorTextMax = 50'000;
// As for clients: a peer's machine that vanishes would hold its tunnels for ever.
constexpr net::TcpKeepalive kKeepalive = {.probes = 4, .idle_seconds = 30, .interval_seconds = 15};

// What the client said to us alone: who it is, and how its own connection is framed.
bool StaysHere(absl::string_view name) {
  return http::IsHopByHop(name) || name == "host" || name == "authorization" ||
         name == "content-length" || name == "expect" || name == "te" ||
         absl::StartsWith(name, "impersonate-");
}

bool IsAboutUpgrade(absl::string_view name) {
  return name == "x-stream-protocol-version" || absl::StartsWith(name, "sec-websocket-");
}

// Kubernetes' words for a kubelet's plain text (k8s.io/apiserver's GenericHttpResponseChecker).
kube::Status StatusOfText(int code, const std::string& text, absl::string_view about) {
  if (code == 500) return kube::InternalError(text);
  if (code == 400) return kube::BadRequest(text);
  kube::Status status = kube::GenericStatus(code, code == 403 ? text : "");
  absl::StrAppend(&status.message, " ( ", about, ")");
  const size_t blank = std::min(about.find(' '), about.size());
  status.kind = std::string(about.substr(0, blank));
  status.name = std::string(about.substr(std::min(blank + 1, about.size())));
  return status;
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
  void OnData(Buffer& data, bool end_stream) override;
  void OnTrailers(http::HeaderMapPtr) override {
    Buffer nothing;
    OnData(nothing, true);
  }
  void OnReset(http::ResetCause cause, absl::string_view detail) override;
  void OnWriteBlocked(bool blocked) override {
    peer_blocked_ = blocked;
    PauseClient();
  }

  void Prepare(const Request& request);
  kube::Outcome LookUp();
  void Ask(const net::Address& to);
  void Feed();
  void OnUpgraded(const http::HeaderMap& headers);
  void CollectError(Buffer& data, bool end_stream);
  void SendOut(Translator::Out& out);
  void PauseClient();
  void SendToClient(Buffer& data, bool end);
  void SendToPeer(Buffer& data, bool end);
  void OnHalfClosed();
  void Fail(absl::string_view why);
  void FailWith(const kube::Status& status);

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
  std::unique_ptr<Timer> half_closed_timer_;
  int error_code_ = 0;  // not 0: what it says is collected, and becomes a Status
  std::string error_text_;
  bool wants_tunnel_ = false;
  bool tunnel_ = false;
  bool to_client_ended_ = false;
  bool to_peer_ended_ = false;
  bool client_over_ = false;
  bool client_blocked_ = false;
  bool peer_blocked_ = false;
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
  connection_->SetKeepalive(kKeepalive);
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
  Translator* const translator = proxy_.translator.get();
  head_ = http::HeaderMap::New();
  head_->set_method(translator != nullptr ? translator->PeerMethod() : request.method);
  head_->set_authority(proxy_.host);
  head_->set_path(proxy_.target);
  for (const auto& [name, value] : request.headers) {
    if (StaysHere(name) || (translator != nullptr && IsAboutUpgrade(name))) continue;
    if (name == "x-stream-protocol-version") {
      // One field each: older runtimes' servers do not look for commas.
      for (const absl::string_view one : absl::StrSplit(value, ',')) {
        head_->Add(name, absl::StripAsciiWhitespace(one));
      }
      continue;
    }
    head_->Add(name, value);
  }
  if (translator != nullptr) {
    for (const auto& [name, value] : translator->PeerFields()) head_->Add(name, value);
  } else if (wants_tunnel_) {
    head_->Add(http::HeaderId::kUpgrade, request.Header("upgrade"));
  }
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
  const int code = headers->status();
  tunnel_ = code == 101;
  if (tunnel_ && proxy_.translator != nullptr) return OnUpgraded(*headers);
  if (!tunnel_ && !proxy_.status_of.empty() && (code < 200 || code > 206)) {
    error_code_ = code;
    Buffer nothing;
    return CollectError(nothing, end_stream);
  }
  head_sent_ = true;
  client_.SendHeaders(*headers, end_stream);
}

void PeerExchange::OnUpgraded(const http::HeaderMap& headers) {
  Translator::Fields fields;
  for (const http::HeaderMap::Entry& entry : headers.entries()) {
    fields.emplace_back(entry.name, entry.value);
  }
  Translator::Out out;
  const kube::Result<Translator::Fields> answer = proxy_.translator->OnUpgraded(fields, out);
  if (!answer.ok()) return FailWith(answer.status());
  const http::HeaderMapPtr head = http::HeaderMap::New();
  head->set_status(101);
  for (const auto& [name, value] : *answer) head->Add(name, value);
  head_sent_ = true;
  client_.SendHeaders(*head, false);
  SendOut(out);
}

void PeerExchange::OnData(Buffer& data, bool end_stream) {
  if (failed_) return;
  if (error_code_ != 0) return CollectError(data, end_stream);
  if (!tunnel_ || proxy_.translator == nullptr) return SendToClient(data, end_stream);
  Translator::Out out;
  proxy_.translator->FromPeer(data, end_stream, out);
  SendOut(out);
}

void PeerExchange::OnClientData(Buffer& data, bool end_stream) {
  // After a refused upgrade it is nothing.
  if (!tunnel_) return data.Clear();
  if (proxy_.translator == nullptr) return SendToPeer(data, end_stream);
  Translator::Out out;
  proxy_.translator->FromClient(data, end_stream, out);
  SendOut(out);
}

void PeerExchange::CollectError(Buffer& data, bool end_stream) {
  const size_t room = kErrorTextMax - error_text_.size();
  error_text_ += data.ToString().substr(0, room);
  data.Clear();
  if (end_stream) FailWith(StatusOfText(error_code_, error_text_, proxy_.status_of));
}

void PeerExchange::SendOut(Translator::Out& out) {
  SendToPeer(out.to_peer, out.end_peer);
  SendToClient(out.to_client, out.end_client);
}

void PeerExchange::SendToClient(Buffer& data, bool end) {
  if (to_client_ended_ || client_over_ || (data.empty() && !end)) return data.Clear();
  to_client_ended_ = end;
  client_.SendData(data, end);
  if (end) OnHalfClosed();
}

void PeerExchange::SendToPeer(Buffer& data, bool end) {
  if (to_peer_ended_ || peer_ == nullptr || (data.empty() && !end)) return data.Clear();
  to_peer_ended_ = end;
  peer_->SendData(data, end);
  if (end) OnHalfClosed();
}

void PeerExchange::OnHalfClosed() {
  if (!tunnel_ || half_closed_timer_ != nullptr) return;
  half_closed_timer_ = context_.loop.NewTimer([this] {
    client_over_ = true;
    client_.Reset(http::ResetCause::kLocal);
  });
  half_closed_timer_->Arm(context_.shared.options.half_closed_tunnel_max);
}

void PeerExchange::OnClientBlocked(bool blocked) {
  client_blocked_ = blocked;
  if (peer_ != nullptr) peer_->PauseReading(blocked);
  PauseClient();
}

// A translator answers some of what a client says itself: who does not listen is not heard.
void PeerExchange::PauseClient() {
  const bool deaf = client_blocked_ && tunnel_ && proxy_.translator != nullptr;
  if (!client_over_) client_.PauseReading(peer_blocked_ || deaf);
}

// ---- The end ------------------------------------------------------------------------------------

void PeerExchange::OnReset(http::ResetCause, absl::string_view detail) {
  peer_ = nullptr;
  if (failed_ || client_over_) return;
  if (error_code_ != 0) {
    return FailWith(StatusOfText(error_code_, error_text_, proxy_.status_of));
  }
  if (!head_sent_) return Fail(detail.empty() ? "EOF" : detail);
  if (tunnel_ && proxy_.translator != nullptr) {
    Buffer nothing;
    return OnData(nothing, true);
  }
  client_over_ = true;
  client_.Reset(http::ResetCause::kConnectionLost);
}

void PeerExchange::Fail(absl::string_view why) {
  const std::string what = absl::StrCat("dial tcp ", proxy_.host, ": ", why);
  // kube-apiserver has no reason for an exec that can't be reached, and one for everything else.
  if (!wants_tunnel_) {
    return FailWith(
        kube::ServiceUnavailable(absl::StrCat("error trying to reach service: ", what)));
  }
  kube::Status status;
  status.code = 500;
  status.message = absl::StrCat("error dialing backend: ", what);
  FailWith(status);
}

void PeerExchange::FailWith(const kube::Status& status) {
  if (failed_ || head_sent_) return;
  failed_ = true;
  connect_timer_->Disarm();
  on_failed_(status);
}

}  // namespace

std::unique_ptr<ProxiedAnswer> NewProxiedAnswer(LoopContext& context, http::Stream& client,
                                                ProxiedAnswer::Failed on_failed) {
  return std::make_unique<PeerExchange>(context, client, std::move(on_failed));
}

}  // namespace meltemi::apiserver
