#include "base/http/server/web_server.h"

#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/log/log.h"
#include "base/net/listener.h"

namespace meltemi::http {
namespace {

constexpr Duration kFlushTimeout = seconds(5);

class Server;
class ServerConnection;

// One request and its answer. Shared with the reply that the handler holds, which outlives it as
// nothing but an empty shell.
class Exchange final : public StreamReceiver {
 public:
  Exchange(ServerConnection& owner, Stream& stream);
  ~Exchange() override;

  // The stream is gone: nothing is sent any more.
  void Detach();
  void Reply(const WebResponse& response);

 private:
  void OnHeaders(HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override;
  void OnTrailers(HeaderMapPtr) override {
    if (!replied_) Handle();
  }
  void OnReset(ResetCause, absl::string_view) override { Detach(); }
  void OnWriteBlocked(bool) override {}

  void Handle();
  void Refuse(int status, std::string why);
  void OnTimer();

  ServerConnection* owner_;  // null once detached
  Stream* stream_;
  std::unique_ptr<Timer> timer_;
  HeaderMapPtr headers_;
  std::string body_;
  size_t counted_bytes_ = 0;  // in the server's total
  bool handed_over_ = false;
  bool replied_ = false;
  std::weak_ptr<Exchange> self_;
  friend class ServerConnection;
};

class ServerConnection final : public Deferrable,
                               private net::ConnectionHandler,
                               private ServerCodecEvents {
 public:
  ServerConnection(Loop& loop, Server& server, WebConnection accepted);
  ~ServerConnection() override { connection_->SetHandler(nullptr); }

  // The server goes: nothing is called any more.
  void Abandon() {
    closing_ = true;
    timer_->Disarm();
    for (auto& [stream, exchange] : exchanges_) exchange->Detach();
    connection_->SetHandler(nullptr);
  }

  Loop& loop() { return loop_; }
  Server& server() { return server_; }
  const net::Address& remote() const { return connection_->remote_address(); }

 private:
  void StartCodec(Protocol protocol);

  // --- net::ConnectionHandler
  void OnConnected() override {
    if (codec_ == nullptr && !closing_) StartCodec(negotiated_());
  }
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override {
    if (codec_ != nullptr) codec_->OnTransportBlocked(blocked);
  }
  void OnDrained() override { OnWriteBlocked(false); }
  void OnClosed(net::CloseCause, absl::string_view detail) override;

  // --- ServerCodecEvents
  StreamReceiver* OnNewStream(Stream& stream) override {
    auto exchange = std::make_shared<Exchange>(*this, stream);
    exchange->self_ = exchange;
    timer_->Disarm();
    half_a_head_ = false;
    return (exchanges_[&stream] = std::move(exchange)).get();
  }
  void OnStreamFinished(Stream& stream) override {
    auto at = exchanges_.find(&stream);
    if (at == exchanges_.end()) return;
    at->second->Detach();
    exchanges_.erase(at);
    if (exchanges_.empty() && !closing_) ArmIdle();
  }

  void ArmIdle();
  void Close() {
    closing_ = true;
    timer_->Disarm();
    connection_->Close(kFlushTimeout);
  }

  Loop& loop_;
  Server& server_;
  std::unique_ptr<net::Connection> connection_;
  std::function<Protocol()> negotiated_;
  ConnectionTransport transport_;
  std::unique_ptr<ServerCodec> codec_;  // null during the handshake
  std::unique_ptr<Timer> timer_;        // handshake, idle, or half a request head
  std::map<Stream*, std::shared_ptr<Exchange>> exchanges_;
  bool half_a_head_ = false;
  bool end_of_input_ = false;
  bool closing_ = false;
};

class Server final : public WebServer {
 public:
  Server(Loop& loop, WebHandler handler, const WebServerOptions& options, WebAccept accept)
      : loop_(loop), handler_(std::move(handler)), options_(options), accept_(std::move(accept)) {}
  ~Server() override {
    if (listener_ != nullptr) loop_.DeferDelete(std::move(listener_));
    for (auto& [raw, connection] : connections_) {
      connection->Abandon();
      loop_.DeferDelete(std::move(connection));
    }
  }

  absl::Status Start(const net::Address& address) {
    absl::StatusOr<std::unique_ptr<net::Listener>> listener =
        net::Listen(loop_, address, net::ListenOptions(),
                    [this](int fd, const net::Address& remote) { OnAccept(fd, remote); });
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    return absl::OkStatus();
  }

  const net::Address& address() const override { return listener_->address(); }
  size_t open_connections() const override { return connections_.size(); }
  const WebServerCounters& counters() const override { return counters_; }

  WebServerCounters& counts() { return counters_; }
  const WebServerOptions& options() const { return options_; }
  void Handle(WebRequest request, WebReply reply) {
    ++counters_.requests;
    handler_(std::move(request), std::move(reply));
  }
  // Whether so many more bytes of bodies may be held; counted if so.
  bool TakeBytes(size_t bytes) {
    if (bodies_bytes_ + bytes > options_.bodies_bytes_max) return false;
    bodies_bytes_ += bytes;
    return true;
  }
  void GiveBytes(size_t bytes) { bodies_bytes_ -= bytes; }

  void Forget(ServerConnection* connection) {
    auto at = connections_.find(connection);
    if (at == connections_.end()) return;
    loop_.DeferDelete(std::move(at->second));
    connections_.erase(at);
  }

 private:
  void OnAccept(int fd, const net::Address& remote) {
    WebConnection accepted;
    if (accept_ != nullptr) {
      accepted = accept_(loop_, fd, remote);
    } else {
      accepted.connection = net::NewServerConnection(loop_, fd, remote, net::ConnectionLimits());
    }
    if (connections_.size() >= options_.connections_max) {
      ++counters_.refused_connections;
      LOG(kWarn, "web", "closed a connection from ", remote.ToString(), ": ",
          options_.connections_max, " are open already");
      accepted.connection->Abort();
      return loop_.DeferDelete(std::move(accepted.connection));
    }
    ++counters_.connections;
    auto owned = std::make_unique<ServerConnection>(loop_, *this, std::move(accepted));
    ServerConnection* const raw = owned.get();
    connections_[raw] = std::move(owned);
  }

  Loop& loop_;
  WebHandler handler_;
  const WebServerOptions options_;
  WebAccept accept_;
  WebServerCounters counters_;
  size_t bodies_bytes_ = 0;
  std::unique_ptr<net::Listener> listener_;
  std::map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
};

// ---- Exchange

Exchange::Exchange(ServerConnection& owner, Stream& stream)
    : owner_(&owner), stream_(&stream), timer_(owner.loop().NewTimer([this] { OnTimer(); })) {
  timer_->Arm(owner.server().options().request_timeout);
}

Exchange::~Exchange() = default;

void Exchange::Detach() {
  if (owner_ == nullptr) return;
  owner_->server().GiveBytes(counted_bytes_);
  counted_bytes_ = 0;
  timer_->Disarm();
  owner_ = nullptr;
  stream_ = nullptr;
  body_.clear();
}

void Exchange::OnHeaders(HeaderMapPtr headers, bool end_stream) {
  headers_ = std::move(headers);
  if (headers_->Get(HeaderId::kExpect) == "100-continue") {
    HeaderMapPtr go_on = HeaderMap::New();
    go_on->set_status(100);
    stream_->SendInformational(*go_on);
  }
  if (end_stream) Handle();
}

void Exchange::OnData(Buffer& data, bool end_stream) {
  if (replied_ || owner_ == nullptr) return;
  Server& server = owner_->server();
  if (body_.size() + data.size() > server.options().body_bytes_max) {
    return Refuse(413, absl::StrCat("The body is larger than ", server.options().body_bytes_max,
                                    " bytes.\n"));
  }
  if (!server.TakeBytes(data.size())) {
    return Refuse(503, "Too many large requests at a time; try again.\n");
  }
  counted_bytes_ += data.size();
  data.ForEachRun([this](absl::string_view run) { body_.append(run.data(), run.size()); });
  if (end_stream) Handle();
}

void Exchange::Handle() {
  const absl::string_view target = headers_->path();
  const size_t question = target.find('?');
  WebRequest request;
  request.method = std::string(headers_->method());
  request.path = std::string(target.substr(0, question));
  if (question != absl::string_view::npos) {
    request.query = std::string(target.substr(question + 1));
  }
  request.body = std::move(body_);
  request.headers = std::move(headers_);
  request.remote = owner_->remote();
  handed_over_ = true;
  timer_->Arm(owner_->server().options().reply_timeout);
  owner_->server().Handle(std::move(request), [weak = self_](const WebResponse& response) {
    if (const std::shared_ptr<Exchange> self = weak.lock()) self->Reply(response);
  });
}

void Exchange::Refuse(int status, std::string why) {
  ++owner_->server().counts().refused_requests;
  Reply({.status = status, .body = std::move(why)});
}

void Exchange::OnTimer() {
  if (replied_ || owner_ == nullptr) return;
  if (handed_over_) return Refuse(504, "There was no answer in time.\n");
  Refuse(408, "The request did not arrive in time.\n");
}

void Exchange::Reply(const WebResponse& response) {
  if (replied_ || stream_ == nullptr) return;
  replied_ = true;
  timer_->Disarm();
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(response.status);
  headers->Add(HeaderId::kContentType, response.content_type);
  headers->Add("x-content-type-options", "nosniff");
  headers->Add(HeaderId::kContentLength, absl::StrCat(response.body.size()));
  stream_->SendHeaders(*headers, response.body.empty());
  if (response.body.empty()) return;
  Buffer body(response.body);
  stream_->SendData(body, true);
}

// ---- ServerConnection

ServerConnection::ServerConnection(Loop& loop, Server& server, WebConnection accepted)
    : loop_(loop),
      server_(server),
      connection_(std::move(accepted.connection)),
      negotiated_(std::move(accepted.negotiated)),
      transport_(loop, *connection_, [this] { OnRead(connection_->input(), end_of_input_); }),
      timer_(loop.NewTimer([this] {
        if (!closing_) Close();
      })) {
  connection_->SetHandler(this);
  timer_->Arm(server.options().handshake_timeout);
  if (negotiated_ == nullptr) StartCodec(Protocol::kHttp11);
}

void ServerConnection::StartCodec(Protocol protocol) {
  if (protocol == Protocol::kHttp2) {
    Http2Limits limits;
    limits.concurrent_streams_max = server_.options().streams_per_connection_max;
    codec_ = NewHttp2ServerCodec(transport_, *this, limits);
  } else {
    codec_ = NewHttp1ServerCodec(transport_, *this, Http1Limits());
  }
  ArmIdle();
}

void ServerConnection::ArmIdle() { timer_->Arm(server_.options().idle_timeout); }

void ServerConnection::OnRead(Buffer& in, bool end_of_stream) {
  if (closing_ || codec_ == nullptr) return;
  end_of_input_ = end_of_stream;
  const bool something = !in.empty();
  const absl::Status status = codec_->Receive(in, end_of_stream);
  if (!status.ok()) {
    ++server_.counts().refused_requests;
    LOG(kDebug, "web", "bad request: ", status.message());
  }
  if (codec_->finished()) return Close();
  connection_->PauseReading(!codec_->wants_input());
  // A head that never ends must not live as long as an idle connection does.
  if (something && exchanges_.empty() && !half_a_head_ && codec_->protocol() != Protocol::kHttp2) {
    half_a_head_ = true;
    timer_->Arm(server_.options().request_timeout);
  }
}

void ServerConnection::OnClosed(net::CloseCause, absl::string_view detail) {
  closing_ = true;
  timer_->Disarm();
  if (codec_ == nullptr) {
    ++server_.counts().failed_handshakes;
    LOG(kDebug, "web", "no handshake with ", remote().ToString(), ": ", detail);
  } else {
    codec_->OnConnectionClosed(ResetCause::kConnectionLost, detail);
  }
  for (auto& [stream, exchange] : exchanges_) exchange->Detach();
  server_.Forget(this);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WebServer>> ListenWeb(Loop& loop, const net::Address& address,
                                                     WebHandler handler,
                                                     const WebServerOptions& options,
                                                     WebAccept accept) {
  auto server = std::make_unique<Server>(loop, std::move(handler), options, std::move(accept));
  if (absl::Status status = server->Start(address); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::http
