#include "orchestrator/apiserver/https_client/https_client.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/client/client_connection.h"
#include "base/loop/loop.h"
#include "base/net/dns.h"
#include "base/tls/tls.h"

namespace meltemi::apiserver {
namespace {

constexpr size_t kContextsMax = 64;
constexpr absl::string_view kDeadlineExceeded = "context deadline exceeded";

// Where the waiting thread and the loop meet.
class Answer final : public HttpsCall {
 public:
  absl::StatusOr<HttpsResponse> Wait() override {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait(lock, [this] { return result_.has_value(); });
    return *std::move(result_);
  }
  void Set(absl::StatusOr<HttpsResponse> result) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (result_.has_value()) return;
    result_ = std::move(result);
    ready_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<absl::StatusOr<HttpsResponse>> result_;  // guarded by mutex_
};

using ContextPtr = std::shared_ptr<const tls::Context>;

// Go's words for what went wrong once there was a connection.
std::string InGoWords(absl::string_view detail) {
  if (detail.empty() || detail == "the peer closed the connection") return "EOF";
  std::string out(detail);
  if (absl::ascii_isupper(static_cast<unsigned char>(out[0])) && out.size() > 1 &&
      absl::ascii_islower(static_cast<unsigned char>(out[1]))) {
    out[0] = absl::ascii_tolower(static_cast<unsigned char>(out[0]));
  }
  return out;
}

// "" when `detail` is not about a certificate or the handshake.
std::string TlsErrorInGoWords(absl::string_view detail, absl::string_view server_name) {
  constexpr absl::string_view kFailed = "tls: failed to verify certificate: x509: certificate ";
  if (absl::StrContains(detail, "issuer certificate") || absl::StrContains(detail, "self-signed") ||
      absl::StrContains(detail, "self signed")) {
    return absl::StrCat(kFailed, "signed by unknown authority");
  }
  if (absl::StrContains(detail, "certificate has expired") ||
      absl::StrContains(detail, "not yet valid")) {
    return absl::StrCat(kFailed, "has expired or is not yet valid");
  }
  if (absl::StrContains(detail, "mismatch")) {
    return absl::StrCat(kFailed, "is not valid for ", server_name);
  }
  const bool of_tls = absl::StrContains(detail, "certificate") ||
                      absl::StrContains(detail, "SSL") || absl::StrContains(detail, "tls");
  return of_tls ? absl::StrCat("tls: ", detail) : "";
}

class Pool;

// One connection: idle, or carrying one exchange. Loop-owned; lives in the pool's list.
class PooledConnection final : public http::ClientConnectionEvents, public http::StreamReceiver {
 public:
  class User {
   public:
    virtual ~User() = default;
    // The last call, and never from within Use. `began`: bytes of an answer had arrived.
    virtual void OnAnswer(absl::StatusOr<HttpsResponse> answer, bool connected, bool began) = 0;
  };

  PooledConnection(Loop& loop, Pool& pool, std::string key, const net::Address& to,
                   const ContextPtr& context, const HttpsClientOptions& options)
      : pool_(pool),
        key_(std::move(key)),
        options_(options),
        connection_(std::make_unique<http::ClientConnection>(
            loop,
            tls::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits(), context),
            http::Protocol::kHttp11, *this)),
        idle_timer_(loop.NewTimer([this] { Remove(); })) {}

  // Deleted at the end of a turn, or with the loop at rest: no callback is under way.
  ~PooledConnection() override { connection_->Abandon(); }

  const std::string& key() const { return key_; }
  bool idle() const { return user_ == nullptr && connection_->codec().capacity() > 0; }

  void Use(User* user, const HttpsRequest& request) {
    user_ = user;
    began_ = false;
    response_ = HttpsResponse();
    idle_timer_->Disarm();
    http::HeaderMapPtr headers = http::HeaderMap::New();
    const bool has_body = request.method != "GET";
    headers->set_method(request.method);
    headers->set_scheme("https");
    headers->set_authority(request.authority);
    headers->set_path(request.path);
    if (has_body) headers->Add("content-type", "application/json");
    headers->Add("accept", "application/json, */*");
    headers->Add("user-agent", options_.user_agent);
    if (has_body) headers->Add("content-length", absl::StrCat(request.body.size()));
    stream_ = &connection_->NewStream(this);
    stream_->SendHeaders(*headers, !has_body);
    if (!has_body) return;
    Buffer body(request.body);
    stream_->SendData(body, true);
  }

  // The user is not interested any more: the connection can't be used again.
  void Drop() {
    user_ = nullptr;
    Remove();
  }

 private:
  void OnConnected() override { connected_ = true; }
  void OnDisconnected(absl::string_view detail) override {
    if (user_ == nullptr) return Remove();
    Finish(absl::UnavailableError(InGoWords(detail)), false);
  }
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
    began_ = true;
    response_.code = headers->status();
    if (end_stream) Finish(std::move(response_), true);
  }
  void OnData(Buffer& data, bool end_stream) override {
    if (response_.body.size() + data.size() > options_.response_bytes_max) {
      return Finish(absl::ResourceExhaustedError(absl::StrCat(
                        "the response is larger than ", options_.response_bytes_max, " bytes")),
                    false);
    }
    data.ForEachRun(
        [this](absl::string_view run) { response_.body.append(run.data(), run.size()); });
    if (end_stream) Finish(std::move(response_), true);
  }
  void OnTrailers(http::HeaderMapPtr) override { Finish(std::move(response_), true); }
  void OnReset(http::ResetCause cause, absl::string_view detail) override {
    stream_ = nullptr;
    Finish(absl::UnavailableError(detail.empty() ? std::string(http::ResetCauseName(cause))
                                                 : InGoWords(detail)),
           false);
  }
  void OnWriteBlocked(bool) override {}

  void Finish(absl::StatusOr<HttpsResponse> answer, bool keep) {
    User* const user = std::exchange(user_, nullptr);
    stream_ = nullptr;
    const bool connected = connected_, began = began_;
    if (keep) {
      idle_timer_->Arm(options_.idle_timeout);
    } else {
      Remove();
    }
    if (user != nullptr) user->OnAnswer(std::move(answer), connected, began);
  }
  // Defined below the pool. May be called more than once.
  void Remove();

  Pool& pool_;
  const std::string key_;
  const HttpsClientOptions& options_;
  std::unique_ptr<http::ClientConnection> connection_;
  std::unique_ptr<Timer> idle_timer_;
  http::Stream* stream_ = nullptr;
  User* user_ = nullptr;
  HttpsResponse response_;
  bool connected_ = false, began_ = false, removed_ = false;
};

// Deletes a connection at the end of the turn.
class Grave final : public Deferrable {
 public:
  explicit Grave(std::unique_ptr<PooledConnection> connection)
      : connection_(std::move(connection)) {}

 private:
  std::unique_ptr<PooledConnection> connection_;
};

// All connections, by destination. Loop-owned.
class Pool {
 public:
  Pool(Loop& loop, const HttpsClientOptions& options) : loop_(loop), options_(options) {}

  // An idle one, newest first; null when there is none.
  PooledConnection* Idle(const std::string& key) {
    for (auto& connection : connections_) {
      if (connection->key() == key && connection->idle()) return connection.get();
    }
    return nullptr;
  }

  PooledConnection& Open(const std::string& key, const net::Address& to,
                         const ContextPtr& context) {
    Trim(key);
    connections_.push_front(
        std::make_unique<PooledConnection>(loop_, *this, key, to, context, options_));
    return *connections_.front();
  }

  void Remove(PooledConnection* connection) {
    for (auto at = connections_.begin(); at != connections_.end(); ++at) {
      if (at->get() != connection) continue;
      loop_.DeferDelete(std::make_unique<Grave>(std::move(*at)));
      connections_.erase(at);
      return;
    }
  }

 private:
  // Makes room: idle connections to the same destination, and over all, beyond the bounds go, the
  // oldest first.
  void Trim(const std::string& key) {
    size_t here = 0, all = 0;
    std::vector<PooledConnection*> surplus;
    for (auto& connection : connections_) {
      if (!connection->idle()) continue;
      const bool too_many_here = connection->key() == key && ++here > options_.idle_connections_max;
      if (++all > options_.all_idle_connections_max || too_many_here) {
        surplus.push_back(connection.get());
      }
    }
    for (PooledConnection* connection : surplus) Remove(connection);
  }

  Loop& loop_;
  const HttpsClientOptions& options_;
  std::list<std::unique_ptr<PooledConnection>> connections_;
};

void PooledConnection::Remove() {
  if (std::exchange(removed_, true)) return;
  pool_.Remove(this);
}

// One request: resolve, connect or reuse, send, wait. Loop-owned.
class Exchange final : private PooledConnection::User {
 public:
  // `on_end` deletes the exchange; called once, from the loop.
  Exchange(Loop& loop, Pool& pool, net::DnsResolver* dns, ContextPtr context, HttpsRequest request,
           std::shared_ptr<Answer> answer, std::function<void()> on_end)
      : pool_(pool),
        dns_(dns),
        context_(std::move(context)),
        request_(std::move(request)),
        answer_(std::move(answer)),
        on_end_(std::move(on_end)),
        timer_(loop.NewTimer([this] { Fail(kDeadlineExceeded); })) {
    timer_->Arm(std::max(request_.timeout, Duration(milliseconds(1))));
  }

  ~Exchange() override {
    if (connection_ != nullptr) connection_->Drop();
    answer_->Set(absl::UnavailableError("the server is stopping"));
  }

  void Begin() {
    if (!request_.addresses.empty()) return Next();
    const absl::StatusOr<net::Address> literal = net::Address::FromIp(request_.host, request_.port);
    if (literal.ok()) {
      request_.addresses = {*literal};
      return Next();
    }
    if (dns_ == nullptr) return Fail(absl::StrCat("lookup ", request_.host, ": no resolver"));
    query_ = dns_->Resolve(
        request_.host, net::DnsFamily::kAuto, [this](absl::StatusOr<net::DnsAnswer> answer) {
          if (!answer.ok() || answer->addresses.empty()) {
            return Fail(absl::StrCat("dial tcp: lookup ", request_.host, ": no such host"));
          }
          for (net::Address& address : answer->addresses) {
            address.set_port(request_.port);
          }
          request_.addresses = std::move(answer->addresses);
          Next();
        });
  }

 private:
  void Next() {
    const net::Address& to = request_.addresses[address_index_];
    const std::string key =
        absl::StrCat(to.ToString(), "\n", request_.server_name, "\n", request_.ca_pem);
    connection_ = retried_ ? nullptr : pool_.Idle(key);
    reused_ = connection_ != nullptr;
    if (!reused_) connection_ = &pool_.Open(key, to, context_);
    connection_->Use(this, request_);
  }

  void OnAnswer(absl::StatusOr<HttpsResponse> answer, bool connected, bool began) override {
    connection_ = nullptr;
    if (answer.ok()) return End(std::move(answer));
    // A kept connection that the peer has closed meanwhile: it never saw the request.
    if (reused_ && !began && absl::IsUnavailable(answer.status())) {
      retried_ = true;
      return Next();
    }
    if (!connected && address_index_ + 1 < request_.addresses.size()) {
      ++address_index_;
      return Next();
    }
    const absl::string_view detail = answer.status().message();
    if (connected) return Fail(detail);
    const std::string of_tls = TlsErrorInGoWords(detail, request_.server_name);
    Fail(of_tls.empty() ? absl::StrCat("dial tcp ", request_.addresses[address_index_].ToString(),
                                       ": connect: ", detail)
                        : of_tls);
  }

  void Fail(absl::string_view why) { End(absl::UnavailableError(why)); }

  void End(absl::StatusOr<HttpsResponse> result) {
    answer_->Set(std::move(result));
    on_end_();
  }

  Pool& pool_;
  net::DnsResolver* const dns_;
  const ContextPtr context_;
  HttpsRequest request_;
  const std::shared_ptr<Answer> answer_;
  const std::function<void()> on_end_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<net::DnsQuery> query_;
  PooledConnection* connection_ = nullptr;
  size_t address_index_ = 0;
  bool reused_ = false, retried_ = false;
};

class ExchangeGrave final : public Deferrable {
 public:
  explicit ExchangeGrave(std::unique_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

 private:
  std::unique_ptr<Exchange> exchange_;
};

class Client final : public HttpsClient {
 public:
  Client(const Clock& clock, const HttpsClientOptions& options)
      : options_(options), loop_(NewEventLoop(clock)) {
    pool_ = std::make_unique<Pool>(*loop_, options_);
    absl::StatusOr<std::unique_ptr<net::DnsResolver>> dns = net::NewDnsResolver(*loop_, {});
    if (dns.ok()) dns_ = *std::move(dns);
    thread_ = std::thread([this] { loop_->Run(); });
  }

  ~Client() override {
    loop_->Post([this] {
      exchanges_.clear();
      loop_->Exit();
    });
    thread_.join();
    // What was posted after that is destroyed unrun, and answers by its destructor.
    pool_.reset();
    dns_.reset();
    loop_->RunOnce(Duration::zero());
  }

  std::shared_ptr<HttpsCall> Start(HttpsRequest request) override {
    auto answer = std::make_shared<Answer>();
    absl::StatusOr<ContextPtr> context = ContextOf(request);
    if (!context.ok()) {
      answer->Set(absl::UnavailableError(context.status().message()));
      return answer;
    }
    loop_->Post([this, request = std::move(request), context = *std::move(context),
                 pending = Pending{answer}]() mutable {
      Begin(std::move(request), std::move(context), std::move(pending.answer));
    });
    return answer;
  }

 private:
  // Work that is thrown away with the loop must not leave anybody waiting.
  struct Pending {
    explicit Pending(std::shared_ptr<Answer> a) : answer(std::move(a)) {}
    Pending(Pending&& other) noexcept : answer(std::move(other.answer)) {}
    ~Pending() {
      if (answer != nullptr) answer->Set(absl::UnavailableError("the server is stopping"));
    }
    std::shared_ptr<Answer> answer;
  };

  absl::StatusOr<ContextPtr> ContextOf(const HttpsRequest& request) {
    const auto key = std::make_pair(request.ca_pem, request.server_name);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = contexts_.find(key);
    if (at != contexts_.end()) return at->second;
    tls::ClientOptions options;
    options.alpn = {"http/1.1"};
    options.ca_pem = request.ca_pem;
    options.server_name = request.server_name;
    options.identity = options_.identity;
    if (!options_.verify) options.peer = tls::PeerCertificate::kNone;
    absl::StatusOr<ContextPtr> context = tls::NewClientContext(options);
    if (!context.ok()) return context.status();
    if (contexts_.size() >= kContextsMax) contexts_.clear();
    contexts_[key] = *context;
    return context;
  }

  void Begin(HttpsRequest request, ContextPtr context, std::shared_ptr<Answer> answer) {
    const uint64_t id = ++last_id_;
    auto exchange = std::make_unique<Exchange>(
        *loop_, *pool_, dns_.get(), std::move(context), std::move(request), std::move(answer),
        [this, id] {
          const auto at = exchanges_.find(id);
          if (at == exchanges_.end()) return;
          loop_->DeferDelete(std::make_unique<ExchangeGrave>(std::move(at->second)));
          exchanges_.erase(at);
        });
    Exchange& raw = *exchange;
    exchanges_.emplace(id, std::move(exchange));
    raw.Begin();
  }

  const HttpsClientOptions options_;
  const std::unique_ptr<Loop> loop_;

  // Loop-owned.
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<net::DnsResolver> dns_;
  std::map<uint64_t, std::unique_ptr<Exchange>> exchanges_;
  uint64_t last_id_ = 0;

  std::mutex mutex_;
  // Guarded by mutex_: by CA and server name.
  std::map<std::pair<std::string, std::string>, ContextPtr> contexts_;

  std::thread thread_;
};

}  // namespace

std::unique_ptr<HttpsClient> NewHttpsClient(const Clock& clock, const HttpsClientOptions& options) {
  return std::make_unique<Client>(clock, options);
}

}  // namespace meltemi::apiserver
