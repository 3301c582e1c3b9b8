#include "kube/client/link.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::kube {
namespace {

// More would mean that the server takes none: those wait in the last one.
constexpr size_t kLinksMax = 64;

// Lists are large, and nothing is kept waiting here: what arrives is taken at once.
http::Http2Limits Limits() {
  http::Http2Limits out;
  out.stream_window_bytes = 1024 * 1024;
  out.connection_window_bytes = 8 * 1024 * 1024;
  return out;
}

}  // namespace

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view url) {
  Endpoint out;
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, "http://")) {
    out.tls = false;
    out.port = 80;
  } else if (!absl::ConsumePrefix(&rest, "https://") && absl::StrContains(rest, "://")) {
    return absl::InvalidArgumentError(absl::StrCat(url, ": https:// or http:// was expected"));
  }
  const size_t slash = rest.find('/');
  if (slash != absl::string_view::npos) {
    out.prefix = std::string(absl::StripSuffix(rest.substr(slash), "/"));
    rest = rest.substr(0, slash);
  }
  out.authority = std::string(rest);
  const size_t colon = rest.rfind(':');
  const size_t bracket = rest.rfind(']');
  if (colon != absl::string_view::npos && (bracket == absl::string_view::npos || colon > bracket)) {
    uint32_t port;
    if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port == 0 || port > 65535) {
      return absl::InvalidArgumentError(absl::StrCat(url, ": the port is no number up to 65535"));
    }
    out.port = static_cast<uint16_t>(port);
    rest = rest.substr(0, colon);
  }
  if (absl::ConsumePrefix(&rest, "[")) rest = absl::StripSuffix(rest, "]");
  if (rest.empty()) return absl::InvalidArgumentError(absl::StrCat(url, ": the host is missing"));
  out.host = std::string(rest);
  return out;
}

// One connection and the exchanges on it. States: resolving and connecting (exchanges wait, or have
// streams that do), up, dead (removed at the end of the turn).
class Link final : public Deferrable,
                   private http::ClientConnectionEvents,
                   private Exchange::Carrier {
 public:
  explicit Link(LinkPool& pool)
      : pool_(pool),
        connect_timer_(pool.loop().NewTimer([this] { Die(why_not_connected_); })),
        ping_timer_(pool.loop().NewTimer([this] { Ping(); })) {
    connect_timer_->Arm(pool.options().connect_timeout);
    Resolve();
  }
  ~Link() override {
    if (connection_ != nullptr) connection_->Abandon();
  }

  bool has_room() const {
    return !dead_ && !lost_ && (connection_ == nullptr || connection_->codec().capacity() > 0);
  }

  void Start(std::unique_ptr<Exchange> exchange) {
    Exchange* const raw = exchange.get();
    exchanges_.emplace(raw, std::move(exchange));
    raw->SetCarrier(this);
    if (connection_ != nullptr) Begin(raw);
    if (connected_ && !ping_timer_->armed()) ping_timer_->Arm(pool_.options().ping_interval);
  }

  void Die(absl::string_view why) {
    if (std::exchange(dead_, true)) return;
    connect_timer_->Disarm();
    ping_timer_->Disarm();
    if (connection_ != nullptr) connection_->Abandon();
    while (!exchanges_.empty()) {
      Exchange* const exchange = exchanges_.begin()->first;
      exchange->ForgetStream();
      Lost(exchange, http::ResetCause::kConnectionLost, why);
    }
    pool_.Remove(this);
  }

 private:
  void Resolve() {
    const Endpoint& endpoint = pool_.options().endpoint;
    const absl::StatusOr<net::Address> literal = net::Address::FromIp(endpoint.host, endpoint.port);
    if (literal.ok()) return Connect(*literal);
    if (pool_.dns() == nullptr) {
      // Not from within the constructor: nobody is here yet to be told.
      why_not_connected_ = "there is no resolver for names";
      return connect_timer_->Arm(Duration::zero());
    }
    query_ = pool_.dns()->Resolve(endpoint.host, net::DnsFamily::kAuto,
                                  [this](absl::StatusOr<net::DnsAnswer> answer) {
                                    if (dead_) return;
                                    if (!answer.ok()) return Die(answer.status().message());
                                    if (answer->addresses.empty()) return Die("no such host");
                                    net::Address to = answer->addresses[0];
                                    to.set_port(pool_.options().endpoint.port);
                                    Connect(to);
                                  });
  }

  void Connect(const net::Address& to) {
    const LinkOptions& options = pool_.options();
    http::ClientConnectionEvents& events = *this;
    if (options.tls == nullptr) {
      connection_ = std::make_unique<http::ClientConnection>(
          pool_.loop(), to, http::Protocol::kHttp2, events, http::Http1Limits(), Limits());
    } else {
      auto tls = tls::NewClientConnection(pool_.loop(), to, net::Address(), net::ConnectionLimits(),
                                          options.tls);
      tls_ = tls.get();
      connection_ = std::make_unique<http::ClientConnection>(pool_.loop(), std::move(tls),
                                                             http::Protocol::kHttp2, events,
                                                             http::Http1Limits(), Limits());
    }
    for (const auto& [raw, exchange] : exchanges_) Begin(raw);
  }

  void Begin(Exchange* exchange) {
    exchange->Begin(connection_->NewStream(exchange->receiver()), connected_);
  }

  void OnConnected() override {
    if (tls_ != nullptr && tls_->session().alpn != "h2") {
      return Die("the server does not speak HTTP/2");
    }
    connected_ = true;
    connect_timer_->Disarm();
    if (!exchanges_.empty()) ping_timer_->Arm(pool_.options().ping_interval);
  }
  void OnPong() override { pinged_ = false; }
  void OnDisconnected(absl::string_view detail) override { Die(detail); }

  // Nothing has come for an interval: is anybody there?
  void Ping() {
    const uint64_t bytes_read = connection_->connection().bytes_read();
    const bool silent = bytes_read == std::exchange(bytes_read_, bytes_read);
    if (silent && pinged_) return Die("the server does not answer any more");
    if (exchanges_.empty()) {
      pinged_ = false;
      return;
    }
    pinged_ = silent && connection_->codec().SendPing();
    ping_timer_->Arm(pool_.options().ping_interval);
  }

  void Release(Exchange* exchange) override {
    const auto at = exchanges_.find(exchange);
    if (at == exchanges_.end()) return;
    pool_.loop().DeferDelete(std::move(at->second));
    exchanges_.erase(at);
  }

  void Lost(Exchange* exchange, http::ResetCause cause, absl::string_view detail) override {
    const auto at = exchanges_.find(exchange);
    if (at == exchanges_.end()) return;
    if (!exchange->MayRepeat(cause)) return exchange->Fail(detail);
    std::unique_ptr<Exchange> again = std::move(at->second);
    exchanges_.erase(at);
    again->Repeat();
    if (cause == http::ResetCause::kConnectionLost) lost_ = true;
    pool_.Start(std::move(again));
  }

  LinkPool& pool_;
  absl::string_view why_not_connected_ = "the connection was not made in time";
  const std::unique_ptr<Timer> connect_timer_, ping_timer_;
  std::unique_ptr<net::DnsQuery> query_;
  std::unique_ptr<http::ClientConnection> connection_;
  tls::Connection* tls_ = nullptr;  // within connection_
  std::map<Exchange*, std::unique_ptr<Exchange>> exchanges_;
  bool connected_ = false, pinged_ = false;
  bool lost_ = false;  // takes no more exchanges; its end follows
  bool dead_ = false;
  uint64_t bytes_read_ = 0;
};

LinkPool::LinkPool(Loop& loop, net::DnsResolver* dns, const LinkOptions& options)
    : loop_(loop), dns_(dns), options_(options) {}

LinkPool::~LinkPool() = default;

void LinkPool::Start(std::unique_ptr<Exchange> exchange) {
  exchange->ArmTimeout(loop_);
  if (stopped_) return loop_.DeferDelete(std::move(exchange));
  for (const auto& link : links_) {
    if (link->has_room()) return link->Start(std::move(exchange));
  }
  if (links_.size() >= kLinksMax) {
    exchange->Fail("the server takes no more streams");
    return loop_.DeferDelete(std::move(exchange));
  }
  links_.push_back(std::make_unique<Link>(*this));
  links_.back()->Start(std::move(exchange));
}

void LinkPool::Stop() {
  stopped_ = true;
  while (!links_.empty()) links_.back()->Die("the client is stopping");
}

void LinkPool::Remove(Link* link) {
  for (auto at = links_.begin(); at != links_.end(); ++at) {
    if (at->get() != link) continue;
    loop_.DeferDelete(std::move(*at));
    links_.erase(at);
    return;
  }
}

}  // namespace meltemi::kube
