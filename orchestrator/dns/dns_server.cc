#include "orchestrator/dns/dns_server.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/loop/loop.h"
#include "base/net/listener.h"
#include "base/random/random.h"
#include "orchestrator/dns/forward/forwarder.h"
#include "orchestrator/dns/records/cluster_source.h"
#include "orchestrator/dns/records/records.h"
#include "orchestrator/dns/server/answerer.h"
#include "orchestrator/dns/server/tcp.h"
#include "orchestrator/dns/server/udp.h"

namespace meltemi::dns {
namespace {

constexpr Duration kLookAround = seconds(5);  // at resolv.conf, and for the metrics
constexpr size_t kResolvConfBytesMax = 64 * 1024;

RecordsOptions RecordsOptionsOf(const DnsOptions& options) {
  RecordsOptions out;
  out.domain = options.domain;
  out.ttl_s = static_cast<uint32_t>(options.ttl / seconds(1));
  return out;
}

ForwarderOptions ForwarderOptionsOf(const DnsOptions& options) {
  ForwarderOptions out;
  out.timeout = options.upstream_timeout;
  out.cache_ttl_max = options.cache_ttl_max;
  out.cache_bytes_max = options.cache_bytes_max;
  out.forwards_max = options.forwards_max;
  return out;
}

// As CoreDNS' metrics call it.
std::string ServerLabel(const DnsOptions& options) {
  return absl::StrCat("dns://:", options.addresses.empty() ? 53 : options.addresses[0].port());
}

// What tells that a file is another one than before.
struct FileMark {
  int64_t seconds = 0, nanoseconds = 0;
  uint64_t inode = 0, bytes = 0;
  bool operator==(const FileMark& o) const {
    return seconds == o.seconds && nanoseconds == o.nanoseconds && inode == o.inode &&
           bytes == o.bytes;
  }
};

FileMark MarkOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino,
          static_cast<uint64_t>(info.st_size)};
}

class Server final : public DnsServer {
 public:
  Server(const DnsOptions& options, const Clock& clock, kube::Informers& informers,
         metrics::Registry* metrics)
      : options_(options),
        loop_(NewEventLoop(clock)),
        metrics_(metrics == nullptr ? nullptr : &metrics->NewShard().root()),
        records_(RecordsOptionsOf(options)),
        source_(informers, records_),
        forwarder_(*loop_, ForwarderOptionsOf(options), random_, metrics_),
        answerer_(clock, records_, forwarder_, metrics_, ServerLabel(options),
                  NameToText(NameFromText(options.domain))),
        tcp_clients_(*loop_, answerer_, options.tcp_connections_max),
        look_around_(loop_->NewTimer([this] { LookAround(); })) {}

  ~Server() override {
    loop_->Exit();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    for (const net::Address& address : options_.addresses) {
      auto udp = UdpEndpoint::Open(*loop_, address, answerer_);
      if (!udp.ok()) return udp.status();
      addresses_.push_back((*udp)->address());
      udp_.push_back(*std::move(udp));
      auto tcp = net::Listen(
          *loop_, addresses_.back(), {},
          [this](int fd, const net::Address& remote) { tcp_clients_.Accept(fd, remote); });
      if (!tcp.ok()) return tcp.status();
      tcp_.push_back(*std::move(tcp));
    }
    LookAround();
    thread_ = std::thread([this] { loop_->Run(); });
    return absl::OkStatus();
  }

  void Start() override { answerer_.SetReady(); }
  std::vector<net::Address> addresses() const override { return addresses_; }

 private:
  void LookAround() {
    look_around_->Arm(kLookAround);
    if (metrics_ != nullptr) {
      metrics_->GetGauge("coredns_cache_entries", {{"server", ServerLabel(options_)}})
          .Set(static_cast<int64_t>(forwarder_.cache().size()));
    }
    if (!options_.upstreams.empty()) {
      if (!looked_) SetUpstreams(options_.upstreams);
    } else if (const FileMark mark = MarkOf(options_.resolv_conf); !looked_ || !(mark == mark_)) {
      mark_ = mark;
      std::ifstream in(options_.resolv_conf);
      std::string text(kResolvConfBytesMax, '\0');
      in.read(text.data(), static_cast<std::streamsize>(text.size()));
      text.resize(static_cast<size_t>(in.gcount()));
      SetUpstreams(ParseResolvConf(text));
    }
    looked_ = true;
  }

  // Ourselves are no upstream.
  void SetUpstreams(std::vector<net::Address> upstreams) {
    upstreams.erase(std::remove_if(upstreams.begin(), upstreams.end(),
                                   [this](const net::Address& upstream) {
                                     return std::find(addresses_.begin(), addresses_.end(),
                                                      upstream) != addresses_.end();
                                   }),
                    upstreams.end());
    forwarder_.SetUpstreams(upstreams);
  }

  const DnsOptions options_;
  FastRandom random_;
  const std::unique_ptr<Loop> loop_;
  metrics::Scope* const metrics_;
  Records records_;
  ClusterSource source_;
  Forwarder forwarder_;
  Answerer answerer_;
  TcpClients tcp_clients_;
  std::vector<std::unique_ptr<UdpEndpoint>> udp_;
  std::vector<std::unique_ptr<net::Listener>> tcp_;
  std::vector<net::Address> addresses_;
  const std::unique_ptr<Timer> look_around_;
  bool looked_ = false;
  FileMark mark_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DnsServer>> StartDnsServer(const DnsOptions& options,
                                                          const Clock& clock,
                                                          kube::Informers& informers,
                                                          metrics::Registry* metrics) {
  if (NameFromText(options.domain).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the cluster's domain \"", options.domain, "\" is no domain name"));
  }
  auto server = std::make_unique<Server>(options, clock, informers, metrics);
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return std::unique_ptr<DnsServer>(std::move(server));
}

}  // namespace meltemi::dns
