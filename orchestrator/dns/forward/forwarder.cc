#include "orchestrator/dns/forward/forwarder.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "orchestrator/dns/forward/forward.h"

namespace meltemi::dns {
namespace {

constexpr char kProbe[] = "meltemi-loop";

}  // namespace

Forwarder::Forwarder(Loop& loop, const ForwarderOptions& options, Random& random,
                     metrics::Scope* metrics)
    : loop_(loop),
      options_(options),
      random_(random),
      metrics_(metrics),
      probe_id_(random.Next()),
      cache_(options.cache_bytes_max, options.cache_ttl_max) {}

Forwarder::~Forwarder() = default;

void Forwarder::SetUpstreams(const std::vector<net::Address>& addresses) {
  const std::vector<net::Address> before = upstreams_.addresses();
  upstreams_.Set(addresses);
  for (const net::Address& address : addresses) {
    if (std::find(before.begin(), before.end(), address) != before.end()) continue;
    probed_.push_back(address);
    Probe(probed_.size() - 1, address);
  }
}

Name Forwarder::ProbeName(size_t index) const {
  return NameFromText(
      absl::StrCat(kProbe, ".", absl::Hex(probe_id_, absl::kZeroPad16), ".", index));
}

void Forwarder::Probe(size_t index, const net::Address& address) {
  const int fd = socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const std::string message =
      WriteQuery(static_cast<uint16_t>(random_.Next() >> 48), ProbeName(index), kTypeHinfo,
                 kClassIn, kFlagRecursionDesired, true, false);
  (void)sendto(fd, message.data(), message.size(), 0, address.raw(), address.raw_length());
  close(fd);
}

bool Forwarder::NoticeLoop(absl::string_view name) {
  const Labels labels = LabelsOf(name);
  uint32_t index = 0;
  if (labels.size() != 3 || labels[0] != kProbe || !absl::SimpleAtoi(labels[2], &index)) {
    return false;
  }
  if (index >= probed_.size() || name != ProbeName(index)) return false;
  const net::Address& address = probed_[index];
  LOG(kWarn, "dns", "the upstream server ", address.ToString(),
      " asks this server itself: it is left out");
  upstreams_.Loops(address);
  return true;
}

UpstreamAnswerPtr Forwarder::Cached(const ForwardKey& key) { return cache_.Find(key, loop_.Now()); }

void Forwarder::Ask(const ForwardKey& key, Done done) {
  const auto found = forwards_.find(key);
  if (found != forwards_.end()) {
    if (!found->second->AddWaiter(done)) loop_.Post([done] { done(nullptr); });
    return;
  }
  std::vector<net::Address> servers = upstreams_.Order(loop_.Now());
  if (servers.empty() || forwards_.size() >= options_.forwards_max) {
    loop_.Post([done = std::move(done)] { done(nullptr); });
    return;
  }
  // A datagram may get lost on the way to the only one.
  if (servers.size() == 1) servers.push_back(servers[0]);
  auto forward = std::make_unique<Forward>(*this, key, std::move(servers));
  forward->AddWaiter(std::move(done));
  Forward& started = *forward;
  forwards_[key] = std::move(forward);
  started.Start();
}

void Forwarder::Finish(const ForwardKey& key, UpstreamAnswerPtr answer) {
  const auto found = forwards_.find(key);
  if (found == forwards_.end()) return;
  std::unique_ptr<Forward> forward = std::move(found->second);
  forwards_.erase(found);
  if (answer != nullptr) cache_.Add(key, answer);
  const std::vector<Done> waiters = forward->TakeWaiters();
  loop_.DeferDelete(std::move(forward));
  for (const Done& done : waiters) done(answer);
}

metrics::Counter* Forwarder::CounterOf(const char* name, const net::Address& to,
                                       const char* rcode) {
  if (metrics_ == nullptr) return nullptr;
  metrics::Labels labels = {{"to", to.ToString()}};
  if (rcode[0] != '\0') labels.emplace_back("rcode", rcode);
  return &metrics_->GetCounter(name, labels);
}

}  // namespace meltemi::dns
