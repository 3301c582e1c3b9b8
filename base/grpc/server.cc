#include "base/grpc/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/framing.h"
#include "base/grpc/status.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/log/log.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "base/tls/tls.h"

namespace meltemi::http::grpc {
namespace {

constexpr Duration kFlushTimeout = seconds(5);
// How much of a message lies with the connection; the rest stays in its pieces.
constexpr size_t kUnsentBytesMax = 64 * 1024;
constexpr net::TcpKeepalive kKeepalive = {.probes = 3, .idle_seconds = 30, .interval_seconds = 10};
// What was sent must be acknowledged (by the kernel of the client) so soon.
constexpr unsigned kUserTimeoutMillis = 60'000;

HeaderMapPtr ResponseHead() {
  HeaderMapPtr headers = HeaderMap::New();
  headers->set_status(200);
  headers->Add(HeaderId::kContentType, "application/grpc");
  return headers;
}

void AddStatus(const absl::Status& status, HeaderMap* trailers) {
  trailers->Add(HeaderId::kGrpcStatus, absl::StrCat(static_cast<int>(status.code())));
  if (!status.message().empty()) {
    trailers->Add(HeaderId::kGrpcMessage, EncodeMessage(status.message()));
  }
}

class GrpcServer;
class ServerConnection;

// Open -> ended (by either side, its handler hears no more) -> the stream is gone.
class Call final : public Deferrable,
                   public ServerCall,
                   private StreamReceiver,
                   private TurnEndTask {
 public:
  Call(ServerConnection& owner, Stream& stream);

  StreamReceiver* receiver() { return this; }
  // The connection or the server goes.
  void Detach() {
    stream_ = nullptr;
    TellGone();
  }

  // --- ServerCall
  void Send(std::vector<Piece> pieces) override;
  void End(const absl::Status& status) override;
  void Cut(const absl::Status& status) override;
  void PauseReading(bool paused) override;
  const HeaderMap& metadata() const override { return *metadata_; }
  const net::Address& remote() const override;

 private:
  // --- StreamReceiver
  void OnHeaders(HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override {
    if (ended_) return;
    reader_.Append(data);
    all_received_ = end_stream;
    Read();
  }
  void OnTrailers(HeaderMapPtr) override {
    all_received_ = true;
    if (!ended_) Read();
  }
  void OnReset(ResetCause, absl::string_view) override { Detach(); }
  void OnWriteBlocked(bool blocked) override {
    blocked_ = blocked;
    if (!blocked && stream_ != nullptr) Schedule();
  }
  // After the connection has written what it could.
  void RunAtTurnEnd() override {
    if (stream_ == nullptr) return;
    if (!ended_) Read();
    Feed();
  }

  void Schedule();
  void Read();
  void Feed();
  void SendStatus();
  void Fail(const absl::Status& status) {
    const bool heard = !ended_;
    Cut(status);
    if (heard && handler_ != nullptr) handler_->OnGone();
  }
  void TellGone() {
    if (std::exchange(ended_, true) || handler_ == nullptr) return;
    handler_->OnGone();
  }

  ServerConnection& owner_;
  Stream* stream_;  // null once it is gone
  HeaderMapPtr metadata_;
  std::unique_ptr<CallHandler> handler_;
  std::unique_ptr<Timer> deadline_;
  MessageReader reader_;
  std::deque<Piece> pieces_;  // to be sent, of the first one from `sent_of_first_` on
  size_t sent_of_first_ = 0;
  std::optional<absl::Status> status_;  // to be sent behind them
  bool head_sent_ = false;
  bool sending_ = false;  // the handler is to hear OnSent
  bool blocked_ = false;
  bool paused_ = false;
  bool all_received_ = false;
  bool end_told_ = false;
  bool ended_ = false;
};

class ServerConnection final : public Deferrable,
                               private net::ConnectionHandler,
                               private ServerCodecEvents {
 public:
  ServerConnection(Loop& loop, GrpcServer& server, std::unique_ptr<net::Connection> connection,
                   const tls::Connection* tls);
  ~ServerConnection() override { connection_->SetHandler(nullptr); }

  // The server goes: nothing is called any more.
  void Abandon() {
    closing_ = true;
    timer_->Disarm();
    for (auto& [stream, call] : calls_) call->Detach();
    connection_->SetHandler(nullptr);
  }

  Loop& loop() { return loop_; }
  GrpcServer& server() { return server_; }
  const net::Address& remote() const { return connection_->remote_address(); }

 private:
  void StartCodec();

  // --- net::ConnectionHandler
  void OnConnected() override;
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override {
    if (codec_ != nullptr) codec_->OnTransportBlocked(blocked);
  }
  void OnDrained() override { OnWriteBlocked(false); }
  void OnClosed(net::CloseCause, absl::string_view detail) override;

  // --- ServerCodecEvents
  StreamReceiver* OnNewStream(Stream& stream) override {
    timer_->Disarm();
    auto call = std::make_unique<Call>(*this, stream);
    return (calls_[&stream] = std::move(call))->receiver();
  }
  void OnStreamFinished(Stream& stream) override {
    const auto at = calls_.find(&stream);
    if (at == calls_.end()) return;
    at->second->Detach();
    loop_.DeferDelete(std::move(at->second));
    calls_.erase(at);
    if (calls_.empty() && !closing_) ArmIdle();
  }

  void ArmIdle();
  void Close() {
    closing_ = true;
    timer_->Disarm();
    connection_->Close(kFlushTimeout);
  }

  Loop& loop_;
  GrpcServer& server_;
  std::unique_ptr<net::Connection> connection_;
  const tls::Connection* const tls_;  // the same, or null
  ConnectionTransport transport_;
  std::unique_ptr<ServerCodec> codec_;  // null during the handshake
  std::unique_ptr<Timer> timer_;        // handshake, idle
  std::map<Stream*, std::unique_ptr<Call>> calls_;
  bool end_of_input_ = false;
  bool closing_ = false;
};

class GrpcServer final : public Server {
 public:
  GrpcServer(Loop& loop, const ServerOptions& options)
      : loop_(loop), options_(options), tls_(options.tls) {}
  ~GrpcServer() override {
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

  void Add(absl::string_view path, NewHandler new_handler) override {
    methods_.insert_or_assign(std::string(path), std::move(new_handler));
  }
  void AddUnary(absl::string_view path, UnaryHandler handler) override;
  void SetTls(std::shared_ptr<const tls::Context> context) override { tls_ = std::move(context); }
  const net::Address& address() const override { return listener_->address(); }
  size_t open_connections() const override { return connections_.size(); }
  const ServerCounters& counters() const override { return counters_; }

  ServerCounters& counts() { return counters_; }
  const ServerOptions& options() const { return options_; }
  NewHandler* Find(absl::string_view path) {
    const auto at = methods_.find(path);
    return at == methods_.end() ? nullptr : &at->second;
  }
  void Forget(ServerConnection* connection) {
    const auto at = connections_.find(connection);
    if (at == connections_.end()) return;
    loop_.DeferDelete(std::move(at->second));
    connections_.erase(at);
  }

 private:
  void OnAccept(int fd, const net::Address& remote);

  Loop& loop_;
  const ServerOptions options_;
  std::shared_ptr<const tls::Context> tls_;
  ServerCounters counters_;
  absl::flat_hash_map<std::string, NewHandler> methods_;
  std::unique_ptr<net::Listener> listener_;
  absl::flat_hash_map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
};

// One request, one answer.
class UnaryCallHandler final : public CallHandler {
 public:
  UnaryCallHandler(ServerCall& call, std::shared_ptr<Server::UnaryHandler> handler)
      : call_(call), handler_(std::move(handler)) {}

 private:
  void OnMessage(absl::string_view message) override {
    if (message_.has_value()) {
      answered_ = true;
      return call_.Cut(absl::InternalError("more than one request in a call that takes one"));
    }
    message_ = std::string(message);
  }
  void OnMessagesEnd() override {
    if (answered_) return;
    if (!message_.has_value()) return call_.End(absl::InternalError("a call without a request"));
    Server::UnaryRequest request;
    request.message = *std::move(message_);
    request.metadata = call_.metadata().Clone();
    request.remote = call_.remote();
    const std::weak_ptr<UnaryCallHandler*> alive = self_;
    (*handler_)(std::move(request), [alive](absl::StatusOr<std::string> answer) {
      if (const auto self = alive.lock()) (*self)->Answer(std::move(answer));
    });
  }
  void OnGone() override { answered_ = true; }

  void Answer(absl::StatusOr<std::string> answer) {
    if (std::exchange(answered_, true)) return;
    if (answer.ok()) call_.Send({std::make_shared<const std::string>(*std::move(answer))});
    call_.End(answer.status());
  }

  ServerCall& call_;
  const std::shared_ptr<Server::UnaryHandler> handler_;
  std::optional<std::string> message_;
  bool answered_ = false;
  // Lives as long as this.
  const std::shared_ptr<UnaryCallHandler*> self_ = std::make_shared<UnaryCallHandler*>(this);
};

// ---- Call

Call::Call(ServerConnection& owner, Stream& stream)
    : owner_(owner),
      stream_(&stream),
      metadata_(HeaderMap::New()),
      reader_(owner.server().options().message_bytes_max) {}

const net::Address& Call::remote() const { return owner_.remote(); }

void Call::Schedule() { owner_.loop().AtTurnEnd(this); }

void Call::OnHeaders(HeaderMapPtr headers, bool end_stream) {
  metadata_ = std::move(headers);
  all_received_ = end_stream;
  if (!IsGrpcContentType(metadata_->Get(HeaderId::kContentType))) {
    HeaderMapPtr refusal = HeaderMap::New();
    refusal->set_status(415);
    head_sent_ = ended_ = true;
    stream_->SendHeaders(*refusal, true);
    if (!end_stream) stream_->Reset(ResetCause::kLocal);
    stream_ = nullptr;
    return;
  }
  Server::NewHandler* const new_handler =
      metadata_->method() == "POST" ? owner_.server().Find(metadata_->path()) : nullptr;
  if (new_handler == nullptr) {
    return End(absl::UnimplementedError(absl::StrCat("unknown method ", metadata_->path())));
  }
  ++owner_.server().counts().calls;
  if (const auto timeout = ParseTimeout(metadata_->Get(HeaderId::kGrpcTimeout))) {
    deadline_ = owner_.loop().NewTimer([this] {
      if (stream_ != nullptr) Fail(absl::DeadlineExceededError("Deadline Exceeded"));
    });
    deadline_->Arm(*timeout);
  }
  handler_ = (*new_handler)(*this);
  if (all_received_ && !ended_) Read();
}

void Call::Read() {
  Buffer message;
  while (!ended_ && !paused_) {
    const absl::StatusOr<bool> got = reader_.Next(&message);
    if (!got.ok()) return Fail(got.status());
    if (!*got) break;
    handler_->OnMessage(message.Linearize(message.size()));
  }
  if (ended_ || paused_ || !all_received_ || std::exchange(end_told_, true)) return;
  if (!reader_.at_boundary()) {
    return Fail(absl::InternalError("the stream ended within a message"));
  }
  handler_->OnMessagesEnd();
}

void Call::PauseReading(bool paused) {
  if (paused_ == paused || stream_ == nullptr) return;
  paused_ = paused;
  stream_->PauseReading(paused);
  if (!paused) Schedule();
}

void Call::Send(std::vector<Piece> pieces) {
  if (ended_ || stream_ == nullptr) return;
  if (!std::exchange(head_sent_, true)) stream_->SendHeaders(*ResponseHead(), false);
  size_t size = 0;
  for (const Piece& piece : pieces) size += piece->size();
  const std::string prefix = MessagePrefix(size);
  if (pieces_.empty()) {
    Buffer bytes(prefix);
    stream_->SendData(bytes, false);
  } else {
    pieces_.push_back(std::make_shared<const std::string>(prefix));
  }
  for (Piece& piece : pieces) pieces_.push_back(std::move(piece));
  sending_ = true;
  Feed();
}

void Call::Feed() {
  Buffer bytes;
  while (!blocked_ && !pieces_.empty()) {
    const size_t room = kUnsentBytesMax - std::min(kUnsentBytesMax, stream_->unsent_bytes());
    if (room == 0) return;
    const absl::string_view rest = absl::string_view(*pieces_.front()).substr(sent_of_first_);
    bytes.Append(rest.substr(0, room));
    stream_->SendData(bytes, false);
    // Behind the connection: by then this is written, or OnWriteBlocked has said that it is not.
    Schedule();
    sent_of_first_ += std::min(room, rest.size());
    if (rest.size() > room) continue;
    pieces_.pop_front();
    sent_of_first_ = 0;
  }
  if (!pieces_.empty()) return;
  if (status_.has_value()) return SendStatus();
  if (ended_ || !sending_ || stream_->unsent_bytes() > 0) return;
  sending_ = false;
  handler_->OnSent();
}

void Call::SendStatus() {
  if (std::exchange(head_sent_, true)) {
    HeaderMapPtr trailers = HeaderMap::New();
    AddStatus(*status_, trailers.get());
    stream_->SendTrailers(*trailers);
  } else {
    HeaderMapPtr head = ResponseHead();
    AddStatus(*status_, head.get());
    stream_->SendHeaders(*head, true);
  }
  status_.reset();
  // Whatever else the client says: nobody listens.
  std::exchange(stream_, nullptr)->Reset(ResetCause::kLocal);
}

void Call::End(const absl::Status& status) {
  if (std::exchange(ended_, true) || stream_ == nullptr) return;
  status_ = status;
  if (pieces_.empty()) SendStatus();
}

void Call::Cut(const absl::Status& status) {
  if (std::exchange(ended_, true) || stream_ == nullptr) return;
  status_ = status;
  const bool waits = !pieces_.empty() || stream_->unsent_bytes() > 0;
  pieces_.clear();
  if (!waits) return SendStatus();
  // A status would wait behind what the client does not read.
  std::exchange(stream_, nullptr)->Reset(ResetCause::kLimit);
}

// ---- ServerConnection

ServerConnection::ServerConnection(Loop& loop, GrpcServer& server,
                                   std::unique_ptr<net::Connection> connection,
                                   const tls::Connection* tls)
    : loop_(loop),
      server_(server),
      connection_(std::move(connection)),
      tls_(tls),
      transport_(loop, *connection_, [this] { OnRead(connection_->input(), end_of_input_); }),
      timer_(loop.NewTimer([this] {
        if (!closing_) Close();
      })) {
  connection_->SetHandler(this);
  connection_->SetKeepalive(kKeepalive);
  setsockopt(connection_->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMillis,
             sizeof kUserTimeoutMillis);
  timer_->Arm(server.options().handshake_timeout);
  if (tls_ == nullptr) StartCodec();
}

void ServerConnection::OnConnected() {
  if (closing_ || codec_ != nullptr) return;
  if (tls_ != nullptr && tls_->session().alpn != "h2") {
    ++server_.counts().failed_handshakes;
    return Close();
  }
  StartCodec();
}

void ServerConnection::StartCodec() {
  Http2Limits limits;
  limits.concurrent_streams_max = server_.options().streams_per_connection_max;
  limits.write_high_bytes = 0;  // so that calls hear when all is written
  codec_ = NewHttp2ServerCodec(transport_, *this, limits);
  ArmIdle();
}

void ServerConnection::ArmIdle() { timer_->Arm(server_.options().idle_timeout); }

void ServerConnection::OnRead(Buffer& in, bool end_of_stream) {
  if (closing_ || codec_ == nullptr) return;
  end_of_input_ = end_of_stream;
  const absl::Status status = codec_->Receive(in, end_of_stream);
  if (!status.ok()) {
    ++server_.counts().protocol_errors;
    LOG(kDebug, "grpc", remote().ToString(), ": ", status.message());
  }
  if (codec_->finished()) Close();
}

void ServerConnection::OnClosed(net::CloseCause, absl::string_view detail) {
  closing_ = true;
  timer_->Disarm();
  if (codec_ == nullptr) {
    ++server_.counts().failed_handshakes;
    LOG(kDebug, "grpc", "no handshake with ", remote().ToString(), ": ", detail);
  } else {
    codec_->OnConnectionClosed(ResetCause::kConnectionLost, detail);
  }
  server_.Forget(this);
}

// ---- Server

void GrpcServer::AddUnary(absl::string_view path, UnaryHandler handler) {
  auto shared = std::make_shared<UnaryHandler>(std::move(handler));
  Add(path, [shared = std::move(shared)](ServerCall& call) {
    return std::make_unique<UnaryCallHandler>(call, shared);
  });
}

void GrpcServer::OnAccept(int fd, const net::Address& remote) {
  std::unique_ptr<net::Connection> connection;
  const tls::Connection* tls = nullptr;
  if (tls_ == nullptr) {
    connection = net::NewServerConnection(loop_, fd, remote, net::ConnectionLimits());
  } else {
    auto secure = tls::NewServerConnection(loop_, fd, remote, net::ConnectionLimits(), tls_);
    tls = secure.get();
    connection = std::move(secure);
  }
  if (connections_.size() >= options_.connections_max) {
    ++counters_.refused_connections;
    LOG(kWarn, "grpc", "closed a connection from ", remote.ToString(), ": ",
        options_.connections_max, " are open already");
    connection->Abort();
    return loop_.DeferDelete(std::move(connection));
  }
  ++counters_.connections;
  auto owned = std::make_unique<ServerConnection>(loop_, *this, std::move(connection), tls);
  ServerConnection* const raw = owned.get();
  connections_[raw] = std::move(owned);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Listen(Loop& loop, const net::Address& address,
                                               const ServerOptions& options) {
  auto server = std::make_unique<GrpcServer>(loop, options);
  if (absl::Status status = server->Start(address); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::http::grpc
