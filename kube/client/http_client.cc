#include "kube/client/http_client.h"

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/exchange.h"
#include "kube/client/link.h"

namespace meltemi::kube {
namespace {

constexpr Duration kTokenFileInterval = minutes(1);

void AppendEncoded(absl::string_view text, absl::string_view also_plain, std::string* out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const unsigned char u = static_cast<unsigned char>(c);
    const bool plain = absl::ascii_isalnum(u) ||
                       absl::string_view("-._~").find(c) != absl::string_view::npos ||
                       also_plain.find(c) != absl::string_view::npos;
    if (plain) {
      out->push_back(c);
    } else {
      out->append({'%', kHex[u >> 4], kHex[u & 15]});
    }
  }
}

std::string TargetOf(const Endpoint& endpoint, const ApiCall& call, bool watch) {
  std::string out = endpoint.prefix;
  AppendEncoded(call.path, "/!$&'()*+,;=:@", &out);
  char separator = '?';
  const auto add = [&](absl::string_view name, absl::string_view value) {
    out += std::exchange(separator, '&');
    AppendEncoded(name, "", &out);
    out += '=';
    AppendEncoded(value, "", &out);
  };
  for (const auto& [name, value] : call.query) add(name, value);
  if (watch) add("watch", "true");
  return out;
}

// The token of a client: fixed, or in a file that is replaced while we run.
class TokenHolder {
 public:
  TokenHolder(const Clock& clock, std::string token, std::string file)
      : clock_(clock), file_(std::move(file)), token_(std::move(token)) {}

  std::string Get() {
    if (file_.empty()) return token_;
    const std::lock_guard<std::mutex> lock(mutex_);
    const MonotonicTime now = clock_.Now();
    if (read_ && now - read_at_ < kTokenFileInterval) return token_;
    std::ifstream in(file_, std::ios::binary);
    std::stringstream text;
    if (in && text << in.rdbuf()) {
      token_ = std::string(absl::StripAsciiWhitespace(text.str()));
    } else {
      LOG(kWarn, "client", file_, ": the token can't be read; the last one is used");
    }
    read_ = true;
    read_at_ = now;
    return token_;
  }

 private:
  const Clock& clock_;
  const std::string file_;
  std::mutex mutex_;
  // Guarded by mutex_, where there is a file.
  std::string token_;
  bool read_ = false;
  MonotonicTime read_at_;
};

struct Links {
  LinkOptions own;        // with the client's certificate
  LinkOptions anonymous;  // without: the server would go by it, not by a call's token
};

// A loop on a thread of its own, with its connections.
class LoopThread {
 public:
  LoopThread(const Clock& clock, const Links& links) : loop_(NewEventLoop(clock)) {
    auto dns = net::NewDnsResolver(*loop_, {});
    if (dns.ok()) dns_ = *std::move(dns);
    own_ = std::make_unique<LinkPool>(*loop_, dns_.get(), links.own);
    anonymous_ = std::make_unique<LinkPool>(*loop_, dns_.get(), links.anonymous);
    thread_ = std::thread([this] { loop_->Run(); });
  }

  ~LoopThread() {
    loop_->Post([this] {
      own_->Stop();
      anonymous_->Stop();
      loop_->Exit();
    });
    thread_.join();
    // What was posted after that is destroyed unrun: exchanges end as failures by that.
    loop_->RunOnce(Duration::zero());
    own_.reset();
    anonymous_.reset();
    dns_.reset();
  }

  Loop& loop() { return *loop_; }
  void Start(std::unique_ptr<Exchange> exchange, bool anonymous) {
    loop_->Post([this, anonymous, exchange = std::move(exchange)]() mutable {
      (anonymous ? *anonymous_ : *own_).Start(std::move(exchange));
    });
  }

 private:
  const std::unique_ptr<Loop> loop_;
  // Loop-owned.
  std::unique_ptr<net::DnsResolver> dns_;
  std::unique_ptr<LinkPool> own_, anonymous_;
  std::thread thread_;
};

class HttpWatch final : public ApiWatch {
 public:
  HttpWatch(Loop& loop, std::shared_ptr<WatchState> state)
      : loop_(loop), state_(std::move(state)) {}

  ~HttpWatch() override {
    if (loop_.IsLoopThread()) {
      state_->sink = nullptr;  // perhaps from within it, which holds the mutex
    } else {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      state_->sink = nullptr;
    }
    loop_.Post([state = state_] {
      if (state->exchange != nullptr) state->exchange->Cancel();
    });
  }

 private:
  Loop& loop_;
  const std::shared_ptr<WatchState> state_;
};

class HttpClient final : public Client {
 public:
  HttpClient(const Clock& clock, const ClusterAccess& access, const HttpClientOptions& options,
             const Links& links)
      : options_(options),
        endpoint_(links.own.endpoint),
        has_certificate_(!access.certificate_pem.empty()),
        token_(clock, access.token, access.token_file),
        calls_(clock, links),
        watches_(clock, links) {}

  Result<ApiAnswer> Call(const ApiCall& call) override {
    HttpRequest request = RequestOf(call, false);
    if (!TakeTurn(call.timeout)) return WayFailed(request, "too many calls are under way");
    const auto waiter = std::make_shared<CallWaiter>();
    calls_.Start(
        std::make_unique<CallExchange>(std::move(request), waiter, options_.answer_bytes_max),
        IsAnonymous(call));
    CallWaiter::Answer answer = waiter->Wait();
    GiveTurn();
    if (answer.code == 0) return std::move(answer.failure);
    if (answer.code / 100 == 2) return ApiAnswer{answer.code, std::move(answer.body)};
    return RefusalOf(answer.code, answer.body, answer.retry_after_seconds);
  }

  std::unique_ptr<ApiWatch> Watch(const ApiCall& call, WatchSink& sink) override {
    auto state = std::make_shared<WatchState>();
    state->sink = &sink;
    watches_.Start(std::make_unique<WatchExchange>(RequestOf(call, true), state),
                   IsAnonymous(call));
    return std::make_unique<HttpWatch>(watches_.loop(), std::move(state));
  }

 private:
  bool IsAnonymous(const ApiCall& call) const {
    return has_certificate_ && !call.bearer_token.empty();
  }

  HttpRequest RequestOf(const ApiCall& call, bool watch) {
    HttpRequest out{.method = call.method,
                    .scheme = endpoint_.scheme(),
                    .authority = endpoint_.authority,
                    .target = TargetOf(endpoint_, call, watch),
                    .body = call.body,
                    .timeout = call.timeout};
    out.fields.emplace_back("accept", call.accept);
    out.fields.emplace_back("user-agent", options_.user_agent);
    if (!call.body.empty()) out.fields.emplace_back("content-type", call.content_type);
    const std::string token = call.bearer_token.empty() ? token_.Get() : call.bearer_token;
    if (!token.empty()) out.fields.emplace_back("authorization", absl::StrCat("Bearer ", token));
    return out;
  }

  bool TakeTurn(Duration timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool free = turn_.wait_for(
        lock, timeout, [this] { return calls_in_flight_ < options_.calls_in_flight_max; });
    if (free) ++calls_in_flight_;
    return free;
  }
  void GiveTurn() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --calls_in_flight_;
    turn_.notify_one();
  }

  const HttpClientOptions options_;
  const Endpoint endpoint_;
  const bool has_certificate_;
  TokenHolder token_;

  std::mutex mutex_;
  std::condition_variable turn_;
  size_t calls_in_flight_ = 0;  // guarded by mutex_

  // Two loops, so that events, which are decoded where they arrive, hold up no call.
  LoopThread calls_, watches_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> NewHttpClient(const ClusterAccess& access,
                                                      const Clock& clock,
                                                      const HttpClientOptions& options) {
  absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(access.server);
  if (!endpoint.ok()) return endpoint.status();
  Links links;
  links.own.endpoint = links.anonymous.endpoint = *endpoint;
  links.own.ping_interval = links.anonymous.ping_interval = options.ping_interval;
  if (endpoint->tls) {
    tls::ClientOptions tls;
    tls.alpn = {"h2"};
    tls.ca_pem = access.ca_pem;
    tls.server_name = access.server_name.empty() ? endpoint->host : access.server_name;
    tls.peer = access.insecure ? tls::PeerCertificate::kNone : tls::PeerCertificate::kRequired;
    auto anonymous = tls::NewClientContext(tls);
    if (!anonymous.ok()) return anonymous.status();
    links.anonymous.tls = *anonymous;
    if (!access.certificate_pem.empty()) {
      tls.identity = tls::KeyPair{access.certificate_pem, access.key_pem};
    }
    auto own = tls::NewClientContext(tls);
    if (!own.ok()) return own.status();
    links.own.tls = *own;
  }
  return std::make_unique<HttpClient>(clock, access, options, links);
}

}  // namespace meltemi::kube
