#include "base/net/dns.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log/log.h"

namespace meltemi::net {
namespace {

constexpr int kTriesPerServer = 2;
constexpr int kTryTimeoutMillis = 2000;
// What an answer without a time to live (literal addresses, /etc/hosts) is good for.
constexpr Duration kHostsTtl = seconds(60);

int HintsFamily(DnsFamily family) {
  switch (family) {
    case DnsFamily::kV4Only:
      return AF_INET;
    case DnsFamily::kV6Only:
      return AF_INET6;
    default:
      return AF_UNSPEC;
  }
}

class CaresResolver;

class CaresQuery final : public DnsQuery {
 public:
  CaresQuery(std::string name, DnsFamily family, DnsResolver::Callback on_done)
      : name(std::move(name)), family(family), on_done(std::move(on_done)) {}
  ~CaresQuery() override;

  const std::string name;
  const DnsFamily family;
  DnsResolver::Callback on_done;
  // What c-ares holds in our stead; each forgets the other when it is destroyed.
  struct Ticket {
    Ticket(CaresQuery* query, CaresResolver* resolver) : query(query), resolver(resolver) {
      query->ticket = this;
    }
    ~Ticket() {
      if (query != nullptr) query->ticket = nullptr;
    }
    CaresQuery* query;
    CaresResolver* const resolver;
  };
  Ticket* ticket = nullptr;
};

// Drives c-ares from the loop: it tells which descriptors it waits for, we tell it when they are
// ready and when time has passed.
class CaresResolver final : public DnsResolver {
 public:
  explicit CaresResolver(Loop& loop) : loop_(loop) {
    timer_ = loop.NewTimer([this] { Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
  }
  ~CaresResolver() override {
    closing_ = true;
    if (channel_ != nullptr) ares_destroy(channel_);
    watches_.clear();
    ares_library_cleanup();
  }

  absl::Status Init(const std::vector<Address>& servers) {
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
      return absl::InternalError("c-ares could not be initialised");
    }
    ares_options options{};
    options.tries = kTriesPerServer;
    options.timeout = kTryTimeoutMillis;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<CaresResolver*>(self)->Watch(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    const int mask = ARES_OPT_TRIES | ARES_OPT_TIMEOUTMS | ARES_OPT_SOCK_STATE_CB;
    if (const int rc = ares_init_options(&channel_, &options, mask); rc != ARES_SUCCESS) {
      channel_ = nullptr;
      return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(rc)));
    }
    if (servers.empty()) return absl::OkStatus();
    const std::string list =
        absl::StrJoin(servers, ",", [](std::string* out, const Address& server) {
          Address with_port = server;
          if (with_port.port() == 0) with_port.set_port(53);
          absl::StrAppend(out, with_port.ToString());
        });
    if (const int rc = ares_set_servers_ports_csv(channel_, list.c_str()); rc != ARES_SUCCESS) {
      return absl::InvalidArgumentError(
          absl::StrCat("DNS servers \"", list, "\": ", ares_strerror(rc)));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<DnsQuery> Resolve(const std::string& name, DnsFamily family,
                                    Callback on_done) override {
    auto query = std::make_unique<CaresQuery>(name, family, std::move(on_done));
    auto ticket = std::make_unique<CaresQuery::Ticket>(query.get(), this);
    // c-ares would ask a server for a literal of the other family.
    if (absl::StatusOr<Address> literal = Address::FromIp(name, 0); literal.ok()) {
      PostAnswer(std::move(ticket), DnsAnswer{.addresses = {*literal}, .ttl = kHostsTtl});
      return query;
    }
    ares_addrinfo_hints hints{};
    hints.ai_family = HintsFamily(family);
    hints.ai_flags = ARES_AI_NOSORT;
    in_resolve_ = true;
    ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, OnAnswer, ticket.release());
    in_resolve_ = false;
    ScheduleTimer();
    return query;
  }

 private:
  static void OnAnswer(void* argument, int status, int /*timeouts*/, ares_addrinfo* info) {
    std::unique_ptr<CaresQuery::Ticket> ticket(static_cast<CaresQuery::Ticket*>(argument));
    CaresResolver* self = ticket->resolver;
    if (ticket->query != nullptr && !self->closing_) {
      absl::StatusOr<DnsAnswer> answer = ToAnswer(*ticket->query, status, info);
      if (self->in_resolve_) {
        self->PostAnswer(std::move(ticket), std::move(answer));
      } else {
        Deliver(std::move(ticket), std::move(answer));
      }
    }
    if (info != nullptr) ares_freeaddrinfo(info);
  }

  // The callback may destroy the query, so it runs from a local.
  static void Deliver(std::unique_ptr<CaresQuery::Ticket> ticket,
                      absl::StatusOr<DnsAnswer> answer) {
    if (ticket->query == nullptr) return;
    DnsResolver::Callback on_done = std::move(ticket->query->on_done);
    ticket.reset();
    on_done(std::move(answer));
  }

  void PostAnswer(std::unique_ptr<CaresQuery::Ticket> ticket, absl::StatusOr<DnsAnswer> answer) {
    loop_.Post([ticket = std::move(ticket), answer = std::move(answer)]() mutable {
      Deliver(std::move(ticket), std::move(answer));
    });
  }

  static absl::StatusOr<DnsAnswer> ToAnswer(const CaresQuery& query, int status,
                                            const ares_addrinfo* info) {
    if (status == ARES_ENOTFOUND || status == ARES_ENODATA) {
      return absl::NotFoundError(absl::StrCat("no address for \"", query.name, "\""));
    }
    if (status != ARES_SUCCESS) {
      return absl::UnavailableError(
          absl::StrCat("cannot resolve \"", query.name, "\": ", ares_strerror(status)));
    }
    DnsAnswer answer;
    int ttl_seconds = INT32_MAX;
    bool any_v4 = false, any_v6 = false;
    for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
      answer.addresses.push_back(
          Address::FromSockaddr(node->ai_addr, static_cast<socklen_t>(node->ai_addrlen)));
      any_v4 |= node->ai_family == AF_INET;
      any_v6 |= node->ai_family == AF_INET6;
      if (node->ai_ttl > 0) ttl_seconds = std::min(ttl_seconds, node->ai_ttl);
    }
    const auto drop = [&answer](int family) {
      answer.addresses.erase(
          std::remove_if(answer.addresses.begin(), answer.addresses.end(),
                         [family](const Address& a) { return a.family() == family; }),
          answer.addresses.end());
    };
    if (query.family == DnsFamily::kAuto && any_v6) drop(AF_INET);
    if (query.family == DnsFamily::kV4Preferred && any_v4) drop(AF_INET6);
    answer.ttl = ttl_seconds == INT32_MAX ? kHostsTtl : Duration(seconds(ttl_seconds));
    return answer;
  }

  void Watch(ares_socket_t fd, bool readable, bool writable) {
    const uint8_t events =
        static_cast<uint8_t>((readable ? kFdReadable : 0) | (writable ? kFdWritable : 0));
    if (events == 0) {
      watches_.erase(fd);
      return;
    }
    std::unique_ptr<FdWatch>& watch = watches_[fd];
    if (watch != nullptr) return watch->Want(events);
    watch = loop_.WatchFd(fd, FdTrigger::kLevel, events, [this, fd](uint8_t happened) {
      Process(happened & kFdReadable ? fd : ARES_SOCKET_BAD,
              happened & kFdWritable ? fd : ARES_SOCKET_BAD);
    });
  }

  void Process(ares_socket_t readable, ares_socket_t writable) {
    ares_process_fd(channel_, readable, writable);
    ScheduleTimer();
  }

  void ScheduleTimer() {
    timeval tv;
    if (ares_timeout(channel_, nullptr, &tv) == nullptr) return timer_->Disarm();
    timer_->Arm(seconds(tv.tv_sec) + microseconds(tv.tv_usec));
  }

  Loop& loop_;
  ares_channel channel_ = nullptr;
  std::unique_ptr<Timer> timer_;
  std::map<ares_socket_t, std::unique_ptr<FdWatch>> watches_;
  bool in_resolve_ = false;
  bool closing_ = false;
};

CaresQuery::~CaresQuery() {
  if (ticket != nullptr) ticket->query = nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DnsResolver>> NewDnsResolver(Loop& loop,
                                                            const std::vector<Address>& servers) {
  auto resolver = std::make_unique<CaresResolver>(loop);
  if (absl::Status status = resolver->Init(servers); !status.ok()) return status;
  return resolver;
}

}  // namespace meltemi::net
