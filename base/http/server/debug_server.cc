#include "base/http/server/debug_server.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/connection_transport.h"
#include "base/log/log.h"
#include "base/net/connection.h"
#include "base/net/listener.h"

namespace meltemi::http {
namespace {

constexpr Duration kFlushTimeout = seconds(5);

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string QueryDecode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
                        HexValue(text[i + 2]) >= 0;
    if (escape) {
      decoded.push_back(static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2])));
      i += 2;
    } else {
      decoded.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return decoded;
}

class Server;

// One connection; it answers one request after the other.
class ServerConnection final : public Deferrable,
                               private net::ConnectionHandler,
                               private ServerCodecEvents {
 public:
  ServerConnection(Loop& loop, Server& server, std::unique_ptr<net::Connection> connection,
                   bool from_loopback, const DebugServerOptions& options)
      : server_(server),
        options_(options),
        from_loopback_(from_loopback),
        connection_(std::move(connection)),
        transport_(loop, *connection_, [this] { OnRead(connection_->input(), end_of_input_); }),
        codec_(NewHttp1ServerCodec(transport_, *this, Http1Limits())),
        idle_timer_(loop.NewTimer([this] { OnIdle(); })) {
    connection_->SetHandler(this);
    idle_timer_->Arm(options_.idle_timeout);
  }
  ~ServerConnection() override { connection_->SetHandler(nullptr); }

  // The server goes: nothing is called any more.
  void Abandon() {
    closing_ = true;
    idle_timer_->Disarm();
    connection_->SetHandler(nullptr);
  }

 private:
  // --- net::ConnectionHandler
  void OnRead(Buffer& in, bool end_of_stream) override {
    if (closing_) return;
    end_of_input_ = end_of_stream;
    if (!in.empty()) idle_timer_->Arm(options_.idle_timeout);
    const absl::Status status = codec_->Receive(in, end_of_stream);
    if (!status.ok()) LOG(kDebug, "debug", "bad request: ", status.message());
    if (codec_->finished()) return Close();
    connection_->PauseReading(!codec_->wants_input());
  }
  void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
  void OnDrained() override { codec_->OnTransportBlocked(false); }
  void OnClosed(net::CloseCause, absl::string_view detail) override;

  void OnIdle() {
    if (closing_) return;
    Close();
  }
  void Close() {
    closing_ = true;
    connection_->Close(kFlushTimeout);
  }

  // --- ServerCodecEvents
  StreamReceiver* OnNewStream(Stream& stream) override {
    stream_ = &stream;
    headers_.reset();
    body_.clear();
    answered_too_large_ = false;
    return &receiver_;
  }
  void OnStreamFinished(Stream&) override { stream_ = nullptr; }

  // --- The exchange
  struct Receiver final : public StreamReceiver {
    explicit Receiver(ServerConnection& owner) : owner(owner) {}
    void OnHeaders(HeaderMapPtr headers, bool end) override {
      owner.OnHeaders(std::move(headers), end);
    }
    void OnData(Buffer& data, bool end) override { owner.OnData(data, end); }
    void OnTrailers(HeaderMapPtr) override { owner.OnData(owner.nothing_, true); }
    void OnReset(ResetCause, absl::string_view) override { owner.stream_ = nullptr; }
    void OnWriteBlocked(bool) override {}
    ServerConnection& owner;
  };

  void OnHeaders(HeaderMapPtr headers, bool end_stream) {
    headers_ = std::move(headers);
    if (headers_->Get(HeaderId::kExpect) == "100-continue") {
      HeaderMapPtr go_on = HeaderMap::New();
      go_on->set_status(100);
      stream_->SendInformational(*go_on);
    }
    if (end_stream) Answer();
  }
  void OnData(Buffer& data, bool end_stream) {
    if (answered_too_large_) return;
    if (body_.size() + data.size() > options_.body_bytes_max) {
      answered_too_large_ = true;
      return Send(
          {413, absl::StrCat("The body is larger than ", options_.body_bytes_max, " bytes.\n")});
    }
    data.ForEachRun([this](absl::string_view run) { body_.append(run.data(), run.size()); });
    if (end_stream) Answer();
  }

  void Answer();
  void Send(const DebugResponse& response) {
    HeaderMapPtr headers = HeaderMap::New();
    headers->set_status(response.status);
    headers->Add(HeaderId::kContentType, response.content_type);
    headers->Add("cache-control", "no-cache, max-age=0");
    headers->Add("x-content-type-options", "nosniff");
    for (const auto& [name, value] : response.fields) headers->Set(name, value);
    headers->Add(HeaderId::kContentLength, absl::StrCat(response.body.size()));
    stream_->SendHeaders(*headers, response.body.empty());
    if (response.body.empty()) return;
    Buffer body(response.body);
    stream_->SendData(body, true);
  }

  Server& server_;
  const DebugServerOptions& options_;
  const bool from_loopback_;
  std::unique_ptr<net::Connection> connection_;
  ConnectionTransport transport_;
  std::unique_ptr<ServerCodec> codec_;
  std::unique_ptr<Timer> idle_timer_;
  Receiver receiver_{*this};
  Stream* stream_ = nullptr;
  HeaderMapPtr headers_;
  std::string body_;
  Buffer nothing_;
  bool end_of_input_ = false;
  bool closing_ = false;
  bool answered_too_large_ = false;
};

class Server final : public DebugServer {
 public:
  Server(Loop& loop, const DebugServerOptions& options) : loop_(loop), options_(options) {}
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

  void Route(absl::string_view path, Methods methods, absl::string_view help,
             Handler handler) override {
    routes_[std::string(path)] = {methods, std::string(help), std::move(handler)};
  }
  const net::Address& address() const override { return listener_->address(); }
  size_t open_connections() const override { return connections_.size(); }

  DebugResponse Handle(const DebugRequest& request, bool from_loopback) {
    if (!from_loopback && !options_.loopback_only.empty() &&
        absl::StartsWith(request.path, options_.loopback_only)) {
      return {403, absl::StrCat(request.path, " is for callers on this host or in this pod.\n")};
    }
    Entry* const entry = FindRoute(request.path);
    if (entry == nullptr) {
      if (request.path == "/") return Index(200, "");
      return Index(404, absl::StrCat("There is nothing at ", request.path, ".\n\n"));
    }
    const bool get = request.method == "GET" || request.method == "HEAD";
    const bool allowed = entry->methods == Methods::kAny ||
                         (entry->methods == Methods::kGet ? get : request.method == "POST");
    if (!allowed) {
      const std::string allow = entry->methods == Methods::kGet ? "GET, HEAD" : "POST";
      DebugResponse response;
      response.status = 405;
      response.body = absl::StrCat(request.path, " takes ", allow, ", not ", request.method, ".\n");
      response.fields = {{"allow", allow}};
      return response;
    }
    return entry->handler(request);
  }

  void Forget(ServerConnection* connection) {
    auto at = connections_.find(connection);
    if (at == connections_.end()) return;
    loop_.DeferDelete(std::move(at->second));
    connections_.erase(at);
  }

 private:
  struct Entry {
    Methods methods = Methods::kGet;
    std::string help;
    Handler handler;
  };

  void OnAccept(int fd, const net::Address& remote) {
    auto connection = net::NewServerConnection(loop_, fd, remote, net::ConnectionLimits());
    if (connections_.size() >= options_.connections_max) {
      LOG(kWarn, "debug", "closed a connection from ", remote.ToString(), ": ",
          options_.connections_max, " are open already");
      connection->Abort();
      return loop_.DeferDelete(std::move(connection));
    }
    auto owned = std::make_unique<ServerConnection>(loop_, *this, std::move(connection),
                                                    remote.is_loopback(), options_);
    ServerConnection* const raw = owned.get();
    connections_[raw] = std::move(owned);
  }

  Entry* FindRoute(absl::string_view path) {
    auto exact = routes_.find(std::string(path));
    if (exact != routes_.end()) return &exact->second;
    Entry* longest = nullptr;
    for (auto& [prefix, entry] : routes_) {
      const bool below =
          prefix.size() > 1 && prefix.back() == '/' && absl::StartsWith(path, prefix);
      if (below) longest = &entry;  // in order: the longest comes last
    }
    return longest;
  }

  DebugResponse Index(int status, const std::string& before) const {
    DebugResponse response;
    response.status = status;
    response.body = absl::StrCat(before, "Paths:\n");
    for (const auto& [path, entry] : routes_) {
      absl::StrAppend(&response.body, "  ", path, entry.methods == Methods::kPost ? " (POST)" : "",
                      entry.help.empty() ? "" : "  ", entry.help, "\n");
    }
    return response;
  }

  Loop& loop_;
  const DebugServerOptions options_;
  std::unique_ptr<net::Listener> listener_;
  std::map<std::string, Entry> routes_;
  std::map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
};

void ServerConnection::Answer() {
  const absl::string_view target = headers_->path();
  const size_t question = target.find('?');
  DebugRequest request;
  request.method = headers_->method();
  request.path = target.substr(0, question);
  if (question != absl::string_view::npos) request.query = target.substr(question + 1);
  request.body = body_;
  request.headers = headers_.get();
  const DebugResponse response = server_.Handle(request, from_loopback_);
  if (stream_ != nullptr) Send(response);
}

void ServerConnection::OnClosed(net::CloseCause, absl::string_view detail) {
  closing_ = true;
  codec_->OnConnectionClosed(ResetCause::kConnectionLost, detail);
  server_.Forget(this);
}

}  // namespace

std::optional<std::string> DebugRequest::Param(absl::string_view name) const {
  absl::string_view left = query;
  while (!left.empty()) {
    const size_t end = std::min(left.find('&'), left.size());
    const absl::string_view pair = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (QueryDecode(pair.substr(0, equals)) != name) continue;
    return QueryDecode(pair.substr(std::min(equals + 1, pair.size())));
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<DebugServer>> ListenDebug(Loop& loop, const net::Address& address,
                                                         const DebugServerOptions& options) {
  auto server = std::make_unique<Server>(loop, options);
  if (absl::Status status = server->Start(address); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::http
